# SPDX-License-Identifier: Apache-2.0
"""Functions of the Gamma family against mpmath on grids, and their derivatives."""

import mpmath as mp
import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from pyro_reparam_ext import ops

GRID = (1e-4, 0.01, 0.4, 1.0, 3.0, 11.9, 12.1, 80.0, 1e4)


def double(values):
    return torch.tensor(values, dtype=torch.float64)


def worst(actual, expected, floor=0.0):
    """Largest error, relative to the larger of the reference and a floor."""
    pairs = zip(actual.tolist(), expected, strict=True)
    return max(float(abs(mp.mpf(x) - e) / max(abs(e), floor)) for x, e in pairs)


def moved(cdf, log_density, parameters, index):
    """-dF/dtheta / p, by a difference in many digits."""
    step = mp.mpf(10) ** -15 * parameters[index]
    sides = []
    for sign in (1, -1):
        new = list(parameters)
        new[index] += sign * step
        sides.append(cdf(*new))
    return (sides[1] - sides[0]) / (2 * step) / mp.exp(log_density)


@pytest.mark.parametrize("a", GRID)
def test_gamma_path_against_a_difference(a):
    logs = [k * min(1.0, a**-0.5) + float(mp.log(a)) for k in (-3, -0.5, 0.5, 2)]
    if a < 0.1:
        logs += [-1 / a, -0.1 / a]
    expected = []
    with mp.workdps(50):
        for w in logs:
            x = mp.exp(w)
            density = a * mp.mpf(w) - x - mp.loggamma(a)
            expected.append(
                moved(
                    lambda a, x=x: mp.gammainc(a, 0, x, regularized=True),
                    density,
                    [mp.mpf(a)],
                    0,
                )
            )
    actual = ops.gamma_path(double(a), double(logs))
    assert worst(actual, expected) < 1e-8
    coarse = ops.gamma_path(torch.tensor(a), double(logs))
    fine = ops.gamma_path(torch.tensor(a).double(), double(logs))
    assert coarse.dtype == torch.float32
    assert ((coarse - fine) / fine).abs().max() < 5e-5


@pytest.mark.parametrize("a", [0.01, 0.4, 3.0, 80.0])
@pytest.mark.parametrize("b", [0.02, 1.0, 12.1, 300.0])
def test_beta_path_against_a_difference(a, b):
    center, width = float(mp.log(a / b)), min(1.0, (a * b / (a + b)) ** -0.5)
    logits = [center + k * width for k in (-3, -0.5, 0.1, 0.5, 3)]
    pairs = []
    with mp.workdps(60):
        for y in logits:
            x = 1 / (1 + mp.exp(-mp.mpf(y)))
            log_beta = mp.loggamma(a) + mp.loggamma(b) - mp.loggamma(mp.mpf(a) + b)
            density = a * mp.log(x) + b * mp.log(1 - x) - log_beta
            pairs.append(
                [
                    moved(
                        lambda a, b, x=x: mp.betainc(a, b, 0, x, regularized=True),
                        density,
                        [mp.mpf(a), mp.mpf(b)],
                        index,
                    )
                    for index in (0, 1)
                ]
            )
    paths = ops.beta_path(double(a), double(b), double(logits))
    for actual, expected in zip(paths, zip(*pairs, strict=True), strict=True):
        assert worst(actual, expected) < 1e-8


def beta_moved(a, b, y):
    """Both paths, by differences in many digits."""
    a, b = mp.mpf(a), mp.mpf(b)
    x = 1 / (1 + mp.exp(-mp.mpf(y)))
    log_beta = mp.loggamma(a) + mp.loggamma(b) - mp.loggamma(a + b)
    density = a * mp.log(x) + b * mp.log(1 - x) - log_beta
    return [
        moved(lambda a, b: mp.betainc(a, b, 0, x, regularized=True), density, [a, b], i)
        for i in (0, 1)
    ]


@pytest.mark.parametrize(
    ("a", "b", "y"),
    # where an approximate reach once went astray, and very unequal concentrations
    [(100.0, 1e-3, 4.6141), (1e-4, 0.5, -2.0), (0.25, 1e4, -9.383), (0.3, 100.0, -4.9)],
)
def test_beta_path_of_unequal_concentrations(a, b, y):
    with mp.workdps(60):
        expected = beta_moved(a, b, y)
    arguments = double([a]), double([b]), double([y])
    paths = ops.beta_path(*arguments)
    for path, number in zip(paths, expected, strict=True):
        assert worst(path, [number]) < 1e-8
    assert ops.beta_path_of_first(*arguments).equal(paths[0])
    mirrored = -ops.beta_path_of_first(arguments[1], arguments[0], -arguments[2])
    assert torch.allclose(mirrored, paths[1], rtol=1e-8)
    coarse = ops.beta_path(*(x.float() for x in arguments[:2]), arguments[2])
    for path, number in zip(coarse, expected, strict=True):
        assert worst(path, [number]) < 1e-4


