# SPDX-License-Identifier: Apache-2.0
"""What to try in a replay of a run, what came of it, and whether it is the run's."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from pyro.ops.provenance import detach_provenance
from torch import Tensor

from pyro_reparam_ext.infer.costs import Plates
from pyro_reparam_ext.infer.holds import holds
from pyro_reparam_ext.infer.run import Run


@dataclass(frozen=True)
class Trial:
    """Values to try at some sites, row by row.

    Args:
        values: From site names to values, ``[rows, *value.shape]``; of size 1 where
            they are the same for all cells.
        rows: How many.
    """

    values: dict[str, Tensor]
    rows: int

    def in_every_cell(self, run: Run) -> "Trial":
        """With values as large as the draws of a run."""
        shapes = {
            name: detach_provenance(run.guide.nodes[name]["value"]).shape
            for name in self.values
        }
        values = {n: v.expand(len(v), *shapes[n]) for n, v in self.values.items()}
        return Trial(values, self.rows)


@dataclass(frozen=True)
class Replayed:
    """The terms of a run under one trial.

    Args:
        terms: By owner and site, ``[rows, *plates]``, as they enter the objective.
        plates: The plates of each.
        log_prob: Of the values tried, with neither scale nor mask.
    """

    terms: dict[tuple[str, str], Tensor]
    plates: dict[tuple[str, str], Plates]
    log_prob: dict[str, Tensor]


def joined(single: list[Replayed]) -> Replayed:
    """Rows that were replayed one by one; a term that a row lacks is 0 there."""
    keys = {key: r.plates[key] for r in single for key in r.terms}

    def cat(key: tuple[str, str]) -> Tensor:
        found = [r.terms.get(key) for r in single]
        like = next(t for t in found if t is not None)
        return torch.cat([torch.zeros_like(like) if t is None else t for t in found])

    names = [n for n in single[0].log_prob if all(n in r.log_prob for r in single)]
    return Replayed(
        {key: cat(key) for key in keys},
        keys,
        {n: torch.cat([r.log_prob[n] for r in single]) for n in names},
    )


def is_the_run(again: Replayed, run: Run) -> bool:
    """Whether a row with the draws of a run has its terms."""
    return all(
        holds(_close(again.terms[term.key].detach().squeeze(0), term.cost))
        for term in run.terms
        # else it is in closed form
        if len(term.covers) == 1 and term.key in again.terms
    )


def has_the_run(
    found: Replayed, trial: Trial, run: Run, cells: Mapping[str, Plates]
) -> bool:
    """Whether a run's own terms came out in the rows where its own draws were tried.

    That is all of them for terms of nothing else that was drawn again.
    """
    drawn = {name: _is_drawn(name, trial, run, cells[name]) for name in trial.values}
    for term in run.terms:
        names = [name for name in drawn if term.may_depend_on(name)]
        if not names or len(term.covers) > 1:
            continue
        if term.key not in found.terms:
            return False
        tried = found.terms[term.key].detach()
        agrees = _close(tried, term.cost)
        for name in names:
            rows, *batch = drawn[name].shape
            missing = (1,) * (tried.dim() - 1 - len(batch))
            agrees = agrees | ~drawn[name].reshape(rows, *missing, *batch)
        if not holds(agrees):
            return False
    return True


def _is_drawn(name: str, trial: Trial, run: Run, cells: Plates) -> Tensor:
    """Where the value of a row is that of the run, ``[rows, *batch]``."""
    site = run.guide.nodes[name]
    event_dim = site["fn"].event_dim
    same = trial.values[name] == detach_provenance(site["value"])
    same = same.flatten(-event_dim).all(-1) if event_dim else same
    apart = {plate.dim for plate in cells}
    for dim in range(1 - same.dim(), 0):
        if dim not in apart:
            same = same.all(dim, keepdim=True)
    return same


def _close(found: Tensor, expected: Tensor) -> Tensor:
    tolerance = 1e3 * torch.finfo(found.dtype).eps
    return torch.isclose(
        found, expected, rtol=tolerance, atol=tolerance, equal_nan=True
    )
