# SPDX-License-Identifier: Apache-2.0
"""Programs for `tests/relaxed_models.py`, smooth between the values of their draws."""

import pyro
import pyro.distributions as dist
import torch
from pyro import poutine

T = torch.tensor


def priors() -> tuple[torch.Tensor, torch.Tensor]:
    b = pyro.sample("b", dist.Bernoulli(T([0.3, 0.6])).to_event(1))
    with poutine.scale(scale=0.8):
        h = pyro.sample("h", dist.OneHotCategorical(T([0.1, 0.6, 0.3])))
    return b, h


# Linear in each element, the others given.
def multilinear_model() -> None:
    weight = T([[0.7, -1.2, 0.4], [1.5, 0.3, -0.9]])
    with pyro.plate("data", 2):
        b, h = priors()
        pairs = (b.unsqueeze(-1) * weight * h.unsqueeze(-2)).sum((-1, -2))
        pyro.factor("f", pairs + 2 * b[..., 0] * b[..., 1])


def guide() -> None:
    b_logits = pyro.param("b_logits", T([[0.9, -0.7], [-0.5, 1.1]]))
    h_logits = pyro.param("h_logits", T([0.1, -0.9, 0.8]))
    with pyro.plate("data", 2):
        pyro.sample("b", dist.Bernoulli(logits=b_logits).to_event(1))
        with poutine.scale(scale=0.8):
            pyro.sample("h", dist.OneHotCategorical(logits=h_logits))


# Quadratic in each element, the others given.
def quadratic_model() -> None:
    with pyro.plate("data", 2):
        b, h = priors()
        loc = (b * T([0.7, -1.2])).sum(-1) * (h * T([1.0, 2.0, -1.0])).sum(-1)
        pyro.sample("x", dist.Normal(loc + b[..., 0], 1.0), obs=T([1.5, -0.8]))


# Among draws of other kinds: linear in b given them, whatever they are.
def mixed_model() -> None:
    e = pyro.sample("e", dist.Bernoulli(0.4))
    h = pyro.sample("h", dist.OneHotCategorical(T([[0.2, 0.8], [0.7, 0.3]])[e.long()]))
    z = pyro.sample("z", dist.Normal(e, 1.0))
    b = pyro.sample("b", dist.Bernoulli(logits=z))
    c = pyro.sample("c", dist.Bernoulli(logits=0.5 * e))
    pyro.factor("f", 1.4 * b * h[..., 0] - 0.8 * b * c * e + h[..., 1] * z.tanh())


def mixed_guide() -> None:
    p = pyro.param("p", T([0.4, -0.3, 0.2, 0.5, -0.6, 0.7]))
    e = pyro.sample("e", dist.Bernoulli(logits=p[0]))
    h_logits = torch.stack([p[1] * e, p[2] + 0 * e], -1)
    pyro.sample("h", dist.OneHotCategorical(logits=h_logits))
    pyro.sample("z", dist.Normal(p[3] * e, 0.8))
    pyro.sample("b", dist.Bernoulli(logits=p[4] + e))
    pyro.sample("c", dist.Bernoulli(logits=p[5] - e))


# A mask, and a law given by probabilities.
def masked_model() -> None:
    seen = T([True, False])
    with pyro.plate("data", 2):
        h = pyro.sample("h", dist.OneHotCategorical(T([0.1, 0.6, 0.3])).mask(seen))
        pyro.factor("f", (h * T([0.5, -1.0, 2.0])).sum(-1))


def masked_guide() -> None:
    seen = T([True, False])
    probs = pyro.param("probs", T([0.3, 0.5, 0.2]))
    with pyro.plate("data", 2):
        pyro.sample("h", dist.OneHotCategorical(probs).mask(seen))
