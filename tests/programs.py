# SPDX-License-Identifier: Apache-2.0
"""Programs for `tests/models.py`, one for each feature the switch meets."""

from collections.abc import Callable
from typing import Any

import pyro
import pyro.distributions as dist
import torch
from pyro import poutine
from pyro.distributions import constraints, transforms
from pyro.infer.autoguide import init_to_value
from pyro.nn import PyroModule, PyroSample
from torch import nn

T = torch.tensor


def always(guide: Callable[..., Any]) -> Callable[..., Any]:
    """A guide that needs no making."""
    return lambda model: guide


# One normal latent.
def normal_model() -> None:
    z = pyro.sample("z", dist.Normal(0.0, 1.0))
    pyro.sample("x", dist.Normal(z, 1.0), obs=T(2.0))


def normal_guide() -> None:
    loc = pyro.param("loc", T(0.3))
    log_scale = pyro.param("log_scale", T(-0.2))
    pyro.sample("z", dist.Normal(loc, log_scale.exp()))


# A score-function draw that reaches the model through a point mass.
def auxiliary_guide() -> None:
    loc = pyro.param("loc", T(0.3))
    log_scale = pyro.param("log_scale", T(-0.2))
    u = pyro.sample(
        "u", dist.Normal(loc, log_scale.exp()), infer={"is_auxiliary": True}
    )
    pyro.sample("z", dist.Delta(u))


# A caching transform.
def flow_guide() -> None:
    loc = pyro.param("loc", T(0.3))
    log_scale = pyro.param("log_scale", T(0.2))
    transform = transforms.AffineTransform(loc, log_scale.exp(), cache_size=1)
    base = dist.Normal(torch.zeros(()), 1.0)
    pyro.sample("z", dist.TransformedDistribution(base, [transform]))


# Continuous, then discrete, then continuous again.
def mixed_model() -> None:
    z1 = pyro.sample("z1", dist.Normal(0.0, 1.0))
    z2 = pyro.sample("z2", dist.Bernoulli(logits=z1))
    z3 = pyro.sample("z3", dist.Normal(z2 + z1, 1.0))
    pyro.sample("x", dist.Normal(z3 * z2, 1.0), obs=T(1.0))


def mixed_guide() -> None:
    p = pyro.param("p", T([0.2, -0.1, 0.3, 0.5, 0.1, -0.2]))
    z1 = pyro.sample("z1", dist.Normal(p[0], p[1].exp()))
    z2 = pyro.sample("z2", dist.Bernoulli(logits=p[2] + p[3] * z1))
    pyro.sample("z3", dist.Normal(p[4] * z2 + p[3] * z1, p[5].exp()))


# A chain of discrete sites: costs differ from site to site.
def chain_model() -> None:
    c1 = pyro.sample("c1", dist.Categorical(T([0.3, 0.3, 0.4])))
    table = T([[0.8, 0.2], [0.5, 0.5], [0.1, 0.9]])
    c2 = pyro.sample("c2", dist.Categorical(table[c1]))
    c3 = pyro.sample("c3", dist.Bernoulli(T([0.2, 0.7])[c2]))
    pyro.sample("x1", dist.Normal(c1.to(T(0.0).dtype), 1.0), obs=T(1.5))
    pyro.sample("x3", dist.Normal(c3, 0.7), obs=T(0.4))


def chain_guide() -> None:
    a = pyro.param("a", T([0.2, 0.1, -0.3]))
    b = pyro.param("b", T([[0.5, 0.1], [0.0, 0.3], [-0.2, 0.2]]))
    c = pyro.param("c", T(0.4))
    pyro.sample("c1", dist.Categorical(logits=a))
    c2 = pyro.sample("c2", dist.Categorical(logits=b[0]))
    pyro.sample("c3", dist.Bernoulli(logits=c * c2 + b[1, 0]))


# Plates, .to_event, a mask and a scale, with a global Gamma.
def plated_model() -> None:
    x = T([0.5, -1.0])
    s = pyro.sample("s", dist.Gamma(3.0, 2.0))
    with pyro.plate("data", 2), poutine.scale(scale=0.7):
        z = pyro.sample("z", dist.Normal(torch.zeros(1), 1.0).to_event(1))
        with poutine.mask(mask=T([True, False])):
            pyro.sample("x", dist.Normal(z[..., 0] * s, 1.0), obs=x)


def plated_guide() -> None:
    a = pyro.param("a", T(3.0), constraint=constraints.positive)
    loc = pyro.param("loc", T([[0.3], [-0.4]]))
    log_scale = pyro.param("log_scale", T([[-0.3], [0.1]]))
    pyro.sample("s", dist.Gamma(a, T(2.0)))
    with pyro.plate("data", 2), poutine.scale(scale=0.7):
        pyro.sample("z", dist.Normal(loc, log_scale.exp()).to_event(1))


# A masked draw that matters downstream: its score must not be masked.
def masked_model() -> None:
    with pyro.plate("data", 2):
        z = pyro.sample("z", dist.Normal(0.0, 1.0).mask(T([True, False])))
        pyro.sample("x", dist.Normal(z, 1.0), obs=T([1.0, 2.0]))


def masked_guide() -> None:
    loc = pyro.param("loc", T([0.3, -0.4]))
    with pyro.plate("data", 2):
        z = dist.Normal(loc, 0.8).mask(T([True, False]))
        pyro.sample("z", z)


# Nested plates, a discrete site inside, a continuous one outside.
def nested_model() -> None:
    with pyro.plate("outer", 2, dim=-2):
        m = pyro.sample("m", dist.Normal(0.0, 1.0))
        with pyro.plate("inner", 2, dim=-1):
            c = pyro.sample("c", dist.Bernoulli(0.4))
            obs = T([[0.5, 1.0], [-0.3, 0.2]])
            pyro.sample("x", dist.Normal(m + c, 1.0), obs=obs)


