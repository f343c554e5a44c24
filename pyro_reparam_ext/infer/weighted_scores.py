# SPDX-License-Identifier: Apache-2.0
"""What draws without a path add to the surrogate of an importance-weighted bound."""

from collections import defaultdict
from typing import Any

import torch
from torch import Tensor

from pyro_reparam_ext.gradients import Vimco
from pyro_reparam_ext.infer.cells import Cells
from pyro_reparam_ext.infer.power_mean import PowerMean
from pyro_reparam_ext.infer.run import baseline_of
from pyro_reparam_ext.infer.site import estimator_of
from pyro_reparam_ext.infer.state import EstimatorState
from pyro_reparam_ext.infer.weighted_run import WeightedRun


def weighted_score_surrogate(
    runs: list[WeightedRun],
    cells: Cells,
    bound: PowerMean,
    log_weight: Tensor,
    state: EstimatorState,
    in_one_run: bool,
) -> Any:
    r"""The sum of :math:`s_c\,(F_c - b_{k,c})\log q_s(z_{s,k,c})`.

    Args:
        runs: The runs of the step.
        cells: Their cells.
        bound: F.
        log_weight: ``[particles, *cells]``, detached.
        state: What baselines remember.
        in_one_run: Whether the one run has all particles.
    """
    draws: dict[str, list[tuple[int, Any]]] = defaultdict(list)
    for number, run in enumerate(runs):
        for name, site in run.score_sites():
            draws[name].append((number, site))
    total: Any = 0.0
    for name, numbered in draws.items():
        whole = bound(log_weight).expand_as(log_weight)
        advantage = whole - _baseline(
            name, numbered[0][1], whole, log_weight, bound, state
        )
        for number, site in numbered:
            own = advantage if in_one_run else advantage[number]
            score = cells.sum(site["score_parts"].score_function)
            total = total + (cells.scale * own * score).sum()
    return total


def _baseline(
    name: str,
    site: Any,
    whole: Tensor,
    log_weight: Tensor,
    bound: PowerMean,
    state: EstimatorState,
) -> Any:
    """What may be subtracted from F, for each particle."""
    estimator = estimator_of(site["fn"])
    if isinstance(estimator, Vimco):
        stand_in = estimator.stand_in(log_weight, bound.alpha)
        without = bound.joined(bound.others(log_weight), stand_in, len(log_weight))
        # made of the others alone, so it may be left out where they say nothing
        return torch.where(without.isfinite(), without, 0.0)
    baseline = baseline_of(site)
    if baseline is None:
        return 0.0
    memory = state.of(name)
    value = baseline.value(whole, memory).clone()
    if state.training:
        baseline.update(whole, memory)
    return value
