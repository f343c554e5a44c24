# SPDX-License-Identifier: Apache-2.0
r"""
The cone: five bounds on one evidence
=====================================

A point :math:`(x, y)` was drawn near the origin, and of it only its noisy height on the
cone :math:`x^2 + y^2` was seen. The posterior is a thin ring. A guide of independent
normals covers one spot of it. A guide with an auxiliary draw, an angle :math:`u`,
covers all of it, but its density is an integral over :math:`u`; averaging over M draws
of the angle bounds it (``num_aux``), and averaging the weights of K particles tightens
the bound (``num_particles``). Both are options of the loss; model and guides are
ordinary Pyro programs. Table 4 of Becker et al., "Probabilistic programming with
programmable variational inference" (PLDI 2024), has the same five bounds from GenJAX.
"""  # noqa: D205, D212, D415 (the title of a gallery page)

import argparse
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import pyro
import pyro.distributions as dist
import torch
from matplotlib.axes import Axes
from pyro import poutine
from pyro.infer import SVI, Predictive
from torch import Tensor

from pyro_reparam_ext import TraceIW_ELBO

HEIGHT = 5.0
REPLICATES = 64


def model(replicates: int) -> None:
    with poutine.scale(scale=1 / replicates), pyro.plate("replicates", replicates):
        x = pyro.sample("x", dist.Normal(0.0, 10.0))
        y = pyro.sample("y", dist.Normal(0.0, 10.0))
        height = x**2 + y**2
        seen = torch.tensor(HEIGHT)
        pyro.sample("z", dist.Normal(height, 0.1 + height / 100), obs=seen)


def spot(replicates: int) -> None:
    """Independent normals."""
    loc = pyro.param("loc", torch.zeros(2))
    log_scale = pyro.param("log_scale", torch.zeros(2))
    with poutine.scale(scale=1 / replicates), pyro.plate("replicates", replicates):
        pyro.sample("x", dist.Normal(loc[0], log_scale[0].exp()))
        pyro.sample("y", dist.Normal(loc[1], log_scale[1].exp()))


def ring(replicates: int) -> None:
    """Normals around a point of the ring; which one is an auxiliary draw."""
    log_scale = pyro.param("log_scale", torch.zeros(2))
    with poutine.scale(scale=1 / replicates), pyro.plate("replicates", replicates):
        uniform = dist.Uniform(torch.tensor(0.0), torch.tensor(1.0))
        u = pyro.sample("u", uniform, infer={"is_auxiliary": True})
        angle = 2 * math.pi * u
        radius = math.sqrt(HEIGHT)
        pyro.sample("x", dist.Normal(radius * angle.cos(), log_scale[0].exp()))
        pyro.sample("y", dist.Normal(radius * angle.sin(), log_scale[1].exp()))


@dataclass(frozen=True)
class Bound:
    """A bound: its guide, its numbers of draws, and what GenJAX got."""

    guide: Callable[[int], None]
    num_particles: int
    num_aux: int
    published: float
    color: str


BOUNDS = {
    "HVI": Bound(ring, 1, 1, -9.75, "#0072B2"),
    "IWHVI(5)": Bound(ring, 1, 5, -8.18, "#56B4E9"),
    "ELBO": Bound(spot, 1, 1, -8.08, "#D55E00"),
    "IWELBO(5)": Bound(spot, 5, 1, -7.79, "#E69F00"),
    "DIWHVI(5, 5)": Bound(ring, 5, 5, -7.33, "#009E73"),
}


def log_evidence() -> float:
    """The exact one: in the radius, everything is an integral over a line."""
    r = torch.linspace(1e-6, 12.0, 400_001, dtype=torch.float64)
    prior = r / 100 * torch.exp(-(r**2) / 200)
    seen = dist.Normal(r**2, 0.1 + r**2 / 100).log_prob(torch.tensor(HEIGHT)).exp()
    return torch.trapezoid(prior * seen, r).log().item()


def fit(bound: Bound, steps: int, draws: int) -> tuple[Tensor, float, Tensor]:
    """Train a guide; its losses, its bound in the end, and draws from it."""
    pyro.clear_param_store()
    loss = TraceIW_ELBO(
        num_particles=bound.num_particles,
        num_aux=bound.num_aux,
        vectorize_particles=True,
        max_plate_nesting=1,
    )
    optimizer = pyro.optim.SGD({"lr": 1e-3}, {"clip_value": 100.0})
    svi = SVI(model, bound.guide, optimizer, loss)
    values = torch.tensor([-svi.step(REPLICATES) for _ in range(steps)])
    final = -svi.evaluate_loss(draws)
    found = Predictive(bound.guide, num_samples=1)(600)
    return values, final, torch.stack([found["x"][0], found["y"][0]])


