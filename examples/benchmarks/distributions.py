# SPDX-License-Identifier: Apache-2.0
"""Sampling, and sampling with its gradient, beside torch, NumPyro and TFP.

A process for each library, in one thread; for each family, the libraries take turns,
and the ratio is that of their medians. The time is that of the processor, so that a
busy machine matters less; arguments are not validated. JAX libraries are compiled, and
the compilation is not counted. The gradient is that of the sum of the draws in every
parameter. Peers that are not installed are left out; they may have environments of
their own (TFP 0.25 needs an older JAX than NumPyro)::

    python examples/benchmarks/distributions.py                 # ten minutes
    python examples/benchmarks/distributions.py --only Gamma Beta --draws 100000
    python examples/benchmarks/distributions.py --numpyro venv1/bin/python \
        --tfp venv2/bin/python
"""

import argparse
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import matplotlib.pyplot as plt
from distribution_worker import FAMILIES

HERE = Path(__file__).parent
PEERS = {"torch": "#999999", "numpyro": "#0072B2", "tfp": "#E69F00"}
WHAT = {False: "draw", True: "draw and gradient"}


class Worker:
    """A library in a process of its own."""

    def __init__(self, library: str, python: str, dtype: str, draws: int) -> None:
        code = (
            f"import sys; sys.path.insert(0, {str(HERE)!r}); "
            f"import distribution_worker as w; w.serve({library!r}, {dtype!r}, {draws})"
        )
        self.library = library
        self.process = subprocess.Popen(
            [python, "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={"XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false", **_environment()},
        )
        self.ready = bool(self._answer())

    def seconds(self, family: str, gradient: bool) -> float | str:
        """For one call, or what went wrong."""
        assert self.process.stdin is not None
        request = {"family": family, "gradient": gradient}
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        answer = self._answer()
        return answer.get("seconds") or answer.get("error", "ended")

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        return json.loads(line) if line else {}

    def close(self) -> None:
        """End the process."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def _environment() -> dict[str, str]:
    import os

    return {**os.environ, "OMP_NUM_THREADS": "1"}


@dataclass(frozen=True)
class Timing:
    """Median seconds by library; a word where there are none."""

    family: str
    gradient: bool
    dtype: str
    seconds: dict[str, float | str]

    def ratio(self, peer: str) -> float | None:
        """Our time over that of a peer."""
        ours, theirs = self.seconds["ours"], self.seconds.get(peer)
        if isinstance(ours, str) or not isinstance(theirs, float):
            return None
        return ours / theirs


def measure(
    workers: list[Worker], family: str, gradient: bool, dtype: str, rounds: int
) -> Timing:
    """The libraries in turn."""
    found: dict[str, list[float | str]] = {w.library: [] for w in workers}
    for turn in range(rounds):
        for worker in workers if turn % 2 else workers[::-1]:
            if worker.library in FAMILIES[family].lacking:
                found[worker.library].append("–")
                continue
            if not any(isinstance(t, str) for t in found[worker.library]):
                found[worker.library].append(worker.seconds(family, gradient))
    medians = {
        library: next((t for t in times if isinstance(t, str)), None)
        or median(t for t in times if isinstance(t, float))
        for library, times in found.items()
    }
    return Timing(family, gradient, dtype, medians)


def show(timing: Timing, peers: list[str]) -> str:
    """A row of the table."""
    ours = timing.seconds["ours"]
    cells = [timing.family, WHAT[timing.gradient], timing.dtype]
    cells.append(f"{1e3 * ours:.1f}" if isinstance(ours, float) else ours[:40])
    for peer in peers:
        ratio = timing.ratio(peer)
        word = timing.seconds[peer]
        cells.append(f"{ratio:.2f}" if ratio else str(word).split(":")[0][:24])
    return "| " + " | ".join(cells) + " |"


def draw(path: Path, timings: list[Timing], peers: list[str]) -> None:
    """Our time over that of each peer: left of the line, we are faster."""
    dtypes = sorted({t.dtype for t in timings})
    families = list(dict.fromkeys(t.family for t in timings))
    figure, axes = plt.subplots(
        len(dtypes),
        2,
        sharex=True,
        sharey=True,
        squeeze=False,
        figsize=(8, 1.2 + 0.22 * len(families) * len(dtypes)),
        layout="constrained",
    )
    for row, dtype in enumerate(dtypes):
        for column, gradient in enumerate((False, True)):
            ax = axes[row, column]
            for timing in timings:
                if (timing.dtype, timing.gradient) != (dtype, gradient):
                    continue
                place = len(families) - families.index(timing.family)
                for peer in peers:
                    if ratio := timing.ratio(peer):
                        ax.plot(ratio, place, "o", color=PEERS[peer], ms=5)
            ax.axvline(1.0, color="#999999", lw=1)
            ax.set_xscale("log")
            ax.set_title(f"{WHAT[gradient]}, {dtype}", fontsize=10)
            ax.set_yticks(range(len(families), 0, -1), families, fontsize=8)
            ax.grid(axis="y", color="#eeeeee")
            ax.spines[["top", "right"]].set_visible(False)
    for ax in axes[-1]:
        ax.set_xlabel("our time over the peer's")
    handles = [plt.Line2D([], [], marker="o", ls="", color=PEERS[p]) for p in peers]
    figure.legend(handles, peers, loc="outside upper right", ncols=3, frameon=False)
    figure.savefig(path, dpi=120)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--only", nargs="+", choices=FAMILIES, default=list(FAMILIES), help="(all)")
    add("--draws", type=int, help="numbers drawn in a call (1000000)")
    add("--rounds", type=int, help="calls that the median is of (7)")
    add("--dtypes", nargs="+", default=["float32", "float64"], help="(%(default)s)")
    for peer in ("numpyro", "tfp"):
        add(f"--{peer}", default=sys.executable, help="the interpreter that has it")
    add("--out", type=Path, default=Path("out/benchmarks"), help="(%(default)s)")
    add("--smoke", action="store_true", help="few draws, two families")
    args = parser.parse_args(argv)
    draws = args.draws or (1_000 if args.smoke else 1_000_000)
    rounds = args.rounds or (1 if args.smoke else 7)
    only = args.only[:2] if args.smoke else args.only
    args.out.mkdir(parents=True, exist_ok=True)
    timings, peers = [], []
    for dtype in args.dtypes:
        pythons = {"ours": sys.executable, "torch": sys.executable}
        pythons |= {"numpyro": args.numpyro, "tfp": args.tfp}
        workers = [Worker(lib, py, dtype, draws) for lib, py in pythons.items()]
        workers = [worker for worker in workers if worker.ready]
        peers = [w.library for w in workers if w.library != "ours"]
        if dtype == args.dtypes[0]:
            head = ["family", "what", "dtype", "ours, ms", *(f"/ {p}" for p in peers)]
            print("| " + " | ".join(head) + " |\n|" + " --- |" * len(head))
        for family in only:
            for gradient in (False, True):
                timing = measure(workers, family, gradient, dtype, rounds)
                timings.append(timing)
                print(show(timing, peers), flush=True)
        for worker in workers:
            worker.close()
    slower = [
        f"{t.family} ({WHAT[t.gradient]}, {t.dtype}, {peer}: {ratio:.1f})"
        for t in timings
        for peer in peers
        if (ratio := t.ratio(peer)) and ratio > 1
    ]
    print(f"\nslower than a peer: {', '.join(slower) or 'none'}")
    draw(args.out / "distributions.png", timings, peers)


if __name__ == "__main__":
    main()
