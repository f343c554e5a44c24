# SPDX-License-Identifier: Apache-2.0
r"""The program again, with other values of some draws.

One run of guide and model, in an outermost plate of as many rows as there are values to
try, over all sites that ask for it. In a row that belongs to a site, that site has the
value to try; draws that it influences are drawn again from what is now their law; all
others keep the values they had.
"""

from collections.abc import Callable
from dataclasses import dataclass
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
from pyro_reparam_ext.infer.run import Run
from pyro_reparam_ext.infer.site import estimator_of, is_latent, plain, switch
from pyro_reparam_ext.infer.terms import Term, samples

_BROADCAST = (
    "it must broadcast over one more dimension on the left (z[..., 0] for z[0], "
    "z.sum(-1) for z.sum()). If it cannot, say vectorize_replays=False."
)


@dataclass(frozen=True)
class Trial:
    """Values to try at some sites, row by row.

    Args:
        values: From site names to values, ``[rows, *value.shape]``.
        rows: How many.
    """

    values: dict[str, Tensor]
    rows: int


def replay(
    run: Run,
    trials: list[Trial],
    switched: Callable[[Any], Any],
    parallel: bool = True,
) -> list["Replayed"]:
    """The terms of the objective under each trial.

    Args:
        run: The run whose draws are kept.
        trials: What to try.
        switched: Puts the loss's choice of estimators on a guide.
        parallel: Whether all rows run at once; else the program runs once for each.
    """
    order = [n for n, site in samples(run.guide)]
    depends = {
        name: {
            term.key[1]
            for term in run.terms
            if term.key[0] == "guide" and _comes_from(term, name, order)
        }
        for trial in trials
        for name in trial.values
    }
    if parallel:
        itself = Trial({}, 1)
        *found, again = _replay_together(run, [*trials, itself], depends, switched)
        if not _is_the_run(again, run):
            (alone,) = _replay_together(run, [itself], depends, switched)
            if _is_the_run(alone, run):  # else it has randomness that Pyro cannot see
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
        found.append(_joined(single))
    return found


def _comes_from(term: Term, name: str, order: list[str]) -> bool:
    """Whether a guide site has to be drawn again when the site ``name`` changes."""
    site = term.key[1]
    if term.names is None:  # nothing was tracked: all that was drawn later
        return order.index(site) >= order.index(name)
    return name in term.names


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


def _is_the_run(again: Replayed, run: Run) -> bool:
    """Whether a row with the draws of a run has its terms."""
    for term in run.terms:
        if len(term.covers) > 1 or term.key not in again.terms:
            continue  # in closed form
        found = again.terms[term.key].detach().squeeze(0)
        expected, found = torch.broadcast_tensors(term.cost, found)
        tolerance = 1e3 * torch.finfo(found.dtype).eps
        if not torch.allclose(
            found, expected, rtol=tolerance, atol=tolerance, equal_nan=True
        ):
            return False
    return True


def _joined(single: list[Replayed]) -> Replayed:
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
            plates[owner, name] = plates_of(site) - {_frame(site, dim)}
            if owner == "guide" and name in trial.values:
                drawn_from = unmasked(plain(site["fn"]))
                log_prob[name] = own(density_at(drawn_from, site["value"]))
    return Replayed(terms, plates, log_prob)


def _frame(site: Any, dim: int) -> Any:
    return next((f for f in site["cond_indep_stack"] if f.dim == dim), None)


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

    def _pyro_sample(self, msg: Any) -> None:
        super()._pyro_sample(msg)
        name = msg["name"]
        if not is_latent(msg) or name not in self.guide.nodes:
            return  # a draw of another branch is drawn as any other
        before = self.guide.nodes[name]
        kept = detach_provenance(before["value"])
        estimator = estimator_of(before["fn"])
        parts = [self._values(name, trial) for trial in self.trials]
        if all(part is None for part in parts):
            msg["value"] = kept
        else:
            fn = msg["fn"]
            if isinstance(estimator, RelaxedEstimator):
                fresh = estimator.draw(fn, torch.Size())
            elif before["fn"].has_rsample:
                fresh = fn.rsample()
            else:
                fresh = fn.sample().detach()
            if self.dim:
                msg["value"] = self._assembled(parts, fresh, kept, fn.event_dim)
            else:  # one row, and no plate to be first of
                only = parts[0]
                msg["value"] = only[0] if isinstance(only, Tensor) else fresh
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

    def _assembled(
        self, parts: list[Any], fresh: Tensor, kept: Tensor, event_dim: int
    ) -> Tensor:
        total = sum(trial.rows for trial in self.trials)
        shape = (total, *fresh.shape[1:])

        def aligned(value: Tensor, rows: int) -> Tensor:
            """``[rows or 1, *batch, *event]``, padded to the program's nesting."""
            missing = -self.dim + event_dim - value.dim()
            value = value.reshape(value.shape[:1] + (1,) * missing + value.shape[1:])
            return value.expand(rows, *shape[1:])

        pieces, start = [], 0
        for part, trial in zip(parts, self.trials, strict=True):
            rows = trial.rows
            if isinstance(part, Tensor):
                pieces.append(aligned(part, rows))
            elif part is None:
                pieces.append(aligned(kept.unsqueeze(0), rows))
            else:
                pieces.append(fresh.expand(shape)[start : start + rows])
            start += rows
        return torch.cat(pieces)


def base_of(site: Any) -> Any:
    """The innermost distribution of a site, as the user made it."""
    return innermost(plain(site["fn"]))
