# SPDX-License-Identifier: Apache-2.0
"""The part of the surrogate that replays of the program bring."""

import itertools
import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from pyro.ops.provenance import detach_provenance
from torch import Tensor

from pyro_reparam_ext.gradients import Enumerate, ReplayEstimator
from pyro_reparam_ext.infer.costs import Plates, plates_of
from pyro_reparam_ext.infer.replayed import Replayed, Trial
from pyro_reparam_ext.infer.replays import base_of, replay, replay_alike
from pyro_reparam_ext.infer.run import Run

Switch = Callable[[Any], Any]


class Elements:
    """The elements of a draw that are tried one by one: those in different cells apart.

    Args:
        site: The traced site.
        cells: The plates whose cells the objective does not mix.
    """

    def __init__(self, site: Any, cells: Plates) -> None:
        base, fn = base_of(site), site["fn"]
        value = site["value"]
        batch = len(fn.batch_shape)
        self.inner = len(base.event_shape)
        self.shape = value.shape[: value.dim() - self.inner]
        self.batch = batch
        self.apart = {batch + plate.dim for plate in cells}
        sizes = [1 if i in self.apart else n for i, n in enumerate(self.shape)]
        self.number = math.prod(sizes)
        # [number, *shape]: which element, in every cell
        eye = torch.eye(self.number, dtype=torch.bool, device=value.device)
        self.mask = eye.reshape(self.number, *sizes)

    def one_by_one(self, value: Tensor, alternatives: Tensor) -> Tensor:
        """One element replaced in each, ``[alternatives * elements, *value.shape]``."""
        mask = self.mask.reshape(self.mask.shape + (1,) * self.inner)
        tried = torch.where(mask, alternatives.unsqueeze(1), value)
        return tried.flatten(0, 1)

    def own(self, change: Tensor) -> Tensor:
        """From a change for each row and cell to one for each element of the draw."""
        change = change.unflatten(0, (-1, self.number))
        return torch.where(self.mask, self.per_cell(change, 2), 0.0).sum(1)

    def per_cell(self, change: Tensor, leading: int = 1) -> Tensor:
        """Right-aligned with the shape of the draw."""
        cells = change.shape[leading:]
        spare = len(cells) - self.batch  # dimensions left of the site's own are 1
        event = (1,) * (len(self.shape) - self.batch)
        return change.reshape(change.shape[:leading] + cells[spare:] + event)


def cells_of(run: Run, name: str) -> Plates:
    """The plates of a site whose cells no term mixes that depends on it."""
    cells = plates_of(run.guide.nodes[name])
    for term in run.terms:
        if term.may_depend_on(name):
            cells = cells & term.plates
    return cells


def sum_to_cells(value: Tensor, cells: Plates) -> Tensor:
    """``[rows, *batch]`` summed over all but rows and cells, dimensions kept."""
    kept = {plate.dim for plate in cells}
    dims = [d for d in range(1 - value.dim(), 0) if d not in kept]
    return value.sum(dims, keepdim=True) if dims else value


def difference_surrogate(
    run: Run,
    switched: Switch,
    parallel: bool,
    worth: Callable[..., Tensor] | None = None,
) -> Any:
    """What sites with a ``ReplayEstimator`` add to the objective's surrogate.

    Args:
        run: A run of the program.
        switched: Puts the loss's choice of estimators on a guide.
        parallel: Whether alternatives are replayed at once.
        worth: From a change of the log-weights, and its plates, to that of the
            objective; by default it is the change itself.
    """
    sites = [
        (name, run.guide.nodes[name], estimator)
        for name, estimator in run.estimators.items()
        if isinstance(estimator, ReplayEstimator)
    ]
    if not sites:
        return 0.0
    trials, prepared = [], []
    with torch.no_grad():
        for name, site, estimator in sites:
            value = detach_provenance(site["value"])
            cells = cells_of(run, name)
            elements = Elements(site, cells)
            alternatives = estimator.alternatives(base_of(site), value)
            tried = alternatives
            if estimator.elementwise:
                tried = elements.one_by_one(value, alternatives)
            trials.append(Trial({name: tried}, len(tried)))
            prepared.append((value, cells, elements, alternatives))
        found = replay(run, trials, switched, parallel)
    total: Any = 0.0
    for (name, site, estimator), parts, replayed in zip(
        sites, prepared, found, strict=True
    ):
        value, cells, elements, alternatives = parts
        change = _change(run, {name}, replayed, cells)
        if worth is not None:
            change = worth(change, cells)
        if estimator.elementwise:
            change = elements.own(change)
        else:
            change = elements.per_cell(change)
        total = total + estimator.surrogate(base_of(site), value, alternatives, change)
    return total


