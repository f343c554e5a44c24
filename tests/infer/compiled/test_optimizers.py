# SPDX-License-Identifier: Apache-2.0
"""Every optimizer: inside the recorded step where it is known, and else after it."""

import copy
import functools
import warnings
from collections.abc import Callable
from typing import Any

import pyro
import pyro.distributions as dist
import pyro.optim
import pytest
import torch
from pyro.infer import SVI, Trace_ELBO

from pyro_reparam_ext.infer import CaptureWarning, CompiledSVI
from pyro_reparam_ext.infer.compiled.steps import GradientStep, WholeStep

DATA = torch.linspace(-1.0, 2.0, 12, dtype=torch.float64)


def model(x: torch.Tensor) -> None:
    z = pyro.sample("z", dist.Normal(torch.zeros(3), 1.0).to_event(1))
    with pyro.plate("data", len(x)):
        pyro.sample("x", dist.Normal(z.sum(-1), 1.0), obs=x)


def guide(x: torch.Tensor) -> None:
    loc = pyro.param("loc", torch.tensor([0.3, -2.0, 5.0]))
    scale = pyro.param("scale", torch.tensor(0.5), constraint=dist.constraints.positive)
    pyro.sample("z", dist.Normal(loc, scale).to_event(1))


def per_parameter(name: str) -> dict[str, float]:
    return {"lr": 0.1 if name == "loc" else 0.01}


def decaying() -> Any:
    made = {"optimizer": torch.optim.Adam, "optim_args": {"lr": 0.1}, "gamma": 0.8}
    return pyro.optim.ExponentialLR(made)


INSIDE: dict[str, Callable[[], Any]] = {
    "adam": lambda: pyro.optim.Adam({"lr": 0.1}),
    "adam decay": lambda: pyro.optim.Adam({"lr": 0.1, "weight_decay": 0.1}),
    "adam per parameter": lambda: pyro.optim.Adam(per_parameter),
    "adam clip norm": lambda: pyro.optim.Adam({"lr": 0.1}, {"clip_norm": 2.0}),
    "adam clip value": lambda: pyro.optim.Adam({"lr": 0.1}, {"clip_value": 1.5}),
    "adamw": lambda: pyro.optim.AdamW({"lr": 0.1, "weight_decay": 0.1}),
    "clipped adam": lambda: pyro.optim.ClippedAdam({"lr": 0.1, "clip_norm": 3.0}),
    "clipped adam lrd": lambda: pyro.optim.ClippedAdam(
        {"lr": 0.1, "lrd": 0.9, "weight_decay": 0.01, "centered_variance": True}
    ),
    "sgd": lambda: pyro.optim.SGD({"lr": 0.001}),
    "sgd momentum": lambda: pyro.optim.SGD(
        {"lr": 0.001, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1}
    ),
    "rmsprop": lambda: pyro.optim.RMSprop({"lr": 0.01}),
    "rmsprop all": lambda: pyro.optim.RMSprop(
        {"lr": 0.01, "momentum": 0.5, "centered": True, "weight_decay": 0.1}
    ),
    "schedule": decaying,
}
OUTSIDE: dict[str, Callable[[], Any]] = {
    "adagrad": lambda: pyro.optim.Adagrad({"lr": 0.1}),
    "amsgrad": lambda: pyro.optim.Adam({"lr": 0.1, "amsgrad": True}),
    "adagrad rmsprop": lambda: pyro.optim.AdagradRMSProp({"eta": 0.1}),
}


def train(make: Callable[..., Any], optim: Any, steps: int = 14) -> tuple[Any, ...]:
    pyro.clear_param_store()
    pyro.set_rng_seed(2)
    svi = make(model, guide, optim, Trace_ELBO(max_plate_nesting=1))
    losses = []
    for i in range(steps):
        losses.append(svi.step(DATA))
        if isinstance(optim, pyro.optim.PyroOptim) and hasattr(optim, "kwargs"):
            optim.step()
        if i == 8 and hasattr(optim, "optim_objs"):  # as a schedule by hand would
            for held in optim.optim_objs.values():
                inner = getattr(held, "optimizer", held)
                group = inner.param_groups[0]
                rate = "lr" if "lr" in group else "eta"
                group[rate] *= 0.5
    values = {n: p.detach().clone() for n, p in pyro.get_param_store().items()}
    return losses, values, svi


def check(make: Callable[[], Any], kind: type, backend: str = "replay") -> None:
    losses, values, _ = train(SVI, make())
    replay = functools.partial(CompiledSVI, backend=backend)
    with warnings.catch_warnings():
        if kind is GradientStep:
            warnings.simplefilter("ignore", CaptureWarning)
        found, ours, svi = train(replay, make())
    assert found == pytest.approx(losses, rel=1e-12)
    for name, value in values.items():
        torch.testing.assert_close(ours[name], value, rtol=1e-12, atol=1e-13)
    ((recording,),) = svi._stepper._recordings.values()
    assert type(recording.step) is kind
    assert recording.backend == backend


