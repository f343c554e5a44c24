# SPDX-License-Identifier: Apache-2.0
"""A program, and its steps with what happens between them."""

import warnings
from collections.abc import Callable
from typing import Any

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from pyro.infer import SVI
from pyro.optim import Adam
from torch import Tensor

from pyro_reparam_ext import TraceSwitch_ELBO
from pyro_reparam_ext.infer import CaptureWarning, CompiledSVI

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
