# SPDX-License-Identifier: Apache-2.0
r"""Integrals of a one-dimensional density over panels placed where its mass is.

The density is seen in a coordinate :math:`s` (see
:mod:`pyro_reparam_ext.distributions.custom.coordinate`), as :math:`q(s) =
\tilde p(z(s))\,z'(s)`. Panels are placed in rounds: each evaluates :math:`\log q` on
the panels of the last, and moves their edges so that mass, the change of
:math:`\log q`, and length are shared equally. A round narrows the search by a factor
of a hundred; nothing in it depends on values but the edges themselves.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from pyro_reparam_ext.distributions.custom.coordinate import REACH
from pyro_reparam_ext.ops.gauss_legendre import gauss_legendre, legendre_nodes

LogDensity = Callable[[Tensor], Tensor]

NODES = 16
_PIECES = 4
# how far below the top log q still counts, round by round: first everything is seen
_DEPTHS = (1e8, 1e6, 1e4, 1e3, 200.0, *(60.0,) * 6)
_GRADED = 14  # extra edges on each side of a break, each eight times nearer
_NEGLIGIBLE = -30.0  # log q, relative to its top, at the ends of the line


@dataclass(frozen=True)
class Panels:
    r"""Where the mass of a density is.

    Args:
        log_q: :math:`\log q`, of positions of shape ``shape + (n,)``.
        edges: Edges of the panels, of shape ``shape + (K + 1,)``.
        masses: Mass of each panel relative to all, of shape ``shape + (K,)``.
        log_mass: :math:`\log\int q`, of shape ``shape``; NaN where it diverges.
        nodes: Positions of shape ``shape + (K * NODES,)``.
        weights: Of the nodes: their sum is 1.
    """

    log_q: LogDensity
    edges: Tensor
    masses: Tensor
    log_mass: Tensor
    nodes: Tensor
    weights: Tensor

    def expectation(self, function: Callable[[Tensor], Tensor]) -> Tensor:
        """Of a function of positions of shape ``shape + (n,)``."""
        counted = self.weights > 0
        values = torch.where(counted, function(self.nodes), 0.0)
        return (values * self.weights).sum(-1)

    def tail(self, s: Tensor) -> tuple[Tensor, Tensor]:
        """The smaller tail at positions of shape ``(...) + shape``; whether lower."""
        rows = self._as_rows(s)
        index = _count(self.edges[..., 1:-1], rows, torch.le)
        below, above = self._tails_at_edges()
        before, after = below.gather(-1, index), above.gather(-1, index + 1)
        is_lower = before < after
        edge = self.edges.gather(-1, torch.where(is_lower, index, index + 1))
        start, end = (
            torch.where(is_lower, edge, rows),
            torch.where(is_lower, rows, edge),
        )
        log_mass = self.log_mass.unsqueeze(-1)

        def density(t: Tensor) -> Tensor:
            nodes = t.flatten(-2)
            return torch.exp(self.log_q(nodes) - log_mass).reshape(t.shape)

        part = gauss_legendre(density, start, end, NODES)
        tail = torch.where(is_lower, before, after) + part
        return self._from_rows(tail, s), self._from_rows(is_lower, s)

    def position(self, below: Tensor, above: Tensor) -> Tensor:
        """The position with these tail masses, of shape ``(...) + shape``.

        By the polynomial that interpolates the density at the nodes of a panel: exact
        to about 1e-12 of the mass.
        """
        lower, upper = self._as_rows(below), self._as_rows(above)
        lower_tails, upper_tails = self._tails_at_edges()
        left = lower < upper
        by_lower = _count(lower_tails[..., 1:-1], lower, torch.lt)
        by_upper = _count(upper_tails[..., 1:-1], upper, torch.gt)
        index = torch.where(left, by_lower, by_upper)
        mass = self.masses.gather(-1, index)
        from_left = lower - lower_tails.gather(-1, index)
        from_right = upper - upper_tails.gather(-1, index + 1)
        share = (torch.where(left, from_left, mass - from_right) / mass).clamp(0, 1)
        by_panel = self.weights.unflatten(-1, (-1, NODES))
        basis = self.weights.new_tensor(_legendre_at_nodes())
        coefficients = (by_panel @ basis) / self.masses.unsqueeze(-1)
        chosen = index.unsqueeze(-1).expand((*index.shape, NODES))
        x = _invert(coefficients.gather(-2, chosen), share)
        low, high = self.edges.gather(-1, index), self.edges.gather(-1, index + 1)
        return self._from_rows(0.5 * (low + high) + 0.5 * (high - low) * x, below)

    def _as_rows(self, x: Tensor) -> Tensor:
        """One row for each element of the batch, the other dimensions in it."""
        lead = x.shape[: x.dim() - self.log_mass.dim()]
        return x.reshape((math.prod(lead), *self.log_mass.shape)).movedim(0, -1)

    def _from_rows(self, rows: Tensor, like: Tensor) -> Tensor:
        return rows.movedim(-1, 0).reshape(like.shape)

    def _tails_at_edges(self) -> tuple[Tensor, Tensor]:
        """Mass below and above each edge; neither is a difference from 1."""
        zero = torch.zeros_like(self.masses[..., :1])
        below = torch.cat([zero, self.masses.cumsum(-1)], -1)
        above = torch.cat([self.masses.flip(-1).cumsum(-1).flip(-1), zero], -1)
        return below, above


def panels_at(
    placed: tuple[Tensor, ...], log_q: LogDensity, breaks: Tensor | None = None
) -> Panels:
    """Panels for a density.

    Args:
        placed: What :func:`place_panels` found for it.
        log_q: As in :class:`Panels`.
        breaks: Positions of kinks or jumps of the density, of shape ``shape + (B,)``,
            with their gradients: they become edges.
    """
    edges, settled, best = placed
    like = edges[..., 0]
    if breaks is not None:
        edges = _with_breaks(edges, breaks)
    x, weight = (like.new_tensor(t) for t in legendre_nodes(NODES))
    half = 0.5 * edges.diff(dim=-1).unsqueeze(-1)
    middle = 0.5 * (edges[..., 1:] + edges[..., :-1]).unsqueeze(-1)
    nodes = (middle + half * x).flatten(-2)
    weights = (half * weight).flatten(-2)
    with torch.no_grad():
        log_at = log_q(nodes)
        counted = log_at.isfinite()
        top = torch.where(counted, log_at, -math.inf).amax(-1, keepdim=True)
    # elsewhere a place that has a density will do: its weight is 0
    nodes = torch.where(counted, nodes, best)
    mass = torch.where(counted, weights * torch.exp(log_q(nodes) - top), 0.0)
    total = mass.sum(-1, keepdim=True)
    log_mass = (top + total.log()).squeeze(-1)
    weights = mass / total
    return Panels(
        log_q=log_q,
        edges=edges,
        masses=weights.unflatten(-1, (-1, NODES)).sum(-1),
        log_mass=torch.where(settled, log_mass, math.nan),
        nodes=nodes,
        weights=weights,
    )


@torch.no_grad()
def place_panels(
    log_q: LogDensity, like: Tensor, num_panels: int = 48
) -> tuple[Tensor, Tensor, Tensor]:
    """Edges, whether the mass is finite, and the position of the highest density.

    Args:
        log_q: As in :class:`Panels`.
        like: Any tensor of the shape, dtype and device of the batch.
        num_panels: Besides those that breaks add.
    """
    edges = torch.linspace(
        -REACH, REACH, num_panels + 1, dtype=like.dtype, device=like.device
    ).expand((*like.shape, num_panels + 1))
    fractions = torch.arange(_PIECES, dtype=like.dtype, device=like.device) / _PIECES
    goal = torch.linspace(0, 1, num_panels + 1, dtype=like.dtype, device=like.device)
    goal = goal.clamp(min=1e-13)  # the last place with nothing before it
    settled = torch.ones_like(like, dtype=torch.bool)
    best = like.unsqueeze(-1)
    for i, depth in enumerate(_DEPTHS):
        width = edges.diff(dim=-1).unsqueeze(-1)
        points = (edges[..., :-1].unsqueeze(-1) + width * fractions).flatten(-2)
        points = torch.cat([points, edges[..., -1:]], -1)
        height = log_q(points)
        height = torch.where(height.isfinite(), height, -1e300)
        top, place = height.max(-1, keepdim=True)
        best = points.gather(-1, place)
        height = height - top
        if i == 0:
            settled = height[..., 0] < _NEGLIGIBLE
            settled = settled & (height[..., -1] < _NEGLIGIBLE) & (top[..., 0] > -1e299)
        shares = _shares(points, height.clamp(min=-depth), depth)
        reached = torch.cat([torch.zeros_like(shares[..., :1]), shares.cumsum(-1)], -1)
        reached = reached / reached[..., -1:]
        index = (reached[..., 1:-1].unsqueeze(-2) < goal.unsqueeze(-1)).sum(-1)
        from_, to = reached.gather(-1, index), reached.gather(-1, index + 1)
        start, end = points.gather(-1, index), points.gather(-1, index + 1)
        part = ((goal - from_) / (to - from_).clamp(min=1e-300)).clamp(0, 1)
        edges = start + part * (end - start)
    return edges, settled, best


def _with_breaks(edges: Tensor, breaks: Tensor) -> Tensor:
    """Edges at the breaks, and more towards them: there may be no derivative at all."""
    first, last = edges[..., :1], edges[..., -1:]
    powers = torch.arange(_GRADED, dtype=edges.dtype, device=edges.device)
    offsets = (last - first).unsqueeze(-1) * 8.0 ** -(powers + 1)
    center = breaks.unsqueeze(-1)
    graded = torch.cat([center - offsets, center, center + offsets], -1).flatten(-2)
    graded = torch.minimum(torch.maximum(graded, first), last)
    return torch.cat([edges, graded], -1).sort(-1).values


def _shares(points: Tensor, height: Tensor, depth: float) -> Tensor:
    """How much attention each interval between points deserves; it sums to 1."""
    width = points.diff(dim=-1)
    higher = torch.maximum(height[..., 1:], height[..., :-1])
    active = width * (higher > -depth)
    shares = [height.diff(dim=-1).abs(), active * torch.exp(0.25 * higher), active]
    totals = [s.sum(-1, keepdim=True).clamp(min=1e-300) for s in shares]
    return torch.stack([s / t for s, t in zip(shares, totals, strict=True)]).sum(0)


def _count(
    table: Tensor, rows: Tensor, compare: Callable[[Tensor, Tensor], Tensor]
) -> Tensor:
    """How many entries of a row of the table compare with each entry of a row."""
    # column by column: all at once would hold a table for each draw
    count = torch.zeros_like(rows, dtype=torch.long)
    for column in table.unbind(-1):
        count = count + compare(column.unsqueeze(-1), rows)
    return count


def _invert(coefficients: Tensor, share: Tensor) -> Tensor:
    """Where the integral from -1 of a positive Legendre series reaches a share of it.

    Eight pieces find the neighbourhood, in which a density that changes by a few
    powers of e over the panel is nearly constant: Newton's method does the rest.
    """
    low, high = -torch.ones_like(share), torch.ones_like(share)
    for _ in range(3):
        middle = 0.5 * (low + high)
        above = _series(coefficients, middle)[0] > share
        low, high = torch.where(above, low, middle), torch.where(above, middle, high)
    x = 0.5 * (low + high)
    for _ in range(4):
        integral, slope = _series(coefficients, x)
        step = x - (integral - share) / slope
        x = torch.minimum(torch.maximum(step, low), high)
    return x


def _series(coefficients: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """The integral from -1 of a Legendre series, and the series."""
    before, now = torch.ones_like(x), x
    value = coefficients[..., 0] * before + coefficients[..., 1] * now
    integral = coefficients[..., 0] * (1 + x)
    for n in range(1, NODES):
        after = ((2 * n + 1) * x * now - n * before) / (n + 1)
        # the integral of P_n is (P_{n+1} - P_{n-1}) / (2n + 1)
        integral = integral + coefficients[..., n] * (after - before) / (2 * n + 1)
        if n + 1 < NODES:
            value = value + coefficients[..., n + 1] * after
        before, now = now, after
    return integral, value


@cache
def _legendre_at_nodes() -> tuple[tuple[float, ...], ...]:
    """Of each node, the Legendre polynomials times (2n + 1) / 2."""
    rows = []
    for x in legendre_nodes(NODES)[0]:
        row = [1.0, x]
        for n in range(1, NODES - 1):
            row.append(((2 * n + 1) * x * row[n] - n * row[n - 1]) / (n + 1))
        rows.append(tuple((n + 0.5) * p for n, p in enumerate(row)))
    return tuple(rows)
