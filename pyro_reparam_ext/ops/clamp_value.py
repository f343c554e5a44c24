# SPDX-License-Identifier: Apache-2.0
"""Rounding a draw into its support without losing its gradient."""

import torch
from torch import Tensor


def clamp_value(value: Tensor, low: Tensor | float, high: Tensor | float) -> Tensor:
    """``value`` clamped to ``[low, high]``, with the gradient of ``value`` itself.

    For draws that leave an open support by rounding alone: ``torch.clamp`` would give
    them the gradient 0. ``value`` must be finite.

    Example:
        >>> x = torch.tensor(1.0, requires_grad=True)
        >>> clamp_value(x, 0.0, 0.5).backward()
        >>> x.grad
        tensor(1.)
    """
    kept = value.detach()
    # torch.clamp wants both ends as tensors, or both as numbers
    clamped = torch.minimum(
        torch.maximum(kept, torch.as_tensor(low, dtype=kept.dtype, device=kept.device)),
        torch.as_tensor(high, dtype=kept.dtype, device=kept.device),
    )
    return clamped + (value - kept)


def clamp_to_interior(value: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """``value`` clamped to the floating-point numbers strictly between the ends.

    An infinite end gives the largest finite number. Where no number lies between the
    ends, the result is one of the ends. The gradient is that of ``value``, which must
    be finite.

    Example:
        >>> zero, one = torch.tensor(0.0), torch.tensor(1.0)
        >>> clamp_to_interior(torch.tensor([-1.0, 0.5, 1.0]), zero, one) < 1
        tensor([True, True, True])
    """
    inner_low = torch.nextafter(low.detach(), high.detach())
    inner_high = torch.nextafter(high.detach(), low.detach())
    return clamp_value(value, inner_low, inner_high)
