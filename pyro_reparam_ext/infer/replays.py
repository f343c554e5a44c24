# SPDX-License-Identifier: Apache-2.0
r"""The program again, with other values of some draws.

One run of guide and model, in an outermost plate of as many rows as there are values to
try, over all sites that ask for it. In a row that belongs to a site, that site has the
value to try; draws that it influences are drawn again from what is now their law; all
others keep the values they had.
"""

from collections.abc import Callable, Mapping
from typing import Any

import pyro
import torch
from pyro.infer.enum import get_importance_trace
from pyro.ops.provenance import detach_provenance
from pyro.poutine.messenger import Messenger
from torch import Tensor

from pyro_reparam_ext.gradients import RelaxedEstimator
from pyro_reparam_ext.gradients.base import density_at, innermost
from pyro_reparam_ext.gradients.score_function import unmasked
from pyro_reparam_ext.infer.costs import Plates, plates_of
from pyro_reparam_ext.infer.followed_draws import FollowDraws
from pyro_reparam_ext.infer.replayed import (
    Replayed,
    Trial,
    has_the_run,
    is_the_run,
    joined,
)
from pyro_reparam_ext.infer.run import Run
from pyro_reparam_ext.infer.site import estimator_of, is_latent, plain, switch
from pyro_reparam_ext.infer.terms import Term, samples

_BROADCAST = (
    "it must broadcast over one more dimension on the left (z[..., 0] for z[0], "
    "z.sum(-1) for z.sum()). If it cannot, say vectorize_replays=False."
)


def replay(
    run: Run,
    trials: list[Trial],
    switched: Callable[[Any], Any],
    parallel: bool = True,
) -> list[Replayed]:
    """The terms of the objective under each trial.

    Args:
        run: The run whose draws are kept.
        trials: What to try.
        switched: Puts the loss's choice of estimators on a guide.
        parallel: Whether all rows run at once; else the program runs once for each.
    """
    depends = _redrawn(run, trials)
    if parallel:
        itself = Trial({}, 1)
        *found, again = _replay_together(run, [*trials, itself], depends, switched)
        if not is_the_run(again, run):
            (alone,) = _replay_together(run, [itself], depends, switched)
            if is_the_run(alone, run):  # else it has randomness that Pyro cannot see
                raise ValueError(
                    "the program mixes values of a draw that were to be tried apart: "
                    f"{_BROADCAST}"
                )
        return found
    found = []
    for trial in trials:
        rows = [
            Trial({n: v[row : row + 1] for n, v in trial.values.items()}, 1)
            for row in range(trial.rows)
        ]
        single = [_replay_together(run, [r], depends, switched, False)[0] for r in rows]
        found.append(joined(single))
    return found


def replay_alike(
    run: Run, trial: Trial, switched: Callable[[Any], Any], cells: Mapping[str, Plates]
) -> Replayed | None:
    """The terms under a trial with one value for all cells, where that is enough.

    Not if a program needs values as large as its draws, nor if other draws depend on
    these, which then have to be drawn in every cell.
    """
    depends = _redrawn(run, [trial])
    if any(found - {name} for name, found in depends.items()):
        return None
    try:
        (found,) = _replay_together(run, [trial], depends, switched)
    except ValueError:
        return None
    return found if has_the_run(found, trial, run, cells) else None


def _redrawn(run: Run, trials: list[Trial]) -> dict[str, set[str]]:
    """The guide sites that have to be drawn again when that of the key changes."""
    order = [n for n, site in samples(run.guide)]
    return {
        name: {
            term.key[1]
            for term in run.terms
            if term.key[0] == "guide" and _comes_from(term, name, order)
        }
        for trial in trials
        for name in trial.values
    }


def _comes_from(term: Term, name: str, order: list[str]) -> bool:
    """Whether a guide site has to be drawn again when the site ``name`` changes."""
    site = term.key[1]
    if term.names is None:  # nothing was tracked: all that was drawn later
        return order.index(site) >= order.index(name)
    return name in term.names


def _replay_together(
    run: Run,
    trials: list[Trial],
    depends: dict[str, set[str]],
    switched: Callable[[Any], Any],
    plated: bool = True,
) -> list[Replayed]:
    """All rows in one run; without a plate, the only one."""
    dim = -1 - _nesting(run)
    rows = sum(trial.rows for trial in trials)
    program = run.program
    plate = pyro.plate("_replays", rows, dim=dim) if plated else _as_it_is
    retry = _Retry(run, trials, depends, dim if plated else 0)
    keep = KeepSubsamples(run)
    relaxed = {
        name: estimator
        for name, estimator in run.estimators.items()
        if isinstance(estimator, RelaxedEstimator)
    }
    model = FollowDraws(relaxed)(program.model) if relaxed else program.model
    try:
        model, guide = get_importance_trace(
            "flat",
            -dim,
            keep(plate(model)),
            switched(retry(plate(program.guide))),
            program.args,
            program.kwargs,
        )
    except (RuntimeError, ValueError, IndexError) as error:
        raise ValueError(
            "the program could not be replayed with several values of a draw at once "
            f"({error}): {_BROADCAST}"
        ) from error
    found, start = [], 0
    for trial in trials:
        found.append(_rows(model, guide, start, trial, dim, rows))
        start += trial.rows
    return found


