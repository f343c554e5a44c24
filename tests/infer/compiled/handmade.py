# SPDX-License-Identifier: Apache-2.0
"""Programs by hand: laws, plates, masks, and losses that cannot be recorded."""

from functools import partial
from typing import Any

import pyro
import pyro.distributions as dist
import torch
from pyro import poutine
from pyro.infer import RenyiELBO, TraceEnum_ELBO, TraceGraph_ELBO, config_enumerate
from torch import Tensor
from torch.distributions import constraints

from pyro_reparam_ext import distributions as D
from tests.infer.compiled.autoguides import GROUPS, Program, switch


def positive(name: str, value: Any) -> Tensor:
    start = torch.as_tensor(value, dtype=torch.get_default_dtype())
    return pyro.param(name, start, constraint=constraints.positive)


def masked() -> tuple[Any, ...]:
    """By a handler, and by a method."""

    def model(x: Tensor) -> None:
        with pyro.plate("data", len(x)), poutine.mask(mask=x > 0):
            z = pyro.sample("z", dist.Normal(0.0, 1.0))
            pyro.sample("x", dist.Normal(2 * z, 1.0).mask(x < 1.5), obs=x)

    def guide(x: Tensor) -> None:
        loc = pyro.param("loc", lambda: torch.zeros(len(x)))
        with pyro.plate("data", len(x)), poutine.mask(mask=x > 0):
            pyro.sample("z", dist.Normal(loc, 0.5))

    return model, guide


def markov() -> tuple[Any, ...]:
    """A chain of states."""

    def model(x: Tensor) -> None:
        z = torch.tensor(0.0)
        for t in pyro.markov(range(4)):
            z = pyro.sample(f"z{t}", dist.Normal(0.9 * z, 1.0))
            pyro.sample(f"x{t}", dist.Normal(z, 1.0), obs=x[t])

    def guide(x: Tensor) -> None:
        loc = pyro.param("loc", torch.zeros(4))
        for t in pyro.markov(range(4)):
            pyro.sample(f"z{t}", dist.Normal(loc[t], 0.5))

    return model, guide


def gamma_and_beta() -> tuple[Any, ...]:
    def model(x: Tensor) -> None:
        p = pyro.sample("p", dist.Beta(2.0, 2.0))
        g = pyro.sample("g", dist.Gamma(2.0, 2.0))
        with pyro.plate("data", len(x)):
            pyro.sample("x", dist.Normal(p, g.rsqrt()), obs=x)

    def guide(x: Tensor) -> None:
        pyro.sample("p", dist.Beta(positive("a", 2.0), positive("b", 1.5)))
        pyro.sample("g", dist.Gamma(positive("c", 3.0), positive("r", 2.0)))

    return model, guide


def dirichlet() -> tuple[Any, ...]:
    def model(x: Tensor) -> None:
        p = pyro.sample("p", dist.Dirichlet(torch.ones(3)))
        with pyro.plate("data", len(x)):
            pyro.sample("c", dist.Categorical(p.unsqueeze(-2)), obs=GROUPS)

    def guide(x: Tensor) -> None:
        pyro.sample("p", dist.Dirichlet(positive("a", [2.0, 3.0, 1.0])))

    return model, guide


def custom() -> tuple[Any, ...]:
    """Laws of this package, whose samplers and densities are operations of its own."""

    def model(x: Tensor) -> None:
        angle = pyro.sample("angle", dist.VonMises(0.0, 1.0))
        g = pyro.sample("g", dist.Gamma(2.0, 2.0))
        p = pyro.sample("p", dist.Beta(2.0, 2.0))
        w = pyro.sample("w", dist.Dirichlet(torch.ones(3)))
        mean = angle.sin() + p + w[..., 0]
        with pyro.plate("data", len(x)):
            pyro.sample("x", dist.Normal(mean, g.rsqrt()), obs=x)

    def guide(x: Tensor) -> None:
        loc = pyro.param("loc", torch.tensor(0.2))
        pyro.sample("angle", D.VonMises(loc, positive("kappa", 2.0)))
        pyro.sample("g", D.Gamma(positive("c", 3.0), positive("r", 2.0)))
        pyro.sample("p", D.Beta(positive("a", 2.0), positive("b", 1.5)))
        pyro.sample("w", D.Dirichlet(positive("d", [2.0, 3.0, 1.0])))

    return model, guide


def mixture() -> tuple[Any, ...]:
    """A mixture of this package, and a law with a bound."""

    def model(x: Tensor) -> None:
        z = pyro.sample("z", dist.Normal(0.0, 2.0))
        t = pyro.sample("t", dist.Exponential(1.0))
        with pyro.plate("data", len(x)):
            pyro.sample("x", dist.Normal(z, 1 + t), obs=x)

    def guide(x: Tensor) -> None:
        weights = dist.Categorical(logits=pyro.param("logits", torch.zeros(2)))
        loc = pyro.param("loc", torch.tensor([-1.0, 1.0]))
        pyro.sample("z", D.MixtureSameFamily(weights, dist.Normal(loc, 0.5)))
        pyro.sample("t", D.InverseGaussian(positive("m", 1.0), positive("s", 2.0)))

    return model, guide


def chosen() -> tuple[Any, ...]:
    """A discrete draw that says which number is meant."""

    def model(x: Tensor) -> None:
        c = pyro.sample("c", dist.Categorical(torch.ones(3)))
        loc = pyro.param("means", torch.tensor([[-1.0, 0.5], [0.0, 1.0], [2.0, 1.5]]))
        mean, scale = loc[..., c, :].unbind(-1)
        with pyro.plate("data", len(x)):
            pyro.sample("x", dist.Normal(mean, scale.exp()), obs=x)

    def guide(x: Tensor) -> None:
        pyro.sample("c", dist.Categorical(logits=pyro.param("logits", torch.zeros(3))))

    return model, guide


def enumerated() -> tuple[Any, ...]:
    """A discrete variable that is summed over."""

    @config_enumerate
    def model(x: Tensor) -> None:
        m = pyro.sample("m", dist.Normal(0.0, 1.0))
        with pyro.plate("data", len(x)):
            c = pyro.sample("c", dist.Bernoulli(0.4))
            pyro.sample("x", dist.Normal(m + c, 1.0), obs=x)

    def guide(x: Tensor) -> None:
        loc = pyro.param("loc", torch.tensor(0.1))
        pyro.sample("m", dist.Normal(loc, positive("scale", 0.5)))

    return model, guide


HANDMADE = {
    "mask": Program(masked),
    "markov": Program(markov),
    "Gamma and Beta": Program(gamma_and_beta),
    "Dirichlet": Program(dirichlet),
    "custom operations": Program(custom),
    "mixture": Program(mixture),
    "index by a draw": Program(chosen, partial(switch, "score")),
    "index by a draw, enumerated": Program(chosen, partial(switch, "enum")),
    "TraceEnum_ELBO": Program(
        enumerated,
        lambda: TraceEnum_ELBO(max_plate_nesting=1),
        warns="cannot be recorded",
    ),
    "TraceGraph_ELBO": Program(
        chosen, TraceGraph_ELBO, warns="TraceGraph_ELBO has no differentiable_loss"
    ),
    "RenyiELBO": Program(
        gamma_and_beta,
        lambda: RenyiELBO(num_particles=2),
        warns="RenyiELBO has no differentiable_loss",
    ),
}
