# SPDX-License-Identifier: Apache-2.0
"""Both tails of the Gamma law in logs."""

import math

import torch
from torch import Tensor

from pyro_reparam_ext.ops.log1mexp import log1mexp
from pyro_reparam_ext.ops.stirling import stirling_remainder
from pyro_reparam_ext.ops.tail_quadrature import drop_length, log_tail_integral


def log_gamma_tails(
    concentration: Tensor, value: Tensor, nodes: int = 80
) -> tuple[Tensor, Tensor]:
    r""":math:`\log P(\alpha, x)` and :math:`\log Q(\alpha, x)`, however small.

    The one on the far side of the mean from the density there, by quadrature over the
    tail; the other is its complement.

    Args:
        concentration: :math:`\alpha > 0`, float64.
        value: :math:`x > 0`, float64.
        nodes: Of the quadrature; fewer are faster and rougher.

    Gradient: in both arguments, to any order, by the same quadrature.

    Numerics: error below 1e-12 relative to :math:`\max(1, |\log|)` for
    :math:`\alpha` from 1e-3 to 1e6.

    Example:
        >>> log_gamma_tails(torch.tensor(2.0).double(), torch.tensor(1e3).double())[1]
        tensor(-993.0912, dtype=torch.float64)
    """
    a, x = torch.broadcast_tensors(concentration, value)
    upper = x > a
    log_density = _log_density_of_log(a, x)
    log_density = torch.where(upper, log_density - x.log(), log_density)
    scale = torch.where(upper, _upper_scale(a, x, upper), _lower_scale(a, x, upper))
    sides = torch.where(upper, 1.0, 0.0).to(a)
    small = log_density + log_tail_integral(_exponent, scale, a, x, sides, nodes=nodes)
    other = log1mexp(-small)
    return torch.where(upper, other, small), torch.where(upper, small, other)


def log_gamma_pdf(concentration: Tensor, value: Tensor) -> Tensor:
    r"""The log-density :math:`(\alpha - 1)\log x - x - \log\Gamma(\alpha)`.

    Without the cancellation of its terms for large :math:`\alpha`.
    """
    return _log_density_of_log(concentration, value) - value.log()


def _log_density_of_log(a: Tensor, x: Tensor) -> Tensor:
    u = (x / a).log()
    normalizer = 0.5 * (a / (2 * math.pi)).log() - stirling_remainder(a)
    return normalizer - a * (torch.expm1(u) - u)


def _exponent(s: Tensor, a: Tensor, x: Tensor, upper: Tensor) -> Tensor:
    """Of the law of log x, going down, or of the law of x, going up."""
    up = upper > 0
    # each side sees only its own numbers: no NaN in the unused gradient
    below = -a * s - torch.where(up, 0.0, x) * torch.expm1(-s)
    growth = torch.log1p(torch.where(up, s, 0.0) / torch.where(up, x, 1.0))
    return torch.where(up, (a - 1) * growth - s, below)


def _lower_scale(a: Tensor, x: Tensor, unused: Tensor) -> Tensor:
    x = torch.where(unused, 0.0, x)
    length = drop_length(a - x, x)
    # far down only the power is left
    return torch.where(length < 1, length, (1 + x) / a)


def _upper_scale(a: Tensor, x: Tensor, used: Tensor) -> Tensor:
    x = torch.where(used, x, 1.0)
    excess = torch.where(used, a - 1, 0.0).clamp(min=0)
    return drop_length(1 - excess / x, excess / x.square())
