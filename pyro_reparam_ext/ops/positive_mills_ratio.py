# SPDX-License-Identifier: Apache-2.0
"""Mills' ratio of the normal law above its mean, by one polynomial."""

import math
from functools import cache

import torch
from torch import Tensor

_CENTER = {torch.float32: 3.5, torch.float64: 5.0}
_DEGREE = {torch.float32: 9, torch.float64: 20}


def positive_mills_ratio(x: Tensor) -> Tensor:
    r""":math:`M(x)` of :func:`mills_ratio` for :math:`x \ge 0`, without derivatives.

    For use inside of an ``autograd.Function``, several times as fast as ``erfcx``:
    :math:`(x + k)M(x)` is a polynomial in :math:`(x - k)/(x + k)` to rounding, 4e-7 in
    float32 and 5e-15 in float64.

    Example:
        >>> positive_mills_ratio(torch.tensor([0.0, 1e6], dtype=torch.float64))
        tensor([1.2533e+00, 1.0000e-06], dtype=torch.float64)
    """
    center = _CENTER[x.dtype]
    factor = (x + center).reciprocal()
    t = 1 - 2 * center * factor
    result, *rest = x.new_tensor(_coefficients(x.dtype)).unbind()
    for c in rest:
        result = torch.addcmul(c, result, t)
    return result * factor


@cache
def _coefficients(dtype: torch.dtype) -> tuple[float, ...]:
    """Of the polynomial that interpolates at Chebyshev's points, the highest first."""
    center, number = _CENTER[dtype], _DEGREE[dtype] + 1
    angles = (torch.arange(number, dtype=torch.float64) + 0.5) * (math.pi / number)
    nodes = angles.cos()
    x = center * (1 + nodes) / (1 - nodes)
    ratio = math.sqrt(math.pi / 2) * torch.special.erfcx(x * math.sqrt(0.5))
    powers = nodes.unsqueeze(-1) ** torch.arange(number)
    solution = torch.linalg.solve(powers, (x + center) * ratio)
    return tuple(solution.flip(0).tolist())
