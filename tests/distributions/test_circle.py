# SPDX-License-Identifier: Apache-2.0
"""Wrapped laws against arbitrary precision, around the whole circle."""

import math

import mpmath as mp
import pytest
import torch

from pyro_reparam_ext import distributions as D
from tests.distributions.test_accuracy_implicit import (
    DTYPES,
    Point,
    compare_derivatives,
    compare_values,
)
from tests.references import directional


def points():
    offsets = [s * x for x in (1e-3, 0.1, 0.5, 1.5, 2.8) for s in (-1, 1)]
    values = tuple(math.remainder(2.5 + x, 2 * math.pi) for x in offsets)
    for name, cls, grid in (
        ("concentration", D.WrappedCauchy, (1e-3, 0.3, 0.9, 0.999)),
        ("scale", D.WrappedNormal, (0.2, 0.7, 1.5, 1.999, 2.0, 3.0, 6.0)),
    ):
        reference = getattr(directional, cls.__name__)
        for x in grid:
            label = f"{cls.__name__}-{x:g}"
            parameters = {"loc": 2.5, name: x}
            yield Point(label, cls, reference, parameters, values, digits=90)


every_point = pytest.mark.parametrize("point", list(points()), ids=str)
every_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=str)


@every_dtype
@every_point
def test_pathwise_derivative_at_a_fixed_quantile(point, dtype):
    with mp.workdps(point.digits):
        compare_derivatives(point, dtype)


@every_dtype
@every_point
def test_log_prob_and_cdf(point, dtype):
    with mp.workdps(point.digits):
        compare_values(point, dtype)


@every_dtype
@pytest.mark.parametrize("cls", [D.WrappedCauchy, D.WrappedNormal])
def test_draws_stay_on_the_circle(cls, dtype):
    torch.manual_seed(0)
    spread = torch.tensor([1e-30, 1e-3, 0.5, 0.999, 1 - 1e-7], dtype=dtype)
    leaf = spread.requires_grad_()
    z = cls(torch.tensor([[-3.1], [0.0], [3.1]], dtype=dtype), leaf).rsample((2000,))
    assert ((z.double() >= -math.pi) & (z.double() < math.pi)).all()
    (slope,) = torch.autograd.grad(z.sum(), leaf)
    assert slope.isfinite().all()
