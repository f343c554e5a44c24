# SPDX-License-Identifier: Apache-2.0
"""Eight binary latents, whose exact gradient is a sum over 256 states.

A random tanh decoder explains random binary data; the guide is independent Bernoullis,
and the gradient of the ELBO is taken in their logits. One backward pass brings as many
independent estimates as there are copies.

``OURS`` are rows of the package, from a Pyro program. ``REFERENCES`` are written out
here in plain torch on the same problem, after the papers. ``PUBLISHED`` are numbers of
an earlier study by the same protocol, with another random decoder.

Source of the references: Williams (1992), score; Kool, van Hoof and Welling (2019),
RLOO; Yin and Zhou (2019), ARM; Dong, Mnih and Tucker (2020), DisARM; Gu et al. (2016),
MuProp; Tucker et al. (2017), REBAR; Titsias and Lázaro-Gredilla (2015), local
expectations; Bengio et al. (2013), straight-through; Jang et al. (2017),
straight-through Gumbel; Liu et al. (2023), ReinMax.
"""

from collections.abc import Callable
from dataclasses import dataclass

import pyro
import pyro.distributions as dist
import torch
from golden import Constant
from torch import Tensor
from torch.nn.functional import logsigmoid

from pyro_reparam_ext import TraceSwitch_ELBO
from pyro_reparam_ext.gradients import ScoreFunction

LATENTS, HIDDEN, PIXELS = 8, 16, 20

# MSE times evaluations, of a problem where |gradient|^2 = 2.73
PUBLISHED = {
    "score": 1519.0,
    "score, exact mean baseline": 28.2,
    "rloo, K=2": 59.6,
    "rloo, K=4": 38.1,
    "rloo, K=8": 32.5,
    "disarm": 45.9,
    "mvd": 17.5,
    "ARM": 53.3,
    "REBAR, τ=0.5": 82.0,
    "MuProp": 290.0,
    "straight_through": 6.5,
    "gumbel": 10.3,
    "reinmax": 6.6,
}
BIASED = ("straight_through", "gumbel", "reinmax")


class Problem:
    """The decoder, the data and the logits of the guide."""

    def __init__(self, seed: int = 1) -> None:
        generator = torch.Generator().manual_seed(seed)

        def normal(*shape: int) -> Tensor:
            return torch.randn(shape, generator=generator, dtype=torch.float64)

        self.first = 0.7 * normal(LATENTS, HIDDEN)
        self.second = normal(HIDDEN, PIXELS) / HIDDEN**0.5 * 1.5
        self.data = (normal(PIXELS) > 0).double()
        self.logits = normal(LATENTS)

    def pixel_logits(self, b: Tensor) -> Tensor:
        """What the decoder makes of latents, binary or in between."""
        return torch.tanh((2 * b - 1) @ self.first) @ self.second

    def cost(self, b: Tensor, logits: Tensor) -> Tensor:
        """The summand of the ELBO, log p(x, b) - log q(b), log q linear in b."""
        pixels = self.pixel_logits(b) * (2 * self.data - 1)
        log_q = b * logsigmoid(logits) + (1 - b) * logsigmoid(-logits)
        prior = LATENTS * torch.tensor(0.5, dtype=torch.float64).log()
        return logsigmoid(pixels).sum(-1) + prior - log_q.sum(-1)

    def exact(self) -> tuple[Tensor, float]:
        """The gradient of the ELBO, and the ELBO: sums over all states."""
        logits = self.logits.clone().requires_grad_()
        states = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * LATENTS).double()
        log_q = dist.Bernoulli(logits=logits).log_prob(states).sum(-1)
        elbo = (log_q.exp() * self.cost(states, logits)).sum()
        (gradient,) = torch.autograd.grad(elbo, logits)
        return gradient, elbo.item()


@dataclass(frozen=True)
class Row:
    """A row of the table: independent estimates, and evaluations of the model each.

    A derivative in the latents counts as one more evaluation.
    """

    gradients: Tensor
    evals: float

    def variance(self) -> tuple[float, float]:
        """Summed over the logits, and its standard error."""
        squares = (self.gradients - self.gradients.mean(0)).square().sum(-1)
        return squares.mean().item(), (squares.std() / len(squares) ** 0.5).item()

    def squared_bias(self, exact: Tensor) -> tuple[float, float]:
        """Its unbiased estimate, and the greatest z-score of the mean's elements."""
        off = self.gradients.mean(0) - exact
        errors = self.gradients.std(0) / len(self.gradients) ** 0.5
        z = off.abs() / errors.clamp(min=1e-10)
        return (off.square() - errors.square()).sum().item(), z.max().item()


def by_package(
    problem: Problem,
    estimator: object,
    copies: int,
    particles: int = 1,
    steps: int = 1,
    slopes: int = 0,
) -> Row:
    """A row from a Pyro program.

    Args:
        problem: What is estimated.
        estimator: Any that ``TraceSwitch_ELBO`` takes.
        copies: Independent estimates a step.
        particles: Draws averaged in each.
        steps: Steps; an estimator may learn from the earlier ones.
        slopes: Derivatives in the latents that it takes.
    """
    logits = problem.logits.expand(copies, LATENTS).clone().requires_grad_()
    evals = 0

    def guide() -> None:
        with pyro.plate("copies", copies):
            pyro.sample("b", dist.Bernoulli(logits=logits).to_event(1))

    def model() -> None:
        nonlocal evals
        with pyro.plate("copies", copies):
            prior = dist.Bernoulli(logits.new_tensor(0.5)).expand([LATENTS])
            b = pyro.sample("b", prior.to_event(1))
            pixels = dist.Bernoulli(logits=problem.pixel_logits(b)).to_event(1)
            pyro.sample("x", pixels, obs=problem.data)
        evals += b[..., 0].numel()

    elbo = TraceSwitch_ELBO(
        estimator,
        num_particles=particles,
        vectorize_particles=True,
        max_plate_nesting=1,
        allow_biased=True,
    )
    gradients = []
    for _ in range(steps):
        loss = elbo.differentiable_loss(model, guide)
        gradients += torch.autograd.grad(-loss, logits)
    return Row(torch.cat(gradients), evals / (copies * steps) + slopes)