@pytest.mark.parametrize("df", [0.1, 1.0, 30.0, 1e3, 1e6])
def test_log_ratio_path_of_many_degrees_of_freedom(df):
    values = (1e-3, 0.6, 1.7, 2.0, 7.0)
    with mp.workdps(80):
        logits = [float(mp.log(mp.mpf(t) ** 2 / df)) for t in values]
        expected = [beta_moved(0.5, df / 2, y)[1] + mp.mpf(2) / df for y in logits]
    half = double([df / 2] * len(values))
    actual = ops.log_ratio_path(torch.full_like(half, 0.5), half, double(logits))
    assert worst(actual, expected) < 1e-8


@pytest.mark.parametrize("a", GRID)
def test_incomplete_gamma_functions(a):
    values = [a * k for k in (0.97, 0.99, 1.0, 1.01, 1.03)]
    if a < 1e3:
        values += [1e-3 * a, 0.5 * a, 2.0 * a, 1e-30, 0.7, 9.0]
    with mp.workdps(40):
        lower = [mp.gammainc(a, 0, x, regularized=True) for x in values]
        upper = [mp.gammainc(a, x, mp.inf, regularized=True) for x in values]
    tiny = torch.finfo(torch.float64).tiny
    actual = ops.gammainc(double(a), double(values))
    assert worst(actual, lower, tiny) < 1e-12
    actual = ops.gammaincc(double(a), double(values))
    assert worst(actual, upper, tiny) < 1e-11


@pytest.mark.parametrize("a", [1e-4, 0.4, 3.0, 80.0])
@pytest.mark.parametrize("b", [0.01, 1.0, 12.1, 300.0])
def test_incomplete_beta_function(a, b):
    values = [1e-30, 1e-3, 0.1, 0.3, 0.5, 0.8, 0.99]
    with mp.workdps(40):
        expected = [mp.betainc(a, b, 0, x, regularized=True) for x in values]
    actual = ops.betainc(double(a), double(b), double(values))
    assert worst(actual, expected, 1e-300) < 1e-12


def test_ends_of_incomplete_functions():
    ends = double([0.0, 1.0])
    assert ops.betainc(double(2.0), double(0.3), ends).tolist() == [0.0, 1.0]
    ends = double([0.0, torch.inf])
    assert ops.gammainc(double(2.0), ends).tolist() == [0.0, 1.0]
    assert ops.gammaincc(double(2.0), ends).tolist() == [1.0, 0.0]


def test_stirling_remainder_and_its_derivative():
    x = double(GRID)
    with mp.workdps(40):
        remainders = [
            mp.loggamma(t) - (mp.mpf(t) - 0.5) * mp.log(t) + t - mp.log(2 * mp.pi) / 2
            for t in x.tolist()
        ]
        differences = [mp.log(t) - mp.digamma(t) for t in x.tolist()]
    assert worst(ops.stirling_remainder(x), remainders, 1e-2) < 1e-12
    assert worst(ops.log_minus_digamma(x), differences) < 1e-13


FUNCTIONS = {
    "gamma_path": (ops.gamma_path, ([0.3, 2.0, 40.0], [-1.0, 0.9, 3.6])),
    "beta_path": (ops.beta_path, ([0.3, 2.0, 9.0], [0.6, 14.0, 3.0], [-1.0, -2.0, 1])),
    "beta_path_of_first": (
        ops.beta_path_of_first,
        ([0.1, 2.0, 9.0], [0.6, 14.0, 3.0], [-1.0, -2.0, 1]),
    ),
    "log_ratio_path": (
        ops.log_ratio_path,
        ([0.1, 2.0, 9.0], [0.6, 14.0, 3.0], [-1.0, -2.0, 1]),
    ),
    "gammainc": (ops.gammainc, ([0.3, 2.0, 40.0], [0.2, 3.0, 37.0])),
    "gammaincc": (ops.gammaincc, ([0.3, 2.0, 40.0], [0.2, 3.0, 37.0])),
    "betainc": (ops.betainc, ([0.3, 2.0, 9.0], [0.6, 14.0, 3.0], [0.1, 0.2, 0.7])),
    "log_gamma_density": (ops.log_gamma_density, ([0.3, 2.0, 40.0], [-2.0, 0.1, 0.6])),
    "log_of_ratio": (ops.log_of_ratio, ([-2.0, 0.1, 99.0], [0.3, 2.0, 40.0])),
    "expm1_remainder": (ops.expm1_remainder, ([0.0, 0.1, -3.0],)),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_first_and_second_derivatives(name):
    function, values = FUNCTIONS[name]
    inputs = tuple(double(v).requires_grad_() for v in values)
    assert gradcheck(function, inputs, rtol=1e-5, atol=1e-7)
    assert gradgradcheck(function, inputs, rtol=1e-4, atol=1e-6)


def test_a_pole_left_out_would_be_seen():
    # without the score's own mean, the path of a small concentration is far off
    a, w = double(0.01), double(-50.0)
    careless = -w / a
    assert abs(careless / ops.gamma_path(a, w) - 1) > 1e-3
