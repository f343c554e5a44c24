# SPDX-License-Identifier: Apache-2.0
"""Mills' ratio by polynomials, where no derivative of it is wanted."""

import math

import torch
from torch import Tensor

from pyro_reparam_ext.ops.half_line import HalfLinePolynomial
from pyro_reparam_ext.ops.positive_mills_ratio import positive_mills_ratio


def quick_mills(x: Tensor) -> tuple[Tensor, Tensor]:
    r""":math:`M(x)` and :math:`1 - x M(x)` for :math:`x \ge 0`; no derivatives.

    The values of :func:`mills_ratio` and :func:`mills_ratio_complement`, ten times as
    fast: :func:`positive_mills_ratio`, and :math:`(x + 1)^2 (1 - x M)` as a polynomial
    in :math:`(x - 4)/(x + 4)`, to 1e-14 in float64 and 3e-7 in float32.

    Source: the variable as in Shepherd and Laframboise (1981), "Chebyshev approximation
    of (1 + 2x) exp(x^2) erfc x".

    Example:
        >>> ratio, complement = quick_mills(torch.tensor([0.0, 1e6]).double())
        >>> complement
        tensor([1.0000e+00, 1.0000e-12], dtype=torch.float64)
    """
    over = 1 / (x + 1)
    return positive_mills_ratio(x), over * over * _COMPLEMENT(x)


def _scaled_complement(x: float) -> float:
    if x < 2:
        return (1 + x) ** 2 * (1 - x * _near_ratio(x))
    rest = _rest(x)
    return (1 + x) ** 2 * rest / (x + rest)


def _near_ratio(x: float) -> float:
    return math.sqrt(math.pi / 2) * math.exp(0.5 * x * x) * math.erfc(x / 2**0.5)


def _rest(x: float) -> float:
    """1/M(x) - x by Laplace's continued fraction."""
    rest = 0.0
    for k in range(200, 0, -1):
        rest = k / (x + rest)
    return rest


_COMPLEMENT = HalfLinePolynomial(
    _scaled_complement, 4.0, {torch.float64: 26, torch.float32: 12}
)
