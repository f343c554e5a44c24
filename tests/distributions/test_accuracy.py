# SPDX-License-Identifier: Apache-2.0
"""The explicit families against arbitrary precision, over their hard regions.

The pathwise derivative at fixed noise is -dF/dtheta / p at the quantile of that noise.
Noise, values and parameters are taken exactly as the dtype holds them. Run as a
script, this prints the worst errors:  python -m tests.distributions.test_accuracy
"""

import math
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import mpmath as mp
import pytest
import torch

from pyro_reparam_ext import distributions as D
from pyro_reparam_ext.distributions.noise import StandardExponential
from tests.references import generalized_pareto, kumaraswamy, truncated_normal

DTYPES = [torch.float64, torch.float32]
QUANTILES = (1e-4, 0.02, 0.3, 0.6, 0.9, 0.999)
GRADIENT = {torch.float64: 1e-8, torch.float32: 1e-4}
VALUE = {torch.float64: 1e-12, torch.float32: 1e-5}
INF = math.inf


@dataclass(frozen=True)
class Family:
    """A distribution, its reference, and the parameters to compare at."""

    make: Any
    reference: ModuleType
    parameters: tuple[str, ...]
    points: tuple[tuple[float, ...], ...]
    digits: int = 60

    @property
    def name(self):
        return self.make.__name__

    def __repr__(self):
        return self.name


KUMARASWAMY = Family(
    D.Kumaraswamy,
    kumaraswamy,
    ("concentration1", "concentration0"),
    (
        (2.0, 1.5),
        (0.7, 2.0),
        (1.0, 1.0),
        (0.1, 0.1),
        (0.05, 5.0),
        (5.0, 0.01),
        (20.0, 30.0),
        (1e3, 1e3),
        (1e-2, 1e4),
    ),
    digits=350,  # for 1 - z down to 1e-300
)
GENERALIZED_PARETO = Family(
    D.GeneralizedPareto,
    generalized_pareto,
    ("loc", "scale", "concentration"),
    tuple(
        (0.7, 2.0, shape)
        for shape in (
            *(0.0, 1e-8, -1e-8, 1e-3, -1e-3, 0.25, -0.2, -0.5),
            *(-1.0, -1.5, -3.0, 0.5, 1.0, 2.0, 5.0),
        )
    ),
)
TRUNCATED_NORMAL = Family(
    D.TruncatedNormal,
    truncated_normal,
    ("loc", "scale", "low", "high"),
    (
        (0.0, 1.0, -INF, INF),
        (0.0, 1.0, -1.0, 2.0),
        (0.3, 2.0, 0.0, INF),
        (0.3, 2.0, -INF, 1.0),
        (0.0, 1.0, 0.5, 0.6),
        (0.0, 1.0, -0.001, 0.002),
        (0.0, 1.0, 0.0, 1e-4),
        (0.0, 1.0, 0.0, 3.0),
        (0.0, 1.0, -0.1, 40.0),
        (1.0, 0.5, 1.4, 2.6),
        (0.0, 1.0, 5.0, 6.0),
        (0.0, 1.0, 8.0, 9.0),
        (0.0, 1.0, -21.0, -20.0),
        (0.0, 1.0, 10.0, 10.0009765625),
        (0.0, 1.0, 100.0, 101.0),
        (0.0, 1.0, -INF, -100.0),
        (0.0, 1.0, 1000.0, INF),
        (0.0, 1e-3, -1.0, 1.0),
        (5.0, 1e3, -1.0, 1.0),
    ),
)
FAMILIES = (KUMARASWAMY, GENERALIZED_PARETO, TRUNCATED_NORMAL)
CASES = [
    pytest.param(family, point, id=f"{family.name}-{point}")
    for family in FAMILIES
    for point in family.points
]


def tensors(family, point, dtype):
    return {
        n: torch.tensor(v, dtype=dtype)
        for n, v in zip(family.parameters, point, strict=True)
    }


def exact(tensor):
    return mp.mpf(tensor.item())


