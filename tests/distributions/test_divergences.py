# SPDX-License-Identifier: Apache-2.0
"""Divergences between families: against quadrature, and beside torch's classes."""

import math

import mpmath as mp
import pyro.distributions as dist
import pytest
import torch
from torch.distributions import kl_divergence

from pyro_reparam_ext import distributions as D


def double(*numbers):
    return [torch.tensor(x, dtype=torch.float64) for x in numbers]


# the laws on (0, 1) as functions of -log z, which resolves both ends
def log1m_exp(x):
    return mp.log(-mp.expm1(-x))


def kumaraswamy(a, b):
    return lambda s: mp.log(a * b) - (a - 1) * s + (b - 1) * log1m_exp(a * s)


def beta(a, b):
    norm = mp.log(mp.beta(a, b))
    return lambda s: -(a - 1) * s + (b - 1) * log1m_exp(s) - norm


def weibull(s, k):
    return lambda z: mp.log(k / s) + (k - 1) * mp.log(z / s) - (z / s) ** k


def gamma(a, r):
    norm = mp.loggamma(a) - a * mp.log(r)
    return lambda z: (a - 1) * mp.log(z) - r * z - norm


def normal(m, s):
    return lambda z: -(((z - m) / s) ** 2) / 2 - mp.log(s) - mp.log(2 * mp.pi) / 2


def truncated_normal(m, s, low, high):
    with mp.workdps(40):  # a small difference of large tails
        mass = mp.ncdf((high - m) / s) - mp.ncdf((low - m) / s)
    return lambda z: normal(m, s)(z) - mp.log(mass)


def half_normal(s):
    return lambda z: normal(0, s)(z) + mp.log(2)


def integral(log_p, log_q, log_slope):
    """Of p log(p/q) over the positive numbers, in logarithms of them."""

    def integrand(t):
        x = mp.exp(t)
        return mp.exp(log_p(x) + log_slope(x) + t) * (log_p(x) - log_q(x))

    return mp.quad(integrand, [-900, -200, -60, -20, -8, -3, 0, 2, 4, 6, 9])


KUMARASWAMY = [
    (2.0, 1.5),
    (0.3, 0.4),
    (40.0, 2.5),
    (1e-2, 3.0),
    (3.0, 60.0),
    (5.0, 0.05),
    (0.3, 0.05),
]
OTHER = [(2.5, 0.7), (0.2, 0.1), (30.0, 8.0)]


@pytest.mark.parametrize("q", OTHER)
@pytest.mark.parametrize("p", KUMARASWAMY)
def test_beta_from_kumaraswamy(p, q):
    with mp.workdps(25):
        expected = float(integral(kumaraswamy(*p), beta(*q), lambda s: -s))
    ours, stock = D.Kumaraswamy(*double(*p)), dist.Kumaraswamy(*double(*p))
    for one, other in (
        (ours, D.Beta(*double(*q))),
        (ours, dist.Beta(*double(*q))),
        (stock, D.Beta(*double(*q))),
    ):
        found = kl_divergence(one, other).item()
        assert found == pytest.approx(expected, rel=1e-9, abs=1e-11)


def test_beta_from_kumaraswamy_is_differentiable_and_broadcasts():
    a, b = (x.requires_grad_() for x in double([[2.0], [0.5]], [1.5, 3.0, 0.7]))
    q = D.Beta(*double(1.3, 0.6))
    divergence = kl_divergence(D.Kumaraswamy(a, b), q)
    assert divergence.shape == (2, 3)
    ours = lambda a, b: kl_divergence(D.Kumaraswamy(a, b), q)  # noqa: E731
    assert torch.autograd.gradcheck(ours, (a, b))
    # a law of both families
    same = kl_divergence(D.Kumaraswamy(*double(3.0, 1.0)), D.Beta(*double(3.0, 1.0)))
    assert abs(same) < 1e-13


@pytest.mark.parametrize("q", [(2.0, 0.7), (0.3, 5.0), (80.0, 20.0)])
@pytest.mark.parametrize("p", [(1.3, 1.7), (0.5, 0.6), (3.0, 12.0)])
def test_gamma_from_weibull(p, q):
    with mp.workdps(30):
        expected = float(integral(weibull(*p), gamma(*q), lambda z: 0))
    found = kl_divergence(dist.Weibull(*double(*p)), D.Gamma(*double(*q)))
    assert found.item() == pytest.approx(expected, rel=1e-10, abs=1e-12)


@pytest.mark.parametrize("p", [(0.3, 1.5, -1.0, 2.0), (-4.0, 0.5, 0.0, 1.0)])
@pytest.mark.parametrize("q", [(0.0, 1.0), (2.0, 0.3)])
def test_normal_from_truncated_normal(p, q):
    log_p = truncated_normal(*p)
    for log_q, other in (
        (normal(*q), dist.Normal(*double(*q))),
        (half_normal(q[1]), dist.HalfNormal(*double(q[1]))),
    ):
        with mp.workdps(30):
            expected = float(
                mp.quad(
                    lambda z, log_q=log_q: mp.exp(log_p(z)) * (log_p(z) - log_q(z)),
                    mp.linspace(p[2], p[3], 9),
                )
            )
        found = kl_divergence(D.TruncatedNormal(*double(*p)), other).item()
        below = isinstance(other, dist.HalfNormal) and p[2] < 0
        assert found == (math.inf if below else pytest.approx(expected, rel=1e-10))
    assert kl_divergence(dist.Normal(*double(*q)), D.TruncatedNormal(*double(*p))) == (
        math.inf
    )


FACTOR = torch.tensor([[1.2, 0.0], [-0.4, 0.7]], dtype=torch.float64)
SAME_LAW = {
    "InverseGamma": [double(2.0, 1.5), double(3.0, 0.7)],
    "VonMises": [double(0.3, 1.5), double(-1.0, 4.0)],
    "Wishart": [[*double(3.5), FACTOR @ FACTOR.mT], [*double(5.0), FACTOR.mT @ FACTOR]],
    "LKJCholesky": [[3, *double(0.7)], [3, *double(2.0)]],
    "LKJ": [[3, *double(0.7)], [3, *double(2.0)]],
    "Gamma": [double(2.0, 1.5), double(3.0, 0.7)],
    "Beta": [double(2.0, 1.5), double(3.0, 0.7)],
    "Chi2": [double(2.0), double(3.0)],
}


@pytest.mark.parametrize("name", SAME_LAW)
def test_it_does_not_matter_whose_class_it_is(name):
    ours, stock = getattr(D, name), getattr(dist, name)
    p, q = SAME_LAW[name]
    expected = kl_divergence(ours(*p), ours(*q))
    assert expected > 0.01
    for one, other in ((ours, stock), (stock, ours)):
        found = kl_divergence(one(*p), other(*q))
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=0.0)
