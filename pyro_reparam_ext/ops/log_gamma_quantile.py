# SPDX-License-Identifier: Apache-2.0
"""Quantiles of the Gamma law, from its tails in logs."""

from typing import Any

import torch
from torch import Tensor

from pyro_reparam_ext.ops.gamma_path import gamma_path
from pyro_reparam_ext.ops.in_chunks import in_chunks
from pyro_reparam_ext.ops.log1mexp import log1mexp
from pyro_reparam_ext.ops.log_gamma_density import log_gamma_density
from pyro_reparam_ext.ops.log_gamma_tails import (
    FINE,
    ROUGH,
    gamma_tails_and_density,
)
from pyro_reparam_ext.ops.log_normal_quantile import log_normal_quantile
from pyro_reparam_ext.ops.solve_log_tail import solve_log_tail


def log_gamma_quantile(
    concentration: Tensor, log_probability: Tensor, upper: Tensor
) -> Tensor:
    r""":math:`\log(x/\alpha)` with :math:`\log P(\alpha, x)` given, or
    :math:`\log Q(\alpha, x)`.

    The inverse of :func:`log_gamma_tails`: neither a small probability nor a small
    quantile need be a number.

    Args:
        concentration: :math:`\alpha > 0`, float64.
        log_probability: The logarithm of either tail, negative, float64.
        upper: Whether it is that of the upper one.

    Gradient: in both tensors, to any order, implicit: by :func:`gamma_path` and the
    density.

    Numerics: a few steps of Newton's method, 5 µs. The log-tail at the result is the
    given one to 1e-12 relative to :math:`\max(1, |\log|)` and to the rounding of the
    result.

    Source: Wilson and Hilferty (1931), "The distribution of chi-square", for the
    start.

    Example:
        >>> a = torch.tensor([1e-3, 2.0, 1e6], dtype=torch.float64)
        >>> upper = torch.tensor(False)
        >>> log_gamma_quantile(a, torch.tensor(0.5).double().log(), upper)
        tensor([-6.8682e+02, -1.7534e-01, -3.3333e-07], dtype=torch.float64)
    """  # noqa: D205
    return _Quantile.apply(
        *torch.broadcast_tensors(concentration, log_probability, upper)
    )


class _Quantile(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(a: Tensor, log_p: Tensor, upper: Tensor) -> Tensor:
        (log_ratio,) = in_chunks(_solve, a, log_p, upper)
        return log_ratio

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        # the root as an output: in a second derivative it depends on the inputs
        ctx.save_for_backward(output, *inputs)

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:
        log_ratio, a, log_p, upper = ctx.saved_tensors
        by_a = gamma_path(a, log_ratio + a.log()) - 1 / a
        by_log_p = (log_p - log_gamma_density(a, log_ratio)).exp()
        by_log_p = torch.where(upper, -by_log_p, by_log_p)
        return grad_output * by_a, grad_output * by_log_p, None


def _solve(a: Tensor, log_p: Tensor, upper: Tensor) -> tuple[Tensor]:
    # on which side of the concentration, and the tail there
    other = log1mexp(-log_p)
    at_center = gamma_tails_and_density(a, torch.zeros_like(a), ROUGH)[0]
    above = torch.where(upper, other, log_p) > at_center
    target = torch.where(above == upper, log_p, other)

    normal = log_normal_quantile(target)
    width = 1 / (9 * a)
    cube = 1 - width + torch.where(above, -normal, normal) * width.sqrt()
    log_cube = 3 * cube.clamp(min=1e-300).log()
    # at most the density's power at 0, and its exponential for a concentration below 1
    least = (target + torch.lgamma(a + 1)) / a - a.log()
    most = (-target - torch.lgamma(a)).clamp(min=1).log() - a.log()
    high = torch.where(a < 1, most, log_cube.clamp(min=0))
    low = torch.minimum(torch.maximum(log_cube, least), torch.zeros_like(a))
    log_ratio = solve_log_tail(
        lambda u, rough: gamma_tails_and_density(a, u, ROUGH if rough else FINE),
        torch.where(above, high, low),
        target,
        above,
    )
    return (log_ratio,)
