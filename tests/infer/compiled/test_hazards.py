# SPDX-License-Identifier: Apache-2.0
"""What a recording bakes in: each is noticed, and never runs stale."""

import random
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from pyro.infer import SVI
from pyro.optim import Adam
from torch import Tensor, nn

from pyro_reparam_ext import TraceSwitch_ELBO
from pyro_reparam_ext.infer import CaptureWarning, CompiledSVI, estimators

DATA = torch.linspace(-1.0, 2.0, 12, dtype=torch.float64)


def guide(x: Tensor, *args: Any, **kwargs: Any) -> None:
    loc = pyro.param("loc", torch.tensor(0.3))
    scale = pyro.param("scale", torch.tensor(0.5), constraint=dist.constraints.positive)
    pyro.sample("z", dist.Normal(loc, scale))


def likelihood(x: Tensor, z: Tensor, scale: Any = 1.0) -> None:
    with pyro.plate("data", len(x)):
        pyro.sample("x", dist.Normal(z, scale), obs=x)


def model(x: Tensor, weight: Any = 1.0) -> None:
    z = pyro.sample("z", dist.Normal(0.0, 1.0))
    with poutine.scale(scale=weight):
        likelihood(x, z)


def steps(
    make: Callable[..., Any],
    between: Callable[[int], Any],
    program: Callable[[], tuple[Any, Any]],
    number: int = 12,
) -> tuple[list[float], Any]:
    """Losses of steps with what happens between them; ``between`` gives arguments."""
    pyro.clear_param_store()
    pyro.set_rng_seed(1)
    one_model, one_guide = program()
    elbo = TraceSwitch_ELBO(max_plate_nesting=1)
    svi = make(one_model, one_guide, Adam({"lr": 0.05}), elbo)
    losses = []
    for i in range(number):
        args = between(i)
        args = args if isinstance(args, tuple) else (DATA,)
        losses.append(svi.step(*args))
    return losses, svi


def replay(*args: Any) -> CompiledSVI:
    return CompiledSVI(*args, backend="replay")


def check(
    between: Callable[[int], Any] = lambda i: None,
    program: Callable[[], tuple[Any, Any]] = lambda: (model, guide),
    warns: str | None = None,
    number: int = 12,
) -> CompiledSVI:
    """The losses of SVI itself; with a warning, if one is due."""
    expected, _ = steps(SVI, between, program, number)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        found, svi = steps(replay, between, program, number)
    assert found == pytest.approx(expected, rel=1e-12)
    messages = [str(w.message) for w in told if w.category is CaptureWarning]
    if warns is None:
        assert messages == []
    else:
        assert len(messages) == 1, messages
        assert warns in messages[0]
    return svi


def refused(svi: CompiledSVI) -> bool:
    return all(r.refused for rs in svi._stepper._recordings.values() for r in rs)


def test_nothing_in_the_way() -> None:
    svi = check()
    assert not refused(svi)


def test_other_shape() -> None:
    sizes = [12, 12, 12, 5, 12, 5, 5, 5, 12, 12, 7, 12]
    check(lambda i: (DATA[: sizes[i]],))


def test_other_dtype() -> None:
    dtypes = [torch.float64] * 5 + [torch.float32] * 5 + [torch.float64] * 2
    check(lambda i: (DATA.to(dtypes[i]),))


def test_other_strides() -> None:
    wide = torch.stack([DATA, DATA], -1)
    check(lambda i: (DATA if i % 2 else wide[:, 0],))