def _change(run: Run, names: set[str], replayed: Replayed, cells: Plates) -> Tensor:
    """By how much each row changes the terms, cell by cell."""
    total: Any = 0.0
    for key in _affected(run, names, replayed):
        total = total + sum_to_cells(replayed.terms[key], cells)
    width = total.dim() - 1
    for term in run.terms:
        if any(term.may_depend_on(name) for name in names):
            cost = term.cost.reshape((1,) * (width - term.cost.dim()) + term.cost.shape)
            total = total - sum_to_cells(cost.unsqueeze(0), cells)
    return total


def _affected(
    run: Run, names: set[str], replayed: Replayed
) -> Iterable[tuple[str, str]]:
    """The terms of a replay that may differ from those of the run."""
    known = {key for term in run.terms for key in term.covers}
    differ = {
        key
        for term in run.terms
        if any(term.may_depend_on(name) for name in names)
        for key in term.covers
    }
    return [key for key in replayed.terms if key in differ or key not in known]


def sum_surrogate(run: Run, switched: Switch, parallel: bool) -> Any:
    """The terms that depend on enumerated sites, summed over all their values."""
    sites = {n: e for n, e in run.estimators.items() if isinstance(e, Enumerate)}
    if not sites:
        return 0.0
    cells = {name: cells_of(run, name) for name in sites}
    values, sizes = _combinations(run, sites, cells)
    trial = Trial(values, math.prod(sizes.values()))
    replayed = replay_alike(run, trial, switched, cells) if parallel else None
    if replayed is None:
        (replayed,) = replay(run, [trial.in_every_cell(run)], switched, parallel)
    weight = {
        name: sum_to_cells(replayed.log_prob[name], cells[name]).exp() for name in sites
    }
    total: Any = 0.0
    names_of = {key: term for term in run.terms for key in term.covers}
    for key in _affected(run, set(sites), replayed):
        term = names_of.get(key)
        product: Any = 1.0
        for name in sites:
            if term is None or term.may_depend_on(name):
                product = product * weight[name]
            else:  # the same for all its values
                product = product / sizes[name]
        # a value that cannot be drawn may have any density
        possible = torch.where(product > 0, replayed.terms[key], 0.0)
        total = total + (product * possible).sum()
    return total


def _combinations(
    run: Run, sites: dict[str, Enumerate], cells: dict[str, Plates]
) -> tuple[dict[str, Tensor], dict[str, int]]:
    """Joint values of each site, the same in all cells, and how many it has."""
    own: dict[str, Tensor] = {}
    for name, estimator in sites.items():
        site = run.guide.nodes[name]
        base, value = base_of(site), detach_provenance(site["value"])
        elements = Elements(site, cells[name])
        support = base.enumerate_support(expand=False)
        support = support.reshape(len(support), *base.event_shape)
        number = len(support) ** elements.number
        if number > estimator.max_evals:
            raise ValueError(
                f"Site {name!r}: enum would try {len(support)}^{elements.number} "
                f"values of {elements.number} elements; max_evals is "
                f"{estimator.max_evals}. Use 'mvd' or 'rloo' for this site."
            )
        choice = torch.cartesian_prod(
            *[torch.arange(len(support), device=value.device)] * elements.number
        ).reshape(number, -1)
        sizes = elements.mask.shape[1:]
        tried = support[choice].reshape(number, *sizes, *base.event_shape)
        own[name] = tried
    numbers = [len(v) for v in own.values()]
    limit = max(estimator.max_evals for estimator in sites.values())
    if math.prod(numbers) > limit:
        raise ValueError(
            f"Sites {', '.join(map(repr, own))}: enum would try {math.prod(numbers)} "
            f"combinations of values; max_evals is {limit}. Use 'mvd' or 'rloo' for "
            "some of these sites."
        )
    rows = torch.tensor(list(itertools.product(*map(range, numbers))))
    return (
        {name: own[name][rows[:, i]] for i, name in enumerate(own)},
        dict(zip(own, numbers, strict=True)),
    )
