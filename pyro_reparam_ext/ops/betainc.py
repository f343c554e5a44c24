# SPDX-License-Identifier: Apache-2.0
r"""The regularized incomplete Beta function, differentiable in all arguments."""

from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from pyro_reparam_ext.ops.beta_path import beta_path, beta_tail
from pyro_reparam_ext.ops.gamma_path import stretched_rule
from pyro_reparam_ext.ops.in_chunks import in_chunks
from pyro_reparam_ext.ops.log_beta_density import log_beta_density

_RULE = stretched_rule(32, 40.0)


def betainc(a: Tensor, b: Tensor, x: Tensor) -> Tensor:
    r""":math:`I_x(a, b) = \mathrm{B}(a, b)^{-1}\int_0^x t^{a-1}(1-t)^{b-1}\,dt`.

    The probability of a Beta variate below :math:`x`. The other tail is
    :math:`I_{1-x}(b, a)`; from a logit, :func:`beta_cdf_of_logit` has both to their
    own digits.

    Args:
        a: The power at 0, positive.
        b: The power at 1, positive.
        x: In [0, 1].

    Gradient: in all arguments, to any order, in the open interval.

    Example:
        >>> a = torch.tensor(2.0, requires_grad=True)
        >>> value = betainc(a, torch.tensor(1.0), torch.tensor(0.5))
        >>> torch.autograd.grad(value, a)
        (tensor(-0.1733),)
    """
    inside = (x > 0) & (x < 1)
    z = torch.where(inside | x.isnan(), x, 0.5).double()
    lower, _ = beta_cdf_of_logit(a.double(), b.double(), z.log() - torch.log1p(-z))
    end = (x >= 1).to(lower.dtype)
    dtype = torch.promote_types(a.dtype, torch.promote_types(b.dtype, x.dtype))
    return torch.where(inside | x.isnan(), lower, end).to(dtype)


def beta_cdf_of_logit(a: Tensor, b: Tensor, logit: Tensor) -> tuple[Tensor, Tensor]:
    r""":math:`I_{\sigma(y)}(a, b)` and :math:`1 - I_{\sigma(y)}(a, b)`, in float64.

    The lesser one is an integral over its own tail, with a relative error below 1e-8;
    the sum is 1 to rounding.

    Example:
        >>> a = torch.tensor(0.5, dtype=torch.float64)
        >>> beta_cdf_of_logit(a, a, torch.zeros_like(a))
        (tensor(0.5000, dtype=torch.float64), tensor(0.5000, dtype=torch.float64))
    """
    return _BetaCdf.apply(*torch.broadcast_tensors(a, b, logit))


class _BetaCdf(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(a: Tensor, b: Tensor, logit: Tensor) -> tuple[Tensor, Tensor]:
        _, _, relative, low = in_chunks(partial(beta_tail, rule=_RULE), a, b, logit)
        tail = (relative * _density(a, b, logit)).clamp(0, 1)
        return torch.where(low, tail, 1 - tail), torch.where(low, 1 - tail, tail)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Any) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, by_lower: Tensor, by_upper: Tensor) -> tuple[Tensor, ...]:
        a, b, logit = ctx.saved_tensors
        flow = (by_lower - by_upper) * _density(a, b, logit)
        path_a, path_b = beta_path(a, b, logit)
        return -flow * path_a, -flow * path_b, flow


def _density(a: Tensor, b: Tensor, logit: Tensor) -> Tensor:
    return log_beta_density(a, b, logsigmoid(logit), logsigmoid(-logit)).exp()