def nested_guide() -> None:
    loc = pyro.param("loc", T([[0.2], [-0.1]]))
    logits = pyro.param("logits", T([[0.3, -0.2], [0.1, 0.5]]))
    with pyro.plate("outer", 2, dim=-2):
        m = pyro.sample("m", dist.Normal(loc, 0.7))
        with pyro.plate("inner", 2, dim=-1):
            pyro.sample("c", dist.Bernoulli(logits=logits + 0.3 * m))


# A path through an autograd function, downstream of a discrete site.
def downstream_model() -> None:
    c = pyro.sample("c", dist.Bernoulli(0.4))
    p = pyro.sample("p", dist.Beta(2.0 + c, 2.0))
    pyro.sample("x", dist.Normal(3 * p, 1.0), obs=T(1.0))


def downstream_guide() -> None:
    theta = pyro.param("theta", T(2.3))
    c = pyro.sample("c", dist.Bernoulli(logits=pyro.param("logit", T(0.2))))
    pyro.sample("p", dist.Beta(theta + c, T(2.0)))


# Two plates on one dimension: a cell of one is not a cell of the other.
def two_plates_model() -> None:
    with pyro.plate("first", 2):
        c = pyro.sample("c", dist.Bernoulli(0.4))
    total = c.sum(-1, keepdim=True)
    with pyro.plate("second", 2):
        pyro.sample("x", dist.Normal(total, 1.0), obs=T([0.5, 2.5]))


def two_plates_guide() -> None:
    with pyro.plate("first", 2):
        pyro.sample("c", dist.Bernoulli(logits=pyro.param("logits", T([0.3, -0.2]))))


# Subsampling, discrete local sites and a continuous global one.
def subsampled_model(size: int | None = 2) -> None:
    x = T([1.9, 2.0, 2.1, 2.2])
    m = pyro.sample("m", dist.Normal(0.0, 1.0))
    with pyro.plate("data", 4, subsample_size=size) as index:
        c = pyro.sample("c", dist.Bernoulli(0.4))
        pyro.sample("x", dist.Normal(m + c, 1.0), obs=x[index])


def subsampled_guide(size: int | None = 2) -> None:
    loc = pyro.param("loc", T(0.2))
    logits = pyro.param("logits", T([0.3, -0.2, 0.1, 0.5]))
    pyro.sample("m", dist.Normal(loc, 0.7))
    with pyro.plate("data", 4, subsample_size=size) as index:
        pyro.sample("c", dist.Bernoulli(logits=logits[index]))


# The program branches on a draw.
def branching_model() -> None:
    z = pyro.sample("z", dist.Bernoulli(0.5))
    w = pyro.sample("w", dist.Normal(0.0, 1.0))
    loc = 2.0 * w if z.item() > 0 else 1.0 - w
    pyro.sample("x", dist.Normal(loc, 1.0), obs=T(2.5))


def branching_guide() -> None:
    logit = pyro.param("logit", T(0.3))
    loc = pyro.param("loc", T(0.1))
    pyro.sample("z", dist.Bernoulli(logits=logit))
    pyro.sample("w", dist.Normal(loc, 0.8))


# Two latents for autoguides, one of them constrained.
def auto_model() -> None:
    s = pyro.sample("s", dist.LogNormal(0.0, 0.5))
    with pyro.plate("data", 1):
        z = pyro.sample("z", dist.Normal(0.0, 1.0))
        pyro.sample("x", dist.Normal(z, s), obs=T([1.2]))


def auto(make: Callable[..., Any], model: Callable[..., Any]) -> Callable[..., Any]:
    start = init_to_value(values={"s": T(1.1), "z": T([0.3])})
    return make(model, init_loc_fn=start, init_scale=0.4)


# An amortized guide through pyro.module, discrete beside continuous.
def data() -> torch.Tensor:
    return T([[0.5], [1.0]])


def amortized_model() -> None:
    with pyro.plate("data", 2):
        c = pyro.sample("c", dist.Bernoulli(0.4))
        z = pyro.sample("z", dist.Normal(c.unsqueeze(-1), 1.0).to_event(1))
        pyro.sample("x", dist.Normal(z, 1.0).to_event(1), obs=data())


def amortized_guide(model: Callable[..., Any]) -> Callable[..., Any]:
    encoder = nn.Linear(1, 3)
    with torch.no_grad():
        encoder.weight.copy_(T([[0.3], [-0.2], [0.5]]))
        encoder.bias.copy_(T([0.1, 0.2, -0.3]))

    def guide() -> None:
        pyro.module("encoder", encoder)
        with pyro.plate("data", 2):
            loc, log_scale, logit = encoder(data()).unbind(-1)
            pyro.sample("c", dist.Bernoulli(logits=logit))
            z = dist.Normal(loc.unsqueeze(-1), log_scale.exp().unsqueeze(-1))
            pyro.sample("z", z.to_event(1))

    return guide


# A model that is a PyroModule with a random weight.
class Regression(PyroModule):
    def __init__(self) -> None:
        super().__init__()
        self.weight = PyroSample(lambda self: dist.Normal(0.0, 1.0))

    def forward(self) -> None:
        weight = self.weight
        with pyro.plate("data", 2):
            loc = weight * T([1.0, 2.0])
            pyro.sample("x", dist.Normal(loc, 1.0), obs=T([0.7, 1.1]))


def regression_guide() -> None:
    loc = pyro.param("loc", T(0.2))
    log_scale = pyro.param("log_scale", T(-0.3))
    pyro.sample("weight", dist.Normal(loc, log_scale.exp()))
