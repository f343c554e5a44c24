# SPDX-License-Identifier: Apache-2.0
r"""Regularized incomplete Gamma functions, differentiable in both arguments."""

from typing import Any

import torch
from torch import Tensor

from pyro_reparam_ext.ops.gamma_path import gamma_path
from pyro_reparam_ext.ops.log_gamma_density import log_gamma_density


def gammainc(a: Tensor, x: Tensor) -> Tensor:
    r""":math:`P(a, x) = \Gamma(a)^{-1}\int_0^x t^{a-1}e^{-t}\,dt`.

    The probability of a Gamma variate below :math:`x`: ``torch.special.gammainc``,
    which has no derivative in :math:`a`.

    Args:
        a: The concentration, positive.
        x: Nonnegative, infinity included.

    Gradient: in both arguments, to any order, by :func:`gamma_path` :math:`h`:
    :math:`\partial P/\partial a = -x p(x) h`.

    Example:
        >>> a = torch.tensor(2.0, requires_grad=True)
        >>> gammainc(a, torch.tensor(1.0)).backward()
        >>> a.grad
        tensor(-0.2762)
    """
    return _Gammainc.apply(*torch.broadcast_tensors(a, x), False)


def gammaincc(a: Tensor, x: Tensor) -> Tensor:
    r""":math:`Q(a, x) = 1 - P(a, x)`, the other tail, without cancellation.

    Arguments and gradient as for :func:`gammainc`.

    Example:
        >>> gammaincc(torch.tensor(1.0), torch.tensor([0.0, 2.0]))
        tensor([1.0000, 0.1353])
    """
    return _Gammainc.apply(*torch.broadcast_tensors(a, x), True)


class _Gammainc(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(a: Tensor, x: Tensor, upper: bool) -> Tensor:
        function = torch.special.gammaincc if upper else torch.special.gammainc
        return function(a, x)

    @staticmethod
    def setup_context(
        ctx: Any, inputs: tuple[Tensor, Tensor, bool], output: Tensor
    ) -> None:
        a, x, ctx.upper = inputs
        ctx.save_for_backward(a, x)

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor, Tensor, None]:
        a, x = ctx.saved_tensors
        concentration = a.double()
        # at an end nothing moves with the concentration
        inside = (x > 0) & x.isfinite()
        value = torch.where(inside, x.double(), concentration)
        log_density = log_gamma_density(concentration, (value / concentration).log())
        # of log x, not of x
        density = torch.where(inside, log_density.exp(), 0.0)
        by_a = -density * gamma_path(concentration, value.log())
        by_x = torch.where(inside, density / value, _density_at_0(concentration, x))
        sign = -1.0 if ctx.upper else 1.0
        by_a, by_x = (sign * grad_output * g.to(a.dtype) for g in (by_a, by_x))
        return by_a, by_x, None


def _density_at_0(concentration: Tensor, x: Tensor) -> Tensor:
    """The density at 0, and 0 at infinity."""
    limit = torch.where(concentration < 1, torch.inf, (concentration == 1).double())
    return torch.where(x == 0, limit, 0.0)
