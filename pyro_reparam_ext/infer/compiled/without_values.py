# SPDX-License-Identifier: Apache-2.0
"""Operations that look at values on their way, by others that do not."""

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import one_hot
from torch.overrides import TorchFunctionMode


class WithoutValues(TorchFunctionMode):
    """Replaces, while a step is recorded, what would read numbers from tensors.

    ``one_hot``, which checks its argument; and an index that is a tensor without
    dimensions, which torch makes a number: the draw of a component, say. Filling by
    a mask, as divergences of torch do, looks up where; and a law that was made before,
    such as a prior of Pyro's modules, validates what it is given.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is torch._is_all_true:  # argument validation: it raises or does nothing
            return True
        if func is one_hot:
            return _one_hot(func, *args, **kwargs)
        if func is Tensor.__getitem__:
            return _item(*args)
        if func is Tensor.__setitem__ and _fills(*args):
            tensor, mask, value = args
            missing = (1,) * (tensor.dim() - mask.dim())
            return tensor.masked_fill_(mask.reshape(mask.shape + missing), value)
        return func(*args, **kwargs)


def _one_hot(func: Any, index: Tensor, num_classes: int = -1) -> Tensor:
    if num_classes < 0:
        return func(index, num_classes)
    classes = torch.arange(num_classes, device=index.device)
    return (index.unsqueeze(-1) == classes).long()


def _item(tensor: Tensor, index: Any) -> Tensor:
    entries = index if isinstance(index, tuple) else (index,)
    if not any(map(_is_number, entries)):
        return tensor[index]
    missing = tensor.dim() - sum(map(_dims, entries))  # what an ellipsis stands for
    numbers: list[Tensor | None] = [None] * tensor.dim()
    others: list[Any] = []
    dim = 0
    for entry in entries:
        if _is_number(entry):
            numbers[dim] = entry
        else:
            others.append(entry)
        dim += missing if entry is Ellipsis else _dims(entry)
    chosen = torch.ops.aten.index(tensor, numbers)
    return chosen[tuple(others)] if others else chosen


def _dims(entry: Any) -> int:
    """How many dimensions of a tensor an entry of an index is for."""
    if entry is None or entry is Ellipsis or isinstance(entry, bool):
        return 0
    if hasattr(entry, "__len__") and not isinstance(entry, Tensor):
        entry = torch.as_tensor(entry)  # a list, an array of numpy
    mask = isinstance(entry, Tensor) and entry.dtype in (torch.bool, torch.uint8)
    return entry.dim() if mask else 1


def _fills(tensor: Tensor, index: Any, value: Any) -> bool:
    """Whether numbers are set where a mask is true."""
    mask = isinstance(index, Tensor) and index.dtype == torch.bool
    return mask and isinstance(value, int | float)


def _is_number(index: Any) -> bool:
    """Whether an index is an integer in a tensor."""
    integer = isinstance(index, Tensor) and not index.dtype.is_floating_point
    return integer and index.dim() == 0 and index.dtype != torch.bool