@pytest.mark.parametrize("name", INSIDE)
def test_inside(name: str) -> None:
    check(INSIDE[name], WholeStep)


@pytest.mark.parametrize("name", OUTSIDE)
def test_outside(name: str) -> None:
    check(OUTSIDE[name], GradientStep)


@pytest.mark.slow
@pytest.mark.parametrize("name", INSIDE)
def test_inside_compiled(name: str) -> None:
    check(INSIDE[name], WholeStep, "inductor")


def test_torch_optimizer_of_given_parameters() -> None:
    def run(compiled: bool) -> list[float]:
        pyro.clear_param_store()
        pyro.set_rng_seed(0)
        guide(DATA)
        store = pyro.get_param_store()
        params = [store[n].unconstrained() for n in store]
        optim = torch.optim.Adam(params, lr=0.1)
        elbo = Trace_ELBO(max_plate_nesting=1)
        if compiled:
            svi = CompiledSVI(model, guide, optim, elbo, backend="replay")
            return [svi.step(DATA) for _ in range(10)]
        losses = []
        for _ in range(10):
            losses.append(elbo.loss_and_grads(model, guide, DATA))
            optim.step()
            optim.zero_grad()
        return losses

    assert run(True) == pytest.approx(run(False), rel=1e-12)


def test_function_that_makes_an_optimizer() -> None:
    make = functools.partial(torch.optim.Adam, lr=0.1)
    losses, _, svi = train(functools.partial(CompiledSVI, backend="replay"), make)
    expected, _, _ = train(SVI, pyro.optim.Adam({"lr": 0.1}))
    assert isinstance(svi.optim, torch.optim.Adam)
    assert losses[:9] == pytest.approx(expected[:9], rel=1e-12)


def test_optimizer_without_some_parameters() -> None:
    other = torch.zeros((), requires_grad=True)
    optim = torch.optim.Adam([other], lr=0.1)
    svi = CompiledSVI(model, guide, optim, Trace_ELBO(), backend="replay")
    with pytest.raises(ValueError, match="lacks 2 of the parameters"):
        svi.step(DATA)


def test_no_optimizer() -> None:
    with pytest.raises(TypeError, match="optim must be"):
        CompiledSVI(model, guide, 0.1, Trace_ELBO())


def test_no_loss() -> None:
    with pytest.raises(TypeError, match="loss must be an ELBO"):
        CompiledSVI(model, guide, pyro.optim.Adam({}), "elbo")


def test_no_backend_of_this_name() -> None:
    with pytest.raises(ValueError, match="backend must be one of"):
        CompiledSVI(model, guide, pyro.optim.Adam({}), Trace_ELBO(), backend="xla")


@pytest.mark.parametrize("name", ["adam", "clipped adam lrd", "sgd momentum"])
def test_saved_and_resumed(name: str, tmp_path: Any) -> None:
    """Parameters and the state of the optimizer are those of this moment."""
    expected, _, _ = train(SVI, INSIDE[name](), 8)
    pyro.clear_param_store()
    pyro.set_rng_seed(2)
    optim = INSIDE[name]()
    elbo = Trace_ELBO(max_plate_nesting=1)
    svi = CompiledSVI(model, guide, optim, elbo, backend="replay")
    found = [svi.step(DATA) for _ in range(6)]
    pyro.get_param_store().save(tmp_path / "params")
    optim.save(tmp_path / "optim")
    random = torch.get_rng_state()

    pyro.clear_param_store()
    pyro.get_param_store().load(tmp_path / "params")
    again = INSIDE[name]()
    again.load(tmp_path / "optim")
    torch.set_rng_state(random)
    svi = CompiledSVI(model, guide, again, elbo, backend="replay")
    found += [svi.step(DATA) for _ in range(2)]
    assert found == pytest.approx(expected, rel=1e-12)


def test_state_of_a_torch_optimizer_is_loaded() -> None:
    make = functools.partial(torch.optim.Adam, lr=0.1)
    _, _, svi = train(functools.partial(CompiledSVI, backend="replay"), make, 6)
    state = copy.deepcopy(svi.optim.state_dict())  # it is of the tensors themselves
    values = {n: p.detach().clone() for n, p in pyro.get_param_store().items()}
    random = torch.get_rng_state()
    expected = [svi.step(DATA) for _ in range(4)]
    svi.optim.load_state_dict(state)
    store = pyro.get_param_store()
    with torch.no_grad():
        for name, value in values.items():
            constraint = store._constraints[name]
            unconstrained = torch.distributions.transform_to(constraint).inv(value)
            store[name].unconstrained().copy_(unconstrained)
    torch.set_rng_state(random)
    found = [svi.step(DATA) for _ in range(4)]
    assert found == pytest.approx(expected, rel=1e-9)
