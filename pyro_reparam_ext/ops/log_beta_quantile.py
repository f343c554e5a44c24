# SPDX-License-Identifier: Apache-2.0
"""Quantiles of the Beta law, from its tails in logs."""

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from pyro_reparam_ext.ops.beta_path import beta_path
from pyro_reparam_ext.ops.in_chunks import in_chunks
from pyro_reparam_ext.ops.log1mexp import log1mexp
from pyro_reparam_ext.ops.log_beta_density import log_beta, log_beta_density
from pyro_reparam_ext.ops.log_beta_tails import (
    FINE,
    ROUGH,
    beta_tails_and_density,
)
from pyro_reparam_ext.ops.log_normal_quantile import log_normal_quantile
from pyro_reparam_ext.ops.solve_log_tail import solve_log_tail


def log_beta_quantile(
    a: Tensor, b: Tensor, log_probability: Tensor, upper: Tensor
) -> Tensor:
    r"""The logit :math:`y` with :math:`\log I_{\sigma(y)}(a, b)` given, or
    :math:`\log I_{\sigma(-y)}(b, a)`.

    The inverse of :func:`log_beta_tails`: neither a small probability nor a quantile
    near 0 or 1 need be a number.

    Args:
        a: The power at 0, positive, float64.
        b: The power at 1, positive, float64.
        log_probability: The logarithm of either tail, negative, float64.
        upper: Whether it is that of the upper one.

    Gradient: in all tensors, to any order, implicit: by :func:`beta_path` and the
    density.

    Numerics: a few steps of Newton's method, 5 µs. The log-tail at the result is the
    given one to 2e-12 relative to :math:`\max(1, |\log|)` and to the rounding of the
    result.

    Example:
        >>> a, b = torch.tensor([[1e-3, 2.0], [1e-3, 3.0]], dtype=torch.float64)
        >>> log_beta_quantile(a, b, torch.tensor(0.1).double().log(), a < 0).sigmoid()
        tensor([0.0000, 0.1426], dtype=torch.float64)
    """  # noqa: D205
    return _Quantile.apply(*torch.broadcast_tensors(a, b, log_probability, upper))


class _Quantile(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(a: Tensor, b: Tensor, log_p: Tensor, upper: Tensor) -> Tensor:
        (logit,) = in_chunks(_solve, a, b, log_p, upper)
        return logit

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        # the root as an output: in a second derivative it depends on the inputs
        ctx.save_for_backward(output, *inputs)

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:
        logit, a, b, log_p, upper = ctx.saved_tensors
        by_a, by_b = beta_path(a, b, logit)
        density = log_beta_density(a, b, logsigmoid(logit), logsigmoid(-logit))
        by_log_p = (log_p - density).exp()
        by_log_p = torch.where(upper, -by_log_p, by_log_p)
        return grad_output * by_a, grad_output * by_b, grad_output * by_log_p, None


def _solve(a: Tensor, b: Tensor, log_p: Tensor, upper: Tensor) -> tuple[Tensor]:
    # on which side of the center, and the tail there; then as if it were the lower one
    other = log1mexp(-log_p)
    at_center = beta_tails_and_density(a, b, (a / b).log(), ROUGH)[0]
    above = torch.where(upper, other, log_p) > at_center
    target = torch.where(above == upper, log_p, other)
    power, rest = torch.where(above, b, a), torch.where(above, a, b)

    center = (power / rest).log()
    normal = center + log_normal_quantile(target) * (1 / a + 1 / b).sqrt()
    # where the power at the end is all there is
    log_x = (target + power.log() + log_beta(a, b)) / power
    far = log_x - torch.log1p(-log_x.clamp(max=-1e-3).exp())
    start = torch.where(rest > 1, torch.maximum(normal, far), far)
    start = torch.minimum(start, center)
    logit = solve_log_tail(
        lambda y, rough: beta_tails_and_density(
            power, rest, y, ROUGH if rough else FINE
        ),
        start,
        target,
        torch.zeros_like(above),
    )
    return (torch.where(above, -logit, logit),)
