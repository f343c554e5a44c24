# SPDX-License-Identifier: Apache-2.0
"""Gradients of a loss on a registered model: exact ones, and estimates with errors."""

from typing import Any, NamedTuple

import pyro
import torch
from pyro import poutine
from torch import Tensor

from pyro_reparam_ext import TraceSwitch_ELBO
from pyro_reparam_ext.testing.exact import exact_gradient
from tests.model_case import ModelCase


class Estimate(NamedTuple):
    mean: Tensor
    standard_error: Tensor


def flatten(gradients: dict[str, Tensor]) -> Tensor:
    return torch.cat([gradients[name].reshape(-1) for name in sorted(gradients)])


def parameter_gradients() -> Tensor:
    parameters = dict(pyro.get_param_store().named_parameters())
    return flatten(
        {
            name: torch.zeros_like(p) if p.grad is None else p.grad.clone()
            for name, p in parameters.items()
        }
    )


def clear_gradients() -> None:
    for _, parameter in pyro.get_param_store().named_parameters():
        parameter.grad = None


def prepare(case: ModelCase) -> Any:
    """The guide, with its parameters in an empty store."""
    pyro.clear_param_store()
    guide = case.guide(case.model)
    with torch.random.fork_rng(devices=[]):
        guide()
    return guide


_EXACT: dict[str, tuple[float, Tensor]] = {}  # by case: the same for every estimator


def exact(case: ModelCase, guide: Any) -> tuple[float, Tensor]:
    if case.name not in _EXACT:
        loss, gradients = exact_gradient(
            case.exact_model or case.model, case.exact_guide or guide, nodes=case.nodes
        )
        _EXACT[case.name] = loss.item(), flatten(gradients)
    return _EXACT[case.name]


def replicated(program: Any, copies: int, dim: int) -> Any:
    """The program ``copies`` times over, independently; its log-density averaged."""
    # made of handlers, under which Pyro still recognizes a guide for what it is
    return pyro.plate("copies", copies, dim=dim)(poutine.scale(program, 1 / copies))


def estimate(
    case: ModelCase, guide: Any, loss: Any, steps: int, copies: int
) -> Estimate:
    """The mean gradient over independent steps, each the mean of independent copies."""
    model = case.model
    if not case.static:
        steps = 4 * copies // 5 // loss.num_particles  # each one run of the program
    elif case.exact_model is not None:  # all copies in a step share their subsample
        steps, copies = 20 * steps, copies // 20
    if case.static:
        dim = -case.nesting - 1
        model, guide = replicated(model, copies, dim), replicated(guide, copies, dim)
    rows = []
    for _ in range(steps):
        clear_gradients()
        loss.loss_and_grads(model, guide)
        rows.append(parameter_gradients())
    stacked = torch.stack(rows)
    return Estimate(stacked.mean(0), stacked.std(0) / steps**0.5)


def switch_loss(case: ModelCase, **options: Any) -> TraceSwitch_ELBO:
    nesting = case.nesting + 2  # the copies and the particles
    vectorize = case.static and options.get("num_particles", 1) > 1
    return TraceSwitch_ELBO(
        vectorize_particles=vectorize,
        max_plate_nesting=nesting if vectorize else float("inf"),
        **options,
    )
