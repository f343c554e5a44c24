# SPDX-License-Identifier: Apache-2.0
"""Importance-weighted losses on a registered model, and their exact gradients."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from pyro_reparam_ext import TraceIW_ELBO
from pyro_reparam_ext.testing.exact_iw import exact_iw_gradient
from tests.infer.gradients_of import (
    Estimate,
    clear_gradients,
    flatten,
    parameter_gradients,
    replicated,
)
from tests.iw_models import IWCase

# by case and bound: the same for every estimator
_EXACT: dict[tuple[Any, ...], tuple[float, Tensor]] = {}


def exact(case: IWCase, guide: Any, choice: Mapping[str, Any]) -> tuple[float, Tensor]:
    bound = {
        "num_particles": choice.get("num_particles", 8),
        "alpha": choice.get("alpha", 0.0),
    }
    key = (case.name, choice.get("num_aux"), *bound.values())
    if key not in _EXACT:
        programs = case.exact(choice) if case.exact else [(case.model, guide)]
        loss, gradient = 0.0, torch.zeros(())
        for model, its_guide in programs:
            one_loss, one_gradient = exact_iw_gradient(
                model, its_guide, **bound, nodes=case.nodes
            )
            loss, gradient = loss + one_loss.item(), gradient + flatten(one_gradient)
        _EXACT[key] = loss, gradient
    return _EXACT[key]


def iw_loss(case: IWCase, **choice: Any) -> TraceIW_ELBO:
    nesting = case.nesting + 2  # the copies and the particles
    vectorize = case.static and choice.get("num_particles", 8) > 1
    return TraceIW_ELBO(
        **{
            "vectorize_particles": vectorize,
            "max_plate_nesting": nesting if vectorize else float("inf"),
            **choice,
        }
    )


def iw_estimate(
    case: IWCase, guide: Any, loss: Any, steps: int, copies: int
) -> tuple[Estimate, Estimate]:
    """The mean gradient over independent steps, and the mean loss."""
    model = case.model
    if not case.static:
        steps, copies = 2 * copies // 5, 1  # each several runs of the program
    elif case.steps_vary:
        steps, copies = 10 * steps, copies // 10
    if case.static:
        dim = -case.nesting - 1
        model, guide = replicated(model, copies, dim), replicated(guide, copies, dim)
    rows, losses = [], []
    for _ in range(steps):
        clear_gradients()
        losses.append(loss.loss_and_grads(model, guide))
        rows.append(parameter_gradients())
    return tuple(
        Estimate(x.mean(0), x.std(0) / steps**0.5)
        for x in (torch.stack(rows), torch.tensor(losses)[:, None])
    )
