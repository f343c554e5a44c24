# SPDX-License-Identifier: Apache-2.0
"""The tensors that a distribution holds, wherever it keeps them.

A distribution over distributions (a mixture, say) has no parameters of its own: they
are in the attributes of what it was given. Here such an object is split into its
structure and a list of tensors, and put together again with others in their place.
"""

import weakref
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Transform
from torch.distributions.constraints import Constraint

_PLAIN = (
    type(None),
    bool,
    int,
    float,
    str,
    type,
    Tensor,
    torch.Size,
    torch.dtype,
    torch.device,
    Constraint,
)


@dataclass(frozen=True)
class _Slot:
    """The place of a tensor."""

    index: int


@dataclass(frozen=True)
class Structure:
    """An object without its floating-point tensors.

    Args:
        skeleton: The object, with slots where they were.
        opaque: Whether it has attributes in which tensors cannot be looked for
            (a function with a closure, say).
    """

    skeleton: Any
    opaque: bool

    def filled(self, tensors: list[Tensor]) -> Any:
        """A new object that holds ``tensors``; it validates nothing."""
        return _mapped(
            self.skeleton,
            lambda node: tensors[node.index] if isinstance(node, _Slot) else node,
            {},
        )


def split_tensors(
    held: Distribution | Transform,
) -> tuple[Structure, list[Tensor]]:
    """The structure of a distribution and the floating-point tensors that it holds.

    Looks into distributions, transforms, modules, lists, tuples and dictionaries.
    ``structure.filled(tensors)`` is the same distribution again.

    Example:
        >>> from torch.distributions import Independent, Normal
        >>> normal = Independent(Normal(torch.zeros(2), torch.ones(2)), 1)
        >>> structure, tensors = split_tensors(normal)
        >>> len(tensors)
        2
        >>> structure.filled([t + 1 for t in tensors]).mean
        tensor([1., 1.])
    """
    tensors: list[Tensor] = []
    opaque = False

    def slot(node: Any) -> Any:
        nonlocal opaque
        if isinstance(node, Tensor) and node.is_floating_point():
            for index, tensor in enumerate(tensors):
                if tensor is node:  # torch.compile takes each tensor only once
                    return _Slot(index)
            tensors.append(node)
            return _Slot(len(tensors) - 1)
        if isinstance(node, weakref.ref):
            return None  # a transform's note of its inverse, made again on demand
        opaque = opaque or not isinstance(node, _PLAIN)
        return node

    return Structure(_mapped(held, slot, {}), opaque), tensors


def require_no_other(
    where: str, what: str, structure: Structure, outputs: Iterable[Tensor]
) -> None:
    """Refuse a gradient that would silently miss a parameter.

    Args:
        where: The method that asks.
        what: The distribution's part in it.
        structure: What was split.
        outputs: Results computed from it with detached tensors, in grad mode.
    """
    if any(t.requires_grad for t in outputs):
        raise NotImplementedError(
            f"{where}: expected the parameters of the {what} in attributes of "
            "distributions, transforms and modules; found one elsewhere in "
            f"{type(structure.skeleton).__name__} (in a closure, say). Keep it in an "
            "attribute."
        )


def _mapped(node: Any, replace: Callable[[Any], Any], memo: dict[int, Any]) -> Any:
    """A copy with ``replace`` applied wherever there is nothing to look into."""
    if id(node) in memo:  # a transform and its inverse hold each other
        return memo[id(node)]
    if isinstance(node, dict):
        return type(node)((k, _mapped(v, replace, memo)) for k, v in node.items())
    if isinstance(node, list | tuple) and not isinstance(node, torch.Size):
        return type(node)([_mapped(v, replace, memo) for v in node])
    if not isinstance(node, Distribution | Transform | nn.Module):
        return replace(node)
    new = memo[id(node)] = object.__new__(type(node))
    attributes = dict(vars(node))
    if isinstance(node, Distribution):
        attributes["_validate_args"] = False
    if isinstance(node, Transform):
        attributes["_cached_x_y"] = None, None
    vars(new).update((k, _mapped(v, replace, memo)) for k, v in attributes.items())
    return new
