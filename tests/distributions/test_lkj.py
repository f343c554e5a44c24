# SPDX-License-Identifier: Apache-2.0
"""LKJ against arbitrary precision, its known expectations, and torch's."""

import math

import mpmath as mp
import pytest
import torch
from torch.distributions import LKJCholesky as TorchLKJCholesky

from pyro_reparam_ext import distributions as D
from tests.references import lkj

GRADIENT = {torch.float64: 1e-8, torch.float32: 1e-4}
VALUE = {torch.float64: 1e-12, torch.float32: 1e-5}
DTYPES = list(GRADIENT)
POINTS = [(2, 0.05), (2, 1.0), (2, 1e3), (3, 0.3), (3, 5.0), (6, 0.1), (6, 1.0)]
every_point = pytest.mark.parametrize(("dim", "eta"), POINTS)
every_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=str)


def draws(cls, dim, eta, dtype, n=6):
    torch.manual_seed(0)
    leaf = torch.tensor(eta, dtype=dtype).requires_grad_()
    return leaf, cls(dim, leaf).rsample((n,)).detach()


def slopes(row, eta, dim):
    """d log y / d eta and d log(1 - y) / d eta at fixed quantile, by the cdf."""
    eta = mp.mpf(eta)
    before = mp.fsum(mp.mpf(x) ** 2 for x in row[:-1])
    end = mp.mpf(row[-1]) ** 2
    y = before / (before + end)
    rest = end / (before + end)
    i = len(row) - 1
    a, b = mp.mpf(i) / 2, eta + mp.mpf(dim - 1 - i) / 2
    if y < rest:
        by_eta = mp.diff(lambda e: lkj.length_cdf(y, i, e, dim), eta)
    else:  # the upper tail is the lower tail of the rest
        by_eta = -mp.diff(
            lambda e: mp.betainc(
                e + mp.mpf(dim - 1 - i) / 2, a, 0, rest, regularized=True
            ),
            eta,
        )
    density = y ** (a - 1) * rest ** (b - 1) / mp.beta(a, b)
    speed = -by_eta / density
    return speed / y, -speed / rest


@every_dtype
@every_point
def test_pathwise_derivative_of_every_element(dim, eta, dtype):
    leaf, values = draws(D.LKJCholesky, dim, eta, dtype, n=2)
    exact_eta = mp.mpf(leaf.item())
    with mp.workdps(60):
        for value in values:
            path = D.LKJCholesky(dim, leaf).attach_gradient(value)
            for i in range(1, dim):
                log_y, log_rest = slopes(value[i, : i + 1].tolist(), exact_eta, dim)
                for j in range(i + 1):
                    (found,) = torch.autograd.grad(path[i, j], leaf, retain_graph=True)
                    half = (log_rest if i == j else log_y) / 2
                    expected = mp.mpf(value[i, j].item()) * half
                    error = abs(mp.mpf(found.item()) - expected)
                    tiny = torch.finfo(dtype).tiny / GRADIENT[dtype]
                    assert error <= GRADIENT[dtype] * max(abs(expected), tiny)


@every_dtype
@every_point
def test_log_prob(dim, eta, dtype):
    leaf, values = draws(D.LKJCholesky, dim, eta, dtype)
    found = D.LKJCholesky(dim, leaf).log_prob(values)
    with mp.workdps(40):
        for value, log_prob in zip(values.tolist(), found.tolist(), strict=True):
            expected = lkj.log_prob(value, leaf.item(), dim)
            assert abs(log_prob - expected) <= VALUE[dtype] * max(1, abs(expected))


@pytest.mark.parametrize(("dim", "eta"), [p for p in POINTS if p[1] >= 0.3])
def test_log_prob_of_the_matrix(dim, eta):
    leaf, values = draws(D.LKJ, dim, eta, torch.float64)
    found = D.LKJ(dim, leaf).log_prob(values)
    with mp.workdps(40):
        for value, log_prob in zip(values.tolist(), found.tolist(), strict=True):
            expected = lkj.log_prob(value, leaf.item(), dim, factor=False)
            # rounding of the elements is that of the determinant, over det
            factor = torch.linalg.cholesky(torch.tensor(value, dtype=torch.float64))
            rounding = 1e-15 * abs(eta - 1) / factor.diagonal().min().item() ** 2
            allowed = 1e-12 * max(1, abs(expected)) + rounding
            assert abs(log_prob - expected) <= allowed


@every_point
def test_density_is_torchs(dim, eta):
    leaf, values = draws(D.LKJCholesky, dim, eta, torch.float64)
    torch.testing.assert_close(
        D.LKJCholesky(dim, leaf).log_prob(values),
        TorchLKJCholesky(dim, leaf, validate_args=False).log_prob(values),
        rtol=1e-10,
        atol=1e-9,
    )


@pytest.mark.parametrize("eta", [0.3, 1.0, 40.0])
def test_one_correlation_is_a_beta_variate(eta):
    eta, other = torch.tensor([eta, 2.0], dtype=torch.float64)
    beta = torch.distributions.Beta(eta, eta)
    law = D.LKJ(2, eta)
    torch.testing.assert_close(law.entropy(), beta.entropy() + math.log(2))
    torch.testing.assert_close(law.factor.entropy(), law.entropy())
    torch.testing.assert_close(law.variance[0, 1], 4 * beta.variance)
    torch.testing.assert_close(
        torch.distributions.kl_divergence(law, D.LKJ(2, other)),
        torch.distributions.kl_divergence(beta, torch.distributions.Beta(other, other)),
    )


@pytest.mark.slow
@pytest.mark.parametrize("cls", [D.LKJCholesky, D.LKJ])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(("dim", "eta"), [(3, 0.3), (3, 0.5), (5, 5.0)])
def test_gradient_of_the_mean_log_determinant(cls, dim, eta, dtype):
    """Its exact value is a sum of trigammas."""
    torch.manual_seed(0)
    n = 200_000
    leaf = torch.full((n,), eta, dtype=dtype, requires_grad=True)
    z = D.LKJCholesky(dim, leaf).rsample()
    log_det = 2 * z.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    (slope,) = torch.autograd.grad(log_det.sum(), leaf)
    i = torch.arange(1, dim, dtype=torch.float64)
    a, b = i / 2, eta + (dim - 1 - i) / 2
    trigamma = torch.special.polygamma
    expected = (trigamma(1, b) - trigamma(1, a + b)).sum()
    error = slope.double().std() / n**0.5
    assert (slope.double().mean() - expected).abs() <= 5 * error


def test_small_dimensions_are_refused():
    with pytest.raises(ValueError, match="LKJ: dim must be an integer, at least 2"):
        D.LKJ(1, 1.0)
    with pytest.raises(ValueError, match="equal dim; found 2 and 3"):
        torch.distributions.kl_divergence(D.LKJ(2), D.LKJ(3))
