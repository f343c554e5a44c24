# SPDX-License-Identifier: Apache-2.0
"""Many steps in one call are as many steps; minibatches are those of the loader."""

import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.infer import SVI, Trace_ELBO
from pyro.infer.autoguide import AutoMultivariateNormal
from pyro.optim import Adam, ClippedAdam, StepLR
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from pyro_reparam_ext import TraceSwitch_ELBO
from pyro_reparam_ext.infer import CompiledSVI
from pyro_reparam_ext.infer.compiled.stages import StagedStep
from tests.infer.compiled.programs import DATA, guide, likelihood, model
from tests.infer.compiled.test_stages import (
    chained,
    chained_model,
    circular,
    circular_model,
    discrete,
    discrete_model,
    dropping_model,
    subsampled,
    subsampled_model,
)

MAKING = "pyro_reparam_ext.infer.compiled.making"


@pytest.fixture
def interpreted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Graphs as they would be compiled, run one operation after the other."""
    monkeypatch.setattr(f"{MAKING}.inductor", lambda graph, inputs: graph)
    monkeypatch.setattr(f"{MAKING}.inductor_loop", lambda graph, inputs: graph)


def optimizers() -> dict[str, Any]:
    sgd = {"optimizer": torch.optim.SGD, "optim_args": {"lr": 1e-3, "momentum": 0.9}}
    return {
        "adam": Adam({"lr": 0.05}, {"clip_norm": 1.0}),
        "clipped": ClippedAdam({"lr": 0.05, "lrd": 0.99}),
        "momentum": StepLR({**sgd, "step_size": 1, "gamma": 0.5}),
    }


def normalizing() -> Callable[..., Any]:
    """A program with running averages, which a step changes."""
    layer = nn.BatchNorm1d(1, momentum=0.3).double()

    def program(x: Tensor) -> None:
        z = pyro.sample("z", dist.Normal(0.0, 1.0))
        likelihood(layer(x[:, None] + z)[:, 0].detach() + x, z)

    program.layer = layer  # type: ignore[attr-defined]
    return program


def steps(svi: Any, number: int, then: int, schedule: Any) -> list[float]:
    if isinstance(svi, SVI):
        losses = [svi.step(DATA) for _ in range(number)]
    else:
        losses = svi.run(number, DATA).tolist()
    if hasattr(schedule, "step"):
        schedule.step()
    return losses + [svi.step(DATA) for _ in range(then)]


def both(
    program: Callable[[], tuple[Any, Any]], optimizer: str, backend: str, number: int
) -> tuple[Any, list[dict[str, Tensor]]]:
    """Losses and parameters of SVI and of CompiledSVI; the latter."""
    found, params = [], []
    for compiled in (False, True):
        pyro.clear_param_store()
        pyro.set_rng_seed(3)
        optim = optimizers()[optimizer]
        args = *program(), optim, Trace_ELBO(max_plate_nesting=1)
        svi = CompiledSVI(*args, backend=backend) if compiled else SVI(*args)
        found.append(steps(svi, number, 3, optim))
        store = pyro.get_param_store()
        params.append({k: v.detach().clone() for k, v in store.items()})
    assert found[1] == pytest.approx(found[0], rel=1e-11)
    for name, value in params[0].items():
        torch.testing.assert_close(params[1][name], value, rtol=1e-10, atol=1e-11)
    return svi, params


def step_of(svi: CompiledSVI) -> Any:
    ((recording,),) = svi._stepper._recordings.values()
    assert recording.backend == svi.backend
    return recording.step


PROGRAMS: dict[str, Callable[[], tuple[Any, Any]]] = {
    "normal": lambda: (model, guide),
    "discrete": lambda: (discrete_model, discrete),
    "dropout": lambda: (dropping_model, subsampled),
    "minibatches": lambda: (subsampled_model, subsampled),
    "correlated": lambda: (model, AutoMultivariateNormal(model)),
}


@pytest.mark.usefixtures("interpreted")
@pytest.mark.parametrize("optimizer", ["adam", "clipped", "momentum"])
@pytest.mark.parametrize("program", PROGRAMS)
def test_run_is_as_many_steps(program: str, optimizer: str) -> None:
    svi, _ = both(PROGRAMS[program], optimizer, "inductor", 25)
    assert step_of(svi).is_looped


@pytest.mark.parametrize(
    "program",
    [
        "discrete",
        pytest.param("dropout", marks=pytest.mark.slow),
        pytest.param("minibatches", marks=pytest.mark.slow),
    ],
)
def test_compiled_run_is_as_many_steps(program: str) -> None:
    """More of them than one call makes."""
    svi, _ = both(PROGRAMS[program], "clipped", "inductor", 1700)
    assert step_of(svi).is_looped


@pytest.mark.usefixtures("interpreted")
@pytest.mark.parametrize(
    "program",
    [
        lambda: (chained_model, chained),
        lambda: (circular_model, circular),
        lambda: (normalizing(), guide),
    ],
)
def test_what_cannot_be_in_a_loop_is_made_step_by_step(program: Any) -> None:
    svi, _ = both(program, "adam", "inductor", 12)
    assert not step_of(svi).is_looped
    assert isinstance(step_of(svi)._run, StagedStep)


@pytest.mark.usefixtures("interpreted")
def test_a_torch_without_loops(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are private to it, and may go."""
    monkeypatch.setitem(sys.modules, "torch._higher_order_ops.while_loop", None)
    svi, _ = both(PROGRAMS["normal"], "adam", "inductor", 12)
    assert isinstance(step_of(svi)._run, StagedStep)


