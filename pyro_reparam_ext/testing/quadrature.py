# SPDX-License-Identifier: Apache-2.0
r"""Integrals against a density: the oracle of the laws.

.. math:: \int_a^b f(z)\, p_\theta(z)\, dz = \int f(z(x))\, p_\theta(z(x))\, z'(x)\, dx

with a coordinate :math:`x \in (-\infty, \infty)` in which both ends of the support are
resolved, however much mass they hold. Only ``log_prob`` and ``support`` are used, so
that nothing is shared with a sampler, a cdf or a gradient under test. The nodes are
placed without gradients; the sum over them is differentiable in the parameters, moving
ends of the support included.

For scalar events; every element of a batch is integrated on the same nodes in
:math:`x`.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.distributions import Distribution

Function = Callable[[Tensor], Tensor]


class Terms(NamedTuple):
    """An integrand at nodes: log of h = p dz/dx, f, and the relative error of h."""

    log_h: Tensor
    f: Tensor
    rounding: Tensor

    def log_size(self) -> Tensor:
        """Log of h (1 + abs(f)), finite where f is not."""
        return self.log_h + self.f.abs().log1p().clamp(max=300)


Integrand = Callable[[Tensor], Terms]

_LIMIT = 700.0  # exp(-700) is the smallest distance from a bound
_LARGEST = 1e130  # so that squares stay finite


def bounds(
    distribution: Distribution, period: float | None = None
) -> tuple[Tensor, Tensor]:
    """The ends of the support in float64, infinite where there is none."""
    support: Any = distribution.support
    while hasattr(support, "base_constraint"):  # a mixture's, or an independent one
        support = support.base_constraint
    lower = getattr(support, "lower_bound", -math.inf)
    upper = getattr(support, "upper_bound", math.inf)
    if period is not None:
        lower, upper = -period / 2, period / 2
    shape = distribution.batch_shape
    return (
        torch.as_tensor(lower, dtype=torch.float64).expand(shape),
        torch.as_tensor(upper, dtype=torch.float64).expand(shape),
    )


def mass(distribution: Distribution, period: float | None = None) -> Tensor:
    r""":math:`\int p_\theta(z)\, dz`, of shape ``batch_shape``."""
    return integrate(
        distribution.log_prob, torch.ones_like, *bounds(distribution, period)
    )


def cdf(
    distribution: Distribution,
    value: Tensor,
    period: float | None = None,
    tolerance: float = 1e-11,
) -> Tensor:
    r""":math:`\int_a^z p_\theta`; ``value`` has shape ``(...) + batch_shape``."""
    lower, upper = bounds(distribution, period)
    value = torch.minimum(value, upper)
    lower = torch.minimum(lower, value)
    return integrate(distribution.log_prob, torch.ones_like, lower, value, tolerance)


def expectation(
    distribution: Distribution,
    function: Function,
    period: float | None = None,
    tolerance: float = 1e-11,
) -> Tensor:
    r""":math:`E f(z)`, of shape ``batch_shape``.

    With a finite upper end :math:`b` it is :math:`f(b) + E[f(z) - f(b)]`: mass too
    close to :math:`b` for values to resolve is accounted for.
    """
    lower, upper = bounds(distribution, period)
    finite = upper.isfinite()
    end = torch.where(finite, function(torch.where(finite, upper, 0.0)), 0.0)
    inner = integrate(
        distribution.log_prob, lambda z: function(z) - end, lower, upper, tolerance
    )
    return end + inner


def entropy(distribution: Distribution, period: float | None = None) -> Tensor:
    r""":math:`-E \log p_\theta(z)`."""
    return integrate(
        distribution.log_prob,
        lambda z: -distribution.log_prob(z),
        *bounds(distribution, period),
    )


def integrate(
    log_density: Function,
    function: Function,
    lower: Tensor,
    upper: Tensor,
    tolerance: float = 1e-11,
) -> Tensor:
    r""":math:`\int_a^b f(z)\, p(z)\, dz` for each pair of ends.

    Args:
        log_density: :math:`\log p`, of points of shape ``(nodes, *shape)``.
        function: :math:`f`, likewise.
        lower: :math:`a`, of shape ``shape``, finite or not.
        upper: :math:`b`, likewise.
        tolerance: Absolute error allowed where the panels are chosen, relative to
            :math:`\int |f|\,p`. The result is much closer than this, because panels
            accepted at the tolerance are halved.
    """
    lower, upper = torch.broadcast_tensors(lower, upper)

    def terms(x: Tensor) -> Terms:
        z, log_jacobian, inside = _coordinate(x, lower, upper)
        log_h = torch.where(inside, log_density(z) + log_jacobian, -math.inf)
        # f may be infinite where p underflows
        f = torch.where(inside & (log_h > -740), function(z), 0.0)
        # relative error of the distance to a bound
        rounding = torch.finfo(z.dtype).eps * z.abs() * torch.exp(-log_jacobian)
        return Terms(log_h, f, rounding.detach())

    dim = lower.dim()
    with torch.no_grad():
        panels = _accurate(terms, _located(terms, dim), tolerance, lower.shape)
        x, weight = _nodes(panels, dim)
        size = terms(x).log_size()
        best, place = size.max(0, keepdim=True)
        counted = size > best - 90
        # elsewhere the derivative of log p may overflow: look where it does not
        x = torch.where(counted, x, x.expand_as(size).gather(0, place))
    at = terms(x)
    return torch.where(counted, weight * at.f * at.log_h.exp(), 0.0).sum(0)


def _coordinate(
    x: Tensor, lower: Tensor, upper: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The point, the log-derivative there, and whether floats resolve it."""
    has_lower, has_upper = lower.isfinite(), upper.isfinite()
    a, b = torch.where(has_lower, lower, 0.0), torch.where(has_upper, upper, 0.0)
    both = has_lower & has_upper
    width = torch.where(both & (b > a), b - a, 1.0)
    log_sinh_width = x.abs() + torch.log1p(torch.exp(-2 * x.abs())) - math.log(2)
    z = torch.where(
        both,
        torch.where(x < 0, a + width * x.sigmoid(), b - width * (-x).sigmoid()),
        torch.where(
            has_lower, a + x.exp(), torch.where(has_upper, b - (-x).exp(), x.sinh())
        ),
    )
    log_sigmoid = torch.nn.functional.logsigmoid
    log_jacobian = torch.where(
        both,
        width.log() + log_sigmoid(x) + log_sigmoid(-x),
        torch.where(has_lower, x, torch.where(has_upper, -x, log_sinh_width)),
    )
    inside = (z > lower) & (z < upper) & (z.abs() < _LARGEST)
    # elsewhere any point of the interval will do: its weight is 0
    middle = torch.where(
        both, a + 0.5 * width, torch.where(has_lower, a + 1, b - has_upper.double())
    )
    return torch.where(inside, z, middle), log_jacobian, inside


