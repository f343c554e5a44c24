# SPDX-License-Identifier: Apache-2.0
"""Pictures of a trained variational autoencoder, for ``vae.py``."""

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import torch
from datasets import Images
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pyro.distributions import Binomial
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits
from torch import Tensor

COLORS = {
    "pathwise": "#0072B2",
    "rloo": "#D55E00",
    "score": "#444444",
    "independent pixels": "#999999",
}
STYLE = {
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e6e6e6",
    "lines.linewidth": 1.8,
}


def save(figure: Figure, path: Path) -> None:
    figure.savefig(path, dpi=160, facecolor="white")
    plt.close(figure)


def tile(intensities: Tensor, images: Images, columns: int) -> Tensor:
    """One large picture from rows of small ones, with a white gap between."""
    height, width = images.shape
    gap = height // 4
    small = torch.nn.functional.pad(
        intensities.reshape(-1, height, width), (0, gap, 0, gap)
    )
    grid = small.reshape(-1, columns, height + gap, width + gap)
    rows = grid.transpose(1, 2).reshape(-1, columns * (width + gap))
    return rows[:-gap, :-gap]


def show(axes: Axes, picture: Tensor) -> None:
    axes.imshow(picture.numpy(), cmap="gray_r", vmin=0, vmax=1, interpolation="nearest")
    axes.set_axis_off()


def independent_pixels(images: Images) -> float:
    """Test log likelihood without a latent variable: the floor any VAE should clear."""
    # Half a count of either outcome keeps pixels that are never inked off zero.
    probs = (images.train.sum(0) + 0.5) / (len(images.train) * images.levels + 1)
    return Binomial(images.levels, probs).log_prob(images.test).sum(-1).mean().item()


def curves(history: list[dict], images: Images, path: Path) -> None:
    """Training and test ELBO by epoch."""
    epochs = [record["epoch"] for record in history]
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(6.4, 4), layout="constrained")
        for key, label, color in [
            ("train_elbo", "training", "#56B4E9"),
            ("test_elbo", "test", "#0072B2"),
        ]:
            values = [record[key] for record in history]
            axes.plot(epochs, values, color=color, label=f"{label}  {nats(values[-1])}")
        floor = independent_pixels(images)
        axes.axhline(
            floor,
            color=COLORS["independent pixels"],
            ls="--",
            label=f"independent pixels  {nats(floor)}",
        )
        axes.set(xlabel="epoch", ylabel="nats per image", xlim=(0, max(epochs)))
        axes.set_ylim(bottom=floor - 30)  # the first epochs may start far below
        axes.set_title("ELBO of training and held-out images")
        axes.legend(frameon=False, loc="center right")
    save(figure, path)


def nats(value: float) -> str:
    return f"{value:.1f}".replace("-", "−")


def one_of_each(images: Images, repeats: int = 1) -> Tensor:
    """Indices of test images: digits 0 to 9, ``repeats`` times over."""
    rows = [
        [torch.nonzero(images.test_labels == digit)[row] for digit in range(10)]
        for row in range(repeats)
    ]
    return torch.tensor(rows).flatten()


def reconstruct(vae: Any, counts: Tensor) -> Tensor:
    """The decoder's picture at the centre of q(z | counts)."""
    with torch.no_grad():
        return vae.decode(vae.encode(counts)[0])


def reconstructions(vae: Any, images: Images, path: Path) -> None:
    """Held-out originals above, their reconstructions below."""
    counts = images.test[one_of_each(images, repeats=3)]
    pairs = torch.stack(
        [
            (counts / images.levels).reshape(3, 10, -1),
            reconstruct(vae, counts).reshape(3, 10, -1),
        ],
        dim=1,
    )
    with plt.rc_context(STYLE):
        figure, rows = plt.subplots(3, 1, figsize=(6.4, 4.4), layout="constrained")
        for axes, pair in zip(rows, pairs, strict=True):
            show(axes, tile(pair.flatten(0, 1), images, columns=10))
        rows[0].set_title("Held-out images, and below each its reconstruction")
    save(figure, path)


def prior_samples(vae: Any, images: Images, path: Path) -> None:
    """What the decoder makes of draws from the prior."""
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(8 * 16, vae.latent_dim, generator=generator)
    with torch.no_grad():
        picture = tile(vae.decode(z), images, columns=16)
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(6.4, 3.5), layout="constrained")
        show(axes, picture)
        axes.set_title("Digits that nobody wrote: decoded draws from the prior")
    save(figure, path)


