# SPDX-License-Identifier: Apache-2.0
r"""How noisy each gradient estimator is, beside what is known exactly.

Two problems, both solved by ordinary Pyro programs under ``TraceSwitch_ELBO``:

- ``golden.py``: derivatives of :math:`\mathrm{E}_{z\sim N(1,1)}[f(z)]`, whose
  variances are integrals in one dimension;
- ``bernoulli.py``: eight binary latents under a random decoder, whose exact gradient
  is a sum over 256 states, beside estimators written out in plain torch.

To run it::

    python examples/benchmarks/estimators.py            # about a minute

It prints both tables and draws ``estimators.png``. Where our rows do not agree with
the exact values, or are worse than others of their kind, it raises.
"""

import argparse
import math
from pathlib import Path

import bernoulli
import golden
import matplotlib.pyplot as plt
import torch

OURS, THEIRS = "#0072B2", "#999999"
COLORS = {
    "score": "#D55E00",
    "optimal baseline": "#E69F00",
    "pathwise": "#0072B2",
    "mvd": "#009E73",
}
MAX_Z = 5.0  # a false alarm in 1e6 comparisons
BASE = "score, exact mean baseline"  # the row that others are relative to

# Rows of ours that may not be worse than these references. Names shared by both sides
# are compared too.
SAME_KIND = {"disarm": ["ARM"], "mvd": ["REBAR, τ=0.5", "MuProp"]}


