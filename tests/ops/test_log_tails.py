# SPDX-License-Identifier: Apache-2.0
"""Log-tails of the Gamma, Beta and Student laws, against arbitrary precision."""

import mpmath as mp
import pytest
import torch

from pyro_reparam_ext.ops import (
    log_beta,
    log_beta_density,
    log_beta_tails,
    log_gamma_density,
    log_gamma_tails,
    log_student_density,
    log_student_tail,
)
from pyro_reparam_ext.ops.stirling import stirling_remainder

GAMMA = [(a, r) for a in (1e-3, 0.1, 1.0, 2.5, 1e3) for r in (1e-3, 0.4, 1.0, 2.0, 9.0)]
GAMMA += [(0.5, 2000.0), (1e5, 0.98), (1e5, 1.01)]
BETA = [
    *((a, b, z) for a in (0.1, 1.5) for b in (0.1, 3.0) for z in (1e-9, 0.3, 0.999)),
    *((30.0, 0.2, z) for z in (0.5, 0.9999, 1 - 2.0**-40)),
    (100.0, 100.0, 0.5),
    (1000.0, 3.0, 0.5),
    (400.0, 2.0, 0.01),
]
STUDENT = [(v, x) for v in (0.1, 1.0, 3.5, 1e3) for x in (0.0, 0.3, 2.0, 40.0, 1e6)]


def double(*values):
    return [torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in values]


def gamma_tails(a, x, rough=False):
    return log_gamma_tails(a, (x / a).log(), rough)


def beta_tails(a, b, z, rough=False):
    return log_beta_tails(a, b, z.log() - torch.log1p(-z), rough)


def gamma_density(a, x):
    return log_gamma_density(a, (x / a).log()) - x.log()


def beta_density(a, b, z):
    ends = z.log(), torch.log1p(-z)
    return log_beta_density(a, b, *ends) - ends[0] - ends[1]


def relative(found, expected):
    return float(abs(mp.mpf(found.item()) - expected) / max(1, abs(expected)))


def gamma_tail(a, x, upper):
    ends = (x, mp.inf) if upper else (0, x)
    return mp.log(mp.gammainc(a, *ends, regularized=True))


def beta_tail(a, b, z, upper):
    ends = (z, 1) if upper else (0, z)
    return mp.log(mp.betainc(a, b, *ends, regularized=True))


def student_tail(df, x):
    df, x = mp.mpf(df), mp.mpf(x)
    return mp.log(
        mp.betainc(df / 2, mp.mpf(1) / 2, 0, df / (df + x**2), regularized=1)
    ) - mp.log(2)


@pytest.mark.parametrize(("a", "ratio"), GAMMA)
def test_gamma(a, ratio):
    a, x = double(a, a * ratio)
    tails = gamma_tails(a, x)
    with mp.workdps(60):
        known = mp.mpf(a.item()), mp.mpf(x.item())
        for tail, upper in zip(tails, (False, True), strict=True):
            assert relative(tail, gamma_tail(*known, upper)) < 1e-12
        upper = known[1] > known[0]
        small = tails[int(upper)]
        by_a, by_x = torch.autograd.grad(small, (a, x))
        density = -known[1] + (known[0] - 1) * mp.log(known[1]) - mp.loggamma(known[0])
        assert relative(gamma_density(a, x), density) < 1e-13
        slope = mp.exp(density - gamma_tail(*known, upper)) * (-1 if upper else 1)
        assert abs(by_x.item() / slope - 1) < 1e-11
        if known[0] < 1e4:
            slope = mp.diff(lambda t: gamma_tail(t, known[1], upper), known[0])
            assert abs(by_a.item() / slope - 1) < 1e-11


