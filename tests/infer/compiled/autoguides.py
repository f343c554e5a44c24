# SPDX-License-Identifier: Apache-2.0
"""Rows of a table of programs; and those whose guide Pyro makes."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pyro
import pyro.distributions as dist
import torch
from pyro import poutine
from pyro.infer import autoguide
from torch import Tensor

from pyro_reparam_ext import TraceSwitch_ELBO

GROUPS = torch.arange(12) % 3


def switch(*args: Any, **kwargs: Any) -> TraceSwitch_ELBO:
    """A loss for programs with one plate at a time."""
    return TraceSwitch_ELBO(*args, max_plate_nesting=1, **kwargs)


@dataclass(frozen=True)
class Program:
    """A row of the table.

    Attributes:
        make: Model and guide, and modules they use that neither of them has.
        loss: Makes the loss: a new one for every run, as it may have a memory.
        dtype: The default one.
        warns: Part of the one warning, where the program cannot be recorded.
    """

    make: Callable[[], tuple[Any, ...]]
    loss: Callable[[], Any] = switch
    dtype: torch.dtype = torch.float64
    warns: str | None = None


def grouped(x: Tensor) -> None:
    """A hierarchy with a positive site and local ones."""
    m = pyro.sample("m", dist.Normal(0.0, 1.0))
    s = pyro.sample("s", dist.LogNormal(0.0, 0.5))
    with pyro.plate("groups", 3):
        b = pyro.sample("b", dist.Normal(m, s))
    with pyro.plate("data", len(x)):
        pyro.sample("x", dist.Normal(b[..., GROUPS], 1.0), obs=x)


def automatic(make: Callable[..., Any], **options: Any) -> Program:
    """A guide that is made of the model."""
    return Program(lambda: (grouped, make(grouped, **options)))


def coupled(model: Callable[..., Any]) -> autoguide.AutoNormalizingFlow:
    """A flow of two couplings."""
    couplings = dist.transforms.iterated, 2, dist.transforms.affine_coupling
    iterated, number, coupling = couplings
    return autoguide.AutoNormalizingFlow(model, lambda n: iterated(number, coupling, n))


def listed() -> tuple[Any, ...]:
    """One guide for some sites, another for the rest."""
    guide = autoguide.AutoGuideList(grouped)
    guide.append(autoguide.AutoNormal(poutine.block(grouped, expose=["m", "s"])))
    guide.append(autoguide.AutoDelta(poutine.block(grouped, expose=["b"])))
    return grouped, guide


def listed_with_a_function() -> tuple[Any, ...]:
    """Some sites by a function of the user's."""

    def shared(x: Tensor) -> None:
        pyro.sample("m", dist.Normal(pyro.param("loc", torch.tensor(0.1)), 0.3))

    guide = autoguide.AutoGuideList(grouped)
    guide.append(autoguide.AutoNormal(poutine.block(grouped, hide=["m"])))
    guide.append(shared)
    return grouped, guide


def conditioned() -> tuple[Any, ...]:
    """The model has a parameter and a factor, and one site is conditioned."""

    def model(x: Tensor) -> None:
        positive = dist.constraints.positive
        scale = pyro.param("noise", torch.tensor(0.7), constraint=positive)
        m = pyro.sample("m", dist.Normal(0.0, 1.0))
        w = pyro.sample("w", dist.Normal(0.0, 1.0))
        pyro.factor("penalty", -scale)
        with pyro.plate("data", len(x)):
            pyro.sample("x", dist.Normal(m + w, scale), obs=x)

    program = poutine.condition(model, {"w": torch.tensor(0.5)})
    return program, autoguide.AutoNormal(program)


AUTOGUIDES = {
    "AutoNormal": automatic(autoguide.AutoNormal),
    "AutoDiagonalNormal": automatic(autoguide.AutoDiagonalNormal),
    "AutoMultivariateNormal": automatic(autoguide.AutoMultivariateNormal),
    "AutoLowRankMultivariateNormal": automatic(
        autoguide.AutoLowRankMultivariateNormal, rank=2
    ),
    "AutoDelta": automatic(autoguide.AutoDelta),
    "AutoLaplaceApproximation": automatic(autoguide.AutoLaplaceApproximation),
    "AutoIAFNormal": automatic(autoguide.AutoIAFNormal, hidden_dim=[8]),
    "AutoNormalizingFlow": automatic(coupled),
    "AutoStructured": automatic(
        autoguide.AutoStructured,
        conditionals={"m": "normal", "s": "delta", "b": "mvn"},
        dependencies={"b": {"m": "linear"}},
    ),
    "AutoNormalMessenger": automatic(autoguide.AutoNormalMessenger),
    "AutoHierarchicalNormalMessenger": automatic(
        autoguide.AutoHierarchicalNormalMessenger
    ),
    "AutoGaussian": automatic(autoguide.AutoGaussian),
    "AutoGuideList": Program(listed),
    "AutoGuideList with a function": Program(listed_with_a_function),
    "AutoNormal, conditioned": Program(conditioned),
}