def test_replayed_and_eager_runs() -> None:
    for backend in ("replay", "eager"):
        both(PROGRAMS["normal"], "adam", backend, 12)


def test_buffers_are_updated_by_a_run(interpreted: None) -> None:
    averages = []
    for compiled in (False, True):
        pyro.clear_param_store()
        pyro.set_rng_seed(3)
        program = normalizing()
        args = program, guide, Adam({"lr": 0.05}), Trace_ELBO(max_plate_nesting=1)
        svi = CompiledSVI(*args, backend="inductor") if compiled else SVI(*args)
        steps(svi, 20, 2, None)
        averages.append(program.layer.running_mean.clone())  # type: ignore[attr-defined]
    torch.testing.assert_close(averages[1], averages[0], rtol=1e-11, atol=0.0)


def test_planted_loop_that_forgets_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the state of all steps but the last were lost."""

    def forgetful(graph: Any, inputs: Sequence[Tensor]) -> Callable[..., Any]:
        def run(first: Tensor, losses: Tensor, number: Tensor, *rest: Tensor) -> Any:
            return graph(number - 1, losses, number, *rest)

        return run

    monkeypatch.setattr(f"{MAKING}.inductor", lambda graph, inputs: graph)
    monkeypatch.setattr(f"{MAKING}.inductor_loop", forgetful)
    svi, _ = both(PROGRAMS["normal"], "adam", "inductor", 12)
    assert not step_of(svi).is_looped


def test_planted_loop_of_another_program_is_not_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As if it were compiled wrongly: the comparison with the program tells."""

    def wrong(graph: Any, inputs: Sequence[Tensor]) -> Callable[..., Any]:
        def run(*inputs: Tensor) -> Any:
            (losses,) = graph(*inputs)
            return (losses + 1,)

        return run

    monkeypatch.setattr(f"{MAKING}.inductor", lambda graph, inputs: graph)
    monkeypatch.setattr(f"{MAKING}.inductor_loop", wrong)
    svi, _ = both(PROGRAMS["normal"], "adam", "inductor", 12)
    assert not step_of(svi).is_looped


LOADED = torch.arange(10, dtype=torch.float64) / 5


@pytest.mark.parametrize("several", [False, True])
def test_minibatches(several: bool) -> None:
    def program(x: Tensor, y: Tensor | None = None, weight: float = 1.0) -> None:
        z = pyro.sample("z", dist.Normal(0.0, weight))
        likelihood(x if y is None else x * y, z)

    def loader() -> Any:
        data = TensorDataset(LOADED, LOADED) if several else list(LOADED)
        return DataLoader(data, batch_size=4, shuffle=True)  # 4, 4 and 2

    elbo = partial(TraceSwitch_ELBO, max_plate_nesting=1)
    pyro.clear_param_store()
    pyro.set_rng_seed(0)
    svi = SVI(program, guide, Adam({"lr": 0.05}), elbo())
    batches = loader()
    expected = []
    while len(expected) < 20:
        for batch in batches:
            args = batch if several else (batch,)
            expected.append(svi.step(*args, weight=2.0))
            if len(expected) == 20:
                break
    pyro.clear_param_store()
    pyro.set_rng_seed(0)
    svi = CompiledSVI(program, guide, Adam({"lr": 0.05}), elbo(), backend="replay")
    found = svi.run(20, loader(), weight=2.0)
    assert found.tolist() == pytest.approx(expected, rel=1e-12)


def test_progress(capsys: pytest.CaptureFixture[str]) -> None:
    pyro.clear_param_store()
    args = model, guide, Adam({"lr": 0.05}), Trace_ELBO()
    svi = CompiledSVI(*args, backend="replay")
    svi.run(5, DATA)
    assert capsys.readouterr().err == ""
    losses = svi.run(40, DATA, progress=True)
    bar = capsys.readouterr().err
    assert losses.shape == (40,)
    assert "40/40" in bar
    assert "loss=" in bar


def test_mistakes_have_their_messages() -> None:
    args = model, guide, Adam({"lr": 0.05}), Trace_ELBO()
    svi = CompiledSVI(*args, backend="eager")
    assert svi.run(0, DATA).shape == (0,)
    with pytest.raises(ValueError, match="num_steps must be 0 or more; found -1"):
        svi.run(-1, DATA)
    with pytest.raises(TypeError, match="num_steps must be an integer; found Tensor"):
        svi.run(DATA)
    loader = DataLoader(LOADED, batch_size=20, drop_last=True)
    with pytest.raises(ValueError, match="no minibatches"):
        svi.run(3, loader)
    with pytest.raises(TypeError, match="only positional argument; found 2"):
        svi.run(3, loader, DATA)
