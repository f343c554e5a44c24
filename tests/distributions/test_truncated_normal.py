# SPDX-License-Identifier: Apache-2.0
"""What only the truncated normal promises: bounds, infinite or out of order."""

import math

import pytest
import torch
from torch.distributions import biject_to, kl_divergence

from pyro_reparam_ext import distributions as D


@pytest.mark.parametrize("validate_args", [True, False])
@pytest.mark.parametrize(("low", "high"), [(2.0, 1.0), (1.0, 1.0)])
def test_bounds_out_of_order_are_an_error(low, high, validate_args):
    with pytest.raises(ValueError, match="low must be less than high"):
        D.TruncatedNormal(0.0, 1.0, low, high, validate_args=validate_args)


def test_bounds_out_of_order_give_nan_under_vmap():
    def draw(low):
        return D.TruncatedNormal(0.0, 1.0, low, 1.0, validate_args=False).rsample()

    draws = torch.func.vmap(draw, randomness="different")(torch.tensor([0.0, 2.0]))
    assert draws.isnan().tolist() == [False, True]


def test_without_bounds_it_is_normal():
    value = torch.tensor([-3.0, 0.1, 40.0], dtype=torch.float64)
    loc = torch.tensor(0.3, dtype=torch.float64)
    normal = torch.distributions.Normal(loc, 2.0)
    free = D.TruncatedNormal(loc, 2.0)
    for name in ("log_prob", "cdf"):
        torch.testing.assert_close(
            getattr(free, name)(value), getattr(normal, name)(value)
        )
    for name in ("mean", "variance", "mode"):
        torch.testing.assert_close(getattr(free, name), getattr(normal, name))
    torch.testing.assert_close(free.entropy(), normal.entropy())


@pytest.mark.parametrize(
    ("low", "high"), [(-math.inf, math.inf), (1.0, math.inf), (-math.inf, 1.0)]
)
def test_infinite_bounds_have_gradient_zero_and_hide_nothing(low, high):
    parameters = [
        torch.tensor(x, dtype=torch.float64, requires_grad=True)
        for x in (0.3, 2.0, low, high)
    ]
    d = D.TruncatedNormal(*parameters)
    z = d.transport(torch.tensor(0.4, dtype=torch.float64))
    for output in (z, d.log_prob(z.detach()), d.mean, d.variance, d.entropy()):
        first = torch.autograd.grad(
            output, parameters, create_graph=True, allow_unused=True
        )
        for bound, gradient in zip((low, high), first[2:], strict=True):
            assert gradient is None or math.isfinite(bound) or gradient == 0
        total = sum(g for g in first if g is not None)
        if total.requires_grad:
            second = torch.autograd.grad(total, parameters, allow_unused=True)
            assert all(g is None or g.isfinite() for g in second)


def test_divergence_is_infinite_unless_contained():
    inner, outer = (
        D.TruncatedNormal(0.0, 1.0, 0.0, 1.0),
        D.TruncatedNormal(0.0, 1.0, -1.0),
    )
    assert kl_divergence(outer, inner) == math.inf
    # the same normal: the log ratio of the two masses
    mass = [0.3413447460685429, 0.8413447460685429]
    expected = torch.tensor(math.log(mass[1] / mass[0]))
    torch.testing.assert_close(kl_divergence(inner, outer), expected)


def test_quantiles_end_at_the_bounds():
    d = D.TruncatedNormal(0.0, 1.0, torch.tensor([-1.0, -math.inf]), 2.0)
    assert d.icdf(torch.tensor(0.0)).tolist() == [-1.0, -math.inf]
    assert d.icdf(torch.tensor(1.0)).tolist() == [2.0, 2.0]


def test_guides_can_be_built_on_any_ends():
    low = torch.tensor([-math.inf, 0.0, -math.inf, -1.0], dtype=torch.float64)
    high = torch.tensor([math.inf, math.inf, 1.0, 2.0], dtype=torch.float64)
    support = D.TruncatedNormal(0.0, 1.0, low, high).support
    transform = biject_to(support)
    x = torch.tensor([-2.0, 0.3, 1.5, -0.7], dtype=torch.float64)
    y = transform(x)
    assert support.check(y).all()
    torch.testing.assert_close(transform.inv(y), x)
    jacobian = torch.autograd.functional.jacobian(transform, x)
    torch.testing.assert_close(jacobian, jacobian.diag().diag())
    expected = transform.log_abs_det_jacobian(x, y)
    torch.testing.assert_close(jacobian.diag().log(), expected)