def test_other_python_argument() -> None:
    check(lambda i: (DATA, [1.0, 0.5][i // 6]))


def test_python_argument_that_always_changes() -> None:
    with pytest.warns(CaptureWarning, match="non-tensor argument"):
        steps(replay, lambda i: (DATA, 1.0 / (1 + i)), lambda: (model, guide), 40)


def test_tensor_argument_changes_freely() -> None:
    svi = check(lambda i: (DATA, torch.tensor(1.0 / (1 + i))))
    assert not refused(svi)


def test_number_in_a_closure() -> None:
    def program() -> tuple[Any, Any]:
        nonlocal weight
        weight = 1.0
        return lambda x: model(x, weight), guide

    def between(i: int) -> None:
        nonlocal weight
        weight = 1.0 if i < 6 else 0.25

    weight = 1.0
    check(between, program)


SCALE = 1.0


def model_with_global(x: Tensor) -> None:
    likelihood(x, pyro.sample("z", dist.Normal(0.0, 1.0)), SCALE)


def test_global_number() -> None:
    def between(i: int) -> None:
        global SCALE
        SCALE = 1.0 if i < 6 else 2.0

    check(between, lambda: (model_with_global, guide))


def test_tensor_in_a_closure_that_is_replaced() -> None:
    held = {"weight": torch.tensor(1.0)}

    def between(i: int) -> None:
        if i == 6:
            held["weight"] = torch.tensor(0.25)

    def program() -> tuple[Any, Any]:
        held["weight"] = torch.tensor(1.0)
        return lambda x: model(x, held["weight"]), guide

    check(between, program)


def test_tensor_in_a_closure_that_is_changed_in_place() -> None:
    weight = torch.tensor(1.0)
    svi = check(
        lambda i: weight.fill_(1.0 / (1 + i)) and None,
        lambda: (lambda x: model(x, weight), guide),
    )
    assert not refused(svi)


class Counting(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, x: Tensor) -> None:
        self.calls += 1
        model(x, 1.0 if self.calls < 6 else 0.5)


def test_python_counter() -> None:
    svi = check(program=lambda: (Counting(), guide), warns="Counting.calls")
    assert refused(svi)


def test_attribute_changed_between_steps() -> None:
    class Weighted:
        weight = 1.0

        def __init__(self) -> None:
            self.weight = 1.0

        def __call__(self, x: Tensor) -> None:
            model(x, self.weight)

    held: list[Weighted] = []

    def program() -> tuple[Any, Any]:
        held[:] = [Weighted()]
        return held[0], guide

    def between(i: int) -> None:
        held[0].weight = 1.0 if i < 7 else 0.5

    check(between, program)


def test_branch_on_a_draw() -> None:
    def branching(x: Tensor) -> None:
        z = pyro.sample("z", dist.Normal(0.0, 1.0))
        likelihood(x, z, 1.0 if z > 0.3 else 2.0)

    svi = check(program=lambda: (branching, guide), warns="if z > 0.3 else 2.0")
    assert refused(svi)


def test_item_of_a_draw() -> None:
    def reading(x: Tensor) -> None:
        z = pyro.sample("z", dist.Normal(0.0, 1.0))
        likelihood(x, z, 1.0 + abs(z.item()))

    svi = check(program=lambda: (reading, guide), warns="z.item()")
    assert refused(svi)


def test_draws_of_numpy() -> None:
    def noisy(x: Tensor) -> None:
        z = pyro.sample("z", dist.Normal(0.0, 1.0))
        likelihood(x, z, 1.0 + float(np.random.rand()))  # noqa: NPY002

    with pytest.warns(CaptureWarning, match="draws from numpy"):
        _, svi = steps(replay, lambda i: None, lambda: (noisy, guide))
    assert refused(svi)


def test_draws_of_python() -> None:
    def noisy(x: Tensor) -> None:
        z = pyro.sample("z", dist.Normal(0.0, 1.0))
        likelihood(x, z, 1.0 + random.random())

    with pytest.warns(CaptureWarning, match="draws from random"):
        _, svi = steps(replay, lambda i: None, lambda: (noisy, guide))
    assert refused(svi)


def test_own_generator_of_numpy() -> None:
    """Not seen to move, but the first comparison sees what it does."""
    generator = np.random.default_rng(0)

    def noisy(x: Tensor) -> None:
        z = pyro.sample("z", dist.Normal(0.0, 1.0))
        likelihood(x, z, 1.0 + generator.random())

    with pytest.warns(CaptureWarning, match="at site 'x'"):
        _, svi = steps(replay, lambda i: None, lambda: (noisy, guide))
    assert refused(svi)


def test_state_carried_from_step_to_step() -> None:
    held: dict[str, Tensor] = {}

    def carrying(x: Tensor) -> None:
        z = pyro.sample("z", dist.Normal(0.0, 1.0))
        likelihood(x, z + 0.1 * held["last"])
        held["last"] = z.detach()

    def program() -> tuple[Any, Any]:
        held["last"] = torch.tensor(0.0)
        return carrying, guide

    expected, _ = steps(SVI, lambda i: None, program)
    with pytest.warns(CaptureWarning, match="came out otherwise"):
        found, svi = steps(replay, lambda i: None, program)
    assert refused(svi)
    assert found == pytest.approx(expected, rel=1e-12)


def test_new_parameter_later() -> None:
    def growing(x: Tensor, more: bool) -> None:
        guide(x)
        if more:
            pyro.param("bias", torch.tensor(0.1))

    def biased(x: Tensor, more: bool) -> None:
        z = pyro.sample("z", dist.Normal(0.0, 1.0))
        likelihood(x, z + pyro.param("bias") if more else z)

    check(lambda i: (DATA, i >= 6), lambda: (biased, growing), number=16)


def test_parameter_replaced_in_the_store() -> None:
    def between(i: int) -> None:
        if i == 6:
            pyro.get_param_store()["loc"] = torch.tensor(1.5)

    check(between)


def test_parameter_set_in_place() -> None:
    def between(i: int) -> None:
        if i == 6:
            pyro.param("loc").data.fill_(1.5)

    check(between)


def test_parameter_given_other_memory() -> None:
    def between(i: int) -> None:
        if i == 6:
            pyro.param("loc").unconstrained().data = torch.tensor(1.5)

    check(between)


def test_training_mode() -> None:
    class Dropping(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.drop = nn.Dropout(0.4)

        def forward(self, x: Tensor) -> None:
            z = pyro.sample("z", dist.Normal(0.0, 1.0))
            likelihood(x, self.drop(z * torch.ones(len(x))))

    held: list[nn.Module] = []

    def program() -> tuple[Any, Any]:
        held[:] = [Dropping()]
        return held[0], guide

    svi = check(lambda i: held[0].train(i < 5 or i > 9) and None, program, number=16)
    assert not refused(svi)


def test_running_averages_of_batch_norm() -> None:
    held: list[nn.Module] = []

    def program() -> tuple[Any, Any]:
        norm = nn.BatchNorm1d(1)
        held.append(norm)

        def normed(x: Tensor) -> None:
            pyro.module("norm", norm)
            z = pyro.sample("z", dist.Normal(0.0, 1.0))
            likelihood(x, z + 0.1 * norm(x[:, None])[:, 0])

        return normed, guide

    svi = check(program=program)
    assert not refused(svi)
    stock, ours = held
    torch.testing.assert_close(ours.running_mean, stock.running_mean)
    assert ours.num_batches_tracked == stock.num_batches_tracked == 12


def test_other_estimator() -> None:
    def losses(make: Callable[..., Any]) -> list[float]:
        pyro.clear_param_store()
        pyro.set_rng_seed(0)
        elbo = TraceSwitch_ELBO(max_plate_nesting=1)
        svi = make(model, guide, Adam({"lr": 0.05}), elbo)
        found = [svi.step(DATA) for _ in range(5)]
        elbo.policy = TraceSwitch_ELBO("score").policy
        return found + [svi.step(DATA) for _ in range(6)]

    assert losses(replay) == pytest.approx(losses(SVI), rel=1e-12)


def test_inside_of_a_handler() -> None:
    def losses(make: Callable[..., Any]) -> list[float]:
        pyro.clear_param_store()
        pyro.set_rng_seed(0)
        elbo = TraceSwitch_ELBO(max_plate_nesting=1)
        svi = make(model, guide, Adam({"lr": 0.05}), elbo)
        found = [svi.step(DATA) for _ in range(5)]
        with estimators("score"):
            found += [svi.step(DATA) for _ in range(3)]
        return found + [svi.step(DATA) for _ in range(3)]

    with pytest.warns(CaptureWarning, match="inside of a handler"):
        ours = losses(replay)
    assert ours == pytest.approx(losses(SVI), rel=1e-12)


def test_nan_is_reported_as_pyro_does() -> None:
    data = DATA.clone()
    svi = replay(model, guide, Adam({"lr": 0.05}), TraceSwitch_ELBO())
    for _ in range(7):
        svi.step(data)
    data.fill_(torch.nan)
    with pytest.warns(UserWarning, match="Encountered NaN: loss"):
        svi.step(data)


def test_planted_stale_recording_is_caught() -> None:
    """The comparison itself can fail."""
    weight = torch.tensor(1.0)
    elbo = TraceSwitch_ELBO()
    svi = replay(lambda x: model(x, weight), guide, Adam({"lr": 0.05}), elbo)
    for _ in range(3):
        svi.step(DATA)
    ((recording,),) = svi._stepper._recordings.values()
    recording.captured.held[:] = [t + 0.01 for t in recording.captured.held]
    with pytest.warns(CaptureWarning, match="came out otherwise"):
        svi.run(10, DATA)
    assert recording.refused
