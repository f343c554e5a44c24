# SPDX-License-Identifier: Apache-2.0
"""The time of a step beside that of the stock loss that does the same.

One estimator everywhere, the same model, guide, particles and optimizer; steps of the
two losses alternate, and the ratio is that of their medians, over blocks of steps. The
time is that of the processor, in one thread, so that a busy machine matters less. Two
programs each, of ``programs.py``: a small hierarchy, where all is overhead, and an
autoencoder. ``stl`` and ``adaptive`` do more than a stock loss does and are there for
information. To run it::

    python examples/benchmarks/overhead.py                          # three minutes
    python examples/benchmarks/overhead.py --only pathwise --seconds 30
    python examples/benchmarks/overhead.py --profile pathwise       # where time goes

Goal: at most 1.1 for each pair.
"""

import argparse
import cProfile
import pstats
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import matplotlib.pyplot as plt
import programs
import pyro
import torch
from pyro.infer import (
    ELBO,
    SVI,
    RenyiELBO,
    Trace_ELBO,
    TraceEnum_ELBO,
    TraceGraph_ELBO,
    TraceMeanField_ELBO,
)
from pyro.optim import Adam

from pyro_reparam_ext import TraceIW_ELBO, TraceSwitch_ELBO

GOAL = 1.1
CONTINUOUS = {"small": programs.small_continuous, "vae": programs.vae_continuous}
DISCRETE = {"small": programs.small_discrete, "vae": programs.vae_discrete}
FINITE = {"small": programs.small_discrete, "vae": programs.vae_classes}
AVERAGE = {"baseline": {"use_decaying_avg_baseline": True, "baseline_beta": 0.9}}
ENUMERATED = {"enumerate": "parallel"}
PARTICLES = {"num_particles": 8, "vectorize_particles": True}


@dataclass(frozen=True)
class Pair:
    """A loss of the package, the stock loss that does the same, and programs."""

    ours: Callable[[], ELBO]
    stock: Callable[[], ELBO]
    programs: dict[str, Callable[..., programs.Program]]
    infer: dict | None = None
    comparable: bool = True


def switch(estimator: str, **options: object) -> Callable[[], ELBO]:
    return lambda: TraceSwitch_ELBO(estimator, max_plate_nesting=1, **options)


def stock(cls: type[ELBO], **options: object) -> Callable[[], ELBO]:
    return lambda: cls(max_plate_nesting=1, **options)


PAIRS = {
    "pathwise": Pair(switch("pathwise"), stock(Trace_ELBO), CONTINUOUS),
    "pathwise, K=8": Pair(
        switch("pathwise", **PARTICLES), stock(Trace_ELBO, **PARTICLES), CONTINUOUS
    ),
    "analytic": Pair(switch("analytic"), stock(TraceMeanField_ELBO), CONTINUOUS),
    "score by plates": Pair(
        switch("score", dependency="plate"), stock(Trace_ELBO), DISCRETE
    ),
    "score": Pair(switch("score"), stock(TraceGraph_ELBO), DISCRETE),
    "ema": Pair(switch("ema"), stock(TraceGraph_ELBO), DISCRETE, AVERAGE),
    "enum": Pair(switch("enum"), stock(TraceEnum_ELBO), FINITE, ENUMERATED),
    "iw, pathwise, K=8": Pair(
        lambda: TraceIW_ELBO("pathwise", max_plate_nesting=1, **PARTICLES),
        stock(RenyiELBO, alpha=0.0, **PARTICLES),
        CONTINUOUS,
    ),
    "stl": Pair(switch("stl"), stock(Trace_ELBO), CONTINUOUS, comparable=False),
    "adaptive": Pair(
        switch("adaptive"), stock(Trace_ELBO), CONTINUOUS, comparable=False
    ),
}


@dataclass(frozen=True)
class Timing:
    """Medians in milliseconds, and the ratio in each block of steps."""

    ours: float
    stock: float
    ratios: list[float]
    comparable: bool

    @property
    def ratio(self) -> float:
        """The middle one."""
        return median(self.ratios)


def steppers(pair: Pair, size: str) -> list[Callable[[], float]]:
    """A step with our loss, and one with the stock loss; parameters are shared."""
    pyro.clear_param_store()
    pyro.set_rng_seed(0)
    plain = pair.programs[size]()
    annotated = pair.programs[size](pair.infer) if pair.infer else plain
    # a rate so small that all steps are of one problem
    made = []
    for make, program in ((pair.ours, plain), (pair.stock, annotated)):
        svi = SVI(program.model, program.guide, Adam({"lr": 1e-6}), loss=make())
        made.append(lambda svi=svi, data=program.data: svi.step(data))
    return made


