# SPDX-License-Identifier: Apache-2.0
"""Elementwise functions with large temporaries, evaluated on parts that fit a cache."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

_SIZE = 8192


def in_chunks(
    function: Callable[..., tuple[Tensor, ...]], *inputs: Tensor
) -> tuple[Tensor, ...]:
    """``function(*inputs)`` for a function that is elementwise in broadcast inputs.

    A quadrature needs some tens of numbers for each element. Eight thousand elements at
    a time, a few of these for each stay in the cache of a processor; what would not fit
    costs three times as much, and fewer elements leave the time to the calls.

    Args:
        function: From tensors of one dimension to a tuple of them.
        inputs: Tensors that broadcast.

    Example:
        >>> x = torch.linspace(0.0, 1.0, 5000)
        >>> (doubled,) = in_chunks(lambda x: (2 * x,), x)
        >>> torch.equal(doubled, 2 * x)
        True
    """
    inputs = torch.broadcast_tensors(*inputs)
    shape = inputs[0].shape
    if shape.numel() <= _SIZE:
        return tuple(
            o.reshape(shape) for o in function(*(x.reshape(-1) for x in inputs))
        )
    parts = zip(*(x.reshape(-1).split(_SIZE) for x in inputs), strict=True)
    outputs = zip(*(function(*part) for part in parts), strict=True)
    return tuple(torch.cat(o).reshape(shape) for o in outputs)


def differentiable_in_chunks(
    function: Callable[..., tuple[Tensor, ...]], *inputs: Tensor
) -> tuple[Tensor, ...]:
    """As :func:`in_chunks`, with the derivatives of ``function`` itself.

    They are computed a chunk at a time too, from the inputs: a graph of a million
    elements would keep the temporaries of all of them.

    Args:
        function: From tensors of one dimension to a tuple of at least two of them, in
            torch operations.
        inputs: Tensors that broadcast.

    Gradient: to any order.

    Example:
        >>> x = torch.linspace(0.0, 1.0, 5000).requires_grad_()
        >>> square, _ = differentiable_in_chunks(lambda x: (x * x, x), x)
        >>> torch.equal(torch.autograd.grad(square.sum(), x)[0], 2 * x)
        True
    """
    return _InChunks.apply(function, *torch.broadcast_tensors(*inputs))


class _InChunks(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(
        function: Callable[..., tuple[Tensor, ...]], *inputs: Tensor
    ) -> tuple[Tensor, ...]:
        return in_chunks(function, *inputs)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        ctx.function, *tensors = inputs
        ctx.save_for_backward(*tensors)

    @staticmethod
    def backward(ctx: Any, *by_outputs: Tensor) -> tuple[Tensor | None, ...]:
        tensors = ctx.saved_tensors

        def pull_back(*parts: Tensor) -> tuple[Tensor, ...]:
            at, by_output = parts[: len(tensors)], parts[len(tensors) :]
            return torch.func.vjp(ctx.function, *at)[1](by_output)

        return None, *in_chunks(pull_back, *tensors, *by_outputs)
