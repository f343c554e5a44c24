# SPDX-License-Identifier: Apache-2.0
"""A value that was drawn without gradient, given one."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

PullBack = Callable[[Tensor, tuple[Tensor, ...], Tensor], tuple[Tensor | None, ...]]


def attach_gradient(value: Tensor, pull_back: PullBack, *parameters: Tensor) -> Tensor:
    r"""``value``, made to depend on ``parameters`` by a gradient of your own.

    Args:
        value: A draw; its own graph, if any, is left behind.
        pull_back: From the value, the parameters and the gradient
            :math:`\partial f/\partial z` to the gradients
            :math:`\partial f/\partial z\;\partial z/\partial\theta`, one a parameter,
            in torch operations. It must not depend on tensors in any other way.
        parameters: The tensors :math:`\theta`.

    Gradient: as ``pull_back`` says. The value is saved as an *output*, so that in a
    second derivative it depends on the parameters in turn, and higher derivatives are
    exact as well. Forward-mode differentiation raises.

    Example:
        >>> theta = torch.tensor(3.0, requires_grad=True)
        >>> def pull_back(z, parameters, by_z):
        ...     return (2 * parameters[0] * by_z,)
        >>> z = attach_gradient(torch.tensor(9.0), pull_back, theta)
        >>> torch.autograd.grad(z, theta)
        (tensor(6.),)
    """
    return _AttachGradient.apply(value.detach(), pull_back, *parameters)


class _AttachGradient(torch.autograd.Function):
    """The identity in the value."""

    generate_vmap_rule = True

    @staticmethod
    def forward(value: Tensor, pull_back: PullBack, *parameters: Tensor) -> Tensor:
        return value.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        _, ctx.pull_back, *parameters = inputs
        ctx.save_for_backward(output, *parameters)

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:
        value, *parameters = ctx.saved_tensors
        return None, None, *ctx.pull_back(value, tuple(parameters), grad_output)
