# SPDX-License-Identifier: Apache-2.0
"""Programs for `tests/iw_models.py`: what importance-weighted bounds meet."""

from collections.abc import Sequence

import pyro
import pyro.distributions as dist
import torch
from pyro import poutine
from torch import Tensor

T = torch.tensor


# Two values: the smallest program with weights.
def coin_model() -> None:
    z = pyro.sample("z", dist.Bernoulli(0.2))
    pyro.sample("x", dist.Normal(2 * z, 1.0), obs=T(1.5))


def coin_guide() -> None:
    pyro.sample("z", dist.Bernoulli(logits=pyro.param("a", T(0.3))))


# A guide whose sites depend on each other.
def steps_model() -> None:
    a = pyro.sample("a", dist.Normal(0.0, 1.0))
    b = pyro.sample("b", dist.Normal(a, 1.0))
    pyro.sample("x", dist.Normal(b * b.sin() + a, 0.8), obs=T(1.5))


def steps_guide() -> None:
    p = pyro.param("p", T([0.4, -0.5, 2.0, 0.1, -1.5]))
    a = pyro.sample("a", dist.Normal(p[0], p[1].exp()))
    pyro.sample("b", dist.Normal(p[2] * a + p[3], (p[4] + 0.3 * a.tanh()).exp()))


# A local discrete draw and a continuous one; the guide is amortized.
LOCAL_DATA = (0.5, -0.4, 1.6)


def local_model(index: Sequence[int] = (0, 1, 2), size: int | None = None) -> None:
    x = T(LOCAL_DATA)[list(index)]
    loc = pyro.param("loc", T(0.3))
    with pyro.plate("data", len(x), subsample_size=size) as batch:
        c = pyro.sample("c", dist.Bernoulli(0.4))
        z = pyro.sample("z", dist.Normal(loc + c, 1.0))
        pyro.sample("x", dist.Normal(z, 0.5), obs=x[batch])


def local_guide(index: Sequence[int] = (0, 1, 2), size: int | None = None) -> None:
    x = T(LOCAL_DATA)[list(index)]
    w = pyro.param("w", T([0.3, -0.2, 0.5, 0.1, -0.4]))
    with pyro.plate("data", len(x), subsample_size=size) as batch:
        c = pyro.sample("c", dist.Bernoulli(logits=w[0] + w[1] * x[batch]))
        loc = w[2] * x[batch] + w[3] + 0.5 * c
        pyro.sample("z", dist.Normal(loc, w[4].exp()))


# A plate around a scaled program, with a second plate inside.
def scaled_model() -> None:
    with poutine.scale(scale=0.7), pyro.plate("outer", 2, dim=-2):
        c = pyro.sample("c", dist.Bernoulli(0.4))
        with pyro.plate("inner", 2, dim=-1):
            d = pyro.sample("d", dist.Bernoulli(0.3 + 0.4 * c))
            obs = T([[0.5, 1.0], [-0.3, 0.2]])
            pyro.sample("x", dist.Normal(c + d, 1.0), obs=obs)


def scaled_guide() -> None:
    logits = pyro.param("logits", T([[0.3], [-0.2]]))
    slope = pyro.param("slope", T([[0.4, -0.6]]))
    with poutine.scale(scale=0.7), pyro.plate("outer", 2, dim=-2):
        c = pyro.sample("c", dist.Bernoulli(logits=logits))
        with pyro.plate("inner", 2, dim=-1):
            pyro.sample("d", dist.Bernoulli(logits=slope * (c + 0.5)))


# Objects that are there or not, each with a place (AIR; pyro#3289).
def objects_model() -> None:
    seen = T(0.0)
    pres: Tensor = T(1.0)
    for i in (1, 2):
        pres = pyro.sample(f"pres_{i}", dist.Bernoulli(0.6 * pres))
        with poutine.mask(mask=pres > 0):
            where = pyro.sample(f"where_{i}", dist.Normal(0.5, 1.0))
        seen = seen + pres * where
    pyro.sample("x", dist.Normal(seen, 0.7), obs=T(1.2))


def objects_guide() -> None:
    p = pyro.param("p", T([0.5, 0.6, -0.4, 0.3, -0.5, 0.2, -0.6, 0.4]))
    pres_1 = pyro.sample("pres_1", dist.Bernoulli(logits=p[0]))
    with poutine.mask(mask=pres_1 > 0):
        where_1 = pyro.sample("where_1", dist.Normal(p[1], p[2].exp()))
    logits = p[3] + p[4] * where_1 - 30.0 * (1 - pres_1)
    pres_2 = pyro.sample("pres_2", dist.Bernoulli(logits=logits))
    with poutine.mask(mask=pres_2 > 0):
        loc = p[5] - p[7] * where_1
        pyro.sample("where_2", dist.Normal(loc, p[6].exp()))


# Auxiliary draws, averaged out; and the same bounds of a program without them.
def mixture_guide() -> None:
    p = pyro.param("p", T([0.4, -0.5, 0.8, 0.1]))
    u = pyro.sample("u", dist.Normal(p[0], 0.9), infer={"is_auxiliary": True})
    pyro.sample("z", dist.Normal(p[2] * u + p[3], p[1].exp()))


def switching_guide() -> None:
    p = pyro.param("p", T([0.4, -0.5, 0.8, 0.1]))
    u = pyro.sample("u", dist.Bernoulli(logits=p[0]), infer={"is_auxiliary": True})
    pyro.sample("z", dist.Normal(p[2] * u + p[3], p[1].exp()))


def extended_guide(discrete: bool, number: int) -> None:
    p = pyro.param("p", T([0.4, -0.5, 0.8, 0.1]))
    law = dist.Bernoulli(logits=p[0]) if discrete else dist.Normal(p[0], 0.9)
    u = [pyro.sample(f"u{m}", law) for m in range(number)]
    pyro.sample("z", dist.Normal(p[2] * u[0] + p[3], p[1].exp()))


def extended_model(discrete: bool, number: int) -> None:
    p = pyro.param("p", T([0.4, -0.5, 0.8, 0.1]))
    law = dist.Bernoulli(logits=p[0]) if discrete else dist.Normal(p[0], 0.9)
    u = [pyro.sample(f"u{m}", law) for m in range(number)]
    z = pyro.sample("z", dist.Normal(0.0, 1.0))
    pyro.sample("x", dist.Normal(z, 1.0), obs=T(2.0))
    given = [dist.Normal(p[2] * v + p[3], p[1].exp()).log_prob(z) for v in u]
    mean = torch.stack(torch.broadcast_tensors(*given)).exp().mean(0).log()
    pyro.factor("marginal", given[0] - mean)