def _as_it_is(program: Any) -> Any:
    return program


def _rows(
    model: Any, guide: Any, start: int, trial: Trial, dim: int, total: int
) -> Replayed:
    def own(tensor: Tensor) -> Tensor:
        tensor = detach_provenance(tensor)
        missing = -dim - tensor.dim()
        tensor = tensor.reshape((1,) * missing + tensor.shape)
        return tensor.expand(total, *tensor.shape[1:])[start : start + trial.rows]

    terms, plates, log_prob = {}, {}, {}
    for owner, trace, sign in (("model", model, 1.0), ("guide", guide, -1.0)):
        for name, site in samples(trace):
            parts = site.get("score_parts")
            entered = site["log_prob"]
            if owner == "guide" and isinstance(parts.entropy_term, Tensor):
                entered = parts.entropy_term  # equal, but for how it is differentiated
            terms[owner, name] = sign * own(entered)
            plates[owner, name] = frozenset(p for p in plates_of(site) if p.dim != dim)
            if owner == "guide" and name in trial.values:
                drawn_from = unmasked(plain(site["fn"]))
                log_prob[name] = own(density_at(drawn_from, site["value"]))
    return Replayed(terms, plates, log_prob)


def _nesting(run: Run) -> int:
    """Batch dimensions of the program, particles included."""
    dims = [0]
    for trace in (run.model, run.guide):
        for _, site in samples(trace):
            dims.append(len(getattr(site["fn"], "batch_shape", ())))
            dims += [-f.dim for f in site["cond_indep_stack"] if f.vectorized]
    return max(dims)


class KeepSubsamples(Messenger):
    """Keeps the minibatches that the plates of a run drew."""

    def __init__(self, run: Run) -> None:
        super().__init__()
        self.nodes = run.model.nodes
        self.minibatches = run.minibatches

    def _pyro_sample(self, msg: Any) -> None:
        if type(msg["fn"]).__name__ == "_Subsample" and msg["name"] in self.minibatches:
            msg["value"] = self.minibatches[msg["name"]]
            msg["done"] = True


class _Retry(KeepSubsamples):
    """Gives the draws of a guide the values they have in each row."""

    def __init__(
        self, run: Run, trials: list[Trial], depends: dict[str, set[str]], dim: int
    ) -> None:
        super().__init__(run)
        self.guide = run.guide
        self.trials, self.depends, self.dim = trials, depends, dim
        self.rows = sum(trial.rows for trial in trials)

    def _pyro_sample(self, msg: Any) -> None:
        super()._pyro_sample(msg)
        name = msg["name"]
        if not is_latent(msg) or name not in self.guide.nodes:
            return  # a draw of another branch is drawn as any other
        before = self.guide.nodes[name]
        parts = [self._values(name, trial) for trial in self.trials]
        if all(part is None for part in parts):
            msg["value"] = detach_provenance(before["value"])
        elif not self.dim:  # one row, and no plate to be first of
            (part,) = parts
            tried = part[0] if isinstance(part, Tensor) else None
            msg["value"] = _drawn(msg["fn"], before) if tried is None else tried
        elif len(parts) == 1 and isinstance(parts[0], Tensor):
            msg["value"] = self._aligned(parts[0], msg["fn"].event_dim)
        else:
            msg["value"] = self._assembled(parts, msg["fn"], before)
        estimator = estimator_of(before["fn"])
        if estimator is not None:
            msg["fn"] = switch(msg["fn"], estimator)
        msg["done"] = True

    def _values(self, name: str, trial: Trial) -> Tensor | str | None:
        """To be tried at a site, or ``"fresh"``, or None if the trial leaves it."""
        if name in trial.values:
            return trial.values[name]
        if any(name in self.depends[tried] for tried in trial.values):
            return "fresh"
        return None

    def _aligned(self, value: Tensor, event_dim: int) -> Tensor:
        """``[rows or 1, *batch, *event]``, padded to the program's nesting."""
        missing = -self.dim + event_dim - value.dim()
        return value.reshape(value.shape[:1] + (1,) * missing + value.shape[1:])

    def _assembled(self, parts: list[Any], fn: Any, before: Any) -> Tensor:
        kept = detach_provenance(before["value"]).unsqueeze(0)
        fresh = _drawn(fn, before)
        pieces, start = [], 0
        for part, trial in zip(parts, self.trials, strict=True):
            if isinstance(part, str):
                fresh = fresh.expand(self.rows, *fresh.shape[1:])
                pieces.append(fresh[start : start + trial.rows])
            else:
                value = self._aligned(kept if part is None else part, fn.event_dim)
                pieces.append(value.expand(trial.rows, *fresh.shape[1:]))
            start += trial.rows
        return torch.cat(pieces)


def _drawn(fn: Any, before: Any) -> Tensor:
    """A draw, differentiable if the one before was."""
    estimator = estimator_of(before["fn"])
    if isinstance(estimator, RelaxedEstimator):
        return estimator.draw(fn, torch.Size())
    draw: Tensor = fn.rsample() if before["fn"].has_rsample else fn.sample().detach()
    return draw


def base_of(site: Any) -> Any:
    """The innermost distribution of a site, as the user made it."""
    return innermost(plain(site["fn"]))
