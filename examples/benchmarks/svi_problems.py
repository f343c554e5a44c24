# SPDX-License-Identifier: Apache-2.0
"""Seven programs that span what SVI is used for, for ``svi_step.py``.

==  ==============================================================================
a   a conjugate normal mean, 100 observations
b   eight schools, not centered; ``AutoNormal``
c   logistic regression, 2000 x 20; ``AutoNormal``, and ``AutoMultivariateNormal``
d   an autoencoder of digits, 64-400-20, minibatches of 128
e   a hierarchy of 10 latent sites in 20 groups, 500 observations; ``AutoNormal``
f   Poisson factorization: Dirichlet (8 x 64) and Gamma (100 x 8) latents
g   a layer of a sigmoid belief network: Bernoulli (128 x 20), score function
==  ==============================================================================
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pyro
import pyro.distributions as dist
import torch
from pyro.infer.autoguide import AutoMultivariateNormal, AutoNormal
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.distributions import constraints


class Problem(NamedTuple):
    """A model, its guide, and data."""

    model: Callable[..., Any]
    guide: Callable[..., Any]
    args: tuple[Tensor, ...]


def data(name: str) -> tuple[Any, ...]:
    """The same numbers for every library, as numpy arrays."""
    random = np.random.default_rng(0)
    if name == "a":
        return (random.normal(size=100).astype("f4") + 3,)
    if name == "b":
        effects = np.array([28, 8, -3, 7, -1, 1, 18, 12], "f4")
        return np.array([15, 10, 16, 11, 9, 11, 10, 18], "f4"), effects
    if name == "c":
        x = random.normal(size=(2000, 20))
        p = 1 / (1 + np.exp(-(x @ random.normal(size=20) + 0.3)))
        return x.astype("f4"), (random.uniform(size=2000) < p).astype("f4")
    if name == "e":
        group, x = random.integers(0, 20, size=500), random.normal(size=500)
        a, b, c = (random.normal(m, s, 20) for m, s in ((1, 1), (-1, 0.5), (0.3, 0.2)))
        y = a[group] + b[group] * x + c[group] * x**2 + 0.5 * random.normal(size=500)
        return group, x.astype("f4"), y.astype("f4")
    counts = load_digits().data
    if name == "f":
        return (counts[:100].astype("f4"),)
    return ((counts[:128] > 7.5).astype("f4"),)


def tensors(name: str) -> tuple[Tensor, ...]:
    return tuple(map(torch.as_tensor, data(name)))


def conjugate() -> Problem:
    def model(x: Tensor) -> None:
        z = pyro.sample("z", dist.Normal(0.0, 1.0))
        with pyro.plate("data", len(x)):
            pyro.sample("x", dist.Normal(z, 1.0), obs=x)

    def guide(x: Tensor) -> None:
        loc = pyro.param("loc", lambda: torch.tensor(0.0))
        positive = constraints.positive
        scale = pyro.param("scale", lambda: torch.tensor(1.0), constraint=positive)
        pyro.sample("z", dist.Normal(loc, scale))

    return Problem(model, guide, tensors("a"))


def schools() -> Problem:
    def model(scale: Tensor, y: Tensor) -> None:
        mean = pyro.sample("mean", dist.Normal(0.0, 5.0))
        spread = pyro.sample("spread", dist.HalfCauchy(torch.tensor(5.0)))
        with pyro.plate("schools", 8):
            effect = pyro.sample("effect", dist.Normal(0.0, 1.0))
            pyro.sample("y", dist.Normal(mean + spread * effect, scale), obs=y)

    return Problem(model, AutoNormal(model), tensors("b"))


def regression(make_guide: Callable[..., Any] = AutoNormal) -> Problem:
    def model(x: Tensor, y: Tensor) -> None:
        inputs = x.shape[1]
        prior = dist.Normal(torch.zeros(inputs), torch.ones(inputs)).to_event(1)
        w = pyro.sample("w", prior)
        b = pyro.sample("b", dist.Normal(0.0, 1.0))
        with pyro.plate("data", len(x)):
            logits = (x @ w if w.dim() == 1 else (w @ x.T).squeeze(-2)) + b
            pyro.sample("y", dist.Bernoulli(logits=logits), obs=y)

    return Problem(model, make_guide(model), tensors("c"))


def autoencoder(hidden: int = 400, latent: int = 20) -> Problem:
    (x,) = tensors("d")
    pixels = x.shape[1]
    torch.manual_seed(0)
    encoder = nn.Sequential(
        nn.Linear(pixels, hidden), nn.Softplus(), nn.Linear(hidden, 2 * latent)
    )
    decoder = nn.Sequential(
        nn.Linear(latent, hidden), nn.Softplus(), nn.Linear(hidden, pixels)
    )

    def model(x: Tensor) -> None:
        pyro.module("decoder", decoder)
        with pyro.plate("images", len(x)):
            prior = dist.Normal(x.new_zeros(len(x), latent), 1.0).to_event(1)
            logits = decoder(pyro.sample("z", prior))
            pyro.sample("x", dist.Bernoulli(logits=logits).to_event(1), obs=x)

    def guide(x: Tensor) -> None:
        pyro.module("encoder", encoder)
        with pyro.plate("images", len(x)):
            loc, log_scale = encoder(x).chunk(2, -1)
            pyro.sample("z", dist.Normal(loc, log_scale.exp()).to_event(1))

    return Problem(model, guide, (x,))


def hierarchy() -> Problem:
    def model(group: Tensor, x: Tensor, y: Tensor) -> None:
        means, spreads = {}, {}
        for k in "abc":
            means[k] = pyro.sample(f"mean_{k}", dist.Normal(0.0, 5.0))
            spreads[k] = pyro.sample(f"spread_{k}", dist.HalfNormal(2.0))
        with pyro.plate("groups", 20):
            a, b, c = (pyro.sample(k, dist.Normal(means[k], spreads[k])) for k in "abc")
        noise = pyro.sample("noise", dist.HalfNormal(2.0))
        with pyro.plate("data", len(x)):
            mean = a[..., group] + b[..., group] * x + c[..., group] * x * x
            pyro.sample("y", dist.Normal(mean, noise), obs=y)

    return Problem(model, AutoNormal(model), tensors("e"))


def factorization(topics: int = 8) -> Problem:
    (x,) = tensors("f")
    rows, words = x.shape

    def model(x: Tensor) -> None:
        with pyro.plate("topics", topics):
            topic = pyro.sample("topic", dist.Dirichlet(0.3 * torch.ones(words)))
        with pyro.plate("rows", rows):
            prior = dist.Gamma(0.5 * torch.ones(topics), 0.01).to_event(1)
            weight = pyro.sample("weight", prior)
            rate = weight @ topic + 1e-6
            pyro.sample("x", dist.Poisson(rate).to_event(1), obs=x)

    def guide(x: Tensor) -> None:
        def positive(name: str, init: Tensor) -> Tensor:
            return pyro.param(name, lambda: init, constraint=constraints.positive)

        shape = rows, topics
        with pyro.plate("topics", topics):
            counts = positive("counts", torch.ones(topics, words))
            pyro.sample("topic", dist.Dirichlet(counts))
        with pyro.plate("rows", rows):
            concentration = positive("concentration", torch.ones(shape))
            rate = positive("rate", 0.1 * torch.ones(shape))
            pyro.sample("weight", dist.Gamma(concentration, rate).to_event(1))

    return Problem(model, guide, (x,))


def belief_network(latent: int = 20) -> Problem:
    (x,) = tensors("g")
    torch.manual_seed(0)
    encoder, decoder = nn.Linear(x.shape[1], latent), nn.Linear(latent, x.shape[1])

    def model(x: Tensor) -> None:
        pyro.module("decoder", decoder)
        with pyro.plate("images", len(x)):
            prior = dist.Bernoulli(x.new_full((len(x), latent), 0.5)).to_event(1)
            logits = decoder(pyro.sample("z", prior))
            pyro.sample("x", dist.Bernoulli(logits=logits).to_event(1), obs=x)

    def guide(x: Tensor) -> None:
        pyro.module("encoder", encoder)
        with pyro.plate("images", len(x)):
            pyro.sample("z", dist.Bernoulli(logits=encoder(x)).to_event(1))

    return Problem(model, guide, (x,))


PROBLEMS: dict[str, Callable[[], Problem]] = {
    "a": conjugate,
    "b": schools,
    "c": regression,
    "c full": lambda: regression(AutoMultivariateNormal),
    "d": autoencoder,
    "e": hierarchy,
    "f": factorization,
    "g": belief_network,
}
