# SPDX-License-Identifier: Apache-2.0
"""What replays of the program add to the surrogate of an importance-weighted bound."""

from collections.abc import Callable
from typing import Any

from torch import Tensor

from pyro_reparam_ext.gradients import ReplayEstimator
from pyro_reparam_ext.infer.cells import Cells
from pyro_reparam_ext.infer.power_mean import PowerMean
from pyro_reparam_ext.infer.replay_surrogates import difference_surrogate
from pyro_reparam_ext.infer.run import Run
from pyro_reparam_ext.infer.site import estimator_of
from pyro_reparam_ext.infer.terms import samples
from pyro_reparam_ext.infer.weighted_run import WeightedRun


def weighted_replay_surrogate(
    runs: list[WeightedRun],
    cells: Cells,
    bound: PowerMean,
    log_weight: Tensor,
    switched: Callable[[Any], Any],
    parallel: bool,
    in_one_run: bool,
) -> Any:
    """The sum over particles, their weights changed and those of the others kept.

    Draws are not tracked here: all that a program draws later is drawn again.

    Args:
        runs: The runs of the step.
        cells: Their cells.
        bound: F.
        log_weight: ``[particles, *cells]``, detached.
        switched: Puts the loss's choice of estimators on a guide.
        parallel: Whether alternatives are replayed at once.
        in_one_run: Whether the one run has all particles.

    Raises:
        ValueError: auxiliary draws are averaged out.
    """
    total: Any = 0.0
    others: Tensor | None = None
    for number, run in enumerate(runs):
        name = next((n for n, s in samples(run.drawn) if _replays(s)), None)
        if name is None:
            continue
        if others is None:
            others = bound.others(log_weight)
        if run.marginal is not None:
            raise ValueError(
                f"Site {name!r}: its estimator replays the program, but not where "
                "auxiliary draws are averaged out. Use 'vimco' or 'score'."
            )
        rest = others if in_one_run else others[number]
        own = log_weight if in_one_run else log_weight[number]
        before = bound.joined(rest, own, len(log_weight))

        def worth(change: Tensor, _: Any) -> Tensor:
            new = own + change / cells.scale  # noqa: B023 (called in this round)
            after = bound.joined(rest, new, len(log_weight))  # noqa: B023
            return cells.scale * (after - before)  # noqa: B023

        unweighted = Run(run.model, run.drawn, False, run.program, run.minibatches)
        total = total + difference_surrogate(unweighted, switched, parallel, worth)
    return total


def _replays(site: Any) -> bool:
    return isinstance(estimator_of(site["fn"]), ReplayEstimator)
