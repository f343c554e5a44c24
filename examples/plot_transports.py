# SPDX-License-Identifier: Apache-2.0
r"""
Classic transports
==================

A draw is noise, carried: :math:`z = g_\theta(\epsilon)`. Each panel shows the law of
the noise along the bottom, the law of the draws up the right side, and the curve
:math:`g_\theta` between them. The thin threads leave at the deciles of the noise and
arrive at the deciles of the target. Where the curve is steep they spread and the
target is thin; where it is flat they crowd and the target is tall. A gradient of
:math:`\mathbb{E}[f(z)]` asks how the arrivals move when :math:`\theta` moves and the
departures stay.
"""  # noqa: D205, D212, D415 (the title of a gallery page)

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pyro.distributions as dist
import torch
from matplotlib.gridspec import SubplotSpec

from pyro_reparam_ext.distributions import as_transport
from pyro_reparam_ext.distributions.noise import StandardNormal

NOISE, TARGET, CURVE = "#0072B2", "#D55E00", "#222222"

# the distribution, its g, and the range of values to show
FAMILIES = {
    "Normal": (dist.Normal(1.0, 0.7), r"$\mu+\sigma\epsilon$", (-1.4, 3.4)),
    "LogNormal": (dist.LogNormal(0.0, 0.6), r"$e^{\mu+\sigma\epsilon}$", (0, 4.2)),
    "HalfNormal": (
        dist.HalfNormal(1.0),
        r"$-\sigma\,\Phi^{-1}(e^{-\epsilon}/2)$",
        (0, 3.1),
    ),
    "Logistic": (
        dist.Logistic(0.0, 1.0),
        r"$\mu+s\,\log(e^{\epsilon}-1)$",
        (-5.2, 5.2),
    ),
    "Gumbel": (dist.Gumbel(0.0, 1.0), r"$\mu-s\,\log\epsilon$", (-2.2, 5.2)),
    "Cauchy": (dist.Cauchy(0.0, 1.0), r"$\mu+s\,\cot(\pi e^{-\epsilon})$", (-6, 6)),
    "Weibull": (dist.Weibull(1.0, 2.0), r"$\lambda\,\epsilon^{1/k}$", (0, 2.5)),
    "Pareto": (dist.Pareto(1.0, 2.0), r"$m\,e^{\epsilon/\alpha}$", (1, 5)),
    "Kumaraswamy": (
        dist.Kumaraswamy(torch.tensor(0.6), torch.tensor(0.5)),
        r"$(1-e^{-\epsilon/b})^{1/a}$",
        (0, 1),
    ),
}


def ks_distance(target: torch.distributions.Distribution, draws: torch.Tensor) -> float:
    """The largest gap between the cdf of the draws and that of the target."""
    u = target.cdf(draws).sort().values
    n = len(u)
    steps = torch.arange(n + 1) / n
    return torch.maximum(steps[1:] - u, u - steps[:-1]).max().item()


