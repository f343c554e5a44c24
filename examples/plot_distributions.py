# SPDX-License-Identifier: Apache-2.0
r"""
Densities and draws
===================

Every scalar family at three values of its parameters: the density as a line, a
histogram of draws behind it. Below each panel, the arrows show where draws at the
deciles go when the parameter that is named grows: :math:`\partial z/\partial\theta`,
the path that a gradient follows.
"""  # noqa: D205, D212, D415 (the title of a gallery page)

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil, pi
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch import Tensor
from torch.distributions import Categorical, Gumbel, Normal

from pyro_reparam_ext import distributions as D

COLORS = ("#0072B2", "#D55E00", "#009E73")


@dataclass(frozen=True)
class Panel:
    """A family.

    Args:
        make: The distribution, of the value of the parameter that is varied.
        parameter: Its name, in math.
        values: Those shown.
        view: The range of z.
    """

    make: Callable[[Tensor], torch.distributions.Distribution]
    parameter: str
    values: tuple[float, ...]
    view: tuple[float, float]


def _mixture(logit: Tensor) -> D.MixtureSameFamily:
    logits = torch.stack([logit, torch.zeros_like(logit)], -1)
    components = Normal(torch.tensor([-1.5, 1.5]), torch.tensor([0.6, 0.9]))
    return D.MixtureSameFamily(Categorical(logits=logits), components)


def _truncated(low: Tensor) -> D.Truncated:
    return D.Truncated(Gumbel(0.0, 1.0), low, 2.5)


PANELS = {
    "Kumaraswamy": Panel(
        lambda a: D.Kumaraswamy(a, 2.0), r"a", (0.7, 2.0, 6.0), (0, 1)
    ),
    "GeneralizedPareto": Panel(
        lambda xi: D.GeneralizedPareto(0.0, 1.0, xi), r"\xi", (-0.4, 0.0, 0.8), (0, 4)
    ),
    "TruncatedNormal": Panel(
        lambda low: D.TruncatedNormal(0.0, 1.0, low, 2.0),
        r"l",
        (-2.0, -0.5, 1.0),
        (-2.2, 2.2),
    ),
    "Truncated": Panel(_truncated, r"l", (-1.5, -0.3, 0.8), (-1.8, 2.8)),
    "VonMises": Panel(
        lambda kappa: D.VonMises(0.5, kappa), r"\kappa", (0.3, 2.0, 8.0), (-pi, pi)
    ),
    "WrappedCauchy": Panel(
        lambda rho: D.WrappedCauchy(0.5, rho), r"\rho", (0.1, 0.5, 0.8), (-pi, pi)
    ),
    "WrappedNormal": Panel(
        lambda scale: D.WrappedNormal(0.5, scale),
        r"\sigma",
        (0.4, 1.0, 2.0),
        (-pi, pi),
    ),
    "InverseGaussian": Panel(
        lambda scale: D.InverseGaussian(1.0, scale),
        r"\lambda",
        (0.5, 2.0, 10.0),
        (0, 3),
    ),
    "MixtureSameFamily": Panel(
        _mixture, r"\mathrm{logit}", (-1.5, 0.0, 1.5), (-4, 4.5)
    ),
    "LogGamma": Panel(
        lambda a: D.LogGamma(a, 1.0), r"\alpha", (0.3, 1.0, 4.0), (-9, 3)
    ),
    "Gamma": Panel(lambda a: D.Gamma(a, 1.0), r"\alpha", (0.7, 2.0, 5.0), (0, 10)),
    "Chi2": Panel(lambda df: D.Chi2(df), r"\nu", (1.5, 4.0, 8.0), (0, 16)),
    "InverseGamma": Panel(
        lambda a: D.InverseGamma(a, 1.0), r"\alpha", (1.0, 2.0, 5.0), (0, 2)
    ),
    "Beta": Panel(lambda a: D.Beta(a, 1.5), r"\alpha", (0.4, 1.5, 5.0), (0, 1)),
    "StudentT": Panel(lambda df: D.StudentT(df), r"\nu", (0.7, 2.0, 30.0), (-5, 5)),
    "FisherSnedecor": Panel(
        lambda df: D.FisherSnedecor(df, 8.0), r"\nu_1", (1.5, 4.0, 20.0), (0, 4)
    ),
    "ReciprocalInverseGaussian": Panel(
        lambda scale: D.ReciprocalInverseGaussian(1.0, scale),
        r"\lambda",
        (0.7, 2.0, 10.0),
        (0, 4),
    ),
    "NormalInverseGaussian": Panel(
        lambda skewness: D.NormalInverseGaussian(0.0, 1.0, 1.5, skewness),
        r"\beta",
        (-1.0, 0.0, 1.0),
        (-4, 4),
    ),
}