def draw_bounds(axes: Axes, losses: dict[str, Tensor], finals: dict, exact: float):
    """The bounds as they rise."""
    axes.axhline(exact, color="#222222", lw=1.2, ls=(0, (5, 3)))
    axes.annotate(
        f"exact log evidence {exact:.2f}", (0.02, exact), (4, 4), size=9,
        xycoords=("axes fraction", "data"), textcoords="offset points",
    )  # fmt: skip
    window = max(1, len(next(iter(losses.values()))) // 60)
    place = -math.inf  # of a label, above the one before
    for name, values in sorted(losses.items(), key=lambda item: finals[item[0]]):
        color = BOUNDS[name].color
        smooth = values.unfold(0, window, 1).mean(1)
        steps = torch.arange(len(smooth)) + window
        axes.plot(steps, smooth, color=color, lw=1.4)
        place = max(finals[name], place + 0.33)
        axes.annotate(
            f"{name}  {finals[name]:.2f}", (len(values), place), (6, -3),
            textcoords="offset points", color=color, size=9.5, fontweight="bold",
            annotation_clip=False,
        )  # fmt: skip
    axes.set_ylim(min(finals.values()) - 2, exact + 0.6)
    axes.set_xlim(0, len(values))
    axes.set_xlabel("step")
    axes.set_title("Objective (running mean)", loc="left", fontsize=10.5)
    axes.spines[["top", "right"]].set_visible(False)


def draw_guide(axes: Axes, draws: Tensor, name: str, title: str) -> None:
    """Draws of a guide over the posterior."""
    side = torch.linspace(-3.4, 3.4, 241)
    y, x = torch.meshgrid(side, side, indexing="ij")
    height = x**2 + y**2
    joint = dist.Normal(height, 0.1 + height / 100).log_prob(torch.tensor(HEIGHT))
    joint = (joint - height / 200).exp()
    axes.contourf(x, y, joint, levels=12, cmap="Greys")
    axes.scatter(*draws, s=4, color=BOUNDS[name].color, alpha=0.7, lw=0)
    axes.set_aspect("equal")
    axes.set_xlim(-3.4, 3.4)
    axes.set_ylim(-3.4, 3.4)
    axes.set_xticks([-2, 0, 2])
    axes.set_yticks([-2, 0, 2])
    axes.set_title(title, loc="left", fontsize=10.5)


def main(
    smoke: bool = False, out: Path | None = None, seed: int = 0
) -> dict[str, float]:
    """Fit the five bounds and draw the picture.

    Args:
        smoke: A few steps, for a quick check.
        out: Folder for the picture; by default it is drawn but not saved.
        seed: Of all draws.

    Returns:
        The bounds, by name, and the exact log evidence.
    """
    torch.set_num_threads(1)  # the arrays are small
    steps, draws = (30, 1000) if smoke else (3000, 100_000)
    exact = log_evidence()
    losses, finals, points = {}, {}, {}
    print(f"{'':14s}{'ours':>9s}{'GenJAX':>9s}{'below log Z':>14s}")
    for name, bound in BOUNDS.items():
        pyro.set_rng_seed(seed)
        losses[name], finals[name], points[name] = fit(bound, steps, draws)
        print(
            f"{name:14s}{finals[name]:9.3f}{bound.published:9.2f}"
            f"{exact - finals[name]:14.3f}",
            flush=True,
        )
    print(f"{'log Z':14s}{exact:9.4f}")
    figure = plt.figure(figsize=(13, 4.2), facecolor="white")
    bounds = figure.add_axes((0.035, 0.13, 0.37, 0.78))
    draw_bounds(bounds, losses, finals, exact)
    spot_axes = figure.add_axes((0.53, 0.13, 0.22, 0.78))
    draw_guide(spot_axes, points["ELBO"], "ELBO", "Posterior, and the ELBO's guide")
    ring_axes = figure.add_axes((0.775, 0.13, 0.22, 0.78))
    name = "DIWHVI(5, 5)"
    draw_guide(ring_axes, points[name], name, "… and that of DIWHVI(5, 5)")
    if out is not None:
        Path(out).mkdir(parents=True, exist_ok=True)
        figure.savefig(Path(out) / "cone.png", dpi=110)
    return finals | {"log Z": exact}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Five bounds on one evidence.")
    parser.add_argument("--smoke", action="store_true", help="a quick check")
    parser.add_argument("--out", type=Path, help="folder for the picture")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    main(smoke=args.smoke, out=args.out, seed=args.seed)
