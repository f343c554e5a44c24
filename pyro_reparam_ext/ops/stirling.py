# SPDX-License-Identifier: Apache-2.0
"""What Stirling's formula leaves of the logarithm of the Gamma function."""

import math

import torch
from torch import Tensor

_SWITCH = 12.0
_STEPS = 6
# B(2n) / (2n (2n - 1)), of x^(1 - 2n)
_COEFFICIENTS = (
    1 / 12,
    -1 / 360,
    1 / 1260,
    -1 / 1680,
    1 / 1188,
    -691 / 360360,
    1 / 156,
    -3617 / 122400,
)


def stirling_remainder(x: Tensor) -> Tensor:
    r""":math:`\log\Gamma(x) - (x - \tfrac12)\log x + x - \tfrac12\log 2\pi`, x > 0.

    About :math:`1/12x` for large :math:`x`, by the asymptotic series. Densities of the
    Gamma family written in it keep their digits where :math:`\log\Gamma` is large.

    Source: Abramowitz and Stegun (1964), 6.1.41.

    Example:
        >>> stirling_remainder(torch.tensor([1.0, 1e6], dtype=torch.float64))
        tensor([8.1061e-02, 8.3333e-08], dtype=torch.float64)
    """
    large, small, inverse, square = _sides(x)
    series = torch.zeros_like(square)
    for c in reversed(_COEFFICIENTS):
        series = series * square + c
    direct = (
        torch.lgamma(small)
        - (small - 0.5) * small.log()
        + (small - 0.5 * math.log(2 * math.pi))
    )
    return torch.where(large, series * inverse, direct)


def log_minus_digamma(x: Tensor) -> Tensor:
    r""":math:`\log x - \psi(x)` for :math:`x > 0`, without cancellation.

    Between :math:`1/2x` and :math:`1/x`. The derivative of the series of
    :func:`stirling_remainder` at :math:`y = x + 6`, and the steps from there by
    :math:`\psi(x) = \psi(x+1) - 1/x`: one formula for all arguments.

    Example:
        >>> log_minus_digamma(torch.tensor([1.0, 1e6], dtype=torch.float64))
        tensor([5.7722e-01, 5.0000e-07], dtype=torch.float64)
    """
    inverse = (x + _STEPS).reciprocal()
    square = inverse.square()
    *others, last = ((2 * n + 1) * c for n, c in enumerate(_COEFFICIENTS))
    series = square * last
    for c in reversed(others):
        series = (series + c) * square
    steps = x.reciprocal()
    log_growth = torch.log1p(_STEPS * steps)
    for k in range(1, _STEPS):
        steps = steps + (x + k).reciprocal()
    return series + 0.5 * inverse + (steps - log_growth)


def _sides(x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    # each branch sees only arguments of its own side: no NaN in the unused gradient
    large = x > _SWITCH
    inverse = torch.where(large, x, _SWITCH).reciprocal()
    return large, torch.where(large, _SWITCH, x), inverse, inverse.square()
