# SPDX-License-Identifier: Apache-2.0
"""Parameters, modules, estimators and data that change between recorded steps."""

from collections.abc import Callable
from typing import Any

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.infer import SVI
from pyro.optim import Adam
from torch import Tensor, nn

from pyro_reparam_ext import TraceSwitch_ELBO
from pyro_reparam_ext.infer import CaptureWarning, estimators
from tests.infer.compiled.programs import (
    DATA,
    check,
    guide,
    likelihood,
    model,
    refused,
    replay,
)


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
