# SPDX-License-Identifier: Apache-2.0
r"""Gradients of :math:`\mathrm{E}_{z\sim N(1,1)}[f(z)]`: their variances, two ways.

By quadrature, from the formulas of the estimators; and measured, on a Pyro program
whose ELBO is that expectation. One backward pass brings as many independent estimates
as the program has copies, each with its own parameters.

Source: the problem, the costs and the values of ``PUBLISHED`` are those of Mohamed,
Rosca, Figurnov and Mnih (2020), "Monte Carlo gradient estimation in machine learning",
figures 2 and 3.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import pyro
import pyro.distributions as dist
import torch
from pyro import poutine
from torch import Tensor

from pyro_reparam_ext import TraceSwitch_ELBO
from pyro_reparam_ext.gradients import Baseline, Pathwise, ScoreFunction, SiteState

LOC, SCALE = 1.0, 1.0
PARAMETERS = ("loc", "scale")
COSTS: dict[str, Callable[[Tensor, float], Tensor]] = {
    "(z - k)^2": lambda z, k: (z - k).square(),
    "exp(-k z^2)": lambda z, k: torch.exp(-k * z.square()),
    "cos(k z)": lambda z, k: torch.cos(k * z),
}
ESTIMATORS = (
    "score",
    "optimal baseline",
    "rloo, K=4",
    "pathwise",
    "antithetic, K=2",
    "mvd",
)

# variance of: score, score with the optimal constant baseline, pathwise
PUBLISHED = {
    ("(z - k)^2", -3.0, "loc"): (495, 134, 4),
    ("(z - k)^2", 0.0, "loc"): (30, 14, 4),
    ("(z - k)^2", 3.0, "loc"): (87, 38, 4),
    ("(z - k)^2", 3.0, "scale"): (346, 184, 24),
    ("exp(-k z^2)", 0.1, "loc"): (0.5635, 0.0405, 0.0163),
    ("exp(-k z^2)", 1.0, "loc"): (0.1758, 0.0722, 0.2117),
    ("exp(-k z^2)", 10.0, "loc"): (0.0770, 0.0602, 0.940),
    ("exp(-k z^2)", 10.0, "scale"): (0.0090, 0.0087, 0.890),
    ("cos(k z)", 2.0, "scale"): (0.928, 0.922, 1.94),
}


@dataclass(frozen=True)
class Constant(Baseline):
    """A baseline that is known beforehand: not to be had in practice."""

    constant: float

    def value(self, cost: Tensor, state: SiteState) -> Tensor:
        """The constant."""
        return cost.new_tensor(self.constant)


@dataclass(frozen=True)
class Exact:
    """What quadrature says about one cost and one parameter."""

    gradient: float
    variance: dict[str, float]
    baseline: float


def exact(cost: str, k: float, parameter: str) -> Exact:
    """The derivative, the variance of each estimate of it, the optimal baseline."""
    eps = torch.linspace(-12, 12, 4001, dtype=torch.float64)
    weight = dist.Normal(0.0, 1.0).log_prob(eps).exp() * (eps[1] - eps[0])
    z = (LOC + SCALE * eps).requires_grad_()
    f = COSTS[cost](z, k)
    (slope,) = torch.autograd.grad(f.sum(), z)
    f = f.detach()
    by_loc = parameter == "loc"
    score = (eps if by_loc else eps.square() - 1) / SCALE
    path = slope if by_loc else slope * eps

    def mean(values: Tensor) -> float:
        return (weight * values).sum().item()

    gradient = mean(path)
    baseline = mean(f * score**2) / mean(score**2)
    variance = {
        "score": mean((f * score) ** 2) - gradient**2,
        "optimal baseline": mean(((f - baseline) * score) ** 2) - gradient**2,
        "pathwise": mean(path**2) - gradient**2,
        "antithetic, K=2": mean(((path + path.flip(0)) / 2) ** 2) - gradient**2,
        "mvd": _mvd(cost, k, by_loc) - gradient**2,
    }
    # rloo is the sample covariance of cost and score, over K draws
    particles = 4
    centred = f - mean(f)
    variance["rloo, K=4"] = (
        mean((centred * score) ** 2)
        + (mean(centred**2) * mean(score**2) - (particles - 2) * gradient**2)
        / (particles - 1)
    ) / particles
    return Exact(gradient, variance, baseline)


def _mvd(cost: str, k: float, by_loc: bool) -> float:
    """The second moment of the measure-valued estimate."""
    f = COSTS[cost]
    if by_loc:  # two sides, at the same Rayleigh distance
        r = torch.linspace(0, 12, 4001, dtype=torch.float64)
        weight = r * (-r.square() / 2).exp() * (r[1] - r[0])
        change = f(LOC + SCALE * r, k) - f(LOC - SCALE * r, k)
        return (weight * change.square()).sum().item() / (2 * math.pi * SCALE**2)
    # a two-sided Maxwell draw against a normal one, which is it times a uniform
    m = torch.linspace(-12, 12, 2001, dtype=torch.float64)
    weight = m.square() * dist.Normal(0.0, 1.0).log_prob(m).exp() * (m[1] - m[0])
    u = (torch.arange(2000, dtype=torch.float64) + 0.5) / 2000
    change = f(LOC + SCALE * m, k)[:, None] - f(LOC + SCALE * m[:, None] * u, k)
    return (weight * change.square().mean(1)).sum().item() / SCALE**2


def measure(estimator: str, cost: str, k: float, parameter: str, copies: int) -> Tensor:
    """Independent estimates of the derivative, by the package."""
    loc = torch.full((copies,), LOC, dtype=torch.float64, requires_grad=True)
    scale = torch.full((copies,), SCALE, dtype=torch.float64, requires_grad=True)

    # Masked, the densities of z do not count, and what is left of the ELBO is the cost.
    @poutine.mask(mask=False)
    def draw() -> Tensor:
        return pyro.sample("z", dist.Normal(loc, scale))

    def guide() -> None:
        with pyro.plate("copies", copies):
            draw()

    def model() -> None:
        with pyro.plate("copies", copies):
            pyro.factor("cost", COSTS[cost](draw(), k))

    particles, choice = 1, estimator
    if estimator == "rloo, K=4":
        particles, choice = 4, "rloo"
    elif estimator == "antithetic, K=2":
        particles, choice = 2, Pathwise(noise="antithetic")
    elif estimator == "optimal baseline":
        choice = ScoreFunction(Constant(exact(cost, k, parameter).baseline))
    elbo = TraceSwitch_ELBO(
        choice,
        num_particles=particles,
        vectorize_particles=True,
        max_plate_nesting=1,
    )
    loss = elbo.differentiable_loss(model, guide)
    wanted = loc if parameter == "loc" else scale
    (gradient,) = torch.autograd.grad(-loss, wanted)
    return gradient


def variance_with_error(draws: Tensor) -> tuple[float, float]:
    """The sample variance and its standard error."""
    centred = (draws - draws.mean()).square()
    return centred.mean().item(), (centred.std() / len(draws) ** 0.5).item()