@pytest.mark.parametrize(("a", "b", "z"), BETA)
def test_beta(a, b, z):
    a, b, z = double(a, b, z)
    tails = beta_tails(a, b, z)
    with mp.workdps(60):
        known = [mp.mpf(t.item()) for t in (a, b, z)]
        upper = known[2] * (known[0] + known[1]) > known[0]
        small = tails[int(upper)]
        assert relative(small, beta_tail(*known, upper)) < 1e-12
        expected = mp.log(-mp.expm1(beta_tail(*known, upper)))
        assert relative(tails[int(not upper)], expected) < 1e-12
        found = torch.autograd.grad(small, (a, b, z))
        density = (
            (known[0] - 1) * mp.log(known[2])
            + (known[1] - 1) * mp.log(1 - known[2])
            - mp.log(mp.beta(*known[:2]))
        )
        assert relative(beta_density(a, b, z), density) < 1e-12
        for i in range(2):
            slope = mp.diff(
                lambda t, i=i: beta_tail(
                    *(t if i == j else known[j] for j in range(3)), upper
                ),
                known[i],
            )
            assert abs(found[i].item() / slope - 1) < 1e-10
        slope = mp.exp(density - beta_tail(*known, upper)) * (-1 if upper else 1)
        assert abs(found[2].item() / slope - 1) < 1e-10


@pytest.mark.parametrize(("df", "x"), STUDENT)
def test_student(df, x):
    df, x = double(df, x)
    tail = log_student_tail(df, x)
    with mp.workdps(60):
        known = mp.mpf(df.item()), mp.mpf(x.item())
        expected = student_tail(*known)
        assert relative(tail, expected) < 1e-12
        by_df, by_x = torch.autograd.grad(tail, (df, x))
        slope = mp.diff(lambda t: student_tail(t, known[1]), known[0])
        assert abs(by_df.item() - slope) < 1e-11 * (abs(slope) + 1 / known[0])
        density = -(known[0] + 1) / 2 * mp.log1p(known[1] ** 2 / known[0])
        density -= mp.log(mp.sqrt(known[0]) * mp.beta(mp.mpf(1) / 2, known[0] / 2))
        assert relative(log_student_density(df, x), density) < 1e-12
        assert abs(by_x.item() / -mp.exp(density - expected) - 1) < 1e-11


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        (lambda a, x: torch.stack(gamma_tails(a, x)), ([0.3, 2.0], [1.5, 0.4])),
        (
            lambda *t: torch.stack(beta_tails(*t)),
            ([0.3, 2.0], [1.5, 4.0], [0.2, 0.9]),
        ),
        (log_student_tail, ([0.3, 5.0], [1.5, 0.4])),
        (gamma_density, ([0.3, 20.0], [1.5, 0.4])),
        (beta_density, ([0.3, 20.0], [1.5, 4.0], [0.2, 0.9])),
        (log_student_density, ([0.3, 20.0], [1.5, 0.4])),
        (log_beta, ([0.3, 20.0], [1.5, 14.0])),
        (stirling_remainder, ([0.3, 20.0],)),
    ],
)
def test_first_and_second_derivatives_by_differences(function, arguments):
    arguments = double(*arguments)
    assert torch.autograd.gradcheck(function, arguments, rtol=1e-6)
    assert torch.autograd.gradgradcheck(function, arguments, rtol=1e-6)


def test_vmap():
    a, x = torch.rand(2, 5, dtype=torch.float64) + 0.5
    slope = torch.func.grad(lambda a, x: gamma_tails(a, x)[0])
    found = torch.func.vmap(slope)(a, x)
    expected = torch.stack([slope(*pair) for pair in zip(a, x, strict=True)])
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("rough", [True, False])
def test_fewer_nodes_are_rougher(rough):
    a, x = double([1e-3, 2.0, 1e3], [1.0, 1.0, 1.1e3])
    b, z = double([30.0, 0.5, 1e3], [0.1, 0.4, 0.6])
    for tails, point in ((gamma_tails, (a, x)), (beta_tails, (a, b, z))):
        for found, fine in zip(tails(*point, rough), tails(*point), strict=True):
            error = (found - fine).abs().max()
            assert error < 1e-5
            assert (error > 1e-12) == rough
