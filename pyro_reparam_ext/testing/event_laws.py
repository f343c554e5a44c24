# SPDX-License-Identifier: Apache-2.0
r"""Laws of distributions whose events are vectors or matrices.

All are stated in the unconstrained coordinates :math:`x` of the support, those of
``biject_to``, with the density :math:`p_\theta(x)` that follows from ``log_prob``.
"""

import math
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution, biject_to, kl_divergence

from pyro_reparam_ext.distributions import TransportDistribution
from pyro_reparam_ext.testing.cases import DistributionCase
from pyro_reparam_ext.testing.gradient_laws import Parameters, velocity
from pyro_reparam_ext.testing.law import (
    DOUBLE,
    Applies,
    Law,
    both,
    close,
    epsilon,
    follows_value,
    has_gradients,
    is_scalar,
    is_transport,
    offering,
    offers,
    unvalidated,
)

DRAWS = 20_000
SIGMAS = 5.0


def continuity(case: DistributionCase, point: str, dtype: torch.dtype) -> None:
    r""":math:`\partial_\theta\log p + \nabla\!\cdot v + v\cdot\nabla\log p = 0`.

    :math:`v = \partial x/\partial\theta` is the velocity of draws, whose divergence is
    taken by differences; the gradient of every expectation is right if and only if
    this holds wherever there is mass.
    """
    shape = (16,)
    leaves = case.leaves(point, dtype, shape)
    d = case.make(**leaves)
    x = coordinates(d, d.sample()).detach().requires_grad_()
    direction = {n: torch.randn_like(p) for n, p in leaves.items()}

    def velocity_at(x: Tensor) -> Tensor:
        anchor = value_at(d, x).detach()
        if isinstance(d, TransportDistribution):
            anchor = d.inverse(anchor).detach()

        def path(parameters: Parameters, anchor: Tensor) -> Tensor:
            with unvalidated():
                new: Any = case.make(**parameters)
            moved = "transport" if is_transport(case, point) else "attach_gradient"
            return coordinates(new, getattr(new, moved)(anchor))

        return velocity(path, leaves, anchor, direction, x.dim() - 1)

    log_p = log_density(d, x)
    moving = torch.autograd.grad(log_p.sum(), [x, *leaves.values()])
    by_x, by_parameter = moving[0], dict(zip(leaves, moving[1:], strict=True))
    along = torch.stack(
        [
            (g * direction[n]).reshape((*log_p.shape, -1)).sum(-1)
            for n, g in by_parameter.items()
        ]
    )
    v = velocity_at(x)
    terms = [v * by_x]
    for i in range(x.shape[-1]):
        away = x[..., i].detach() - x[..., i].detach().median(0).values
        h = 5e-3 * away.abs().median(0).values.clamp(max=1.0)
        step = torch.zeros_like(x)
        step[..., i] = h
        one, two, left, leftmost = (
            velocity_at((x + k * step).detach())[..., i] for k in (1, 2, -1, -2)
        )
        terms.append(((8 * (one - left) - (two - leftmost)) / (12 * h)).unsqueeze(-1))
    flow = torch.cat(terms, -1)
    total = along.sum(0) + flow.sum(-1)
    size = along.abs().sum(0) + flow.abs().sum(-1)
    close(total, torch.zeros(()), 0.0, 1e-7 * size, "change of density on the path")


def stein(case: DistributionCase, point: str, dtype: torch.dtype) -> None:
    r"""Draws have :math:`E[\partial_i f + f\,\partial_i\log p] = 0` for bounded f."""
    exact = case.distribution(point)
    z = case.distribution(point, dtype).sample((DRAWS,))
    x = coordinates(exact, resolved(exact, z.double())).detach().requires_grad_()
    (score,) = torch.autograd.grad(log_density(exact, x).sum(), x)
    x = x.detach()
    unit = (x - x[:1000].median(0).values) / (x[:1000].std(0) + 1e-300)
    f = torch.tanh(unit)
    slope = (1 - f.square()) / (x[:1000].std(0) + 1e-300)
    for i in range(x.shape[-1]):
        # every f_j along coordinate i
        terms = f * score[..., i : i + 1]
        terms[..., i] = terms[..., i] + slope[..., i]
        error = terms.std(0) / DRAWS**0.5
        rounding = 64 * epsilon(dtype) * terms.abs().mean(0)
        close(
            terms.mean(0),
            torch.zeros(()),
            0.0,
            SIGMAS * error + rounding,
            f"along coordinate {i}",
        )


