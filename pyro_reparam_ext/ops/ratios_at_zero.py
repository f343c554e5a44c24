# SPDX-License-Identifier: Apache-2.0
"""Functions that cancel at 0 as they are written, with exact derivatives there."""

import math

import torch
from torch import Tensor

_EXPM1_SWITCH = 0.5
_LOG1P_SWITCH = 0.25


def expm1_ratio(x: Tensor) -> Tensor:
    r""":math:`(e^x - 1)/x`, equal to 1 at :math:`x = 0`.

    The series around 0 is a polynomial in :math:`x`, so that the derivatives there,
    1/2 and 1/3, come out of automatic differentiation; a branch without :math:`x`
    would give 0.

    Example:
        >>> x = torch.tensor(0.0, requires_grad=True)
        >>> torch.autograd.grad(expm1_ratio(x), x)
        (tensor(0.5000),)
    """
    near = x.abs() < _EXPM1_SWITCH
    small = torch.where(near, x, 0.0)
    series = torch.zeros_like(small)
    for n in range(14, 0, -1):
        series = series * small + 1 / math.factorial(n)
    large = torch.where(near, 1.0, x)
    return torch.where(near, series, torch.expm1(large) / large)


def expm1_remainder(x: Tensor) -> Tensor:
    r""":math:`e^x - 1 - x`, about :math:`x^2/2` near 0, to its own digits.

    Example:
        >>> expm1_remainder(torch.tensor([1e-10, 1.0], dtype=torch.float64))
        tensor([5.0000e-21, 7.1828e-01], dtype=torch.float64)
    """
    near = x.abs() < _EXPM1_SWITCH
    small = torch.where(near, x, 0.0)
    series = torch.zeros_like(small)
    for n in range(15, 1, -1):
        series = series * small + 1 / math.factorial(n)
    large = torch.where(near, 1.0, x)
    return torch.where(near, series * small.square(), torch.expm1(large) - large)


def log1p_ratio(x: Tensor) -> Tensor:
    r""":math:`\log(1 + x)/x` for :math:`x > -1`, equal to 1 at :math:`x = 0`.

    Around 0 through :math:`\log(1+x) = 2\,\mathrm{artanh}(y)`, :math:`y = x/(2+x)`,
    whose series converges quickly; derivatives as in :func:`expm1_ratio`.

    Example:
        >>> x = torch.tensor(0.0, requires_grad=True)
        >>> torch.autograd.grad(log1p_ratio(x), x)
        (tensor(-0.5000),)
    """
    near = x.abs() < _LOG1P_SWITCH
    small = torch.where(near, x, 0.0)
    square = (small / (2 + small)).square()
    series = torch.zeros_like(square)
    for n in range(10, -1, -1):
        series = series * square + 1 / (2 * n + 1)
    large = torch.where(near, 1.0, x)
    return torch.where(near, 2 / (2 + small) * series, torch.log1p(large) / large)
