# SPDX-License-Identifier: Apache-2.0
"""Programs with networks: amortized guides, modules of Pyro, what layers keep."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pyro
import pyro.distributions as dist
import torch
from pyro import poutine
from pyro.infer import Trace_ELBO, TraceMeanField_ELBO, autoguide
from pyro.nn import PyroModule, PyroParam, PyroSample
from torch import Tensor, nn
from torch.distributions import constraints

from pyro_reparam_ext.gradients import NeuralBaseline, ScoreFunction
from tests.infer.compiled.autoguides import Program, switch


class Encoder(nn.Module):
    """From a number to location and scale."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(1, 8), nn.Softplus(), *layers, nn.Linear(8, 2)
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        loc, log_scale = self.layers(x[:, None]).unbind(-1)
        return loc, log_scale.exp()


def amortized(*layers: Callable[[], nn.Module]) -> Callable[[], tuple[Any, ...]]:
    """A network with some layers more, in a guide that is a function."""

    def make() -> tuple[Any, ...]:
        encoder = Encoder(*(layer() for layer in layers))

        def guide(x: Tensor) -> None:
            pyro.module("encoder", encoder)
            with pyro.plate("data", len(x)):
                pyro.sample("z", dist.Normal(*encoder(x)))

        return model, guide, encoder

    return make


def model(x: Tensor) -> None:
    with pyro.plate("data", len(x)):
        z = pyro.sample("z", dist.Normal(0.0, 1.0))
        pyro.sample("x", dist.Normal(2 * z, 1.0), obs=x)


def subsampled() -> tuple[Any, ...]:
    """Some points in every step, the same in model and guide."""
    encoder = Encoder()

    def model(x: Tensor) -> None:
        with pyro.plate("data", len(x), subsample_size=5) as some:
            z = pyro.sample("z", dist.Normal(0.0, 1.0))
            pyro.sample("x", dist.Normal(2 * z, 1.0), obs=x[some])

    def guide(x: Tensor) -> None:
        pyro.module("encoder", encoder)
        with pyro.plate("data", len(x), subsample_size=5) as some:
            pyro.sample("z", dist.Normal(*encoder(x[some])))

    return model, guide, encoder


def scaled() -> tuple[Any, ...]:
    """Handlers around model and guide, one with a tensor."""
    model, guide, encoder = amortized()()
    return poutine.scale(model, torch.tensor(0.3)), poutine.scale(guide, 0.7), encoder


class MeanField(PyroModule):
    """A guide with parameters of Pyro and a layer of torch."""

    def __init__(self) -> None:
        super().__init__()
        self.loc = PyroParam(torch.tensor(0.3))
        self.scale = PyroParam(torch.tensor(0.5), constraints.positive)
        self.shift = PyroModule[nn.Linear](1, 1)

    def forward(self, x: Tensor) -> None:
        shift = self.shift(x[:, None])[:, 0]
        with pyro.plate("data", len(x)):
            pyro.sample("z", dist.Normal(self.loc + shift, self.scale))


class Regression(PyroModule):
    """A layer whose weights are drawn."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = PyroModule[nn.Linear](1, 1)
        normal = dist.Normal(0.0, 1.0)
        self.linear.weight = PyroSample(normal.expand([1, 1]).to_event(2))
        self.linear.bias = PyroSample(normal.expand([1]).to_event(1))

    def forward(self, x: Tensor) -> None:
        mean = self.linear(x[:, None])[:, 0]
        with pyro.plate("data", len(x)):
            pyro.sample("x", dist.Normal(mean, 1.0), obs=x)


def regression() -> tuple[Any, ...]:
    model = Regression()
    return model, autoguide.AutoMultivariateNormal(model)


def discrete() -> tuple[Any, ...]:
    """A discrete latent variable for every point, amortized."""
    network = nn.Linear(1, 1)

    def model(x: Tensor) -> None:
        with pyro.plate("data", len(x)):
            c = pyro.sample("c", dist.Bernoulli(0.4))
            pyro.sample("x", dist.Normal(2 * c, 1.0), obs=x)

    def guide(x: Tensor) -> None:
        pyro.module("network", network)
        with pyro.plate("data", len(x)):
            pyro.sample("c", dist.Bernoulli(logits=network(x[:, None])[:, 0]))

    return model, guide, network


def flow_of_data() -> tuple[Any, ...]:
    """A flow that keeps running averages of what is observed."""
    norm = dist.transforms.BatchNorm(1)

    def model(x: Tensor) -> None:
        pyro.module("norm", norm)
        z = pyro.sample("z", dist.Normal(0.0, 1.0))
        base = dist.Normal(z.expand(1), 1.0).to_event(1)
        with pyro.plate("data", len(x)):
            law = dist.TransformedDistribution(base, [norm])
            pyro.sample("x", law, obs=x[:, None])

    return model, autoguide.AutoNormal(model), norm


def baseline() -> Any:
    """The score function, with a network that learns what the cost will be."""
    network = nn.Sequential(nn.Unflatten(0, (12, 1)), nn.Linear(1, 8), nn.Linear(8, 1))
    estimator = ScoreFunction(baseline=NeuralBaseline(network))
    return switch(sites={"c": estimator})


NETWORKS = {
    "amortized": Program(amortized()),
    "amortized, several particles": Program(
        amortized(), partial(switch, num_particles=4, vectorize_particles=True)
    ),
    "amortized, particles one by one": Program(
        amortized(), partial(switch, num_particles=3)
    ),
    "amortized, mean field": Program(amortized(), TraceMeanField_ELBO),
    "amortized, Trace_ELBO": Program(amortized(), Trace_ELBO),
    "subsample": Program(subsampled),
    "scale": Program(scaled),
    "dropout": Program(amortized(lambda: nn.Dropout(0.3))),
    "batch norm": Program(amortized(lambda: nn.BatchNorm1d(8))),
    "batch norm that remembers all": Program(
        amortized(lambda: nn.BatchNorm1d(8, momentum=None)), warns="cannot be recorded"
    ),
    "flow of data": Program(flow_of_data),
    "spectral norm": Program(
        amortized(lambda: nn.utils.parametrizations.spectral_norm(nn.Linear(8, 8)))
    ),
    "PyroModule": Program(lambda: (model, MeanField())),
    "PyroSample": Program(regression),
    "discrete": Program(discrete, partial(switch, "score")),
    "discrete, Trace_ELBO": Program(discrete, Trace_ELBO),
    "neural baseline": Program(discrete, baseline),
    "float32": Program(amortized(), dtype=torch.float32),
}