def latent_space(vae: Any, images: Images, path: Path, most: int = 1000) -> None:
    """Where q(z | counts) puts the images, each drawn as its digit.

    Two dimensions are shown as they are. More go through t-SNE, which keeps neighbours
    together: the prior makes the cloud round, so that principal components, two out of
    eight, hide most of it.
    """
    counts = torch.cat([images.test, images.train])[:most]
    labels = torch.cat([images.test_labels, images.train_labels])[:most].numpy()
    with torch.no_grad():
        loc = vae.encode(counts)[0].numpy()
    title = "Latent space: mean of q(z | image)"
    if vae.latent_dim > 2:
        with threadpool_limits(1):  # on a busy machine two threads take far longer
            loc = TSNE(init="pca", random_state=0).fit_transform(loc)
        title = f"{title}, {vae.latent_dim} dimensions by t-SNE"
    x, y = loc[:, 0], loc[:, -1]
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(6.4, 6), layout="constrained")
        for digit in range(10):
            here = labels == digit
            color = plt.get_cmap("tab10")(digit)
            axes.scatter(
                x[here], y[here], s=36, color=color, marker=f"${digit}$", linewidths=0.2
            )
        if vae.latent_dim > 2:
            axes.set_axis_off()  # t-SNE coordinates mean nothing by themselves
        else:
            axes.set(xlabel="z₁", ylabel="z₂" if vae.latent_dim == 2 else "z₁")
        axes.set_title(title)
    save(figure, path)


def comparison(comparison: Any, images: Images, path: Path) -> None:
    """Learning curves, gradient variances and reconstructions by estimator."""
    with plt.rc_context(STYLE):
        figure = plt.figure(figsize=(10, 5.4), layout="constrained")
        top, bottom = figure.subfigures(2, 1, height_ratios=[3, 1.9])
        left, right = top.subplots(1, 2)
        learning_curves(left, comparison, images)
        gradient_variances(right, comparison)
        reconstruction_rows(bottom.subplots(), comparison, images)
    save(figure, path)


def learning_curves(axes: Axes, comparison: Any, images: Images) -> None:
    ends = {}
    for name, run in comparison.runs.items():
        epochs = [record["epoch"] for record in run.history]
        values = [record["test_elbo"] for record in run.history]
        axes.plot(epochs, values, color=COLORS.get(name))
        ends[name] = (epochs[-1], values[-1], f"{name}  {nats(run.test_elbo)}")
    floor = independent_pixels(images)
    axes.axhline(floor, color=COLORS["independent pixels"], ls="--", lw=1.2)
    ends["independent pixels"] = (epochs[-1], floor, "independent pixels")
    axes.set(xlabel="epoch", xlim=(0, epochs[-1]))
    axes.set_ylim(bottom=max(axes.get_ylim()[0], floor - 50))  # a run may diverge
    axes.set_title("Test ELBO (nats per image)")
    label_ends(axes, ends)


def gradient_variances(axes: Axes, comparison: Any) -> None:
    ends = {}
    least = min(points[-1][1] for points in comparison.variances.values())
    for name, points in comparison.variances.items():
        epochs, values = zip(*points, strict=True)
        axes.semilogy(epochs, values, color=COLORS.get(name), marker="o", ms=3.5)
        times = values[-1] / least
        text = name if times == 1 else f"{name}  × {float(f'{times:.2g}'):,.0f}"
        ends[name] = (epochs[-1], values[-1], text)
    axes.set(xlabel="epoch", xlim=(0, epochs[-1]))
    axes.set_title("Variance of the encoder's gradient (nats²), same weights")
    label_ends(axes, ends)


def label_ends(axes: Axes, ends: dict[str, tuple[float, float, str]]) -> None:
    """Texts at the right ends of lines, moved down where they would overlap."""
    to_fraction = axes.transData + axes.transAxes.inverted()
    room = 1.0
    for name, (x, y, text) in sorted(ends.items(), key=lambda end: -end[1][1]):
        height = min(max(to_fraction.transform((x, y))[1], 0.02), room)
        room = height - 0.08
        axes.text(
            1.02,
            height,
            text,
            transform=axes.transAxes,
            color=COLORS.get(name),
            fontweight="bold",
            va="center",
        )


def reconstruction_rows(axes: Axes, comparison: Any, images: Images) -> None:
    counts = images.test[one_of_each(images, repeats=2)]
    rows = {"held-out images": counts / images.levels}
    for name, run in comparison.runs.items():
        rows[name] = reconstruct(run.vae, counts)
    picture = tile(torch.cat(list(rows.values())), images, columns=len(counts))
    show(axes, picture)
    height = images.shape[0]
    pitch = height + height // 4
    for row, name in enumerate(rows):
        axes.text(
            -0.5 * height,
            row * pitch + height / 2,
            name if row == 0 else f"by {name}",
            color=COLORS.get(name, "black"),
            fontweight="normal" if row == 0 else "bold",
            ha="right",
            va="center",
        )
