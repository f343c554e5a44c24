# SPDX-License-Identifier: Apache-2.0
r"""The ratio of Bessel functions :math:`I_1/I_0`, subtracted from 1."""

import torch
from torch import Tensor

_SWITCH = 30.0


def _coefficients(count: int) -> tuple[float, ...]:
    # B = 1 - I1/I0 solves B' = (1 - B)/x - 2B + B^2; c[n] is that of x^-n
    c = [0.0, 0.5]
    for n in range(2, count + 1):
        square = sum(c[i] * c[n - i] for i in range(1, n))
        c.append(0.5 * ((n - 2) * c[n - 1] + square))
    return tuple(c)


_COEFFICIENTS = _coefficients(20)


def asymptotic_series(x: float) -> float:
    r""":math:`1 - I_1(x)/I_0(x)` for large :math:`x`."""
    series = 0.0
    for c in reversed(_COEFFICIENTS):
        series = series / x + c
    return series


def one_minus_bessel_ratio(x: Tensor) -> Tensor:
    r""":math:`1 - I_1(x)/I_0(x)` for :math:`x > 0`, without cancellation.

    The circular variance of a von Mises law of concentration :math:`x`, about
    :math:`1/(2x)` for large :math:`x`, where the asymptotic series is used: the
    difference of the two Bessel functions keeps few digits there, and their
    derivatives fewer.

    Source: the series solves the Riccati equation of the ratio, Abramowitz and Stegun
    (1964), 9.6.26.

    Example:
        >>> one_minus_bessel_ratio(torch.tensor([1e-8, 1e8], dtype=torch.float64))
        tensor([1.0000e+00, 5.0000e-09], dtype=torch.float64)
    """
    large = x > _SWITCH
    # each branch sees only arguments of its own side: no NaN in the unused gradient
    y = torch.where(large, x, _SWITCH).reciprocal()
    series = torch.zeros_like(y)
    for c in reversed(_COEFFICIENTS):
        series = series * y + c
    small = torch.where(large, 1.0, x)
    direct = 1 - torch.special.i1e(small) / torch.special.i0e(small)
    return torch.where(large, series, direct)
