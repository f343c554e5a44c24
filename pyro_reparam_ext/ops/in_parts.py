# SPDX-License-Identifier: Apache-2.0
"""Large tensors, a part of the size of a cache at a time."""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor
from torch.autograd import forward_ad

# a chain of simple operations: some ten temporaries are in the cache together
PART = 2**15


def in_parts(
    function: Callable[..., tuple[Tensor, ...]], *inputs: Tensor
) -> tuple[Tensor, ...]:
    """``function(*inputs)``, elementwise in broadcast inputs, one part after another.

    For many simple operations in a row, as :func:`in_chunks` is for few of many
    numbers each. In a ``torch.func`` transform and under ``torch.compile``, in one.

    Args:
        function: From tensors to a tuple of them. What is the same number everywhere
            may come as a tensor of no dimension, so that it is computed with once.
        inputs: Tensors that broadcast.

    Example:
        >>> x = torch.linspace(0.0, 1.0, 100_000)
        >>> (sums,) = in_parts(lambda x, y: (x + y.exp(),), x, torch.zeros(()))
        >>> torch.equal(sums, x + 1)
        True
    """
    if is_transformed():
        return function(*inputs)
    shape = torch.broadcast_shapes(*(x.shape for x in inputs))
    found = [
        [result.expand(n) for result in function(*part)]
        for n, part in parts_of(shape, inputs)
    ]
    return tuple(joined(x).reshape(shape) for x in zip(*found, strict=True))


def parts_of(
    shape: torch.Size, tensors: Sequence[Tensor], length: int = PART
) -> Iterator[tuple[int, list[Tensor]]]:
    """Parts of tensors broadcast to ``shape``, each with its length."""
    size = shape.numel()
    wide = [x.expand(shape) for x in tensors]
    flat = [
        x[(0,) * x.dim()] if size and not any(x.stride()) else x.reshape(-1)
        for x in wide
    ]
    for start in range(0, max(size, 1), length):
        end = min(start + length, size)
        yield end - start, [x if x.dim() == 0 else x[start:end] for x in flat]


def joined(parts: Sequence[Tensor]) -> Tensor:
    """The parts, one after another."""
    return parts[0] if len(parts) == 1 else torch.cat(tuple(parts))


def is_transformed() -> bool:
    """Whether more is asked for than values and a gradient, here and now."""
    return (
        torch.compiler.is_compiling()
        or torch.jit.is_tracing()  # type: ignore[attr-defined]
        or torch._C._are_functorch_transforms_active()
        or forward_ad._current_level >= 0
    )
