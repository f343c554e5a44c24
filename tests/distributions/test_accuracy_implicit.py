# SPDX-License-Identifier: Apache-2.0
"""The implicit families against arbitrary precision, over their hard regions.

The pathwise derivative at a value is -dF/dtheta / p there, whatever drew the value.
Values and parameters are taken exactly as the dtype holds them.
"""

import math
from dataclasses import dataclass
from types import ModuleType

import mpmath as mp
import pyro.distributions as dist
import pytest
import torch

from pyro_reparam_ext import distributions as D
from tests.references import inverse_gaussian, mixture, von_mises

DTYPES = [torch.float64, torch.float32]
GRADIENT = {torch.float64: 1e-8, torch.float32: 1e-4}
LOG_PROB = {torch.float64: 1e-12, torch.float32: 1e-5}


def normal_mixture(logits, loc, scale):
    return D.MixtureSameFamily(dist.Categorical(logits=logits), dist.Normal(loc, scale))


@dataclass(frozen=True)
class Point:
    """A distribution at given parameters, and values at which to compare."""

    name: str
    make: object
    reference: ModuleType
    parameters: dict
    values: tuple
    digits: int = 40  # above those that 1 - F loses in the upper tail

    def __str__(self):
        return self.name


def von_mises_points():
    for kappa in (1e-3, 0.1, 1.0, 10.6, 29.9, 30.1, 1e3, 1e4):
        unit = 1 / math.sqrt(max(kappa, 1.0))
        offsets = [s * k * unit for k in (1e-3, 0.3, 1.0, 2.5, 6.0) for s in (-1, 1)]
        values = [2.5 + x for x in offsets if abs(x) < 3.1]
        yield Point(
            f"VonMises-{kappa:g}",
            D.VonMises,
            von_mises,
            {"loc": 2.5, "concentration": kappa},
            tuple(v if v < math.pi else v - 2 * math.pi for v in values),
        )


def inverse_gaussian_points():
    for ratio in (1e-3, 0.1, 1.0, 10.0, 100.0, 1e3, 1e4, 1e6):
        values = []
        for e in (0.0, 1e-3, 0.3, 1.0, 3.0):
            w = e * e / (2 * ratio)
            q = 1 + w + math.sqrt(w * (w + 2))
            values += [37 / q, 37 * q]
        yield Point(
            f"InverseGaussian-{ratio:g}",
            D.InverseGaussian,
            inverse_gaussian,
            {"loc": 37.0, "concentration": 37.0 * ratio},
            tuple(values),
            digits=60,
        )


def mixture_points():
    near = {
        "logits": [0.1, 0.5, -0.3],
        "loc": [-1.0, 0.5, 3.0],
        "scale": [0.5, 1.0, 0.8],
    }
    far = {"logits": [0.3, -0.2], "loc": [0.0, 40.0], "scale": [1.0, 0.5]}
    rare = {"logits": [-12.0, 0.0], "loc": [0.0, 3.0], "scale": [1.0, 1.0]}
    for name, parameters, values in (
        ("near", near, (-6.0, -1.0, 0.0, 1.7, 4.0, 8.0)),
        ("far", far, (-12.0, -1.0, 5.0, 12.0, 36.0, 41.0, 46.0)),
        ("rare", rare, (-3.0, 0.0, 3.0, 8.0)),
    ):
        make = normal_mixture
        yield Point(f"Mixture-{name}", make, mixture, parameters, values, digits=700)


POINTS = [*von_mises_points(), *inverse_gaussian_points(), *mixture_points()]
BETWEEN = Point(
    "Mixture-between",
    normal_mixture,
    mixture,
    {"logits": [0.3, -0.2], "loc": [0.0, 40.0], "scale": [1.0, 0.5]},
    (-30.0, 20.0, 25.0, 30.0, 55.0),
    digits=1000,
)


def exact(tensor):
    """The number or list of numbers that a tensor holds."""
    held = tensor.tolist()
    return [mp.mpf(x) for x in held] if isinstance(held, list) else mp.mpf(held)