def ours(problem: Problem, copies: int, steps: int) -> dict[str, Callable[[], Row]]:
    """The rows of the package."""
    _, mean = problem.exact()
    constant = ScoreFunction(Constant(mean))
    rows: dict[str, Callable[[], Row]] = {
        "score": lambda: by_package(problem, "score", copies),
        "score, exact mean baseline": lambda: by_package(problem, constant, copies),
        # one estimate a step, so that the average has no more to learn from
        "ema": lambda: by_package(problem, "ema", 1, steps=steps),
    }
    for k in (2, 4, 8):
        rows[f"rloo, K={k}"] = lambda k=k: by_package(problem, "rloo", copies, k)
    for name in ("disarm", "mvd"):
        rows[name] = lambda name=name: by_package(problem, name, copies)
    for name in BIASED:
        rows[name] = lambda name=name: by_package(problem, name, copies, slopes=1)
    rows["enum"] = lambda: by_package(problem, "enum", min(copies, 100))
    return rows


def references(problem: Problem, copies: int) -> dict[str, Callable[[], Row]]:
    """The rows in plain torch."""
    phi = problem.logits.expand(copies, LATENTS)
    p = phi.sigmoid()
    _, mean = problem.exact()

    def cost(b: Tensor) -> Tensor:
        return problem.cost(b, phi)[..., None]

    def slope(b: Tensor) -> Tensor:
        b = b.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(cost(b).sum(), b)
        return gradient

    def score() -> Row:
        b = torch.bernoulli(p)
        return Row((cost(b) - mean) * (b - p), 1)

    def rloo(k: int) -> Row:
        b = torch.bernoulli(p.expand(k, *p.shape))
        f = cost(b)
        return Row(((f - f.mean(0)) * (b - p)).sum(0) / (k - 1), k)

    def arm() -> Row:
        u = torch.rand_like(p)
        first, second = (u > 1 - p).double(), (u < p).double()
        return Row((cost(first) - cost(second)) * (u - 0.5), 2)

    def disarm() -> Row:
        u = torch.rand_like(p)
        b, twin = (u < p).double(), (1 - u < p).double()
        weight = (1 - 2 * twin) * (b != twin) * phi.abs().sigmoid()
        return Row(0.5 * (cost(b) - cost(twin)) * weight, 2)

    def local_expectations() -> Row:
        b = torch.bernoulli(p)
        eye = torch.eye(LATENTS, dtype=torch.bool)
        one = torch.where(eye, 1.0, b[:, None]).movedim(1, 0)
        zero = torch.where(eye, 0.0, b[:, None]).movedim(1, 0)
        change = (cost(one) - cost(zero)).squeeze(-1).T
        return Row(change * p * (1 - p), LATENTS + 1)

    def muprop() -> Row:
        b = torch.bernoulli(p)
        expansion = cost(p) + (slope(p) * (b - p)).sum(-1, keepdim=True)
        gradient = (cost(b) - expansion) * (b - p) + slope(p) * p * (1 - p)
        return Row(gradient, 3)

    def rebar(temperature: float) -> Row:
        logits = phi.clone().requires_grad_()
        probs = logits.sigmoid()
        u, v = torch.rand_like(p), torch.rand_like(p)
        z = logits + torch.logit(u)
        b = (z > 0).double().detach()
        # a uniform with the same b, and with it the relaxed draw given b
        given = torch.where(b > 0, 1 - probs * v, (1 - probs) * v)
        z_given = logits + torch.logit(given)
        relaxed, tied = (z / temperature).sigmoid(), (z_given / temperature).sigmoid()
        weight = (cost(b) - cost(tied)).detach().squeeze(-1)
        log_q = dist.Bernoulli(logits=logits).log_prob(b).sum(-1)
        total = weight * log_q + (cost(relaxed) - cost(tied)).squeeze(-1)
        return Row(torch.autograd.grad(total.sum(), logits)[0], 5)

    def straight_through() -> Row:
        return Row(slope(torch.bernoulli(p)) * p * (1 - p), 2)

    def gumbel() -> Row:
        z = phi + torch.logit(torch.rand_like(p))
        soft = z.sigmoid()
        return Row(slope((z > 0).double()) * soft * (1 - soft), 2)

    def reinmax() -> Row:
        b = torch.bernoulli(p)
        middle = (b + p) / 2
        weight = 2 * middle * (1 - middle) - 0.5 * p * (1 - p)
        return Row(slope(b) * weight, 2)

    return {
        "score, exact mean baseline": score,
        **{f"rloo, K={k}": lambda k=k: rloo(k) for k in (2, 4, 8)},
        "ARM": arm,
        "disarm": disarm,
        "mvd": local_expectations,
        "MuProp": muprop,
        "REBAR, τ=0.5": lambda: rebar(0.5),
        "straight_through": straight_through,
        "gumbel": gumbel,
        "reinmax": reinmax,
    }
