# SPDX-License-Identifier: Apache-2.0
"""The quantile of the normal law from the logarithm of a probability."""

import math
from typing import Any

import torch
from torch import Tensor

from pyro_reparam_ext.ops.log1mexp import log1mexp
from pyro_reparam_ext.ops.log_normal_cdf import log_normal_cdf
from pyro_reparam_ext.ops.mills_ratio import mills_ratio

_FAR = -300.0


def log_normal_quantile(log_probability: Tensor) -> Tensor:
    r""":math:`x` with :math:`\log\Phi(x)` given, anywhere below 0.

    Where the probability itself underflows, by Newton's method on its logarithm.
    Error below 1e-15 relative to :math:`|x| + 1/8` in float64. The derivative is
    :math:`\Phi(x)/\phi(x)`, that is Mills' ratio at :math:`-x`; second derivatives are
    exact too.

    Example:
        >>> log_normal_quantile(torch.tensor([-804.608442, -1e-20]).double())
        tensor([-40.0000,   9.2623], dtype=torch.float64)
    """
    return _Quantile.apply(log_probability)


class _Quantile(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(log_probability: Tensor) -> Tensor:
        given = log_probability.double()
        above = given > -math.log(2)
        half = torch.where(above, log1mexp(-torch.where(above, given, -1.0)), given)
        far = half < _FAR
        near = torch.special.ndtri(torch.exp(torch.where(far, -1.0, half)))
        target = torch.where(far, half, _FAR)
        x = -torch.sqrt(-2 * target - torch.log(-4 * math.pi * target))
        for _ in range(4):
            x = x - (log_normal_cdf(x) - target) * mills_ratio(-x)
        x = torch.where(far, x, near)
        x = torch.where(half == -math.inf, -math.inf, x)
        return torch.where(above, -x, x).to(log_probability.dtype)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        ctx.save_for_backward(output)

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return grad_output * mills_ratio(-x)
