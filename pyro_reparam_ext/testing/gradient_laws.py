# SPDX-License-Identifier: Apache-2.0
r"""Laws of the pathwise derivative :math:`\partial z/\partial\theta`."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.distributions import constraints

from pyro_reparam_ext.distributions import TransportDistribution
from pyro_reparam_ext.testing import quadrature
from pyro_reparam_ext.testing.cases import INTEGRANDS, DistributionCase
from pyro_reparam_ext.testing.law import (
    BOTH,
    DOUBLE,
    Law,
    close,
    follows_value,
    has_gradients,
    is_scalar,
    is_special,
    seeded,
)

SIGMAS = 5.0

Parameters = Mapping[str, Tensor]
Path = Callable[[Parameters, Tensor], Tensor]


def pathwise(case: DistributionCase, point: str, dtype: torch.dtype) -> None:
    r""":math:`p\,\partial z/\partial\theta = -\partial F/\partial\theta` at every draw.

    On a circle, up to a flow that is the same at every point.
    """
    leaves = case.leaves(point, dtype, (8,))
    z = case.make(**leaves).rsample()
    actual = torch.autograd.grad(z.sum(), list(leaves.values()))
    z = z.detach()
    d = case.make(**leaves)
    total = quadrature.cdf(d, z, case.period).sum()
    expected = torch.autograd.grad(total, list(leaves.values()))
    p = d.log_prob(z).exp().detach()
    largest = max(float(g.nan_to_num().abs().max()) for g in expected)
    for name, g, minus_flow in zip(leaves, actual, expected, strict=True):
        density = _align(p, g)
        flow = -minus_flow
        if case.period is not None:
            flow = flow + (density * g - flow).mean(0)
        # an infinite bound does not move mass
        flow = flow.where(leaves[name].isfinite(), 0.0)
        allowed = 1e-8 * flow.abs().amax(0) + 1e-12 * largest
        close(density * g, flow, 1e-7, allowed, f"p dz/d{name}")


def expectation(case: DistributionCase, point: str, dtype: torch.dtype) -> None:
    r""":math:`E[f'(z)\,\partial z/\partial\theta] = \partial_\theta E f`, within 5σ."""
    leaves = case.leaves(point, dtype, (case.draws,))
    z = case.make(**leaves).rsample()
    by_draw = torch.autograd.grad(z.sum(), list(leaves.values()))
    z = z.detach().double()
    exact = case.leaves(point)
    for label in case.integrands_at(point):
        f = INTEGRANDS[label]
        total = quadrature.expectation(
            case.make(**exact), f, case.period, tolerance=1e-8
        ).sum()
        expected = torch.autograd.grad(total, list(exact.values()))
        slope = torch.func.vmap(torch.func.grad(f))(z.reshape(-1)).reshape(z.shape)
        for name, g, e in zip(leaves, by_draw, expected, strict=True):
            terms = _align(slope, g) * g.double()
            error = terms.std(0) / case.draws**0.5
            rounding = 1e2 * torch.finfo(dtype).eps * terms.abs().mean(0)
            e = e.where(exact[name].isfinite(), 0.0)
            close(
                terms.mean(0),
                e,
                1e-6,
                SIGMAS * error + rounding + 1e-12,
                f"d E {label} / d {name}",
            )


def special_limit(case: DistributionCase, point: str, dtype: torch.dtype) -> None:
    r"""At a special point the derivative is the limit of its neighbours'.

    In every parameter, along every parameter. The average of
    :math:`\theta_0 \pm h` differs by :math:`O(h^2)`, so by a third of what it changes
    from h to 2h; twice this is allowed. Where one side is outside of the domain, an
    extrapolation from the other replaces the average.
    """
    parameters = case.leaves(point, dtype, (64,))
    anchor, path = anchored(case, point, dtype, (64,))
    here = _derivatives(path, parameters, anchor)
    for moved in parameters:
        for h in (1e-2, 1e-4):
            near = _average(case, path, parameters, anchor, moved, h)
            far = _average(case, path, parameters, anchor, moved, 2 * h)
            for name in parameters:
                change = (far[name] - near[name]).abs()
                size = near[name].abs().amax(0)
                close(
                    here[name],
                    near[name],
                    0.0,
                    2 * change + 1e-7 * size,
                    f"dz/d{name} against {moved} ± {h}",
                )


def second_derivative(case: DistributionCase, point: str, dtype: torch.dtype) -> None:
    r"""At fixed ε, derivatives of :math:`\partial z/\partial\theta` are differences."""
    shape = (32,)
    parameters = case.leaves(point, dtype, shape)
    anchor, path = anchored(case, point, dtype, shape)
    dim = len(shape) + len(case.distribution(point).batch_shape)
    weight, direction = (
        {n: torch.rand_like(p).where(p.isfinite(), 0.0) for n, p in parameters.items()}
        for _ in range(2)
    )

    event_shape = case.distribution(point).event_shape
    shares = torch.linspace(1, 2, event_shape.numel()).reshape(event_shape)

    def unequal(parameters: Parameters, anchor: Tensor) -> Tensor:
        # the plain sum of an event may be constant, as on the simplex
        return path(parameters, anchor) * shares

    def slope(parameters: Parameters, anchor: Tensor, graph: bool = False) -> Tensor:
        return _along(weight, _derivatives(unequal, parameters, anchor, graph), dim)

    total = slope(parameters, anchor, graph=True).sum()
    # z linear in every parameter leaves nothing to differentiate
    total = total + 0 * sum(
        p.where(p.isfinite(), 0.0).sum() for p in parameters.values()
    )
    second = torch.autograd.grad(total, list(parameters.values()))
    actual = _along(direction, dict(zip(parameters, second, strict=True)), dim)

    h = 1e-5
    moves = follows_value(case, point)
    # a value moves along the path, noise stays
    speed = velocity(path, parameters, anchor, direction, dim) if moves else 0.0
    sides = []
    for sign in (1, -1):
        moved = {
            n: (p + sign * h * direction[n]).detach().requires_grad_()
            for n, p in parameters.items()
        }
        sides.append(slope(moved, anchor + sign * h * speed))
    expected = (sides[0] - sides[1]) / (2 * h)
    scale = expected.abs().amax(0) + sides[0].abs().amax(0)
    close(actual, expected, 1e-4, 1e-5 * scale, "second derivative")


def anchored(
    case: DistributionCase, point: str, dtype: torch.dtype, shape: tuple[int, ...]
) -> tuple[Tensor, Path]:
    """Draws as a function of parameters of shape ``shape + batch_shape``.

    The second argument is what stays fixed: the noise of a transport, the value of an
    implicit path; for other classes, the seed.
    """
    d = case.distribution(point, dtype)
    if isinstance(d, TransportDistribution):
        eps = d.noise().sample(torch.Size(shape))
        return eps, lambda parameters, eps: case.make(**parameters).transport(eps)
    if follows_value(case, point):
        z = d.sample(torch.Size(shape))
        return z, lambda parameters, z: case.make(**parameters).attach_gradient(z)
    return torch.zeros(()), lambda parameters, _: seeded(case.make(**parameters), ())


def velocity(
    path: Path, parameters: Parameters, anchor: Tensor, direction: Parameters, dim: int
) -> Tensor:
    """How each element of a draw moves as the parameters move in a direction.

    Draws have ``dim`` dimensions before those of the event.
    """
    z = path(parameters, anchor)
    moving = list(parameters.values())
    speeds = []
    for element in z.reshape((*z.shape[:dim], -1)).unbind(-1):
        grads = torch.autograd.grad(element.sum(), moving, retain_graph=True)
        along = dict(zip(parameters, grads, strict=True))
        speeds.append(_along(direction, along, dim))
    return torch.stack(speeds, -1).reshape(z.shape)


def _derivatives(
    path: Path, parameters: Parameters, anchor: Tensor, graph: bool = False
) -> dict[str, Tensor]:
    z = path(parameters, anchor)
    grads = torch.autograd.grad(z.sum(), list(parameters.values()), create_graph=graph)
    return dict(zip(parameters, grads, strict=True))


def _along(direction: Parameters, gradient: Parameters, dim: int) -> Tensor:
    """The derivative of each draw in a direction of the parameters."""
    terms = [
        torch.where(direction[n] == 0, 0.0, g * direction[n])
        for n, g in gradient.items()
    ]
    return torch.stack([t.reshape((*t.shape[:dim], -1)).sum(-1) for t in terms]).sum(0)


def _average(
    case: DistributionCase,
    path: Path,
    parameters: Parameters,
    anchor: Tensor,
    moved: str,
    h: float,
) -> dict[str, Tensor]:
    """The derivative at a point, from two points on its sides, or on one."""
    constraint = case.constraints().get(moved, constraints.real)

    def at(step: float) -> dict[str, Tensor]:
        new = dict(parameters)
        new[moved] = (parameters[moved] + step).detach().requires_grad_()
        return _derivatives(path, new, anchor)

    if bool(constraint.check(parameters[moved] - h).all()):
        one, other = at(h), at(-h)
        return {n: 0.5 * (one[n] + other[n]) for n in one}
    one, other = at(h), at(2 * h)
    return {n: 2 * one[n] - other[n] for n in one}


def _align(per_draw: Tensor, parameter: Tensor) -> Tensor:
    """A quantity of each draw, with the event dimensions of a parameter."""
    return per_draw.reshape(per_draw.shape + (1,) * (parameter.dim() - per_draw.dim()))


def _is_twice_differentiable(case: DistributionCase, point: str) -> bool:
    return case.twice_differentiable and has_gradients(case, point)


LAWS = [
    Law(pathwise, applies=is_scalar, dtypes=DOUBLE),
    Law(expectation, applies=is_scalar, dtypes=BOTH),
    Law(special_limit, applies=is_special, dtypes=DOUBLE),
    Law(second_derivative, applies=_is_twice_differentiable, dtypes=DOUBLE),
]
