# SPDX-License-Identifier: Apache-2.0
"""What a view by ``as_transport`` must satisfy, given the distribution it views."""

import pyro.distributions as pd
import torch
import torch.distributions as td
from scipy.stats import kstest

from pyro_reparam_ext.distributions import as_transport
from pyro_reparam_ext.distributions.noise import Noise

FIVE_SIGMA = 2 * td.Normal(0.0, 1.0).cdf(torch.tensor(-5.0, dtype=torch.float64)).item()


def unmasked(dist):
    return dist.base_dist if isinstance(dist, pd.MaskedDistribution) else dist


def _points(view, n=200):
    torch.manual_seed(0)
    return view.noise.sample((n,))


def check_shapes(dist, view):
    assert (view.batch_shape, view.event_shape) == (dist.batch_shape, dist.event_shape)
    assert view.noise.batch_shape == dist.batch_shape
    eps = view.noise.sample((5, 2))
    value = view.transport(eps)
    assert value.shape == (5, 2, *dist.batch_shape, *dist.event_shape)
    assert value.dtype == eps.dtype == dist.sample().dtype
    assert view.inverse(value).shape == eps.shape
    assert view.log_abs_det_jacobian(eps, value).shape == (5, 2, *dist.batch_shape)
    assert view.sample((5,)).shape == dist.sample((5,)).shape
    leaf = view.noise
    while isinstance(leaf, td.Independent):
        leaf = leaf.base_dist
    assert isinstance(leaf, Noise)


def check_round_trip(view, rtol, atol):
    eps = _points(view)
    torch.testing.assert_close(
        view.inverse(view.transport(eps)), eps, rtol=rtol, atol=atol
    )


def check_log_det(view):
    """log|det| of the Jacobian by automatic differentiation; a simplex has one
    coordinate too many, which is left out."""
    eps = _points(view, 1)[0]
    batch, noise_event = view.batch_shape.numel(), eps.numel()
    noise_event //= batch
    value = view.transport(eps)
    jacobian = torch.func.jacrev(view.transport)(eps)
    jacobian = jacobian.reshape(batch, -1, batch, noise_event)
    jacobian = torch.stack([jacobian[b, :noise_event, b] for b in range(batch)])
    expected = torch.linalg.slogdet(jacobian).logabsdet.reshape(view.batch_shape)
    torch.testing.assert_close(
        view.log_abs_det_jacobian(eps, value), expected, rtol=1e-7, atol=1e-7
    )


def check_log_prob(dist, view, rtol, atol):
    value = view.sample((200,))
    torch.testing.assert_close(
        view.log_prob(value), unmasked(dist).log_prob(value), rtol=rtol, atol=atol
    )


def check_law(dist, view):
    """Draws fit the cdf: Kolmogorov-Smirnov per batch cell, 5 sigma over all cells."""
    torch.manual_seed(1)
    u = dist.cdf(view.sample((20_000,)).double()).reshape(20_000, -1)
    for column in u.T:
        assert kstest(column.numpy(), "uniform").pvalue > FIVE_SIGMA / u.shape[1]


def check_gradient(make, parameters):
    """dz/dθ = -(∂F/∂θ) / p at a fixed quantile, in every parameter.

    The median is left out: there torch's Laplace.cdf has gradient 0.
    """
    parameters = {n: p.requires_grad_() for n, p in parameters.items()}
    view = as_transport(make(**parameters))
    eps = view.noise.icdf(torch.linspace(0.03, 0.97, 40, dtype=torch.float64))
    eps = eps.reshape(-1, *[1] * len(view.batch_shape)).expand(-1, *view.batch_shape)
    weight = torch.randn(eps.shape, dtype=eps.dtype)
    ours = torch.autograd.grad(
        (weight * view.transport(eps)).sum(), list(parameters.values())
    )
    dist = make(**parameters)
    value = view.transport(eps).detach()
    along = weight / dist.log_prob(value).exp().detach()
    theirs = torch.autograd.grad(
        -(along * dist.cdf(value)).sum(), list(parameters.values())
    )
    for a, b in zip(ours, theirs, strict=True):
        assert a.abs().sum() > 0
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-8)
