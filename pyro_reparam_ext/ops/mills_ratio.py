# SPDX-License-Identifier: Apache-2.0
"""Mills' ratio of the normal law, and its distance from 1/x."""

import math

import torch
from torch import Tensor

_SWITCH = 20.0
_TERMS = 10


def mills_ratio(x: Tensor) -> Tensor:
    r""":math:`M(x) = \Phi(-x)/\phi(x) = \sqrt{\pi/2}\,\mathrm{erfcx}(x/\sqrt2)`.

    The tail of the normal law relative to its density; about :math:`1/x`.
    Derivatives are accurate for large :math:`x` too, where those of ``erfcx`` cancel.

    Example:
        >>> mills_ratio(torch.tensor([0.0, 1e6], dtype=torch.float64))
        tensor([1.2533e+00, 1.0000e-06], dtype=torch.float64)
    """
    near, far, large = _sides(x)
    return torch.where(large, (1 - _far_complement(far)) / far, _near_ratio(near))


def mills_ratio_complement(x: Tensor) -> Tensor:
    r""":math:`1 - x M(x) = -M'(x)`, without cancellation.

    The asymptotic series :math:`x^{-2}(1 - 3x^{-2} + 15x^{-4} - \dots)` above 20,
    where its error is below a rounding unit; the difference below, where up to 9 bits
    cancel.

    Source: Abramowitz and Stegun (1964), 7.1.23.

    Example:
        >>> mills_ratio_complement(torch.tensor([0.0, 1e6], dtype=torch.float64))
        tensor([1.0000e+00, 1.0000e-12], dtype=torch.float64)
    """
    near, far, large = _sides(x)
    return torch.where(large, _far_complement(far), 1 - near * _near_ratio(near))


def _sides(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    # each branch sees only arguments of its own side: no NaN in the unused gradient
    large = x > _SWITCH
    return torch.where(large, _SWITCH, x), torch.where(large, x, _SWITCH), large


def _near_ratio(x: Tensor) -> Tensor:
    return math.sqrt(math.pi / 2) * torch.special.erfcx(x * math.sqrt(0.5))


def _far_complement(x: Tensor) -> Tensor:
    square = x.square().reciprocal()
    series = torch.ones_like(x)
    for k in range(_TERMS, 0, -1):
        series = 1 - (2 * k + 1) * square * series
    return series * square
