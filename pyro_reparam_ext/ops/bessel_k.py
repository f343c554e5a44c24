# SPDX-License-Identifier: Apache-2.0
r"""The Bessel function :math:`K_1` in logs, and the ratio :math:`K_0/K_1`."""

from typing import Any

import torch
from torch import Tensor

_SWITCH = 30.0


def _coefficients(count: int) -> tuple[float, ...]:
    # C = 1 - K0/K1 solves C' = 2C - C^2 - (1 - C)/x; c[n] is that of x^-n
    c = [0.0, 0.5]
    for n in range(2, count + 1):
        square = sum(c[i] * c[n - i] for i in range(1, n))
        c.append(0.5 * (square - n * c[n - 1]))
    return tuple(c)


_COEFFICIENTS = _coefficients(20)


def log_bessel_k1e(x: Tensor) -> Tensor:
    r""":math:`\log(e^x K_1(x))` for :math:`x > 0`.

    Gradient: :math:`1 - K_0/K_1 - 1/x`, without cancellation, and exact to any order;
    :func:`torch.special.scaled_modified_bessel_k1` has none.

    Source: Abramowitz and Stegun (1964), 9.6.27 and 9.6.28.

    Example:
        >>> x = torch.tensor([1e-3, 1e8], dtype=torch.float64, requires_grad=True)
        >>> log_bessel_k1e(x)
        tensor([ 6.9088, -8.9845], dtype=torch.float64, grad_fn=<_LogK1eBackward>)
        >>> torch.autograd.grad(log_bessel_k1e(x).sum(), x)
        (tensor([-9.9901e+02, -5.0000e-09], dtype=torch.float64),)
    """
    return _LogK1e.apply(x)


def one_minus_bessel_k_ratio(x: Tensor) -> Tensor:
    r""":math:`1 - K_0(x)/K_1(x)` for :math:`x > 0`, without cancellation.

    About :math:`1/(2x)` for large :math:`x`, where the asymptotic series is used.

    Source: the series solves the Riccati equation of the ratio, Abramowitz and Stegun
    (1964), 9.6.26.

    Example:
        >>> one_minus_bessel_k_ratio(torch.tensor([1e-8, 1e8], dtype=torch.float64))
        tensor([1.0000e+00, 5.0000e-09], dtype=torch.float64)
    """
    large = x > _SWITCH
    # each branch sees only arguments of its own side: no NaN in the unused gradient
    y = torch.where(large, x, _SWITCH).reciprocal()
    series = torch.zeros_like(y)
    for c in reversed(_COEFFICIENTS):
        series = series * y + c
    direct = 1 - _Ratio.apply(torch.where(large, 1.0, x))
    return torch.where(large, series, direct)


class _LogK1e(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return torch.special.scaled_modified_bessel_k1(x).log()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return grad_output * (one_minus_bessel_k_ratio(x) - 1 / x)


class _Ratio(torch.autograd.Function):
    """K0/K1, whose derivative is one in terms of itself."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        k0 = torch.special.scaled_modified_bessel_k0(x)
        return k0 / torch.special.scaled_modified_bessel_k1(x)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs, output)

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> Tensor:
        x, ratio = ctx.saved_tensors
        return grad_output * (ratio.square() + ratio / x - 1)