def markdown(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def check(failures: list[str], smoke: bool) -> None:
    if failures and not smoke:
        raise AssertionError("\n".join(failures))


def golden_table(copies: int) -> tuple[str, list[str]]:
    """Measured variances over exact ones, and what is wrong with them."""
    failures, rows = [], []
    for key, published in golden.PUBLISHED.items():
        cost, k, parameter = key
        exact = golden.exact(cost, k, parameter)
        names = ("score", "optimal baseline", "pathwise")
        for name, value in zip(names, published, strict=True):
            if abs(exact.variance[name] / value - 1) > 0.01:
                failures.append(f"{key}: {name} is {exact.variance[name]}, not {value}")
        row = [f"`{cost}`", f"{k:g}", parameter]
        for name in golden.ESTIMATORS:
            draws = golden.measure(name, cost, k, parameter, copies)
            variance, error = golden.variance_with_error(draws)
            true = exact.variance[name]
            true = 0.0 if abs(true) < 1e-10 else true  # but for rounding
            off = (variance - true) / (error + 1e-12)
            spread = (true / len(draws)) ** 0.5 + 1e-12
            mean_off = (draws.mean().item() - exact.gradient) / spread
            if abs(off) > MAX_Z or abs(mean_off) > MAX_Z:
                failures.append(
                    f"{key}, {name}: variance {variance:.4g} ± {error:.2g}, exactly "
                    f"{true:.4g}; mean off by {mean_off:.1f} standard errors"
                )
            row.append(
                f"{true:.4g} × {variance / true:.3f} ± {error / true:.3f}"
                if true
                else "0"
            )
        rows.append(row)
    return markdown(["cost", "k", "in", *golden.ESTIMATORS], rows), failures


Rows = dict[str, bernoulli.Row]


def bernoulli_table(
    problem: bernoulli.Problem, ours: Rows, theirs: Rows
) -> tuple[str, list[str]]:
    """Variance, bias and work of each row, and what is wrong with ours."""
    exact, _ = problem.exact()
    base, _ = work(ours[BASE], exact)
    failures, lines = [], []
    for owner, rows in (("ours", ours), ("reference", theirs)):
        for name, row in rows.items():
            variance, error = row.variance()
            bias, z = row.squared_bias(exact)
            mse, _ = work(row, exact)
            known = bernoulli.PUBLISHED.get(name)
            relative = known and known / bernoulli.PUBLISHED[BASE]
            lines.append(
                [
                    name,
                    owner,
                    f"{row.evals:g}",
                    f"{variance:.3f} ± {error:.3f}",
                    f"{bias:.5f} (z = {z:.1f})",
                    f"{mse:.2f}",
                    f"{mse / base:.2f}",
                    f"{relative:.2f}" if relative else "",
                ]
            )
            if z > MAX_Z and name not in bernoulli.BIASED:
                failures.append(f"{owner} {name}: biased, z = {z:.1f}")
    for name, row in ours.items():
        mse, error = work(row, exact)
        for other in [name, *SAME_KIND.get(name, [])]:
            if other in theirs:
                other_mse, other_error = work(theirs[other], exact)
                if mse - other_mse > MAX_Z * math.hypot(error, other_error):
                    failures.append(f"{name}: {mse:.3g}, but {other}: {other_mse:.3g}")
    header = ["estimator", "by", "evals", "variance", "bias²", "MSE × evals"]
    return markdown([*header, "relative", "published, relative"], lines), failures


def work(row: bernoulli.Row, exact: torch.Tensor) -> tuple[float, float]:
    """Mean squared error times evaluations, and its standard error."""
    squares = (row.gradients - exact).square().sum(-1)
    error = squares.std() / len(squares) ** 0.5
    return row.evals * squares.mean().item(), row.evals * error.item()


def draw(
    path: Path, problem: bernoulli.Problem, ours: Rows, theirs: Rows, measured: int
) -> None:
    figure, axes = plt.subplot_mosaic(
        [["work", "exp(-k z^2)"], ["work", "cos(k z)"]],
        figsize=(11, 7),
        width_ratios=(1, 1.15),
        layout="constrained",
    )
    draw_work(axes["work"], problem, ours, theirs)
    ranges = {"exp(-k z^2)": (0.03, 30.0), "cos(k z)": (0.1, 6.0)}
    for cost, (low, high) in ranges.items():
        draw_curves(axes[cost], cost, low, high, measured)
    figure.supxlabel(
        "Right: lines by quadrature, dots measured; dashed where pathwise and score "
        "have the same variance.",
        fontsize=9,
        color="#555555",
    )
    figure.savefig(path, dpi=120)


def draw_work(
    axes: plt.Axes, problem: bernoulli.Problem, ours: Rows, theirs: Rows
) -> None:
    """Mean squared error times evaluations, best on top."""
    exact, _ = problem.exact()
    points = [(*work(row, exact), name, OURS) for name, row in ours.items()]
    points += [
        (*work(row, exact), name, THEIRS)
        for name, row in theirs.items()
        if name not in ours
    ]
    points = [
        (value, error, f"{name} (biased)" if name in bernoulli.BIASED else name, color)
        for value, error, name, color in points
    ]
    points.sort(key=lambda point: -point[0])
    floor = 0.4 * min(value for value, *_ in points if value > 1e-12)
    for place, (value, error, _, color) in enumerate(points):
        if value > 1e-12:
            axes.errorbar(value, place, xerr=error, fmt="o", color=color)
        else:
            axes.annotate(
                "0",
                (floor, place),
                xytext=(14, 0),
                textcoords="offset points",
                va="center",
                arrowprops={"arrowstyle": "->", "color": color},
                color=color,
            )
    axes.set_xscale("log")
    axes.set_xlim(left=floor)
    axes.set_yticks(range(len(points)), [name for *_, name, _ in points])
    for label, (*_, color) in zip(axes.get_yticklabels(), points, strict=True):
        label.set_color(color if color == OURS else "#555555")
    axes.set_xlabel("mean squared error × evaluations of the model")
    axes.set_title(
        "Eight Bernoulli latents (blue: this package)", loc="left", fontsize=11
    )
    tidy(axes)
    axes.grid(axis="x", color="#e5e5e5", lw=0.7)


def draw_curves(
    axes: plt.Axes, cost: str, low: float, high: float, copies: int
) -> None:
    """Variance in the location against k: lines by quadrature, dots measured."""
    ks = torch.logspace(math.log10(low), math.log10(high), 60).tolist()
    exact = [golden.exact(cost, k, "loc").variance for k in ks]
    for name, color in COLORS.items():
        axes.plot(ks, [values[name] for values in exact], color=color, lw=1.6)
        some = ks[4::8]
        draws = [golden.measure(name, cost, k, "loc", copies) for k in some]
        axes.plot(some, [d.var() for d in draws], "o", color=color, ms=4.5, label=name)
    # where following the path stops paying
    for a, b, before, after in zip(ks, ks[1:], exact, exact[1:], strict=False):
        if (before["pathwise"] - before["score"]) * (
            after["pathwise"] - after["score"]
        ) < 0:
            axes.axvline(math.sqrt(a * b), color="#bbbbbb", lw=1, ls="--", zorder=0)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("k")
    axes.set_ylabel("variance")
    axes.set_title(f"Derivative of E[{cost}] in the mean of z", loc="left", fontsize=11)
    axes.legend(frameon=False, fontsize=8)
    tidy(axes)


def tidy(axes: plt.Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=9, length=2.5, color="#888888")


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--copies", type=int, help="independent estimates (200,000 and more)")
    add("--seed", type=int, default=0, help="of the draws (%(default)s)")
    add("--out", type=Path, default=Path("out/benchmarks"), help="(%(default)s)")
    add("--smoke", action="store_true", help="few draws, nothing asserted")
    args = parser.parse_args(argv)
    copies = args.copies or (500 if args.smoke else 200_000)
    torch.manual_seed(args.seed)
    args.out.mkdir(parents=True, exist_ok=True)

    print(f"\nVariance of {5 * copies:,} estimates: exact × measured/exact\n")
    table, failures = golden_table(5 * copies)
    print(table)
    check(failures, args.smoke)

    problem = bernoulli.Problem()
    steps = 20 if args.smoke else 4000
    ours = {name: row() for name, row in bernoulli.ours(problem, copies, steps).items()}
    theirs = {
        name: row() for name, row in bernoulli.references(problem, copies).items()
    }
    exact, _ = problem.exact()
    norm = exact.square().sum()
    print(
        f"\nEight Bernoulli latents, {copies:,} estimates, |gradient|² = {norm:.2f}\n"
    )
    table, failures = bernoulli_table(problem, ours, theirs)
    print(table)
    check(failures, args.smoke)
    draw(args.out / "estimators.png", problem, ours, theirs, copies // 10)


if __name__ == "__main__":
    main()
