# SPDX-License-Identifier: Apache-2.0
"""Models and guides to time losses on: a small hierarchy, and an autoencoder."""

from collections.abc import Callable
from dataclasses import dataclass

import pyro
import pyro.distributions as dist
import torch
from pyro.distributions import constraints
from torch import Tensor, nn


@dataclass(frozen=True)
class Program:
    """A model, a guide, and the data both are called with."""

    model: Callable[[Tensor], None]
    guide: Callable[[Tensor], None]
    data: Tensor


def averaged(infer: dict | None) -> dict:
    """The annotation of a site, not shared between runs."""
    return dict(infer or {})


def small_continuous(infer: dict | None = None) -> Program:
    """Three latents, one of them in a plate of 20."""

    def model(x: Tensor) -> None:
        loc = pyro.sample("loc", dist.Normal(0.0, 1.0))
        scale = pyro.sample("scale", dist.LogNormal(0.0, 1.0))
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", dist.Normal(loc, scale))
            pyro.sample("x", dist.Normal(z, 0.5), obs=x)

    def guide(x: Tensor) -> None:
        def normal(name: str, *shape: int) -> tuple[Tensor, Tensor]:
            return (
                pyro.param(f"{name}_loc", torch.zeros(shape)),
                pyro.param(
                    f"{name}_scale",
                    torch.full(shape, 0.3),
                    constraint=constraints.positive,
                ),
            )

        pyro.sample("loc", dist.Normal(*normal("loc")), infer=averaged(infer))
        pyro.sample("scale", dist.LogNormal(*normal("scale")), infer=averaged(infer))
        with pyro.plate("data", len(x)):
            pyro.sample("z", dist.Normal(*normal("z", len(x))), infer=averaged(infer))

    return Program(model, guide, torch.linspace(-2, 2, 20))


def small_discrete(infer: dict | None = None) -> Program:
    """A switch, and under it a plate of 20 more."""

    def model(x: Tensor) -> None:
        b = pyro.sample("b", dist.Bernoulli(0.3))
        with pyro.plate("data", len(x)):
            c = pyro.sample("c", dist.Bernoulli(0.2 + 0.6 * b))
            pyro.sample("x", dist.Normal(2 * c - 1, 1.0), obs=x)

    def guide(x: Tensor) -> None:
        b_logits = pyro.param("b_logits", torch.tensor(0.1))
        c_logits = pyro.param("c_logits", torch.zeros(len(x)))
        pyro.sample("b", dist.Bernoulli(logits=b_logits), infer=averaged(infer))
        with pyro.plate("data", len(x)):
            pyro.sample("c", dist.Bernoulli(logits=c_logits), infer=averaged(infer))

    return Program(model, guide, torch.linspace(-2, 2, 20))


BATCH, PIXELS, HIDDEN, LATENTS, CLASSES = 128, 784, 200, 20, 10


def networks(inputs: int, outputs: int) -> tuple[nn.Module, nn.Module]:
    def mlp(*sizes: int) -> nn.Module:
        first, middle, last = sizes
        return nn.Sequential(
            nn.Linear(first, middle), nn.Softplus(), nn.Linear(middle, last)
        )

    return mlp(PIXELS, HIDDEN, outputs), mlp(inputs, HIDDEN, PIXELS)


def images() -> Tensor:
    return (torch.rand(BATCH, PIXELS) < 0.3).float()


def vae_continuous(infer: dict | None = None) -> Program:
    """An autoencoder with 20 normal latents an image."""
    encoder, decoder = networks(LATENTS, 2 * LATENTS)

    def model(x: Tensor) -> None:
        pyro.module("decoder", decoder)
        with pyro.plate("images", len(x)):
            prior = dist.Normal(x.new_zeros(LATENTS), 1.0).to_event(1)
            pixels = dist.Bernoulli(logits=decoder(pyro.sample("z", prior)))
            pyro.sample("x", pixels.to_event(1), obs=x)

    def guide(x: Tensor) -> None:
        pyro.module("encoder", encoder)
        with pyro.plate("images", len(x)):
            loc, raw = encoder(x).chunk(2, -1)
            z = dist.Normal(loc, nn.functional.softplus(raw)).to_event(1)
            pyro.sample("z", z, infer=averaged(infer))

    return Program(model, guide, images())


def vae_discrete(infer: dict | None = None) -> Program:
    """An autoencoder with 20 binary latents an image."""
    encoder, decoder = networks(LATENTS, LATENTS)

    def model(x: Tensor) -> None:
        pyro.module("decoder", decoder)
        with pyro.plate("images", len(x)):
            prior = dist.Bernoulli(x.new_full((LATENTS,), 0.5)).to_event(1)
            pixels = dist.Bernoulli(logits=decoder(pyro.sample("z", prior)))
            pyro.sample("x", pixels.to_event(1), obs=x)

    def guide(x: Tensor) -> None:
        pyro.module("encoder", encoder)
        with pyro.plate("images", len(x)):
            z = dist.Bernoulli(logits=encoder(x)).to_event(1)
            pyro.sample("z", z, infer=averaged(infer))

    return Program(model, guide, images())


def vae_classes(infer: dict | None = None) -> Program:
    """An autoencoder with one of ten classes an image."""
    encoder, decoder = networks(CLASSES, CLASSES)

    def model(x: Tensor) -> None:
        pyro.module("decoder", decoder)
        with pyro.plate("images", len(x)):
            z = pyro.sample("z", dist.Categorical(logits=x.new_zeros(CLASSES)))
            pixels = dist.Bernoulli(logits=decoder(torch.eye(CLASSES)[z]))
            pyro.sample("x", pixels.to_event(1), obs=x)

    def guide(x: Tensor) -> None:
        pyro.module("encoder", encoder)
        with pyro.plate("images", len(x)):
            z = dist.Categorical(logits=encoder(x))
            pyro.sample("z", z, infer=averaged(infer))

    return Program(model, guide, images())
