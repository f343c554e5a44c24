# SPDX-License-Identifier: Apache-2.0
"""A step of SVI: stock Pyro, this package, and NumPyro, on seven programs.

For each program and number of particles, every peer has a process of its own, in one
thread; they take turns, and a cell is the median over the turns of the processor's
time for a step, in microseconds. The time to set up is that from the first import to
the first steps, compilation included; memory is the peak of the process. To run it::

    python examples/benchmarks/svi_step.py                    # half an hour
    python examples/benchmarks/svi_step.py --only a e --particles 1
    python examples/benchmarks/svi_step.py --numpyro venv/bin/python

``Trace`` and ``JitTrace`` are Pyro's; ``Switch`` is ``TraceSwitch_ELBO`` under
``pyro.infer.SVI``; ``replay`` and ``inductor`` are ``CompiledSVI``, ``run`` its method
of that name; ``numpyro`` is a jitted update and ``numpyro scan`` a ``lax.scan``.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import median

import matplotlib.pyplot as plt
import svi_problems
from svi_step_worker import PEERS

HERE = Path(__file__).parent
NUMPYRO = ("numpyro", "numpyro scan")
# what is to be faster than what: ours, theirs, and the ratio that is the goal
GOALS = [
    ("inductor", "numpyro", 1.0),
    ("run", "numpyro scan", 1.0),
    ("replay", "Trace", 0.6),
    ("replay", "JitTrace", 1.0),
    ("Switch", "Trace", 1.05),
]


class Peer:
    """A process that makes steps when asked."""

    def __init__(self, name: str, python: str, problem: str, particles: int) -> None:
        code = (
            f"import sys; sys.path.insert(0, {str(HERE)!r}); import svi_step_worker; "
            f"svi_step_worker.serve({name!r}, {problem!r}, {particles})"
        )
        flags = (
            "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
            if name in NUMPYRO
            else ""
        )
        self.name = name
        self.process = subprocess.Popen(
            [python, "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", "XLA_FLAGS": flags},
        )
        arrays = svi_problems.data(problem[0]) if name in NUMPYRO else ()
        self.times: list[float] = []
        self.memory = 0.0
        self.setup = self._ask([(a.tolist(), a.dtype.str) for a in arrays], "setup")

    def turn(self, seconds: float) -> None:
        """Make steps for so long."""
        if self.setup:
            self.times.append(self._ask(seconds, "step"))

    def _ask(self, question: object, what: str) -> float:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            self.process.stdin.write(json.dumps(question) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            return 0.0
        line = self.process.stdout.readline()
        answer = json.loads(line) if line else {}
        self.memory = answer.get("memory", self.memory)
        return float(answer.get(what, 0.0))

    def close(self) -> None:
        """End the process."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def measure(
    problem: str, particles: int, pythons: dict[str, str], rounds: int, seconds: float
) -> dict[str, Peer]:
    """All peers in turn."""
    peers = [Peer(name, py, problem, particles) for name, py in pythons.items()]
    peers = [peer for peer in peers if peer.setup]
    for turn in range(rounds):
        for peer in peers if turn % 2 else peers[::-1]:
            peer.turn(seconds)
    for peer in peers:
        peer.close()
    return {peer.name: peer for peer in peers if peer.times}


def draw(path: Path, cells: dict[str, dict[str, float]]) -> None:
    """Microseconds a step, by program."""
    names = list(dict.fromkeys(peer for cell in cells.values() for peer in cell))
    figure, ax = plt.subplots(figsize=(3 + 0.7 * len(cells), 4), layout="constrained")
    for number, name in enumerate(names):
        at = [i for i, cell in enumerate(cells.values()) if name in cell]
        heights = [cell[name] for cell in cells.values() if name in cell]
        ax.plot(at, heights, "o", ms=5, color=f"C{number}", label=name)
    ax.set_xticks(range(len(cells)), list(cells), rotation=45)
    ax.set_yscale("log")
    ax.set_ylabel("microseconds a step")
    ax.grid(axis="y", color="#eeeeee")
    ax.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside right upper", frameon=False)
    figure.savefig(path, dpi=120)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    problems = list(svi_problems.PROBLEMS)
    add("--only", nargs="+", choices=problems, default=problems, help="(all)")
    add("--particles", nargs="+", type=int, default=[1, 16], help="(1 16)")
    add("--rounds", type=int, default=5, help="turns of each peer (%(default)s)")
    add("--seconds", type=float, default=1.0, help="of a turn (%(default)s)")
    add("--numpyro", default=sys.executable, help="the interpreter that has NumPyro")
    add("--out", type=Path, default=Path("out/benchmarks"), help="(%(default)s)")
    add("--smoke", action="store_true", help="one program, few steps, no compiler")
    args = parser.parse_args(argv)
    pythons = dict.fromkeys(PEERS, sys.executable)
    pythons |= dict.fromkeys(NUMPYRO, args.numpyro)
    if args.smoke:
        args.only, args.particles, args.rounds, args.seconds = ["a"], [1], 1, 0.05
        pythons = dict.fromkeys(("Trace", "Switch", "replay"), sys.executable)
    args.out.mkdir(parents=True, exist_ok=True)
    head = ["program / particles", *pythons]
    print("| " + " | ".join(head) + " |\n|" + " --- |" * len(head))
    cells: dict[str, dict[str, float]] = {}
    costs: list[str] = []
    for particles in args.particles:
        for problem in args.only:
            found = measure(problem, particles, pythons, args.rounds, args.seconds)
            row = {name: 1e6 * median(peer.times) for name, peer in found.items()}
            cells[f"{problem} / {particles}"] = row
            shown = [f"{row[n]:.0f}" if n in row else "–" for n in pythons]
            print(
                f"| {problem} / {particles} | " + " | ".join(shown) + " |", flush=True
            )
            costs += [
                f"| {problem} / {particles} | {n} | {p.setup:.1f} | {p.memory:.0f} |"
                for n, p in found.items()
            ]
    print("\n| goal | " + " | ".join(cells) + " |\n|" + " --- |" * (1 + len(cells)))
    for ours, theirs, goal in GOALS:
        ratios = [
            f"{cell[ours] / cell[theirs]:.2f}" if {ours, theirs} <= set(cell) else "–"
            for cell in cells.values()
        ]
        print(f"| {ours} / {theirs} <= {goal} | " + " | ".join(ratios) + " |")
    print("\n| program / particles | peer | setup, s | memory, MB |")
    print("| --- | --- | --- | --- |\n" + "\n".join(costs))
    draw(args.out / "svi_step.png", cells)


if __name__ == "__main__":
    main()
