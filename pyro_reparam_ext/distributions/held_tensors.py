# SPDX-License-Identifier: Apache-2.0
"""The tensors that a distribution holds, wherever it keeps them.

A distribution over distributions (a mixture, say) has no parameters of its own: they
are in the attributes of what it was given. Here such an object is split into its
structure and a list of tensors, and put together again with others in their place.
"""

import weakref
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
        return _filled(self.skeleton, tensors)


def split_tensors(held: Distribution) -> tuple[Structure, list[Tensor]]:
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

    def split(node: Any) -> Any:
        nonlocal opaque
        if isinstance(node, Tensor):
            if not node.is_floating_point():
                return node
            tensors.append(node)
            return _Slot(len(tensors) - 1)
        if isinstance(node, _PLAIN):
            return node
        if isinstance(node, weakref.ref):
            return None  # a transform's note of its inverse, made again on demand
        if isinstance(node, dict):
            return type(node)((k, split(v)) for k, v in node.items())
        if isinstance(node, list | tuple):
            return type(node)([split(v) for v in node])
        if isinstance(node, Distribution | Transform | nn.Module):
            return _with_attributes(
                node, {k: split(v) for k, v in _attributes(node).items()}
            )
        opaque = True
        return node

    return Structure(split(held), opaque), tensors


def _filled(node: Any, tensors: list[Tensor]) -> Any:
    if isinstance(node, _Slot):
        return tensors[node.index]
    if isinstance(node, dict):
        return type(node)((k, _filled(v, tensors)) for k, v in node.items())
    if isinstance(node, list | tuple) and not isinstance(node, torch.Size):
        return type(node)([_filled(v, tensors) for v in node])
    if isinstance(node, Distribution | Transform | nn.Module):
        return _with_attributes(
            node, {k: _filled(v, tensors) for k, v in vars(node).items()}
        )
    return node


def _attributes(node: Any) -> dict[str, Any]:
    attributes = dict(vars(node))
    if isinstance(node, Distribution):
        attributes["_validate_args"] = False
    if isinstance(node, Transform):
        attributes["_cached_x_y"] = None, None
    return attributes


def _with_attributes(node: Any, attributes: dict[str, Any]) -> Any:
    new = object.__new__(type(node))
    vars(new).update(attributes)
    return new
