# SPDX-License-Identifier: Apache-2.0
"""The path of a normal inverse Gaussian variate against arbitrary precision."""

import mpmath as mp
import pytest
import torch

from pyro_reparam_ext import ops
from tests.references import normal_inverse_gaussian

TOLERANCE = {torch.float64: 1e-8, torch.float32: 3e-5}
every_dtype = pytest.mark.parametrize("dtype", list(TOLERANCE), ids=str)
# value, skewness, drift: products of a and r from 1e-3 to 1e6
POINTS = [
    *((0.3, 0.5, 1e-3), (40.0, 1e-3, 1e-3), (-3.0, 0.02, 0.03)),
    *((0.5, 0.25, 0.5), (1.0, 0.25, 0.5), (-2.0, 0.5, 2.0), (3.0, 1.0, 0.5)),
    *((0.25, -4.0, 7.0), (8.0, 30.0, 2.0), (1.5, 1500.0, 1300.0)),
    (0.001, 0.0, 1e6),
]


def exact(x, b, g):
    """-dF/db and -dF/dg over the density, at fixed other parameter."""

    def cdf(b, g):
        return normal_inverse_gaussian.cdf(x, 0, 1, mp.sqrt(b**2 + g**2), b)

    p = mp.exp(normal_inverse_gaussian.log_prob(x, 0, 1, mp.sqrt(b**2 + g**2), b))
    step = mp.mpf("1e-7") * max(abs(b), g)
    small = mp.mpf("1e-7") * g
    return (
        -(cdf(b + step, g) - cdf(b - step, g)) / (2 * step) / p,
        -(cdf(b, g + small) - cdf(b, g - small)) / (2 * small) / p,
    )


@every_dtype
@pytest.mark.parametrize("point", POINTS, ids=str)
def test_path(point, dtype):
    given = [torch.tensor(x, dtype=dtype) for x in point]
    found = ops.normal_inverse_gaussian_path(*given)
    with mp.workdps(30):
        expected = exact(*(mp.mpf(x.item()) for x in given))
        for number, e in zip(found, expected, strict=True):
            assert abs(mp.mpf(number.item()) - e) <= TOLERANCE[dtype] * abs(e)


@pytest.mark.parametrize("point", POINTS, ids=str)
def test_derivatives(point):
    given = torch.tensor(point, dtype=torch.float64).unbind()
    assert torch.autograd.gradcheck(
        ops.normal_inverse_gaussian_path,
        [x.clone().requires_grad_() for x in given],
        eps=1e-6 * min(1.0, point[2]),
        rtol=1e-4,
        atol=1e-5 * abs(ops.normal_inverse_gaussian_path(*given)[0].item()) / point[2],
    )


def test_regimes_meet_under_vmap():
    x = torch.linspace(-3, 3, 50, dtype=torch.float64)
    b, g = torch.full_like(x, 0.1), torch.full_like(x, 0.3)
    whole = ops.normal_inverse_gaussian_path(x, b, g)
    parts = torch.func.vmap(ops.normal_inverse_gaussian_path)(x, b, g)
    torch.testing.assert_close(parts, whole)
    assert (whole[0].diff().diff().abs() < 0.05).all()


@every_dtype
def test_positive_mills_ratio(dtype):
    x = torch.cat([torch.linspace(0, 30, 3001), torch.logspace(-8, 8, 1601)]).to(dtype)
    found = ops.positive_mills_ratio(x)
    expected = ops.mills_ratio(x.double())
    rounding = 10 * torch.finfo(dtype).eps
    torch.testing.assert_close(found.double(), expected, rtol=rounding, atol=0.0)
