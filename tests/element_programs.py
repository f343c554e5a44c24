# SPDX-License-Identifier: Apache-2.0
"""Programs for `tests/models.py` that estimators with replays and closed forms meet."""

import pyro
import pyro.distributions as dist
import torch
from pyro import poutine

T = torch.tensor


# Several elements in a draw, in cells of a plate: binary, one-hot, and integers.
def elements_model() -> None:
    weight = T([0.7, -1.2])
    with pyro.plate("data", 2):
        b = pyro.sample("b", dist.Bernoulli(T([0.3, 0.6])).to_event(1))
        h = pyro.sample("h", dist.OneHotCategorical(T([0.2, 0.5, 0.3])))
        loc = (b * weight).sum(-1) * (h * T([1.0, 2.0, -1.0])).sum(-1)
        pyro.sample("x", dist.Normal(loc, 1.0), obs=T([0.5, -0.8]))


def elements_guide() -> None:
    b_logits = pyro.param("b_logits", T([[0.3, -0.2], [0.5, 0.1]]))
    h_logits = pyro.param("h_logits", T([0.1, -0.4, 0.3]))
    with pyro.plate("data", 2):
        b = pyro.sample("b", dist.Bernoulli(logits=b_logits).to_event(1))
        logits = h_logits + 0.4 * b[..., :1] * T([1.0, 0.0, -1.0])
        pyro.sample("h", dist.OneHotCategorical(logits=logits))


def integers_model() -> None:
    k = pyro.sample(
        "k", dist.Categorical(T([[0.2, 0.5, 0.3], [0.6, 0.1, 0.3]])).to_event(1)
    )
    pyro.sample("x", dist.Normal((k[..., 0] - 1.0) * k[..., 1], 1.0), obs=T(0.9))


def integers_guide() -> None:
    probs = pyro.param("probs", T([[0.3, 0.3, 0.4], [0.2, 0.5, 0.3]]))
    pyro.sample("k", dist.Categorical(probs).to_event(1))


# The guide draws in the other order: the prior of z1 is no closed form given z2.
def reversed_model() -> None:
    z1 = pyro.sample("z1", dist.Normal(0.0, 1.0))
    z2 = pyro.sample("z2", dist.Normal(z1, 0.8))
    pyro.sample("x", dist.Normal(z1 * z2, 1.0), obs=T(1.3))


def reversed_guide() -> None:
    p = pyro.param("p", T([0.3, -0.4, 0.2, 0.6, -0.5]))
    z2 = pyro.sample("z2", dist.Normal(p[0], p[1].exp()))
    pyro.sample("z1", dist.Normal(p[2] + p[3] * z2, p[4].exp()))


# The model's terms count less than the guide's: no divergence between the two.
def annealed_model() -> None:
    with poutine.scale(scale=0.6):
        c = pyro.sample("c", dist.Bernoulli(0.3))
        z = pyro.sample("z", dist.Normal(c, 1.0))
    pyro.sample("x", dist.Normal(z, 1.0), obs=T(1.3))


def annealed_guide() -> None:
    logit = pyro.param("logit", T(0.3))
    p = pyro.param("p", T([0.3, -0.4]))
    c = pyro.sample("c", dist.Bernoulli(logits=logit))
    pyro.sample("z", dist.Normal(p[0] + 0.5 * c, p[1].exp()))


# A masked discrete draw, and one that the objective masks.
def masked_discrete_model() -> None:
    seen = T([True, False])
    with pyro.plate("data", 2):
        with poutine.mask(mask=seen):
            c = pyro.sample("c", dist.Bernoulli(0.3))
        d = pyro.sample("d", dist.Bernoulli(0.6).mask(seen))
        pyro.sample("x", dist.Normal(c + 2.0 * d * c, 1.0), obs=T([1.2, 0.4]))


def masked_discrete_guide() -> None:
    logits = pyro.param("logits", T([[0.3, -0.2], [0.1, 0.4]]))
    seen = T([True, False])
    with pyro.plate("data", 2):
        with poutine.mask(mask=seen):
            c = pyro.sample("c", dist.Bernoulli(logits=logits[0]))
        d = dist.Bernoulli(logits=logits[1] + 0.3 * c).mask(seen)
        pyro.sample("d", d)
