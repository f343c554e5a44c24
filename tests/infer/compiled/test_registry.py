# SPDX-License-Identifier: Apache-2.0
"""A recorded step is a step of the program, for every model and every estimator."""

import warnings
from collections.abc import Mapping
from typing import Any

import pyro
import pytest
import torch
from pyro.infer import SVI
from pyro.optim import Adam

from pyro_reparam_ext import TraceIW_ELBO, TraceSwitch_ELBO
from pyro_reparam_ext.infer import CaptureWarning, CompiledSVI
from tests.cases import IW_MODELS, MODELS


def parts(choice: Mapping[str, Any]) -> set[Any]:
    """The estimators that a choice names, and the options that it gives."""
    named = {choice.get("estimator"), *choice.get("sites", {}).values()}
    return named | (set(choice) - {"estimator"})


def pairs(cases: list[Any]) -> list[Any]:
    """Models and choices: slow, but for the first of each model, estimator, option."""
    seen: set[Any] = set()
    found = []
    for case in cases:
        for label, choice in case.choices.items():
            new = {case.name, *parts(choice)} - seen
            seen |= new
            marks = () if new else pytest.mark.slow
            found.append(
                pytest.param(case, label, id=f"{case.name}-{label}", marks=marks)
            )
    return found


SWITCH, WEIGHTED = pairs(MODELS), pairs(IW_MODELS)
# Compiling takes seconds: each model once, and each choice once.
COMPILED = [pair for pair in SWITCH if not pair.marks]
WEIGHTED_COMPILED = [pair for pair in WEIGHTED if not pair.marks]
# A branch on a draw: the program must run as it is, and say so.
CANNOT = {"branching"}


def losses_and_parameters(
    case: Any, loss: type, choice: Mapping[str, Any], backend: str | None, steps: int
) -> tuple[list[float], dict[str, torch.Tensor], Any]:
    pyro.clear_param_store()
    pyro.set_rng_seed(0)
    guide = case.guide(case.model)
    particles = choice.get("num_particles", 8 if loss is TraceIW_ELBO else 1)
    vectorize = case.static and particles > 1
    elbo = loss(
        **choice,
        vectorize_particles=vectorize,
        max_plate_nesting=case.nesting + 1,
    )
    program = case.model, guide, Adam({"lr": 0.01}), elbo
    svi = SVI(*program) if backend is None else CompiledSVI(*program, backend=backend)
    losses = [svi.step() for _ in range(steps)]
    store = pyro.get_param_store()
    return losses, {name: p.detach().clone() for name, p in store.items()}, svi


def check(
    case: Any, loss: type, choice: Mapping[str, Any], backend: str, rtol: float
) -> None:
    expected, params, _ = losses_and_parameters(case, loss, choice, None, 6)
    with warnings.catch_warnings():
        if case.name in CANNOT:
            warnings.simplefilter("ignore", CaptureWarning)
        found, ours, svi = losses_and_parameters(case, loss, choice, backend, 6)
    (recording,) = svi._stepper._recordings[next(iter(svi._stepper._recordings))]
    if not recording.refused or case.name not in CANNOT:
        assert recording.backend == backend
        assert recording.taken == 4
    torch.testing.assert_close(
        torch.tensor(found), torch.tensor(expected), rtol=rtol, atol=rtol
    )
    for name, param in params.items():
        torch.testing.assert_close(ours[name], param, rtol=rtol, atol=rtol)


@pytest.mark.parametrize(("case", "label"), SWITCH)
def test_replay_is_the_program(case: Any, label: str) -> None:
    check(case, TraceSwitch_ELBO, case.choices[label], "replay", 1e-13)


@pytest.mark.parametrize(("case", "label"), WEIGHTED)
def test_replay_is_the_weighted_program(case: Any, label: str) -> None:
    check(case, TraceIW_ELBO, case.choices[label], "replay", 1e-13)


@pytest.mark.slow
@pytest.mark.parametrize(("case", "label"), COMPILED)
def test_compiled_is_the_program(case: Any, label: str) -> None:
    check(case, TraceSwitch_ELBO, case.choices[label], "inductor", 1e-10)


@pytest.mark.slow
@pytest.mark.parametrize(("case", "label"), WEIGHTED_COMPILED)
def test_compiled_is_the_weighted_program(case: Any, label: str) -> None:
    check(case, TraceIW_ELBO, case.choices[label], "inductor", 1e-10)