def relative(error, scale):
    return float(abs(error) / scale) if error else 0.0


def gradient_error(family, point, dtype):
    """Worst relative error of dz/dtheta at fixed noise."""
    worst = 0.0
    parameters = {
        n: p.requires_grad_() for n, p in tensors(family, point, dtype).items()
    }
    known = {n: exact(p.detach()) for n, p in parameters.items()}
    distribution = family.make(**parameters)
    noise = distribution.noise()
    for quantile in QUANTILES:
        eps = noise.icdf(torch.tensor(quantile, dtype=noise.dtype))
        z = distribution.transport(eps)
        found = torch.autograd.grad(z, list(parameters.values()))
        uniform = exact(eps)
        if isinstance(noise, StandardExponential):
            uniform = -mp.expm1(-exact(eps))
        at = family.reference.quantile(uniform, **known)
        density = mp.exp(family.reference.log_prob(at, **known))
        for name, gradient in zip(known, found, strict=True):
            expected = mp.mpf(0)
            if mp.isfinite(known[name]):
                slope = mp.diff(
                    lambda x, z=at, n=name: family.reference.cdf(z, **{**known, n: x}),
                    known[name],
                )
                expected = -slope / density
            # below the smallest number of the dtype only 0 is left
            scale = max(abs(expected), torch.finfo(dtype).tiny / GRADIENT[dtype])
            worst = max(worst, relative(exact(gradient) - expected, scale))
    return worst


def value_errors(family, point, dtype):
    """Worst errors of log_prob, cdf and icdf, over max(1, |reference|)."""
    worst = {"log_prob": 0.0, "cdf": 0.0, "icdf": 0.0}
    parameters = tensors(family, point, dtype)
    known = {n: exact(p) for n, p in parameters.items()}
    distribution = family.make(**parameters)
    noise = distribution.noise()
    for quantile in QUANTILES:
        probability = torch.tensor(quantile, dtype=dtype)
        value = distribution.transport(
            noise.icdf(torch.tensor(quantile, dtype=noise.dtype))
        )
        for name, point_of in (
            ("log_prob", value),
            ("cdf", value),
            ("icdf", probability),
        ):
            function = {"icdf": "quantile"}.get(name, name)
            reference = getattr(family.reference, function)
            expected = reference(exact(point_of), **known)
            error = exact(getattr(distribution, name)(point_of)) - expected
            worst[name] = max(worst[name], relative(error, max(1, abs(expected))))
    return worst


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(("family", "point"), CASES)
def test_pathwise_derivative_at_fixed_noise(family, point, dtype):
    with mp.workdps(family.digits):
        assert gradient_error(family, point, dtype) <= GRADIENT[dtype]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(("family", "point"), CASES)
def test_log_prob_cdf_and_icdf(family, point, dtype):
    with mp.workdps(family.digits):
        for name, error in value_errors(family, point, dtype).items():
            assert error <= VALUE[dtype], name


@pytest.mark.parametrize(("family", "point"), CASES)
def test_float32_samples_are_finite_and_inside(family, point):
    torch.manual_seed(0)
    parameters = tensors(family, point, torch.float32)
    parameters = {n: p.requires_grad_() for n, p in parameters.items()}
    distribution = family.make(**parameters)
    draws = distribution.rsample((100_000,))
    support = distribution.support
    assert draws.dtype == torch.float32
    assert draws.isfinite().all()
    assert (draws > support.lower_bound).all()
    assert (draws < support.upper_bound).all()
    assert distribution.log_prob(draws).isfinite().all()
    for gradient in torch.autograd.grad(draws.sum(), list(parameters.values())):
        assert gradient.isfinite()


