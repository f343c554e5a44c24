# SPDX-License-Identifier: Apache-2.0
"""A step cut at its random draws is the step: the same draws in the same order."""

from collections.abc import Callable
from typing import Any

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.infer import SVI, Trace_ELBO
from pyro.optim import Adam
from torch import Tensor, nn
from torch.distributions import constraints

from pyro_reparam_ext import distributions as D
from pyro_reparam_ext.infer import CompiledSVI
from tests.infer.compiled.programs import DATA, likelihood


@pytest.fixture(autouse=True)
def interpreted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stages as they would be compiled, run one operation after the other."""
    making = "pyro_reparam_ext.infer.compiled.making"
    monkeypatch.setattr(f"{making}.inductor", lambda graph, inputs: graph)
    monkeypatch.setattr(f"{making}.inductor_loop", None)


def positive(name: str, value: float) -> Tensor:
    return pyro.param(name, torch.tensor(value), constraint=constraints.positive)


def chained(x: Tensor) -> None:
    """Normal, then a Gamma of it, then another normal: three stages in this order."""
    z = pyro.sample("z", dist.Normal(pyro.param("loc", torch.tensor(0.3)), 1.0))
    w = pyro.sample("w", dist.Gamma(positive("shape", 2.0) + z.exp(), 1.0))
    pyro.sample("v", dist.Normal(pyro.param("slope", torch.tensor(0.1)) * w, 1.0))


def chained_model(x: Tensor) -> None:
    z = pyro.sample("z", dist.Normal(0.0, 1.0))
    w = pyro.sample("w", dist.Gamma(2.0, 1.0))
    v = pyro.sample("v", dist.Normal(0.0, 1.0))
    likelihood(x, z + w + v)


def discrete(x: Tensor) -> None:
    logits = pyro.param("logits", torch.zeros(len(x)))
    with pyro.plate("data", len(x)):
        pyro.sample("c", dist.Bernoulli(logits=logits))


def discrete_model(x: Tensor) -> None:
    with pyro.plate("data", len(x)):
        c = pyro.sample("c", dist.Bernoulli(0.3))
        pyro.sample("x", dist.Normal(2 * c, 1.0), obs=x)


def subsampled(x: Tensor) -> None:
    pyro.sample("z", dist.Normal(pyro.param("loc", torch.tensor(0.3)), 1.0))


def subsampled_model(x: Tensor) -> None:
    z = pyro.sample("z", dist.Normal(0.0, 1.0))
    with pyro.plate("data", len(x), subsample_size=4) as some:
        pyro.sample("x", dist.Normal(z, 1.0), obs=x[some])


def dropping_model(x: Tensor) -> None:
    z = pyro.sample("z", dist.Normal(0.0, 1.0))
    likelihood(x, nn.functional.dropout(z * torch.ones(len(x)), 0.4))


def circular(x: Tensor) -> None:
    pyro.sample("z", D.VonMises(torch.tensor(0.1), positive("kappa", 2.0)))


def circular_model(x: Tensor) -> None:
    z = pyro.sample("z", D.VonMises(torch.tensor(0.0), torch.tensor(1.0)))
    likelihood(x, z)


@pytest.mark.parametrize(
    ("model", "guide", "stages"),
    [
        (subsampled_model, subsampled, 1),
        (chained_model, chained, 2),
        (discrete_model, discrete, 1),
        (dropping_model, subsampled, 1),
        (circular_model, circular, 2),
    ],
)
def test_stages(
    model: Callable[..., Any], guide: Callable[..., Any], stages: int
) -> None:
    losses = []
    for compiled in (False, True):
        pyro.clear_param_store()
        pyro.set_rng_seed(0)
        program = model, guide, Adam({"lr": 0.01}), Trace_ELBO(max_plate_nesting=1)
        svi = CompiledSVI(*program, backend="inductor") if compiled else SVI(*program)
        losses.append([svi.step(DATA) for _ in range(9)])
    assert losses[1] == pytest.approx(losses[0], rel=1e-12)
    ((recording,),) = svi._stepper._recordings.values()
    assert recording.backend == "inductor"
    assert len(recording.step._run.stages) == stages
