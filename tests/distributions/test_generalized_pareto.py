# SPDX-License-Identifier: Apache-2.0
"""What only the generalized Pareto promises: shape 0, overflow, torch's moments."""

import math

import torch

from pyro_reparam_ext import distributions as D


def test_shape_zero_is_exponential_with_the_limit_as_gradient():
    shape = torch.zeros((), dtype=torch.float64, requires_grad=True)
    eps = torch.tensor(1.7, dtype=torch.float64)
    z = D.GeneralizedPareto(0.5, 2.0, shape).transport(eps)
    first = torch.autograd.grad(z, shape, create_graph=True)[0]
    second = torch.autograd.grad(first, shape)[0]
    expected = [0.5 + 2 * 1.7, 2 * 1.7**2 / 2, 2 * 1.7**3 / 3]
    found = torch.stack([z, first, second]).detach()
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64))


def test_overflowing_draws_are_the_largest_number_with_finite_gradient():
    shape = torch.tensor(40.0, requires_grad=True)
    z = D.GeneralizedPareto(0.0, 1.0, shape).rsample((1000,))
    assert (z == torch.finfo(torch.float32).max).any()
    assert z.isfinite().all()
    small = z < 1e30
    (gradient,) = torch.autograd.grad(z[small].sum(), shape)
    assert gradient.isfinite()
    assert gradient > 0


def test_agrees_with_torch_where_torch_is_right():
    parameters = torch.tensor([0.5, 2.0, 0.2]), torch.tensor([-0.3, 1.0, 0.4])
    loc, shape = parameters
    ours = D.GeneralizedPareto(loc, 1.5, shape)
    torchs = torch.distributions.GeneralizedPareto(loc, torch.tensor(1.5), shape)
    z = ours.sample((5,))
    torch.testing.assert_close(ours.log_prob(z), torchs.log_prob(z))
    torch.testing.assert_close(ours.cdf(z), torchs.cdf(z))
    torch.testing.assert_close(ours.entropy(), torchs.entropy())
    torch.testing.assert_close(ours.variance[[0, 2]], torchs.variance[[0, 2]])
    assert ours.mean[1] == ours.variance[1] == math.inf
