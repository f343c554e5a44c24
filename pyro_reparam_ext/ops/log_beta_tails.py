# SPDX-License-Identifier: Apache-2.0
"""Both tails of the Beta law and of Student's, in logs."""

import math

import torch
from torch import Tensor

from pyro_reparam_ext.ops.log1mexp import log1mexp
from pyro_reparam_ext.ops.stirling import stirling_remainder
from pyro_reparam_ext.ops.tail_quadrature import drop_length, log_tail_integral


def log_beta(a: Tensor, b: Tensor) -> Tensor:
    r""":math:`\log\mathrm{B}(a, b)`, without the cancellation of large terms.

    Example:
        >>> log_beta(torch.tensor(1e8).double(), torch.tensor(0.5).double())
        tensor(-8.6380, dtype=torch.float64)
    """
    rest = stirling_remainder(a) + stirling_remainder(b) - stirling_remainder(a + b)
    powers = -(a - 0.5) * torch.log1p(b / a) - b * torch.log1p(a / b)
    return powers - 0.5 * b.log() + 0.5 * math.log(2 * math.pi) + rest


def log_beta_tails(
    a: Tensor, b: Tensor, value: Tensor, nodes: int = 80
) -> tuple[Tensor, Tensor]:
    r""":math:`\log I_z(a, b)` and :math:`\log I_{1-z}(b, a)`, however small.

    The one on the far side of the mean from the density there, by quadrature over the
    tail; the other is its complement.

    Args:
        a: Positive, float64.
        b: Positive, float64.
        value: :math:`z` in (0, 1), float64.
        nodes: Of the quadrature; fewer are faster and rougher.

    Gradient: in all arguments, to any order, by the same quadrature.

    Numerics: error below 1e-12 relative to :math:`\max(1, |\log|)` for arguments from
    0.01 to 1e5.

    Example:
        >>> a, z = torch.tensor(400.0).double(), torch.tensor(0.01).double()
        >>> log_beta_tails(a, torch.tensor(2.0).double(), z)[0]
        tensor(-1836.0841, dtype=torch.float64)
    """
    a, b, z = torch.broadcast_tensors(a, b, value)
    rest = 1 - z
    upper = b * z > a * rest
    # the upper tail is the lower one of the mirror image
    a, b = torch.where(upper, b, a), torch.where(upper, a, b)
    z, rest = torch.where(upper, rest, z), torch.where(upper, z, rest)
    odds, excess = z / rest, (b - 1).clamp(min=0)
    length = drop_length((a - excess * odds).clamp(min=0), excess * odds * (1 + odds))
    far = (1 - excess * rest.log()) / a
    integral = log_tail_integral(
        lambda s, a, b, odds: -a * s + (b - 1) * torch.log1p(-odds * torch.expm1(-s)),
        torch.where((length < 1) & (b > 1), length, far),
        *(a, b, odds),
        nodes=nodes,
    )
    log_density = a * z.log() + (b - 1) * rest.log() - log_beta(a, b)
    small = log_density + integral
    other = log1mexp(-small)
    return torch.where(upper, other, small), torch.where(upper, small, other)


def log_beta_pdf(a: Tensor, b: Tensor, value: Tensor) -> Tensor:
    """The log-density of the Beta law, without cancellation for large arguments."""
    powers = (a - 1) * value.log() + (b - 1) * torch.log1p(-value)
    return powers - log_beta(a, b)


def log_student_tail(df: Tensor, value: Tensor, nodes: int = 80) -> Tensor:
    r""":math:`\log P(T > x)` of Student's law, for :math:`x \ge 0`.

    By quadrature in :math:`y = \mathrm{arsinh}(x/\sqrt\nu)`, whose density is
    proportional to :math:`\cosh^{-\nu} y`.

    Args:
        df: :math:`\nu > 0`, float64.
        value: :math:`x \ge 0`, float64.
        nodes: Of the quadrature; fewer are faster and rougher.

    Gradient: in both arguments, to any order.

    Numerics: error below 1e-12 relative to :math:`\max(1, |\log|)` for :math:`\nu`
    from 0.1 to 1e6.

    Example:
        >>> log_student_tail(torch.tensor(3.0).double(), torch.tensor(1e9).double())
        tensor(-62.0721, dtype=torch.float64)
    """
    df, value = torch.broadcast_tensors(df, value)
    y = torch.asinh(value / df.sqrt())
    half = torch.full_like(df, 0.5)
    start = _log_cosh(y)
    length = drop_length(df * torch.tanh(y), df / torch.cosh(y.clamp(max=300)).square())
    integral = log_tail_integral(
        lambda s, df, y, start: -df * (_log_cosh(y + s) - start),
        torch.where(length < 1, length, 1 / df + math.log(2)),
        *(df, y, start),
        nodes=nodes,
    )
    return -df * start - log_beta(half, 0.5 * df) + integral


def log_student_pdf(df: Tensor, value: Tensor) -> Tensor:
    r"""The log-density of Student's law, without cancellation for large :math:`\nu`."""
    y = torch.asinh(value.abs() / df.sqrt())
    normalizer = log_beta(torch.full_like(df, 0.5), 0.5 * df) + 0.5 * df.log()
    return -(df + 1) * _log_cosh(y) - normalizer


def _log_cosh(y: Tensor) -> Tensor:
    """Of nonnegative numbers, to their own digits near 0."""
    near = y < 1
    half = torch.sinh(0.5 * torch.where(near, y, 0.0))
    far = torch.where(near, 1.0, y)
    tail = far + torch.log1p(torch.exp(-2 * far)) - math.log(2)
    return torch.where(near, torch.log1p(2 * half.square()), tail)
