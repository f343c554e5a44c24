# SPDX-License-Identifier: Apache-2.0
"""The part of the surrogate that score-function sites bring."""

from collections import defaultdict
from typing import Any

import torch
from pyro.ops.provenance import detach_provenance
from torch import Tensor

from pyro_reparam_ext.gradients import Baseline, NeuralBaseline, SiteState
from pyro_reparam_ext.infer.costs import plates_of, sum_to_plates
from pyro_reparam_ext.infer.run import Program, Run, baseline_of
from pyro_reparam_ext.infer.state import EstimatorState


def score_surrogate(runs: list[Run], state: EstimatorState, in_one_run: bool) -> Any:
    """What score-function sites add to the objective's surrogate.

    Args:
        runs: The runs of the step, or one of them if no site has a baseline.
        state: What baselines remember.
        in_one_run: Whether all particles are in one run, in its outermost plate.
    """
    draws: dict[str, list[tuple[Any, Tensor]]] = defaultdict(list)
    program_of: dict[int, Program] = {}
    for run in runs:
        for name, site in run.score_sites:
            draws[name].append((site, run.costs.of(site)))
            program_of[id(site)] = run.program
    total: Any = 0.0
    for name, sites_and_costs in draws.items():
        sites, costs = zip(*sites_and_costs, strict=True)
        baseline = baseline_of(sites[0])
        if isinstance(baseline, NeuralBaseline):
            memory = state.of(name)
            memory.add_module("baseline", baseline.network)
            programs = [program_of[id(site)] for site in sites]
            costs, fit = _less_prediction(baseline, sites, costs, programs)
            if memory.training:
                total = total - fit
        elif baseline is not None:
            memory = state.of(name)
            costs = _less_baseline(name, baseline, costs, memory, in_one_run)
        for site, cost in zip(sites, costs, strict=True):
            score = detach_provenance(site["score_parts"].score_function)
            total = total + (cost * sum_to_plates(score, plates_of(site))).sum()
    return total


def _less_baseline(
    name: str,
    baseline: Baseline,
    costs: tuple[Tensor, ...],
    memory: SiteState,
    in_one_run: bool,
) -> tuple[Tensor, ...]:
    if not in_one_run and len({cost.shape for cost in costs}) > 1:
        raise ValueError(
            f"Site {name!r}: a baseline needs the same plate sizes in every "
            f"particle; found {[tuple(cost.shape) for cost in costs]}. Use 'score' "
            "for this site."
        )
    # [particles, *plates]: the particle plate is the outermost of all
    cost = costs[0] if in_one_run else torch.stack(costs)
    advantage = cost - baseline.value(cost, memory)
    if memory.training:
        baseline.update(cost, memory)
    return (advantage,) if in_one_run else advantage.unbind()


def _less_prediction(
    baseline: NeuralBaseline,
    sites: tuple[Any, ...],
    costs: tuple[Tensor, ...],
    programs: list[Program],
) -> tuple[tuple[Tensor, ...], Tensor]:
    """The costs less what a network expects, and by how much it was wrong."""
    left, fit = [], []
    for site, cost, program in zip(sites, costs, programs, strict=True):
        x = detach_provenance(baseline.input_of(site, program.args, program.kwargs))
        expected = baseline.prediction(x, cost)
        left.append(cost - expected.detach())
        fit.append((expected - cost).square().mean())
    return tuple(left), torch.stack(fit).sum()
