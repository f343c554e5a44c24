# SPDX-License-Identifier: Apache-2.0
"""What only the Kumaraswamy promises: its mode, and its ends."""

import torch

from pyro_reparam_ext import distributions as D


def test_mode_is_the_highest_point_or_nan():
    a = torch.tensor([2.0, 3.0, 1.0, 2.0, 1.0, 0.5, 2.0]).double()
    b = torch.tensor([1.5, 40.0, 3.0, 1.0, 1.0, 2.0, 0.5]).double()
    d = D.Kumaraswamy(a, b)
    grid = torch.linspace(0, 1, 100_001, dtype=torch.float64)[1:-1, None]
    highest = grid[d.log_prob(grid).argmax(0), 0]
    exists = torch.tensor([True, True, True, True, False, False, False])
    assert torch.equal(d.mode.isnan(), ~exists)
    torch.testing.assert_close(d.mode[exists], highest[exists], atol=2e-5, rtol=0.0)


def test_draws_that_round_to_an_end_keep_their_gradient():
    b = torch.tensor(0.1, requires_grad=True)
    d = D.Kumaraswamy(0.1, b)
    z = d.transport(torch.tensor(3.0))
    assert z == 1 - torch.finfo(torch.float32).eps / 2
    (gradient,) = torch.autograd.grad(z, b)
    # 1 - z is e^{-eps/b} / a, to first order
    expected = -torch.tensor(-30.0).exp() / 0.1 * 3.0 / 0.1**2
    torch.testing.assert_close(gradient, expected)
    assert d.log_prob(z).isfinite()


def test_moments_agree_with_torch():
    a, b = torch.tensor([2.0, 0.7]), torch.tensor([1.5, 3.0])
    ours, torchs = D.Kumaraswamy(a, b), torch.distributions.Kumaraswamy(a, b)
    for name in ("mean", "variance"):
        torch.testing.assert_close(getattr(ours, name), getattr(torchs, name))
    torch.testing.assert_close(ours.entropy(), torchs.entropy())


def test_quantiles_and_probabilities_at_the_ends():
    d = D.Kumaraswamy(0.5, 2.0)
    ends = torch.tensor([0.0, 1.0])
    assert torch.equal(d.icdf(ends), ends)
    assert torch.equal(d.cdf(ends), ends)
