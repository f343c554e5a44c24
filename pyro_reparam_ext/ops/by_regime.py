# SPDX-License-Identifier: Apache-2.0
"""Elementwise functions that compute each element in its own regime alone."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

Regime = Callable[..., Tensor]


def by_regime(
    name: str,
    in_first: Callable[..., Tensor],
    first: Regime,
    second: Regime,
    outputs: int = 1,
) -> Callable[..., Tensor]:
    """An elementwise function of two regimes, as an operator opaque to compilers.

    ``torch.where`` computes both sides everywhere, which doubles the cost where one
    of them is dear; here every element is computed once. No derivatives: for use
    inside of an ``autograd.Function``. Works under ``torch.func.vmap``,
    ``torch.compile`` and capture.

    Args:
        name: Of the operator, without namespace.
        in_first: From the arguments, which elements belong to the first regime.
        first: The function there, of one-dimensional tensors.
        second: The function elsewhere.
        outputs: How many numbers the function has for each element; if more than one,
            they are on a leading dimension of the result, and of those of ``first``
            and ``second``.

    Example:
        >>> sign_root = by_regime(
        ...     "doctest_sign_root",
        ...     lambda x: x < 0,
        ...     lambda x: -(-x).sqrt(),
        ...     lambda x: x.sqrt(),
        ... )
        >>> sign_root(torch.tensor([4.0, -9.0]))
        tensor([ 2., -3.])
    """
    leading = () if outputs == 1 else (outputs,)

    def compute(tensors: list[Tensor]) -> Tensor:
        shape = torch.broadcast_shapes(*(t.shape for t in tensors))
        flat = [t.expand(shape).reshape(-1) for t in tensors]
        where = in_first(*flat)
        number = int(where.sum())
        if number in (0, where.numel()):
            return (first if number else second)(*flat).reshape((*leading, *shape))
        result = flat[0].new_empty((*leading, where.numel()))
        for regime, function in ((where, first), (~where, second)):
            index = regime.nonzero().squeeze(-1)
            result[..., index] = function(*(t[index] for t in flat))
        return result.reshape((*leading, *shape))

    operator: Any = torch.library.custom_op(
        f"pyro_reparam_ext::{name}",
        compute,
        mutates_args=(),
        schema="(Tensor[] tensors) -> Tensor",
    )

    @operator.register_fake  # type: ignore[untyped-decorator]
    def _(tensors: list[Tensor]) -> Tensor:
        shape = torch.broadcast_shapes(*(t.shape for t in tensors))
        return tensors[0].new_empty((*leading, *shape))

    @operator.register_vmap  # type: ignore[untyped-decorator]
    def _(info: Any, in_dims: Any, tensors: list[Tensor]) -> tuple[Tensor, int]:
        rank = max(
            t.dim() - (d is not None) for t, d in zip(tensors, in_dims[0], strict=True)
        )
        batched = []
        for tensor, dim in zip(tensors, in_dims[0], strict=True):
            front = tensor.unsqueeze(0) if dim is None else tensor.movedim(dim, 0)
            missing = (1,) * (1 + rank - front.dim())
            batched.append(front.reshape(front.shape[:1] + missing + front.shape[1:]))
        return operator(batched), len(leading)

    return lambda *tensors: operator(list(tensors))
