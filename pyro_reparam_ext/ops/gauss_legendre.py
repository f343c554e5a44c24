# SPDX-License-Identifier: Apache-2.0
"""Gauss-Legendre quadrature with differentiable limits."""

import math
from collections.abc import Callable
from functools import cache
from typing import Any

from torch import Tensor

_CACHED = 2**16  # numbers


def gauss_legendre(
    function: Callable[[Tensor], Tensor],
    lower: Tensor,
    upper: Tensor,
    num_nodes: int = 32,
) -> Tensor:
    r""":math:`\int_a^b f(t)\,dt` by one Gauss-Legendre rule, elementwise in the limits.

    Exact for polynomials of degree ``2 * num_nodes - 1``, and accurate to rounding for
    an analytic integrand that changes over the whole of :math:`[a, b]`: choose the
    limits so that they do not go far beyond where it has died out. Differentiable, to
    any order, in the limits and in whatever ``function`` depends on.

    Args:
        function: :math:`f`, called with nodes of shape ``shape + (n,)``, perhaps in
            several parts.
        lower: :math:`a`, broadcasting with :math:`b` to ``shape``.
        upper: :math:`b`.
        num_nodes: Number of evaluations of :math:`f` for each element.

    Example:
        >>> import torch
        >>> gauss_legendre(torch.exp, torch.tensor(0.0), torch.tensor([1.0, -1.0]))
        tensor([ 1.7183, -0.6321])
    """
    half = 0.5 * (upper - lower)
    middle = 0.5 * (upper + lower)
    nodes, weights = (half.new_tensor(numbers) for numbers in legendre_nodes(num_nodes))
    # as many nodes at once as the processor's cache has room for
    size = max(1, _CACHED // max(1, half.numel()))
    total: Any = 0.0
    for x, weight in zip(nodes.split(size), weights.split(size), strict=True):
        t = middle.unsqueeze(-1) + half.unsqueeze(-1) * x
        total = total + (function(t) * weight).sum(-1)
    return half * total


@cache
def legendre_nodes(num_nodes: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Nodes and weights on (-1, 1): the roots of the Legendre polynomial, by Newton."""
    nodes, weights = [], []
    for i in range(num_nodes):
        x = -math.cos(math.pi * (i + 0.75) / (num_nodes + 0.5))
        for _ in range(10):
            value, slope = _legendre(num_nodes, x)
            x -= value / slope
        _, slope = _legendre(num_nodes, x)
        nodes.append(x)
        weights.append(2 / ((1 - x * x) * slope * slope))
    return tuple(nodes), tuple(weights)


def _legendre(n: int, x: float) -> tuple[float, float]:
    """The Legendre polynomial of degree n and its derivative."""
    before, value = 1.0, x
    for k in range(2, n + 1):
        before, value = value, ((2 * k - 1) * x * value - (k - 1) * before) / k
    return value, n * (x * value - before) / (x * x - 1)
