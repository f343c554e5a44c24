# SPDX-License-Identifier: Apache-2.0
"""The density and the tail of Student's law, in logs."""

import math

import torch
from torch import Tensor

from pyro_reparam_ext.ops.log_beta_tails import log_beta_tails
from pyro_reparam_ext.ops.stirling import stirling_remainder

_LOG_2 = math.log(2)
_TERMS = 7


def log_student_density(df: Tensor, value: Tensor) -> Tensor:
    r""":math:`\log p(t)` of Student's law with :math:`\nu` degrees of freedom.

    The Gamma functions by remainders of Stirling's formula, so that nothing cancels for
    large :math:`\nu`.

    Args:
        df: :math:`\nu > 0`.
        value: :math:`t`, any real number.

    Example:
        >>> log_student_density(torch.tensor(1e8).double(), torch.tensor(1.0).double())
        tensor(-1.4189, dtype=torch.float64)
    """
    half = 0.5 * df
    log_peak = (
        half * torch.log1p(0.5 / half)
        - 0.5 * (1 + math.log(2 * math.pi))
        + stirling_remainder(half + 0.5)
        - stirling_remainder(half)
    )
    u = value.abs() / df.sqrt()
    near = u < 1
    small, large = torch.where(near, u, 0.0), torch.where(near, 1.0, u)
    log_growth = torch.where(
        near,
        torch.log1p(small.square()),
        2 * large.log() + torch.log1p(1 / large.square()),
    )
    return log_peak - (half + 0.5) * log_growth


def log_student_tail(df: Tensor, value: Tensor, rough: bool = False) -> Tensor:
    r""":math:`\log P(T > t)` of Student's law, for :math:`t \ge 0`.

    Half a tail of the law of :math:`\nu/(\nu + t^2)`, which is
    :math:`\mathrm{Beta}(\nu/2, 1/2)`; around 0, where that is at its end, the density
    integrated term by term.

    Args:
        df: :math:`\nu > 0`, float64.
        value: :math:`t \ge 0`, float64.
        rough: To some six digits, and faster, for a search.

    Gradient: in both arguments, to any order.

    Numerics: error below 1e-12 relative to :math:`\max(1, |\log|)` for :math:`\nu`
    from 1e-2 to 1e6.

    Example:
        >>> log_student_tail(torch.tensor(3.0).double(), torch.tensor(1e9).double())
        tensor(-62.0721, dtype=torch.float64)
    """
    df, t = torch.broadcast_tensors(df, value)
    center = (df + 1) * t.square() < 1e-3 * df
    half = 0.5 * df
    outer = torch.where(center, df.sqrt(), t)
    logit = df.log() - 2 * outer.log()
    away = log_beta_tails(half, torch.full_like(half, 0.5), logit, rough)[0] - _LOG_2
    s = torch.where(center, t, 0.0)
    square, term = s.square() / df, s
    series = s
    for k in range(1, _TERMS):
        term = -term * square * (0.5 * (df + 1) + k - 1) / k
        series = series + term / (2 * k + 1)
    peak = log_student_density(df, torch.zeros_like(df)).exp()
    return torch.where(center, torch.log1p(-2 * peak * series) - _LOG_2, away)
