# SPDX-License-Identifier: Apache-2.0
"""What an object found out about the values of some tensors, kept while they last."""

from collections.abc import Callable, Iterable
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from torch.utils._python_dispatch import is_in_torch_dispatch_mode

Found = tuple[Tensor, ...]
Fingerprint = tuple[tuple[Any, ...], ...]

# beside the objects and not in them: nothing to copy, pickle or expand
_HELD: WeakKeyDictionary[Any, tuple[Fingerprint, list[Tensor], Found]] = (
    WeakKeyDictionary()
)


def remembered(
    owner: object, tensors: Iterable[Tensor], find: Callable[[], Found]
) -> Found:
    """``find()``, or what it returned the last time for this owner and these values.

    A tensor that was changed in place counts as another. Nothing is remembered within
    a transformation or a capture (``torch.func``, ``torch.compile``), whose tensors
    stand for others.

    Args:
        owner: The object, weakly held.
        tensors: What the result depends on.
        find: Without gradient, and without reference to the owner in its result.

    Example:
        >>> class Owner: pass
        >>> owner, x = Owner(), torch.ones(())
        >>> remembered(owner, [x], lambda: (x + 1,))
        (tensor(2.),)
        >>> remembered(owner, [x], lambda: (x + 10,))
        (tensor(2.),)
        >>> _ = x.add_(1)
        >>> remembered(owner, [x], lambda: (x + 10,))
        (tensor(12.),)
    """
    tensors = [t.detach() for t in tensors]  # the same storage, kept from reuse
    now = _fingerprint(tensors)
    if now is None:
        return find()
    held = _HELD.get(owner)
    if held is not None and held[0] == now:
        return held[2]
    found = find()
    if _fingerprint(found) is not None:
        _HELD[owner] = now, tensors, found
    return found


def _fingerprint(tensors: Iterable[Tensor]) -> Fingerprint | None:
    """Equal for tensors of the same values; None where they may have others later."""
    traced: bool = torch.jit.is_tracing()  # type: ignore[attr-defined]
    if traced or torch.compiler.is_compiling() or is_in_torch_dispatch_mode():
        return None
    marks: list[tuple[Any, ...]] = []
    for t in tensors:
        if type(t) is not Tensor or t.is_inference():
            return None
        try:
            place = t.data_ptr()
        except RuntimeError:  # a tensor of torch.func has no storage
            return None
        marks.append((place, t._version, t.shape, t.stride(), t.dtype, t.device))
    return tuple(marks)
