# SPDX-License-Identifier: Apache-2.0
r"""Draws of a truncated normal law and their derivatives, each in its own regime.

Where the interval is half a standard deviation wide and contains the mode, or comes
near it and the draw is not next to a bound, the quantile function of the normal law is
accurate as it is. This is computed everywhere, in a few operations; what is left, far
tails and narrow intervals, is then replaced by the solution for the distance from a
bound.
"""

import math
from typing import Any

import torch
from torch import Tensor

from pyro_reparam_ext.ops.in_parts import in_parts
from pyro_reparam_ext.ops.quick_map import choose
from pyro_reparam_ext.ops.truncated_normal_quantile import (
    anchored_gradient,
    solve_anchored,
)

_WIDE = 0.5
_ASIDE = 1.5  # how far the mode may lie outside of the interval
_NEXT = 0.01  # closer to a bound, the distance from it has lost digits
_FAR = 1e8  # there the density is 0


def quick_truncated_normal(
    u: Tensor, loc: Tensor, scale: Tensor, low: Tensor, high: Tensor
) -> Tensor:
    r"""The :math:`u`-quantile, for :func:`quick_map`; no derivatives.

    Args:
        u: Probability in (0, 1), in float64 as all others.
        loc: :math:`\mu`.
        scale: :math:`\sigma > 0`.
        low: :math:`l`, possibly :math:`-\infty`.
        high: :math:`h > l`, possibly :math:`\infty`.

    Numerics: as :func:`truncated_normal_offset`.
    """
    arguments = [u, loc, scale, low, high]
    is_plain, plain = in_parts(_plain_value, *arguments)
    (found,) = _replace_others(plain.reshape(1, -1), is_plain, arguments)
    return found


def quick_truncated_normal_partials(
    u: Tensor, loc: Tensor, scale: Tensor, low: Tensor, high: Tensor
) -> tuple[Tensor, ...]:
    """Its derivatives in ``loc``, ``scale``, ``low`` and ``high``."""
    arguments = [u, loc, scale, low, high]
    is_plain, *plain = in_parts(_plain_partials, *arguments)
    return _replace_others(
        torch.stack([x.reshape(-1) for x in plain]), is_plain, arguments
    ).unbind()


def _plain_value(
    u: Tensor, loc: Tensor, scale: Tensor, low: Tensor, high: Tensor
) -> tuple[Tensor, ...]:
    z, is_plain = _plain(u, *_standardized(loc, scale, low, high))
    return is_plain, loc + scale * z


def _plain_partials(
    u: Tensor, loc: Tensor, scale: Tensor, low: Tensor, high: Tensor
) -> tuple[Tensor, ...]:
    a, b = _standardized(loc, scale, low, high)
    z, is_plain = _plain(u, a, b)
    by_low = (1 - u) * torch.exp(0.5 * (z - a) * (z + a))
    by_high = u * torch.exp(0.5 * (z - b) * (z + b))
    by_scale = z - a * by_low - b * by_high
    return is_plain, 1 - by_low - by_high, by_scale, by_low, by_high


def _standardized(
    loc: Tensor, scale: Tensor, low: Tensor, high: Tensor
) -> tuple[Tensor, Tensor]:
    return (
        ((low - loc) / scale).clamp(min=-_FAR),
        ((high - loc) / scale).clamp(max=_FAR),
    )


def _plain(u: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """The standard quantile from the smaller tail, and whether it is accurate."""
    under, over = (0.5 * torch.special.erfc(x * math.sqrt(0.5)) for x in (-a, b))
    below = (1 - u) * under + u * (1 - over)
    above = (1 - u) * (1 - under) + u * over
    is_left = above - below
    z = torch.special.ndtri(choose(is_left, below, above)) * is_left.sign()
    z = torch.minimum(torch.maximum(z, a), b)
    away = torch.minimum(z - a, b - z) - _NEXT
    around = torch.minimum(-a, b)
    is_near = torch.maximum(around, torch.minimum(around + _ASIDE, away))
    return z, torch.minimum(is_near, b - a - _WIDE) > 0


def _replace(plain: Tensor, is_plain: Tensor, arguments: list[Tensor]) -> Tensor:
    result = plain.clone()
    index = (~is_plain).expand(result.shape[1:]).nonzero().squeeze(-1)
    if index.numel():
        part = [x.expand(result.shape[1:])[index] for x in arguments]
        result[:, index] = _anchored(part, with_partials=len(result) > 1)
    return result


_replace_others: Any = torch.library.custom_op(
    "pyro_reparam_ext::quick_truncated_normal",
    _replace,
    mutates_args=(),
    schema="(Tensor plain, Tensor is_plain, Tensor[] arguments) -> Tensor",
)


@_replace_others.register_fake  # type: ignore[untyped-decorator]
def _(plain: Tensor, is_plain: Tensor, arguments: list[Tensor]) -> Tensor:
    return torch.empty_like(plain, memory_format=torch.contiguous_format)


def _anchored(arguments: list[Tensor], with_partials: bool) -> Tensor:
    """From the bound nearer the mode: the quantile, or its derivatives."""
    u, loc, scale, low, high = arguments
    mirrored = (low - loc) + (high - loc) < 0
    bound = torch.where(mirrored, high, low)
    side = torch.where(mirrored, -1.0, 1.0).to(scale.dtype)
    length = torch.where(low < high, high - low, math.nan)
    a, width = side * (bound - loc) / scale, length / scale
    u = torch.where(mirrored, 1 - u, u)
    offset = solve_anchored(u, a, width)
    if not with_partials:
        return (bound + side * scale * offset).unsqueeze(0)
    _, by_lower, by_length, by_scale = anchored_gradient(offset, u, a, width)
    at_bound = 1 + by_lower - by_length
    return torch.stack(
        [
            -by_lower,
            side * by_scale,
            torch.where(mirrored, by_length, at_bound),
            torch.where(mirrored, at_bound, by_length),
        ]
    )
