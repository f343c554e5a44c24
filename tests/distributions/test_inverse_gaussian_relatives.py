# SPDX-License-Identifier: Apache-2.0
"""Relatives of the inverse Gaussian against arbitrary precision; Bessel functions."""

import mpmath as mp
import pytest
import torch

from pyro_reparam_ext import distributions as D
from pyro_reparam_ext import ops
from tests.references import normal_inverse_gaussian, reciprocal_inverse_gaussian

DTYPES = [torch.float64, torch.float32]
GRADIENT = {torch.float64: 1e-8, torch.float32: 1e-4}
LOG_PROB = {torch.float64: 1e-12, torch.float32: 1e-5}
NORMAL = ("loc", "scale", "tailweight", "skewness")
POINTS = [
    *(
        (D.NormalInverseGaussian, normal_inverse_gaussian, NORMAL, point, value)
        for point, value in (
            ((0.25, 1.5, 2.0, 0.5), 3.0),
            ((0.0, 1.0, 0.0078125, 0.00390625), -20.0),
            ((0.0, 1.0, 1.0, 0.9990234375), 9.0),
            ((0.0, 0.5, 8192.0, -4096.0), -0.28),
        )
    ),
    *(
        (
            D.ReciprocalInverseGaussian,
            reciprocal_inverse_gaussian,
            ("loc", "concentration"),
            (37.0, 37.0 * ratio),
            value / 37,
        )
        for ratio, value in ((1e-3, 1e4), (0.1, 3.0), (10.0, 0.7), (1e4, 1.01))
    ),
]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(
    ("make", "reference", "names", "point", "value"),
    POINTS,
    ids=[f"{p[0].__name__}-{p[3]}" for p in POINTS],
)
def test_density_cdf_and_path(make, reference, names, point, value, dtype):
    parameters = [torch.tensor(v, dtype=dtype, requires_grad=True) for v in point]
    z = torch.tensor(value, dtype=dtype)
    known = {n: mp.mpf(p.item()) for n, p in zip(names, parameters, strict=True)}
    law = make(*parameters)
    found = torch.autograd.grad(law.attach_gradient(z), parameters)
    with mp.workdps(24):
        at = mp.mpf(z.item())
        log_prob = reference.log_prob(at, **known)
        error = abs(mp.mpf(law.log_prob(z).item()) - log_prob)
        assert error <= LOG_PROB[dtype] * max(1, abs(log_prob))
        error = abs(mp.mpf(law.cdf(z).item()) - reference.cdf(at, **known))
        assert error <= LOG_PROB[dtype]
        for name, slope in zip(names, found, strict=True):
            step = mp.mpf("1e-7") * abs(known[name] or 1)
            if name == "skewness":
                step *= 1 - abs(known["skewness"]) / known["tailweight"]
            above, below = (
                reference.cdf(at, **{**known, name: known[name] + sign * step})
                for sign in (1, -1)
            )
            expected = -(above - below) / (2 * step) / mp.exp(log_prob)
            error = abs(mp.mpf(slope.item()) - expected)
            assert error <= GRADIENT[dtype] * abs(expected), name


@pytest.mark.parametrize("ratio", [1e-3, 1.0, 1e4])
def test_reciprocal_is_the_reciprocal(ratio):
    loc = torch.tensor([0.5, 2.0], dtype=torch.float64)
    law = D.InverseGaussian(loc, loc * ratio)
    reciprocal = D.ReciprocalInverseGaussian(loc, loc * ratio)
    torch.manual_seed(0)
    x = law.sample((100,))
    z = 1 / x
    expected = law.log_prob(x) + 2 * x.log()
    torch.testing.assert_close(reciprocal.log_prob(z), expected)
    torch.testing.assert_close(reciprocal.cdf(z), 1 - law.cdf(x), rtol=0, atol=1e-12)


def test_skewness_beyond_the_tail_weight_is_refused():
    with pytest.raises(ValueError, match="expected abs"):
        D.NormalInverseGaussian(0.0, 1.0, 2.0, -2.0)


def test_normal_inverse_gaussian_nearly_normal():
    # alpha and delta large: variance delta / alpha
    d = D.NormalInverseGaussian(*torch.tensor([1.0, 1e6, 1e6, 0.0]).double())
    z = torch.linspace(-4, 6, 11).double()
    expected = torch.distributions.Normal(1.0, 1.0).log_prob(z)
    torch.testing.assert_close(d.log_prob(z), expected, rtol=0, atol=1e-8)


X = [1e-100, 1e-8, 1e-3, 0.3, 1.0, 7.0, 29.9, 30.1, 1e3, 1e8]


@pytest.mark.parametrize("x", X)
def test_bessel_k_and_two_derivatives(x):
    at = torch.tensor(x, dtype=torch.float64, requires_grad=True)
    value = ops.log_bessel_k1e(at)
    (first,) = torch.autograd.grad(value, at, create_graph=True)
    (second,) = torch.autograd.grad(first, at)
    with mp.workdps(60):
        point = mp.mpf(x)
        k0, k1 = mp.besselk(0, point), mp.besselk(1, point)
        ratio = k0 / k1
        found = ops.one_minus_bessel_k_ratio(at.detach()).item()
        for actual, expected in (
            (value, mp.log(k1) + point),
            (first, 1 - ratio - 1 / point),
            (second, -(ratio**2 + ratio / point - 1) + 1 / point**2),
            (torch.tensor(found, dtype=torch.float64), 1 - ratio),
        ):
            expected = +expected
            error = abs(mp.mpf(actual.item()) - expected)
            assert error <= mp.mpf("1e-12") * max(abs(expected), mp.mpf("1e-3") / point)


def test_bessel_k_under_vmap():
    x = torch.tensor([0.5, 3.0, 50.0], dtype=torch.float64)
    found = torch.func.vmap(torch.func.grad(ops.log_bessel_k1e))(x)
    expected = ops.one_minus_bessel_k_ratio(x) - 1 / x
    torch.testing.assert_close(found, expected)