def draw_panel(axes: plt.Axes, name: str, panel: Panel, num_draws: int) -> None:
    """Densities, draws, and the path of the deciles."""
    low, high = panel.view
    z = torch.linspace(low, high, 402)[1:-1]
    tallest = 0.0
    for row, (number, color) in enumerate(zip(panel.values, COLORS, strict=True)):
        value = torch.tensor(number, requires_grad=True)
        law = panel.make(value)
        with torch.no_grad():
            inside = law.support.check(z)
            safe = torch.where(inside, z, law.sample())
            density = torch.where(inside, law.log_prob(safe).exp(), 0.0)
        draws = law.rsample((num_draws,))
        counts, edges = np.histogram(draws.detach().numpy(), 40, panel.view)
        height = counts / (num_draws * np.diff(edges))
        axes.stairs(height, edges, fill=True, color=color, alpha=0.18)
        label = rf"${panel.parameter}={number:g}$"
        axes.plot(z, density, color=color, lw=1.6, label=label)
        tallest = max(tallest, min(density.max().item(), 1.3 * height.max()))
        ordered = draws.detach().sort()
        for rank in range(num_draws // 10, num_draws, num_draws // 10):
            start = ordered.values[rank].item()
            if low < start < high:
                chosen = draws[ordered.indices[rank]]
                (slope,) = torch.autograd.grad(chosen, value, retain_graph=True)
                length = (high - low) * np.tanh(0.1 * slope.item() * 4 / (high - low))
                axes.annotate(
                    "",
                    (start + length / 3, -0.06 - 0.07 * row),
                    (start, -0.06 - 0.07 * row),
                    xycoords=("data", "axes fraction"),
                    arrowprops={"arrowstyle": "->", "color": color, "lw": 0.9},
                    annotation_clip=False,
                )
    axes.set_xlim(low, high)
    axes.set_ylim(0, 1.12 * tallest)
    axes.set_title(name, loc="left", fontsize=10, fontweight="bold")
    axes.legend(frameon=False, fontsize=8, handlelength=1.2)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.set_yticks([])
    axes.tick_params(axis="x", pad=36, length=0, labelsize=8, colors="#555555")


def main(smoke: bool = False, out: Path | None = None, seed: int = 0) -> None:
    """Draw the picture.

    Args:
        smoke: Few draws, for a quick check.
        out: Folder for the picture; by default it is drawn but not saved.
        seed: Of the draws.
    """
    torch.manual_seed(seed)
    rows = ceil(len(PANELS) / 4)
    figure, grid = plt.subplots(
        rows, 4, figsize=(12, 2.7 * rows), layout="constrained", facecolor="white"
    )
    for axes in grid.flat[len(PANELS) :]:
        axes.set_visible(False)
    for axes, (name, panel) in zip(grid.flat, PANELS.items(), strict=False):
        draw_panel(axes, name, panel, 500 if smoke else 20_000)
    if out is not None:
        Path(out).mkdir(parents=True, exist_ok=True)
        figure.savefig(Path(out) / "distributions.png", dpi=110)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Draw every scalar family.")
    parser.add_argument("--smoke", action="store_true", help="a quick check")
    parser.add_argument("--out", type=Path, help="folder for the picture")
    args = parser.parse_args()
    main(smoke=args.smoke, out=args.out)