MOMENTS = [
    (KUMARASWAMY, (2.0, 1.5)),
    (KUMARASWAMY, (0.7, 2.0)),
    (KUMARASWAMY, (20.0, 30.0)),
    (GENERALIZED_PARETO, (0.7, 2.0, 0.0)),
    (GENERALIZED_PARETO, (0.7, 2.0, -1.5)),
    (GENERALIZED_PARETO, (0.7, 2.0, 0.125)),
    (TRUNCATED_NORMAL, (0.0, 1.0, -INF, INF)),
    (TRUNCATED_NORMAL, (0.0, 1.0, -1.0, 2.0)),
    (TRUNCATED_NORMAL, (0.3, 2.0, -INF, 1.0)),
    (TRUNCATED_NORMAL, (0.0, 1.0, 0.0, 1e-4)),
    (TRUNCATED_NORMAL, (0.0, 1.0, 5.0, 6.0)),
    (TRUNCATED_NORMAL, (0.0, 1.0, -21.0, -20.0)),
    (TRUNCATED_NORMAL, (0.0, 1.0, 1000.0, INF)),
    (TRUNCATED_NORMAL, (0.0, 1e-3, -1.0, 1.0)),
    (TRUNCATED_NORMAL, (-30.0, 2.0, -1.0, 1.0)),
]


def expectation(family, known, function):
    """E f(z) as the integral of f(quantile(u)), by tanh-sinh towards both ends."""

    def integrand(u):
        return function(family.reference.quantile(u, **known))

    return mp.quad(integrand, [0, 0.5, 1])


@pytest.mark.parametrize(("family", "point"), MOMENTS, ids=str)
def test_entropy_mean_and_variance(family, point):
    parameters = tensors(family, point, torch.float64)
    known = {n: exact(p) for n, p in parameters.items()}
    distribution = family.make(**parameters)
    with mp.workdps(30):
        mean = expectation(family, known, lambda z: z)
        variance = expectation(family, known, lambda z: (z - mean) ** 2)
        entropy = -expectation(
            family, known, lambda z: family.reference.log_prob(z, **known)
        )
        assert relative(exact(distribution.mean) - mean, max(1, abs(mean))) < 1e-12
        assert relative(exact(distribution.variance) - variance, variance) < 1e-10
        assert relative(exact(distribution.entropy()) - entropy, 1) < 1e-11


@pytest.mark.parametrize(
    ("p", "q"),
    [
        ((0.0, 1.0, -1.0, 2.0), (0.5, 2.0, -1.0, 2.0)),
        ((0.0, 1.0, 5.0, 6.0), (3.0, 0.5, 4.0, INF)),
        ((0.0, 1.0, -21.0, -20.0), (-20.2, 3.0, -INF, INF)),
        ((0.0, 1.0, 100.0, 101.0), (1.0, 1.5, 100.0, 101.0)),
        ((0.0, 1.0, -0.001, 0.002), (10.0, 0.5, -0.001, 0.002)),
    ],
)
def test_truncated_normal_kl(p, q):
    family = TRUNCATED_NORMAL
    first, second = (tensors(family, x, torch.float64) for x in (p, q))
    known, other = (
        {n: exact(t) for n, t in parameters.items()} for parameters in (first, second)
    )
    found = torch.distributions.kl_divergence(
        D.TruncatedNormal(**first), D.TruncatedNormal(**second)
    )
    with mp.workdps(30):
        log_prob = truncated_normal.log_prob
        expected = expectation(
            family, known, lambda z: log_prob(z, **known) - log_prob(z, **other)
        )
        assert relative(exact(found) - expected, max(1, abs(expected))) < 1e-11


def print_table():
    """The worst errors of every family, in both dtypes."""
    print(f"{'':18}{'':9}{'dz/dtheta':>11}{'log_prob':>11}{'cdf':>11}{'icdf':>11}")
    for family in FAMILIES:
        for dtype in DTYPES:
            worst = {}
            for point in family.points:
                with mp.workdps(family.digits):
                    errors = {"gradient": gradient_error(family, point, dtype)}
                    errors |= value_errors(family, point, dtype)
                for name, error in errors.items():
                    worst[name] = max(worst.get(name, 0.0), error)
            row = "".join(f"{error:11.1e}" for error in worst.values())
            print(f"{family.name:18}{str(dtype)[6:]:9}{row}")


if __name__ == "__main__":
    print_table()