def exact_derivative(reference, value, parameters, name, index):
    """-dF/dtheta / p; index selects an entry of a sequence."""
    standardize = getattr(reference, "standardize", reference.cdf)

    def at(x):
        changed = x
        if index is not None:
            changed = [*parameters[name][:index], x, *parameters[name][index + 1 :]]
        return standardize(value, **{**parameters, name: changed})

    center = parameters[name] if index is None else parameters[name][index]
    step = mp.mpf(10) ** (-mp.mp.dps // 4) * max(abs(center), mp.mpf("1e-3"))
    slope = (at(center + step) - at(center - step)) / (2 * step)
    return -slope / mp.exp(reference.log_prob(value, **parameters))


def compare_derivatives(point, dtype):
    parameters = {
        n: torch.tensor(v, dtype=dtype, requires_grad=True)
        for n, v in point.parameters.items()
    }
    distribution = point.make(**parameters)
    known = {n: exact(p.detach()) for n, p in parameters.items()}
    for number in point.values:
        value = torch.tensor(number, dtype=dtype)
        attached = distribution.attach_gradient(value)
        assert attached == value
        found = torch.autograd.grad(
            attached, list(parameters.values()), retain_graph=True
        )
        for (name, parameter), gradient in zip(parameters.items(), found, strict=True):
            for index in [None] if parameter.dim() == 0 else range(len(parameter)):
                entry = gradient if index is None else gradient[index]
                expected = exact_derivative(
                    point.reference, exact(value), known, name, index
                )
                error = abs(mp.mpf(entry.item()) - expected)
                # below the smallest number of the dtype only 0 is left
                bound = GRADIENT[dtype] * abs(expected) + torch.finfo(dtype).tiny
                assert error <= bound, (number, name, index)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("point", POINTS, ids=str)
def test_pathwise_derivative_at_a_fixed_quantile(point, dtype):
    with mp.workdps(point.digits):
        compare_derivatives(point, dtype)


def test_pathwise_derivative_where_the_density_underflows():
    # 1/p is beyond float32 here, so the derivative in the logits is too
    with mp.workdps(BETWEEN.digits):
        compare_derivatives(BETWEEN, torch.float64)


def compare_values(point, dtype):
    parameters = {n: torch.tensor(v, dtype=dtype) for n, v in point.parameters.items()}
    distribution = point.make(**parameters)
    known = {n: exact(p) for n, p in parameters.items()}
    for number in point.values:
        value = torch.tensor(number, dtype=dtype)
        expected = point.reference.log_prob(exact(value), **known)
        error = abs(mp.mpf(distribution.log_prob(value).item()) - expected)
        assert error <= LOG_PROB[dtype] * max(1, abs(expected)), number
        expected = point.reference.cdf(exact(value), **known)
        error = abs(mp.mpf(distribution.cdf(value).item()) - expected)
        assert error <= LOG_PROB[dtype], number


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("point", [*POINTS, BETWEEN], ids=str)
def test_log_prob_and_cdf(point, dtype):
    with mp.workdps(point.digits):
        compare_values(point, dtype)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(
    "make",
    [
        lambda options: D.VonMises(
            torch.tensor([[-3.1], [0.0], [3.1]], **options),
            torch.tensor([1e-30, 1e-3, 1.0, 1e4, 1e30], **options),
        ),
        lambda options: D.InverseGaussian(
            torch.tensor([[1e-30], [1.0], [1e30]], **options),
            torch.tensor([1e-30, 1e-3, 1.0, 1e6, 1e30], **options),
        ),
        lambda options: normal_mixture(
            torch.zeros(2, **options), torch.tensor([0.0, 1e30], **options), 1.0
        ),
    ],
    ids=["VonMises", "InverseGaussian", "Mixture"],
)
def test_samples_stay_finite_and_inside(make, dtype):
    torch.manual_seed(0)
    distribution = make({"dtype": dtype})
    draws = distribution.sample((20_000,))
    assert draws.dtype == dtype
    assert draws.isfinite().all()
    assert distribution.support.check(draws).all()
    if isinstance(distribution, D.VonMises):
        assert ((draws.double() >= -math.pi) & (draws.double() < math.pi)).all()
