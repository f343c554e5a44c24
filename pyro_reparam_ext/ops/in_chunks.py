# SPDX-License-Identifier: Apache-2.0
"""Elementwise functions with large temporaries, evaluated on parts that fit a cache."""

from collections.abc import Callable

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
