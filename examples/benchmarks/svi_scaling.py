# SPDX-License-Identifier: Apache-2.0
"""What a compiled step, and its making, cost as a program grows.

A chain of normal sites, each with its data, and a mean-field guide; one thing at a
time is ten times more: the sites, the elements of each, the particles. Each size has a
process of its own with an empty cache of compiled code; before them, one process makes
what a machine compiles only once. A step's time is the processor's, the median over
turns; recording and compiling are timed by the clock. To run it::

    python examples/benchmarks/svi_scaling.py
    python examples/benchmarks/svi_scaling.py --backend replay
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import matplotlib.pyplot as plt

HERE = Path(__file__).parent


class Size(NamedTuple):
    """Of a program."""

    sites: int = 4
    elements: int = 100
    particles: int = 1


class Cost(NamedTuple):
    """Of a size, in seconds."""

    step: float
    record: float
    compile: float


SIZES = {
    "": [Size()],
    "sites": [Size(sites=40)],
    "elements": [Size(elements=1000), Size(elements=10_000)],
    "particles": [Size(particles=10), Size(particles=100)],
}


def program(size: Size) -> tuple[Any, Any]:
    """A chain of sites, and its guide."""
    import pyro
    import pyro.distributions as dist
    import torch
    from pyro.infer.autoguide import AutoNormal

    data = torch.linspace(-1.0, 1.0, size.elements)

    def model() -> None:
        mean = torch.zeros(())
        for i in range(size.sites):
            with pyro.plate(f"plate {i}", size.elements):
                z = pyro.sample(f"z {i}", dist.Normal(mean, 1.0))
                pyro.sample(f"x {i}", dist.Normal(z, 0.5), obs=data)
            mean = z

    return model, AutoNormal(model)


def cost(size: Size, backend: str, turns: int, seconds: float) -> Cost:
    """In this process."""
    import pyro
    import torch
    from svi_step_worker import timed

    from pyro_reparam_ext import TraceSwitch_ELBO
    from pyro_reparam_ext.infer import CompiledSVI

    torch.set_num_threads(1)
    pyro.set_rng_seed(0)
    loss = TraceSwitch_ELBO(
        num_particles=size.particles,
        vectorize_particles=size.particles > 1,
        max_plate_nesting=1,
    )
    optim = pyro.optim.Adam({"lr": 1e-3})
    svi = CompiledSVI(*program(size), optim, loss, backend=backend)
    svi.step()
    marks = [time.perf_counter()]
    for _ in range(2):
        svi.step()
        marks.append(time.perf_counter())
    for _ in range(10):
        svi.step()
    found = [timed(svi.step, seconds)[1] for _ in range(turns)]
    return Cost(median(found), marks[1] - marks[0], marks[2] - marks[1])


def apart(size: Size, args: argparse.Namespace, cache: str) -> Cost:
    """In a process of its own."""
    call = f"svi_scaling.cost(svi_scaling.Size{tuple(size)}, {args.backend!r}, "
    code = (
        f"import sys, json; sys.path.insert(0, {str(HERE)!r}); import svi_scaling; "
        f"print(json.dumps({call}{args.turns}, {args.seconds})))"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        env={**os.environ, "OMP_NUM_THREADS": "1", "TORCHINDUCTOR_CACHE_DIR": cache},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    return Cost(*json.loads(done.stdout.splitlines()[-1]))


def draw(path: Path, found: dict[str, list[tuple[float, Cost]]]) -> None:
    """Cost over that of the smallest program, by how many times larger it is."""
    (_, first), *_ = found.pop("")
    figure, axes = plt.subplots(1, 2, figsize=(8, 3.4), layout="constrained")
    for ax, title in zip(axes, ("a step", "recording and compiling"), strict=True):
        for name, costs in found.items():
            larger = [1.0, *(factor for factor, _ in costs)]
            seconds = [
                c.step if title == "a step" else c.record + c.compile
                for c in (first, *(cost for _, cost in costs))
            ]
            ratios = [s / seconds[0] for s in seconds]
            ax.plot(larger, ratios, "o-", ms=4, label=f"more {name}")
        most = max(factor for costs in found.values() for factor, _ in costs)
        ax.plot([1, most], [1, most], color="#bbbbbb", lw=1, label="in proportion")
        ax.set(xscale="log", yscale="log", title=title, xlabel="times larger")
        ax.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("times the cost")
    axes[0].legend(frameon=False)
    figure.savefig(path, dpi=120)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--backend", choices=("inductor", "replay"), default="inductor")
    add("--turns", type=int, default=5, help="(%(default)s)")
    add("--seconds", type=float, default=0.5, help="of a turn (%(default)s)")
    add("--out", type=Path, default=Path("out/benchmarks"), help="(%(default)s)")
    add("--smoke", action="store_true", help="two small sizes, no compiler")
    args = parser.parse_args(argv)
    sizes = SIZES
    if args.smoke:
        warnings.simplefilter("ignore")
        args.backend, args.turns, args.seconds = "replay", 1, 0.02
        sizes = {"": [Size(2, 5)], "sites": [Size(4, 5)]}
    head = ["sites", "elements", "particles", "step, µs", "record, s", "make, s"]
    head += ["step, ratio", "record and make, ratio"]
    print("| " + " | ".join(head) + " |\n|" + " --- |" * len(head))
    args.out.mkdir(parents=True, exist_ok=True)
    costs: dict[str, list[tuple[float, Cost]]] = {}
    with tempfile.TemporaryDirectory() as shared:
        if args.backend == "inductor":
            apart(Size(1, 2), args, shared)
        smallest = sizes[""][0]
        for name, many in sizes.items():
            for size in many:
                found = apart(size, args, shared)
                larger = getattr(size, name) / getattr(smallest, name) if name else 1.0
                costs.setdefault(name, []).append((larger, found))
                (_, first), *_ = costs[""]
                made = found.record + found.compile
                ratios = found.step / first.step, made / (first.record + first.compile)
                cells = [*map(str, size), f"{1e6 * found.step:.0f}"]
                cells += [f"{found.record:.2f}", f"{found.compile:.1f}"]
                cells += [f"{ratio:.1f}" for ratio in ratios]
                print("| " + " | ".join(cells) + " |", flush=True)
    draw(args.out / "svi_scaling.png", costs)


if __name__ == "__main__":
    main()
