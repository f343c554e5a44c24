# SPDX-License-Identifier: Apache-2.0
"""What a recording bakes in: each is noticed, and never runs stale."""

import random
from typing import Any

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.infer import SVI
from torch import Tensor, nn

from pyro_reparam_ext.infer import CaptureWarning
from tests.infer.compiled.programs import (
    DATA,
    check,
    guide,
    likelihood,
    model,
    refused,
    replay,
    steps,
)


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


class Remembering(nn.Module):
    """Counts, draws from numpy and keeps a buffer, and only then cannot be recorded."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0
        self.last = torch.tensor(0.0)
        self.register_buffer("total", torch.tensor(0.0))

    def forward(self, x: Tensor) -> None:
        self.calls += 1
        self.total += 0.1
        z = pyro.sample("z", dist.Normal(0.0, 1.0))
        noise = np.random.rand() + random.random()  # noqa: NPY002
        likelihood(x, z + self.last + noise, self.total + self.calls)
        self.last = z.detach()
        z.item()


def test_a_recording_that_is_given_up_leaves_nothing() -> None:
    def program() -> tuple[Any, Any]:
        random.seed(0)
        np.random.seed(0)  # noqa: NPY002
        return Remembering(), guide

    svi = check(program=program, warns="z.item()")
    assert refused(svi)
