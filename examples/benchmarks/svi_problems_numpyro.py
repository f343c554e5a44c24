# SPDX-License-Identifier: Apache-2.0
"""The programs of ``svi_problems.py`` for NumPyro: the same data, guides and plates.

Its interpreter may have no torch: nothing here imports it, and data are handed over.
"""

import zlib
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from numpyro.distributions import constraints
from numpyro.infer.autoguide import AutoMultivariateNormal, AutoNormal


class Problem(NamedTuple):
    """A model, its guide, and whether it needs the score function."""

    model: Callable[..., Any]
    guide: Callable[..., Any]
    score: bool = False


def conjugate(data: Any) -> Problem:
    def model(x: Any) -> None:
        z = numpyro.sample("z", dist.Normal(0.0, 1.0))
        with numpyro.plate("data", len(x)):
            numpyro.sample("x", dist.Normal(z, 1.0), obs=x)

    def guide(x: Any) -> None:
        loc = numpyro.param("loc", 0.0)
        scale = numpyro.param("scale", 1.0, constraint=constraints.positive)
        numpyro.sample("z", dist.Normal(loc, scale))

    return Problem(model, guide)


def schools(data: Any) -> Problem:
    def model(scale: Any, y: Any) -> None:
        mean = numpyro.sample("mean", dist.Normal(0.0, 5.0))
        spread = numpyro.sample("spread", dist.HalfCauchy(5.0))
        with numpyro.plate("schools", 8):
            effect = numpyro.sample("effect", dist.Normal(0.0, 1.0))
            numpyro.sample("y", dist.Normal(mean + spread * effect, scale), obs=y)

    return Problem(model, AutoNormal(model))


def regression(data: Any, make_guide: Callable[..., Any] = AutoNormal) -> Problem:
    def model(x: Any, y: Any) -> None:
        inputs = x.shape[1]
        prior = dist.Normal(jnp.zeros(inputs), jnp.ones(inputs)).to_event(1)
        w = numpyro.sample("w", prior)
        b = numpyro.sample("b", dist.Normal(0.0, 1.0))
        with numpyro.plate("data", len(x)):
            numpyro.sample("y", dist.Bernoulli(logits=x @ w + b), obs=y)

    return Problem(model, make_guide(model))


def linear(name: str, inputs: int, outputs: int) -> Callable[[Any], Any]:
    random = np.random.default_rng(zlib.crc32(name.encode()))
    weight = random.uniform(-1, 1, (inputs, outputs)) / np.sqrt(inputs)
    w = numpyro.param(f"{name}_weight", jnp.asarray(weight, "float32"))
    b = numpyro.param(f"{name}_bias", jnp.zeros(outputs))
    return lambda x: x @ w + b


def autoencoder(data: Any, hidden: int = 400, latent: int = 20) -> Problem:
    pixels = data[0].shape[1]

    def model(x: Any) -> None:
        first, last = linear("d1", latent, hidden), linear("d2", hidden, pixels)
        with numpyro.plate("images", len(x)):
            prior = dist.Normal(jnp.zeros((len(x), latent)), 1.0).to_event(1)
            logits = last(jax.nn.softplus(first(numpyro.sample("z", prior))))
            numpyro.sample("x", dist.Bernoulli(logits=logits).to_event(1), obs=x)

    def guide(x: Any) -> None:
        first, last = linear("e1", pixels, hidden), linear("e2", hidden, 2 * latent)
        with numpyro.plate("images", len(x)):
            loc, log_scale = jnp.split(last(jax.nn.softplus(first(x))), 2, -1)
            z = dist.Normal(loc, jnp.exp(log_scale)).to_event(1)
            numpyro.sample("z", z)

    return Problem(model, guide)


def hierarchy(data: Any) -> Problem:
    def model(group: Any, x: Any, y: Any) -> None:
        means, spreads = {}, {}
        for k in "abc":
            means[k] = numpyro.sample(f"mean_{k}", dist.Normal(0.0, 5.0))
            spreads[k] = numpyro.sample(f"spread_{k}", dist.HalfNormal(2.0))
        with numpyro.plate("groups", 20):
            a, b, c = (
                numpyro.sample(k, dist.Normal(means[k], spreads[k])) for k in "abc"
            )
        noise = numpyro.sample("noise", dist.HalfNormal(2.0))
        with numpyro.plate("data", len(x)):
            mean = a[group] + b[group] * x + c[group] * x * x
            numpyro.sample("y", dist.Normal(mean, noise), obs=y)

    return Problem(model, AutoNormal(model))


def factorization(data: Any, topics: int = 8) -> Problem:
    rows, words = data[0].shape

    def model(x: Any) -> None:
        with numpyro.plate("topics", topics):
            topic = numpyro.sample("topic", dist.Dirichlet(0.3 * jnp.ones(words)))
        with numpyro.plate("rows", rows):
            prior = dist.Gamma(0.5 * jnp.ones(topics), 0.01).to_event(1)
            weight = numpyro.sample("weight", prior)
            rate = weight @ topic + 1e-6
            numpyro.sample("x", dist.Poisson(rate).to_event(1), obs=x)

    def guide(x: Any) -> None:
        def positive(name: str, init: Any) -> Any:
            return numpyro.param(name, init, constraint=constraints.positive)

        shape = rows, topics
        with numpyro.plate("topics", topics):
            counts = positive("counts", jnp.ones((topics, words)))
            numpyro.sample("topic", dist.Dirichlet(counts))
        with numpyro.plate("rows", rows):
            concentration = positive("concentration", jnp.ones(shape))
            rate = positive("rate", 0.1 * jnp.ones(shape))
            numpyro.sample("weight", dist.Gamma(concentration, rate).to_event(1))

    return Problem(model, guide)


def belief_network(data: Any, latent: int = 20) -> Problem:
    pixels = data[0].shape[1]

    def model(x: Any) -> None:
        decoder = linear("decoder", latent, pixels)
        with numpyro.plate("images", len(x)):
            prior = dist.Bernoulli(0.5 * jnp.ones((len(x), latent))).to_event(1)
            logits = decoder(numpyro.sample("z", prior).astype(x.dtype))
            numpyro.sample("x", dist.Bernoulli(logits=logits).to_event(1), obs=x)

    def guide(x: Any) -> None:
        encoder = linear("encoder", pixels, latent)
        with numpyro.plate("images", len(x)):
            numpyro.sample("z", dist.Bernoulli(logits=encoder(x)).to_event(1))

    return Problem(model, guide, score=True)


PROBLEMS: dict[str, Callable[[Any], Problem]] = {
    "a": conjugate,
    "b": schools,
    "c": regression,
    "c full": lambda data: regression(data, AutoMultivariateNormal),
    "d": autoencoder,
    "e": hierarchy,
    "f": factorization,
    "g": belief_network,
}
