# SPDX-License-Identifier: Apache-2.0
"""Quantiles of any law whose tails are known in logs."""

from collections.abc import Callable

import torch
from torch import Tensor

_HALVINGS = 14
_STEPS = 7
_SIGN_BIT = 2**63 - 1


Pair = Callable[[Tensor], tuple[Tensor, Tensor]]


def invert_tails(
    log_tails: Pair,
    rough_tails: Pair | None,
    log_density: Callable[[Tensor], Tensor],
    log_probability: Tensor,
    upper: Tensor,
    low: Tensor,
    high: Tensor,
) -> Tensor:
    r"""The value at which the lower log-tail, or the upper one, has a given value.

    The floating-point numbers between ``low`` and ``high`` are halved, so that neither
    an infinite end nor a root near 0 needs a scale, until the root is known to its
    power of 2; from there by Newton's method on the log-tail, as a function of the
    distance from a finite end in logs, kept between the bounds known so far. In
    float64, without gradient.

    Args:
        log_tails: From values to :math:`\log F` and :math:`\log(1 - F)`.
        rough_tails: The same to some six digits, for the search.
        log_density: From values to the log-density.
        log_probability: The given log-tail.
        upper: Whether it is the upper one.
        low: The lower end of the support, possibly :math:`-\infty`.
        high: The upper end.
    """
    largest = torch.finfo(torch.float64).max
    low, high, target, upper = torch.broadcast_tensors(
        low.double().clamp(-largest, largest),
        high.double().clamp(-largest, largest),
        log_probability.double(),
        upper,
    )
    search = log_tails if rough_tails is None else rough_tails
    # strictly inside: an end may be no point of the support
    left, right = _rank(low) + 1, _rank(high) - 1
    for _ in range(_HALVINGS):
        middle = (left >> 1) + (right >> 1) + (left & right & 1)
        lower_tail, upper_tail = search(_of_rank(middle))
        root_is_above = torch.where(upper, upper_tail > target, lower_tail < target)
        left = torch.where(root_is_above, middle, left)
        right = torch.where(root_is_above, right, middle)
    start, end = _of_rank(left), _of_rank(right)
    first, last = _of_rank(_rank(low) + 1), _of_rank(_rank(high) - 1)
    bounded = torch.where(upper, high < largest, low > -largest)
    at_end = torch.where(upper, high, low)
    value = start + 0.5 * (end - start)
    for i in range(_STEPS):
        exact = rough_tails is None or i >= _STEPS - 2
        lower_tail, upper_tail = (log_tails if exact else search)(value)
        tail = torch.where(upper, upper_tail, lower_tail)
        error = torch.where(upper, tail - target, target - tail)
        step = error * torch.exp(tail - log_density(value))
        # towards a finite end a tail is about a power of the distance from it
        growth = torch.exp((step / (value - at_end)).clamp(-50, 50))
        moved = torch.where(bounded, at_end + (value - at_end) * growth, value + step)
        if i >= _STEPS - 2:  # rough tails may have misplaced the bounds a little
            value = torch.minimum(torch.maximum(moved, first), last)
            continue
        start, end = (
            torch.where(error > 0, value, start),
            torch.where(error > 0, end, value),
        )
        inside = (moved >= start) & (moved <= end)
        moved = torch.where(inside, moved, start + 0.5 * (end - start))
        beyond = bounded & (growth < 1) & ~inside  # the root rounds to the end
        value = torch.where(beyond, torch.where(upper, end, start), moved)
    return value


def _rank(value: Tensor) -> Tensor:
    """An integer that orders floating-point numbers as they are ordered."""
    bits = value.contiguous().view(torch.int64)
    return torch.where(bits < 0, bits ^ _SIGN_BIT, bits)


def _of_rank(rank: Tensor) -> Tensor:
    bits = torch.where(rank < 0, rank ^ _SIGN_BIT, rank)
    return bits.contiguous().view(torch.float64)
