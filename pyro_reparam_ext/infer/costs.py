# SPDX-License-Identifier: Apache-2.0
"""The cost that each score-function site is responsible for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from torch import Tensor

if TYPE_CHECKING:
    from pyro_reparam_ext.infer.terms import Term


class Plate(NamedTuple):
    """What tells one plate from another. Pyro's frames say it too, but slowly."""

    name: str
    dim: int
    counter: int


Plates = frozenset[Plate]


def plate_of(frame: Any) -> Plate:
    """The plate of one of Pyro's frames."""
    return Plate(frame.name, frame.dim, frame.counter)


def plates_of(site: Any) -> Plates:
    """The vectorized plates that a traced site is in."""
    return frozenset([plate_of(f) for f in site["cond_indep_stack"] if f.vectorized])


def sum_to_plates(value: Tensor, shared: Plates) -> Tensor:
    """``value`` summed over every batch dimension that is not one of the plates."""
    kept = {plate.dim for plate in shared}
    dims = [d for d in range(-value.dim(), 0) if d not in kept and value.shape[d] != 1]
    value = value.sum(dims, keepdim=True) if dims else value
    while value.dim() and value.shape[0] == 1:
        value = value.squeeze(0)
    return value


class Costs:
    r"""The terms of one run, ready to be shared out.

    A site's cost is the sum of the terms it can influence, cell by cell in its own
    plates: all terms in the same plate cells; of these, if draws were tracked, only
    what was computed from the draw.
    Terms of auxiliary guide sites count too. (``Trace_ELBO`` leaves them out, and its
    gradient is biased for auxiliary score sites.)

    Source: Schulman et al. (2015), "Gradient estimation using stochastic computation
    graphs"; Ranganath, Gerrish and Blei (2014), §3.1.
    """

    def __init__(self, terms: Iterable[Term]) -> None:
        groups: dict[tuple[Plates, frozenset[str] | None], Tensor] = {}
        for term in terms:
            key = (term.plates, term.names)
            groups[key] = groups[key] + term.cost if key in groups else term.cost
        self._groups = groups

    def of(self, site: Any) -> Tensor:
        """The detached cost of a guide site, right-aligned with its plates."""
        plates = plates_of(site)
        # Factors, and draws with a path *and* a score term, may influence anything.
        untracked = not site["infer"].get("_is_tracked", False)
        total: Tensor | None = None
        for (term_plates, names), term in self._groups.items():
            if untracked or names is None or site["name"] in names:
                summed = sum_to_plates(term, term_plates & plates)
                total = summed if total is None else total + summed
        if total is None:  # a closed form took its own terms, and nothing else depends
            total = site["log_prob"].new_zeros(())
        return total