def draw_panel(
    figure: plt.Figure,
    place: SubplotSpec,
    name: str,
    draws: torch.Tensor,
) -> None:
    target, formula, (bottom, top) = FAMILIES[name]
    view = as_transport(target)
    normal = isinstance(view.noise, StandardNormal)
    left, right = (-3.0, 3.0) if normal else (0.0, 4.2)

    grid = place.subgridspec(
        2, 2, width_ratios=(3, 1), height_ratios=(3, 1), wspace=0.04, hspace=0.05
    )
    curve = figure.add_subplot(grid[0, 0])
    below = figure.add_subplot(grid[1, 0], sharex=curve)
    beside = figure.add_subplot(grid[0, 1], sharey=curve)

    eps = torch.linspace(left, right, 600)[(1 if left == 0 else 0) :]
    value = view.transport(eps)

    deciles = view.noise.icdf(torch.arange(1, 10) / 10)
    arrivals = view.transport(deciles)
    thin = {"lw": 0.8, "alpha": 0.55}
    curve.vlines(deciles, bottom, arrivals, color=NOISE, **thin)
    curve.hlines(arrivals, deciles, right, color=TARGET, **thin)
    curve.plot(eps, value, color=CURVE, lw=2.0)
    curve.set_xlim(left, right)
    curve.set_ylim(bottom, top)
    curve.set_title(name, loc="left", fontsize=11, fontweight="bold")
    curve.set_title(formula, loc="right", fontsize=10, color=CURVE)

    # the noise, hanging from the edge where the threads start
    density = view.noise.log_prob(eps).exp()
    below.fill_between(eps, density, color=NOISE, alpha=0.25, lw=0)
    below.plot(eps, density, color=NOISE, lw=1.6)
    below.vlines(deciles, 0, view.noise.log_prob(deciles).exp(), color=NOISE, **thin)
    below.set_ylim(1.15 * density.max().item(), 0)
    law = r"\mathrm{N}(0,1)" if normal else r"\mathrm{Exp}(1)"
    below.set_xlabel(rf"$\epsilon\sim {law}$", color=NOISE, labelpad=2)

    # the target, standing on the edge where the threads arrive
    edges = np.linspace(bottom, top, 41)
    counts, _ = np.histogram(draws.numpy(), edges)
    height = counts / (len(draws) * np.diff(edges))
    beside.stairs(
        height, edges, orientation="horizontal", fill=True, color=TARGET, alpha=0.28
    )
    z = torch.linspace(bottom, top, 501)
    z = z[1:-1]  # densities that are infinite are so at an end
    p = target.log_prob(z).exp()
    beside.plot(p, z, color=TARGET, lw=1.6)
    beside.hlines(arrivals, 0, target.log_prob(arrivals).exp(), color=TARGET, **thin)
    beside.set_xlim(0, 1.15 * min(p.max().item(), 1.5 * height.max()))
    beside.set_xlabel("$z$", color=TARGET, labelpad=2)

    for axes in (curve, below, beside):
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=8, length=2.5, color="#888888")
    for axes in (below, beside):
        axes.spines[["left", "bottom"]].set_visible(False)
    below.set_yticks([])
    beside.set_xticks([])
    curve.tick_params(labelbottom=False)
    beside.tick_params(labelleft=False, left=False)
    below.tick_params(bottom=True)


def main(
    smoke: bool = False, out: Path | None = None, seed: int = 0
) -> dict[str, float]:
    """Draw the picture; return how far the draws are from each target's cdf.

    Args:
        smoke: Few draws, for a quick check.
        out: Folder for the picture; by default it is drawn but not saved.
        seed: Of the draws in the histograms.

    Returns:
        The Kolmogorov-Smirnov distance of each family's draws from its cdf.
    """
    torch.manual_seed(seed)
    num_draws = 500 if smoke else 20_000
    distances = {}
    figure = plt.figure(figsize=(11, 10.5), facecolor="white")
    outer = figure.add_gridspec(
        3, 3, left=0.04, right=0.99, bottom=0.05, top=0.96, wspace=0.16, hspace=0.26
    )
    for place, (name, (target, _, _)) in zip(outer, FAMILIES.items(), strict=True):
        draws = as_transport(target).sample((num_draws,))
        distances[name] = ks_distance(target, draws)
        draw_panel(figure, place, name, draws)
    if out is not None:
        Path(out).mkdir(parents=True, exist_ok=True)
        figure.savefig(Path(out) / "classic_transports.png", dpi=110)
    return distances


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Draw nine classic transports.")
    parser.add_argument("--smoke", action="store_true", help="a quick check")
    parser.add_argument("--out", type=Path, help="folder for the picture")
    args = parser.parse_args()
    for name, distance in main(smoke=args.smoke, out=args.out).items():
        print(f"{name:12s} Kolmogorov-Smirnov distance {distance:.4f}")