def mass(case: DistributionCase, point: str, dtype: torch.dtype) -> None:
    r""":math:`\int p_\theta(x)\,dx = 1`, by trapezoids in up to three coordinates.

    Where the case names the integrand ``z^2``: they are placed by a covariance.
    """
    d = case.distribution(point)
    x = coordinates(d, d.sample((20_000,)))
    center, factor = x.mean(0), torch.linalg.cholesky(_covariance(x))
    dim = x.shape[-1]
    count = {1: 4001, 2: 401, 3: 45}[dim]
    t = torch.linspace(-3.5, 3.5, count, dtype=dtype)
    nodes, widths = t.sinh(), t.cosh() * (t[1] - t[0])
    grid = torch.cartesian_prod(*[nodes] * dim).reshape(-1, dim)
    weight = torch.cartesian_prod(*[widths] * dim).reshape(-1, dim).prod(-1)
    grid = grid.reshape(-1, *(1,) * (center.dim() - 1), dim)
    at = center + (factor @ grid.unsqueeze(-1)).squeeze(-1)
    density = log_density(d, at).nan_to_num(nan=-math.inf).exp()
    weight = weight.reshape((-1,) + (1,) * (density.dim() - 1))
    total = (density * weight).sum(0) * factor.diagonal(dim1=-2, dim2=-1).prod(-1)
    close(total, torch.ones(()), 5e-3, what="mass")


def averages(case: DistributionCase, point: str, dtype: torch.dtype) -> None:
    r"""Mean, variance and entropy are averages over draws, within 5σ.

    The mean where the case names the integrand ``z``, the variance where ``z^2``.
    """
    d = case.distribution(point, dtype)
    z = d.sample((DRAWS,))
    functions = case.integrands_at(point)
    if "z" in functions and offers(case, "mean"):
        _average(z, d.mean, "mean")
    if "z^2" in functions and offers(case, "variance"):
        _average((z - d.mean).square(), d.variance, "variance")
    if offers(case, "entropy"):
        _average(-d.log_prob(z), d.entropy(), "entropy")


def divergence(case: DistributionCase, point: str, dtype: torch.dtype) -> None:
    r"""The divergence is 0 from itself, else :math:`E_p[\log p - \log q]`, in 5σ."""
    p, q = case.distribution(point), case.distribution(next(iter(case.points)))
    close(kl_divergence(p, p), torch.zeros(()), 0.0, 1e-9, "kl(p, p)")
    z = p.sample((DRAWS,))
    _average(p.log_prob(z) - q.log_prob(z), kl_divergence(p, q), "kl")


def coordinates(d: Distribution, value: Tensor) -> Tensor:
    """Unconstrained coordinates of values, one dimension an event."""
    support: Any = d.support
    x = biject_to(support).inv(value)
    return x.flatten(x.dim() - biject_to(support).domain.event_dim)


def resolved(d: Distribution, value: Tensor) -> Tensor:
    """Values in the support to the last digit, after a change of precision."""
    support: Any = d.support
    return biject_to(support)(biject_to(support).inv(value))


def value_at(d: Distribution, x: Tensor) -> Tensor:
    """The value of these unconstrained coordinates."""
    support: Any = d.support
    return biject_to(support)(_shaped(d, x))


def log_density(d: Distribution, x: Tensor) -> Tensor:
    r""":math:`\log p_\theta(x)` in unconstrained coordinates."""
    support: Any = d.support
    value = value_at(d, x)
    log_det = biject_to(support).log_abs_det_jacobian(_shaped(d, x), value)
    with unvalidated():
        return d.log_prob(value) + log_det


def _shaped(d: Distribution, x: Tensor) -> Tensor:
    """Coordinates in the shape that the bijection takes."""
    support: Any = d.support
    return x.reshape(biject_to(support).inverse_shape(x.shape[:-1] + d.event_shape))


def _average(terms: Tensor, expected: Tensor, what: str) -> None:
    error = terms.double().std(0) / len(terms) ** 0.5
    rounding = 64 * epsilon(terms.dtype) * (expected.abs() + terms.abs().mean(0))
    close(terms.double().mean(0), expected, 0.0, SIGMAS * error + rounding, what)


def _covariance(x: Tensor) -> Tensor:
    away = x - x.mean(0)
    return (away.unsqueeze(-1) * away.unsqueeze(-2)).mean(0)


def _not(applies: Applies) -> Applies:
    return lambda case, point: not applies(case, point)


def _is_small(case: DistributionCase, point: str) -> bool:
    d = case.distribution(point)
    few = coordinates(d, d.sample()).shape[-1] <= 3
    return few and "z^2" in case.integrands_at(point)


def _has_a_velocity(case: DistributionCase, point: str) -> bool:
    """Whether draws move along a path that the value alone decides."""
    moved = is_transport(case, point) or follows_value(case, point)
    return moved and has_gradients(case, point)


def _comparable(case: DistributionCase, point: str) -> bool:
    """Whether the first point has this batch and event shape."""
    d, first = case.distribution(point), case.distribution(next(iter(case.points)))
    fits = first.batch_shape in ((), d.batch_shape)
    return fits and first.event_shape == d.event_shape


_EVENTS = _not(is_scalar)

LAWS = [
    Law(continuity, applies=both(_EVENTS, _has_a_velocity), dtypes=DOUBLE),
    Law(stein, applies=_EVENTS),
    Law(mass, applies=both(_EVENTS, _is_small), dtypes=DOUBLE),
    Law(averages, applies=_EVENTS),
    Law(
        divergence,
        applies=both(_EVENTS, both(offering("kl_divergence"), _comparable)),
        dtypes=DOUBLE,
    ),
]