def _legendre(n: int) -> tuple[Tensor, Tensor]:
    """Gauss-Legendre nodes and weights on (-1, 1), by Golub and Welsch."""
    k = torch.arange(1, n, dtype=torch.float64)
    off_diagonal = k / (4 * k**2 - 1).sqrt()
    values, vectors = torch.linalg.eigh(
        torch.diag(off_diagonal, 1) + torch.diag(off_diagonal, -1)
    )
    return values, 2 * vectors[0] ** 2


_X, _W = _legendre(20)


def _nodes(panels: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """Nodes and weights of panels ``(P, 2)``, a row each, ``dim`` dimensions after."""
    half = 0.5 * (panels[:, 1:] - panels[:, :1])
    x = panels[:, :1] + half * (1 + _X)
    shape = (-1,) + (1,) * dim
    return x.reshape(shape), (half * _W).reshape(shape)


def _halves(panels: Tensor) -> Tensor:
    """Each panel as two, in order."""
    middle = panels.mean(1)
    left = torch.stack([panels[:, 0], middle], 1)
    right = torch.stack([middle, panels[:, 1]], 1)
    return torch.stack([left, right], 1).reshape(-1, 2)


def _located(integrand: Integrand, dim: int) -> Tensor:
    """Panels fine enough that no peak hides between nodes, negligible ones dropped."""
    edges = torch.linspace(-_LIMIT, _LIMIT, 141, dtype=torch.float64)
    panels = torch.stack([edges[:-1], edges[1:]], 1)
    for _ in range(40):
        size = _log_size(integrand, panels, dim)
        slope = size.diff(dim=0)
        # at a maximum that is steep on either side, the true peak may be between nodes
        left, right = slope[:-1], slope[1:]
        hidden = (left >= 0) & (right <= 0) & (torch.maximum(left, -right) > 1.0)
        flagged = torch.zeros(len(size), dtype=torch.bool)
        flagged[1:-1] = hidden.any(1)
        flagged = flagged | flagged.roll(1) | flagged.roll(-1)
        coarse = flagged.reshape(len(panels), -1).any(1)
        if not coarse.any():
            break
        panels = torch.cat([panels[~coarse], _halves(panels[coarse])])
        panels = panels[panels[:, 0].argsort()]
    size = _log_size(integrand, panels, dim)
    size = size.reshape(len(panels), len(_X), -1).amax(1)
    kept = (size > size.amax(0) - 90).any(1)
    kept = kept | kept.roll(1) | kept.roll(-1)
    return panels[kept]


def _log_size(integrand: Integrand, panels: Tensor, dim: int) -> Tensor:
    """Log of h (1 + |f|) at the nodes, one row a node."""
    x, _ = _nodes(panels, dim)
    size = integrand(x).log_size()
    return size.reshape(len(x), -1).nan_to_num(nan=-math.inf, neginf=-1e300)


def _accurate(
    integrand: Integrand, panels: Tensor, tolerance: float, shape: torch.Size
) -> Tensor:
    """Panels on which halving changes none of the integrals of h, h f and dh/dx.

    The third finds kinks of the density, which derivatives in parameters jump at.
    """

    def integrals(panels: Tensor) -> tuple[Tensor, Tensor]:
        x, weight = _nodes(panels, len(shape))
        with torch.enable_grad():
            moved = torch.zeros(x.shape[:1] + shape, dtype=x.dtype, requires_grad=True)
            at = integrand(x + moved)
            (slope,) = torch.autograd.grad(at.log_h.sum(), moved)
        h = weight * at.log_h.detach().exp()
        slope = torch.where(h > 0, slope, 0.0)
        terms = torch.stack([h, h * at.f.detach(), h * slope], -1)
        noise = terms.abs() * at.rounding.unsqueeze(-1)
        by_panel = (len(panels), len(_X), -1)
        return terms.reshape(by_panel).sum(1), noise.reshape(by_panel).sum(1)

    accepted = []
    accepted_size = torch.zeros(())
    integral, noise = integrals(panels)
    for _ in range(50):
        children = _halves(panels)
        by_child, child_noise = integrals(children)
        pairs = by_child.reshape(len(panels), 2, -1)
        size = accepted_size + pairs.abs().sum((0, 1))
        error = (integral - pairs.sum(1)).abs()
        bad = (error > tolerance * size + noise).any(1)
        good = (~bad).repeat_interleave(2)
        accepted.append(children[good])
        accepted_size = accepted_size + by_child[good].abs().sum(0)
        panels, integral, noise = children[~good], by_child[~good], child_noise[~good]
        if not len(panels):
            break
        if len(panels) > 20_000:
            raise RuntimeError(
                "quadrature: expected an integrable density; after halving the panels "
                f"{len(accepted)} times, {len(panels)} are still inaccurate. Use a "
                "less oscillating integrand or a larger tolerance."
            )
    accepted.append(panels)
    return torch.cat(accepted)
