# SPDX-License-Identifier: Apache-2.0
"""Quantiles of any law whose tails are known in logs."""

from collections.abc import Callable

import torch
from torch import Tensor

_HALVINGS = 28
_SIGN_BIT = 2**63 - 1


def invert_tails(
    log_tails: Callable[[Tensor], tuple[Tensor, Tensor]],
    log_density: Callable[[Tensor], Tensor],
    log_probability: Tensor,
    upper: Tensor,
    low: Tensor,
    high: Tensor,
) -> Tensor:
    r"""The value at which the lower log-tail, or the upper one, has a given value.

    The floating-point numbers between ``low`` and ``high`` are halved, so that neither
    an infinite end nor a root near 0 needs a scale; Newton's method on the log-tail
    doubles the digits from there. In float64, without gradient.

    Args:
        log_tails: From values to :math:`\log F` and :math:`\log(1 - F)`.
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
    # strictly inside: an end may be no point of the support
    left, right = _rank(low) + 1, _rank(high) - 1
    for _ in range(_HALVINGS):
        middle = (left >> 1) + (right >> 1) + (left & right & 1)
        lower_tail, upper_tail = log_tails(_of_rank(middle))
        root_is_above = torch.where(upper, upper_tail > target, lower_tail < target)
        left = torch.where(root_is_above, middle, left)
        right = torch.where(root_is_above, right, middle)
    start, end = _of_rank(left), _of_rank(right)
    value = start + 0.5 * (end - start)
    for _ in range(3):
        lower_tail, upper_tail = log_tails(value)
        tail = torch.where(upper, upper_tail, lower_tail)
        step = (tail - target) * torch.exp(tail - log_density(value))
        moved = torch.where(upper, value + step, value - step)
        moved = torch.minimum(torch.maximum(moved, start), end)
        value = torch.where(moved.isfinite(), moved, value)
    return value


def _rank(value: Tensor) -> Tensor:
    """An integer that orders floating-point numbers as they are ordered."""
    bits = value.contiguous().view(torch.int64)
    return torch.where(bits < 0, bits ^ _SIGN_BIT, bits)


def _of_rank(rank: Tensor) -> Tensor:
    bits = torch.where(rank < 0, rank ^ _SIGN_BIT, rank)
    return bits.contiguous().view(torch.float64)
