# SPDX-License-Identifier: Apache-2.0
"""The arguments of a step: tensors, and what a recording has of all the rest."""

from collections.abc import Hashable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_unflatten

_VALUES = (bool, int, float, complex, str, bytes, type(None), torch.Size)


class Arguments:
    """Arguments of model and guide.

    Args:
        args: By position.
        kwargs: By name.

    Attributes:
        tensors: The tensors among them, in nested containers too.
        kind: What a recording is made for: shapes, strides, dtypes, devices, the values
            of all that is not a tensor, and what torch makes of a number.
    """

    def __init__(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.args = args
        self.kwargs = kwargs
        self.tensors: list[Tensor]
        key: list[Hashable]
        if not kwargs and all(type(a) is Tensor for a in args):  # mostly, and quickly
            self.tensors = list(args)
            self._leaves, self._structure = self.tensors, None
            key = [_of_tensor(t) for t in args]
        else:
            self._leaves, self._structure = tree_flatten((args, kwargs))
            self.tensors = [x for x in self._leaves if isinstance(x, Tensor)]
            key = [
                _of_tensor(x) if isinstance(x, Tensor) else _of_value(x)
                for x in self._leaves
            ]
        flags = torch.get_default_dtype(), torch.is_autocast_enabled()
        self.kind: Hashable = (tuple(key), repr(self._structure), flags)

    @property
    def leaves(self) -> list[Tensor]:
        """The tensors, each as a new object: a recording follows objects."""
        return [t.detach() for t in self.tensors]

    def with_leaves(self, leaves: list[Tensor]) -> tuple[Any, Any]:
        """The arguments with other tensors."""
        remaining = iter(leaves)
        new = [next(remaining) if isinstance(x, Tensor) else x for x in self._leaves]
        if self._structure is None:
            return tuple(new), {}
        args, kwargs = tree_unflatten(new, self._structure)
        return args, kwargs


def _of_tensor(tensor: Tensor) -> Hashable:
    return tensor.shape, tensor.stride(), tensor.dtype, tensor.device


def _of_value(value: Any) -> Hashable:
    if isinstance(value, _VALUES):
        return type(value), value
    if isinstance(value, torch.dtype | torch.device | slice):
        return repr(value)
    if isinstance(value, np.ndarray | np.generic):
        return value.dtype.str, value.shape, value.tobytes()
    return type(value), id(value)  # a recording keeps the object, and so its number
