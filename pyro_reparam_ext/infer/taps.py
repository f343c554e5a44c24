# SPDX-License-Identifier: Apache-2.0
"""Taps: where the gradient with respect to a site's distribution can be seen.

A tap is a view of a tensor that the distribution holds, used at this site and nowhere
else. What flows back through it is the gradient of the loss in that parameter of the
site, cell by cell and particle by particle.
"""

from dataclasses import dataclass
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
    names = {
        id(value): name
        for name, value in vars(innermost(fn)).items()
        if isinstance(value, Tensor)
    }
    tensors, taps = list(held), []
    for position, tensor in enumerate(held):
        if tensor.requires_grad:
            view = tensors[position] = tensor.view_as(tensor)
            name = names.get(id(tensor), f"tensor{position}").lstrip("_")
            taps.append(Tap(name, position, tensor, view))
    new = structure.filled(tensors)
    new._validate_args = fn._validate_args
    new._taps = taps
    return new
