# SPDX-License-Identifier: Apache-2.0
"""Taps: where the gradient with respect to a site's distribution can be seen.

A tap is a view of a tensor that the distribution holds, used at this site and nowhere
else. What flows back through it is the gradient of the loss in that parameter of the
site, cell by cell and particle by particle.
"""

from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from pyro_reparam_ext.distributions.held_tensors import split_tensors
from pyro_reparam_ext.gradients.base import innermost


@dataclass(frozen=True)
class Tap:
    """A tensor that a distribution holds, and the view the site uses in its place."""

    name: str
    position: int
    held: Tensor
    view: Tensor


def tapped(fn: Any) -> Any:
    """A copy of ``fn`` with taps on the tensors it can be differentiated in."""
    structure, held = split_tensors(fn)
    base: Any = innermost(fn)
    names = {id(v): n for n, v in vars(base).items() if isinstance(v, Tensor)}
    tensors, taps = list(held), dict[int, Tap]()
    for position, tensor in enumerate(held):
        if not tensor.requires_grad:
            continue
        if id(tensor) not in taps:  # one view, wherever the distribution holds it
            name = names.get(id(tensor), "").removeprefix("_unbroadcasted_")
            # a score has mean zero for each parameter, not for each tensor held: what
            # was computed from several of them shares one coefficient
            name = name if name in base.arg_constraints else ""
            taps[id(tensor)] = Tap(name, position, tensor, tensor.view_as(tensor))
        tensors[position] = taps[id(tensor)].view
    found = list(taps.values())
    if not all(tap.name for tap in found):
        found = [replace(tap, name="all") for tap in found]
    new = structure.filled(tensors)
    new._validate_args = fn._validate_args
    new._taps = found
    return new
