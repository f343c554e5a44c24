# SPDX-License-Identifier: Apache-2.0
"""Angles: whole turns, and distribution functions that start at a half turn."""

import math
from collections.abc import Callable

import torch
from torch import Tensor


def turns(angle: Tensor) -> tuple[Tensor, Tensor]:
    """An angle as one of [-pi, pi] plus a whole number of turns."""
    number = torch.round(angle.detach() / (2 * math.pi))
    return angle - 2 * math.pi * number, number


def wrap(angle: Tensor, dtype: torch.dtype) -> Tensor:
    """An angle of [-pi, pi) in ``dtype``; float32's pi is above pi."""
    largest = math.pi * (1 - torch.finfo(dtype).eps)
    wrapped, _ = turns(angle)
    return wrapped.to(dtype).clamp(-largest, largest)


def circular_cdf(
    centered_cdf: Callable[[Tensor], Tensor], value: Tensor, loc: Tensor
) -> Tensor:
    r""":math:`\int_{-\pi}^z p(t)\,dt`, for :math:`z \in [-\pi, \pi]`, in float64.

    Args:
        centered_cdf: The probability from the antipode to an angle around 0.
        value: :math:`z`.
        loc: The angle around which the law is.
    """
    inside = value.double().clamp(-math.pi, math.pi)
    upper, number = turns(inside - loc.double())
    lower, start = turns(-math.pi - loc.double())
    return centered_cdf(upper) - centered_cdf(lower) + (number - start)
