# SPDX-License-Identifier: Apache-2.0
"""Laws of draws: where they lie, what they depend on, which law they follow."""

import math
from functools import lru_cache

import pyro
import torch
from torch import Tensor

from pyro_reparam_ext.distributions import TransportDistribution
from pyro_reparam_ext.testing import quadrature
from pyro_reparam_ext.testing.cases import DistributionCase
from pyro_reparam_ext.testing.law import (
    Law,
    both,
    close,
    epsilon,
    has_gradients,
    is_implicit,
    is_resolved,
    is_scalar,
    is_transport,
)

DRAWS, FEW_DRAWS = 100_000, 20_000
FAILURE = 1e-6  # probability that a true law is reported broken, per batch element


@lru_cache(maxsize=2)  # a point in both precisions
def _draws(case: DistributionCase, point: str, dtype: torch.dtype) -> Tensor:
    """Draws at a point, made once for all laws: each begins with them, as seeded.

    Fewer where each is dear.
    """
    d = case.distribution(point, dtype)
    number = DRAWS if case.draws >= FEW_DRAWS else FEW_DRAWS
    return d.sample((number // d.event_shape.numel(),))


def in_support(case: DistributionCase, point: str, dtype: torch.dtype) -> None:
    """Every draw is finite and in the support, and has a finite log density."""
    d = case.distribution(point, dtype)
    z = _draws(case, point, dtype)
    assert z.isfinite().all(), f"{int((~z.isfinite()).sum())} draws are not finite"
    inside = d.support.check(z)
    assert inside.all(), f"{int((~inside).sum())} draws are outside the support"
    log_prob = d.log_prob(z)
    assert log_prob.isfinite().all(), (
        f"{int((~log_prob.isfinite()).sum())} draws have no finite log density, the "
        f"first at {z[~log_prob.isfinite()][0]:.9g}"
    )


def reproducible(case: DistributionCase, point: str, dtype: torch.dtype) -> None:
    """The same seed gives the same draw, by ``sample`` or ``rsample``."""
    d = case.distribution(point, dtype)
    draws = []
    for draw in (d.sample, d.sample, d.rsample):
        pyro.set_rng_seed(7)
        draws.append(draw(torch.Size((5,))))
    assert torch.equal(draws[0], draws[1])
    assert torch.equal(draws[0], draws[2])
    assert not torch.equal(draws[0], d.sample((5,)))


def differentiable(case: DistributionCase, point: str, dtype: torch.dtype) -> None:
    """``rsample`` depends on the parameters with a finite gradient, ``sample`` not."""
    leaves = case.leaves(point, dtype)
    d = case.make(**leaves)
    assert d.has_rsample
    assert not d.sample((3,)).requires_grad
    z = d.rsample((2000,))
    assert z.requires_grad
    for name, g in zip(
        leaves, torch.autograd.grad(z.sum(), list(leaves.values())), strict=True
    ):
        assert g.isfinite().all(), f"the gradient in {name} is {g}"


def round_trip(case: DistributionCase, point: str, dtype: torch.dtype) -> None:
    r""":math:`g_\theta^{-1}(g_\theta(\epsilon)) = \epsilon`, to the rounding of z."""
    d = case.distribution(point, dtype)
    assert isinstance(d, TransportDistribution)
    eps = d.noise().sample((2000,))
    z = d.transport(eps)
    slope = d.log_abs_det_jacobian(eps, z).double().exp()
    rounding = 1e3 * epsilon(dtype) * (eps.abs() + z.double().abs() / slope)
    inside = _off_the_ends(d, z)
    close(
        d.inverse(z)[inside],
        eps[inside],
        0.0,
        rounding[inside],
        what="inverse(transport(eps))",
    )


def log_det(case: DistributionCase, point: str, dtype: torch.dtype) -> None:
    r"""The log-det is :math:`\log|\partial g_\theta/\partial\epsilon|` by autograd."""
    d = case.distribution(point, dtype)
    assert isinstance(d, TransportDistribution)
    eps = d.noise().sample((2000,)).requires_grad_()
    z = d.transport(eps)
    (slope,) = torch.autograd.grad(z.sum(), eps)
    inside = _off_the_ends(d, z.detach())
    value = z.detach().requires_grad_()
    actual = d.log_abs_det_jacobian(eps, value)
    # what rounding z does
    (steepness,) = torch.autograd.grad(
        actual.sum() + 0 * value.sum(), value, retain_graph=True
    )
    rounding = epsilon(dtype) * (1e4 + 16 * (steepness * value).abs())
    close(
        actual[inside],
        slope.abs().log()[inside],
        1e4 * epsilon(dtype),
        rounding[inside].detach(),
        what="log_abs_det_jacobian",
    )


def standardized(case: DistributionCase, point: str, dtype: torch.dtype) -> None:
    r""":math:`g_\theta^{-1}(z)` follows the noise; :math:`S_\theta(z)`, U(0, 1)."""
    d = case.distribution(point, dtype)
    eps = d.inverse(_draws(case, point, dtype)).double()
    u = torch.linspace(0.001, 0.999, 999, dtype=torch.float64)
    u = u.reshape((-1,) + (1,) * (eps.dim() - 1)).expand((-1, *eps.shape[1:]))
    grid = u
    if isinstance(d, TransportDistribution):
        grid = d.noise().icdf(u).double()
        exact = case.distribution(point)
        z = exact.transport(grid)
        slope = exact.log_abs_det_jacobian(grid, z).exp()
        density = exact.noise().log_prob(grid).exp()
        # where one rounding unit of z holds much mass, draws cannot be told apart
        resolved = density * z.abs() * epsilon(dtype) / slope < 1e-4
        grid, u = grid.where(resolved, math.inf), u.where(resolved, 1.0)
    _follows(eps, grid, u)


def fit(case: DistributionCase, point: str, dtype: torch.dtype) -> None:
    r"""Draws follow :math:`\int p_\theta`, by Kolmogorov and Smirnov."""
    exact = case.distribution(point)
    z = _draws(case, point, dtype).double()
    grid = z.sort(0).values[:: len(z) // 30]
    # where one rounding unit holds much mass, draws cannot be told apart
    cell = exact.log_prob(grid).exp() * grid.abs() * epsilon(dtype)
    grid = torch.where(cell < 1e-4, grid, grid[:1])
    expected = quadrature.cdf(exact, grid, case.period, tolerance=1e-6)
    _follows(z, grid, expected)


def _follows(draws: Tensor, grid: Tensor, expected: Tensor) -> None:
    """Kolmogorov's bound at points of a grid, for each batch element.

    Massart's constant: the largest deviation exceeds t with probability at most
    2 exp(-2 n t^2); at points of a grid it can only be smaller.
    """
    n = len(draws)
    threshold = math.sqrt(math.log(2 / FAILURE) / (2 * n)) + 2e-4
    draws, grid, expected = (
        t.reshape(len(t), -1).T.contiguous() for t in (draws, grid, expected)
    )
    below = torch.searchsorted(draws.sort(1).values, grid, right=True)
    worst = (below.double() / n - expected).abs().max()
    assert worst <= threshold, (
        f"empirical and exact distribution functions differ by {worst:.4f}, more than "
        f"{threshold:.4f} (failure probability {FAILURE:g})"
    )


def _off_the_ends(d: TransportDistribution, z: Tensor) -> Tensor:
    """Where a draw was not rounded to the end of the support."""
    info = torch.finfo(z.dtype)
    lower, upper = (b.to(z.dtype) for b in quadrature.bounds(d))
    inside = torch.ones_like(z, dtype=torch.bool)
    for bound in (lower, upper):
        near = (4 * info.eps * bound.abs()).clamp(min=4 * info.tiny)
        inside &= ((z - bound).abs() > near) | bound.isinf()
    return inside


LAWS = [
    Law(in_support),
    Law(reproducible),
    Law(differentiable, applies=has_gradients),
    Law(round_trip, applies=both(is_scalar, is_transport)),
    Law(log_det, applies=both(is_scalar, is_transport)),
    Law(standardized, applies=both(is_scalar, both(is_transport, is_resolved))),
    Law(standardized, applies=both(is_implicit, is_resolved)),
    Law(fit, applies=is_scalar),
]