def measure(pair: Pair, size: str, seconds: float, blocks: int = 5) -> Timing:
    """Steps of both losses in turn, for so long."""
    both = steppers(pair, size)
    for step in both:
        for _ in range(3):
            step()
    times: list[list[list[float]]] = []
    for _ in range(blocks):
        block: list[list[float]] = [[], []]
        end = time.perf_counter() + seconds / blocks
        while not block[0] or time.perf_counter() < end:
            for which in (0, 1) if len(block[0]) % 2 else (1, 0):
                start = time.process_time()
                both[which]()
                block[which].append(1e3 * (time.process_time() - start))
        times.append(block)
    ours, theirs = torch.tensor(
        [[median(times_of) for times_of in block] for block in times]
    ).T
    return Timing(
        ours.median().item(),
        theirs.median().item(),
        (ours / theirs).tolist(),
        pair.comparable,
    )


def profile(pair: Pair, size: str, steps: int) -> None:
    """Where the time goes, of both losses."""
    for label, step in zip(("ours", "stock"), steppers(pair, size), strict=True):
        step()
        profiler = cProfile.Profile()
        profiler.enable()
        for _ in range(steps):
            step()
        profiler.disable()
        print(f"\n{label}, {steps} steps")
        pstats.Stats(profiler).sort_stats("tottime").print_stats(25)


def draw(path: Path, timings: dict[tuple[str, str], Timing]) -> None:
    figure, axes = plt.subplots(figsize=(7, 4.6), layout="constrained")
    names = list(dict.fromkeys(name for name, _ in timings))
    for size, color, shift in (("small", "#D55E00", 0.14), ("vae", "#0072B2", -0.14)):
        for place, name in enumerate(reversed(names)):
            timing = timings[name, size]
            axes.hlines(
                place + shift, min(timing.ratios), max(timing.ratios), color=color
            )
            axes.plot(
                timing.ratio,
                place + shift,
                "o",
                color=color,
                mfc=color if timing.comparable else "white",
                label=size if place == len(names) - 1 else None,
            )
    axes.axvline(1.0, color="#999999", lw=1)
    axes.axvline(GOAL, color="#999999", lw=1, ls="--")
    axes.set_yticks(range(len(names)), reversed(names))
    axes.set_xlabel(
        "time of a step, over that of the stock loss (line: the blocks; "
        f"dashed: {GOAL};\nhollow: the stock loss does less)"
    )
    handles, labels = axes.get_legend_handles_labels()
    axes.legend(handles[:2], labels[:2], frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--seconds", type=float, help="for each pair and program (8)")
    add("--only", nargs="+", choices=PAIRS, default=list(PAIRS), help="pairs (all)")
    add("--profile", choices=PAIRS, help="profile a pair on the small program")
    add("--out", type=Path, default=Path("out/benchmarks"), help="(%(default)s)")
    add("--smoke", action="store_true", help="a few steps")
    args = parser.parse_args(argv)
    seconds = args.seconds or (0.01 if args.smoke else 8)
    torch.set_num_threads(1)
    if args.profile:
        profile(PAIRS[args.profile], "small", 200)
        return
    args.out.mkdir(parents=True, exist_ok=True)
    print("\n| estimator | stock loss | program | stock, ms | ours, ms | ratio |")
    print("| --- |" + " --- |" * 5)
    timings = {}
    for name in args.only:
        for size in ("small", "vae"):
            timing = timings[name, size] = measure(PAIRS[name], size, seconds)
            beside = type(PAIRS[name].stock()).__name__
            low, high = min(timing.ratios), max(timing.ratios)
            print(
                f"| {name} | {beside} | {size} | {timing.stock:.2f} "
                f"| {timing.ours:.2f} | {timing.ratio:.2f} ({low:.2f}–{high:.2f}) |",
                flush=True,
            )
    over = [
        f"{name} ({size})"
        for (name, size), timing in timings.items()
        if timing.comparable and timing.ratio > GOAL
    ]
    print(f"\nabove {GOAL}: {', '.join(over) or 'none'}")
    draw(args.out / "overhead.png", timings)


if __name__ == "__main__":
    main()
