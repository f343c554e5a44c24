# SPDX-License-Identifier: Apache-2.0
"""One peer of ``svi_step.py``, in a process and with an interpreter of its own."""

import json
import resource
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

LEARNING_RATE = 1e-3
PEERS = ("Trace", "JitTrace", "Switch", "replay", "inductor", "run")
Step = Callable[[], Any]


def pyro_step(peer: str, problem: str, particles: int) -> tuple[Step, int]:
    """A step by Pyro or by this package, and how many steps a call makes."""
    import pyro
    import torch
    from pyro.infer import SVI, JitTrace_ELBO, Trace_ELBO
    from svi_problems import PROBLEMS

    from pyro_reparam_ext import TraceSwitch_ELBO
    from pyro_reparam_ext.infer import CompiledSVI

    torch.set_num_threads(1)
    pyro.set_rng_seed(0)
    program = PROBLEMS[problem]()
    many = {"num_particles": particles, "vectorize_particles": particles > 1}
    losses = {"JitTrace": JitTrace_ELBO, "Switch": TraceSwitch_ELBO}
    if peer == "JitTrace":
        many["ignore_jit_warnings"] = True
    if peer == "Switch":
        many["dependency"] = "plate"
    loss = losses.get(peer, Trace_ELBO)(max_plate_nesting=1, **many)
    whole = program.model, program.guide, pyro.optim.Adam({"lr": LEARNING_RATE}), loss
    if peer in ("Trace", "JitTrace", "Switch"):
        svi = SVI(*whole)
        return lambda: svi.step(*program.args), 1
    compiled = CompiledSVI(*whole, backend="replay" if peer == "replay" else "inductor")
    if peer == "run":
        number = 1000 if particles == 1 else 100
        return lambda: compiled.run(number, *program.args), number
    return lambda: compiled.step(*program.args), 1


def numpyro_step(peer: str, problem: str, particles: int, data: Any) -> Any:
    """A jitted update, or a scan of a hundred."""
    import jax
    import numpyro
    from numpyro.infer import SVI, Trace_ELBO, TraceGraph_ELBO
    from svi_problems_numpyro import PROBLEMS

    program = PROBLEMS[problem](data)
    loss = TraceGraph_ELBO if program.score else Trace_ELBO
    optim = numpyro.optim.Adam(LEARNING_RATE)
    svi = SVI(program.model, program.guide, optim, loss(num_particles=particles))
    args = tuple(map(jax.numpy.asarray, data))
    held = [svi.init(jax.random.PRNGKey(0), *args)]
    number = 1 if peer == "numpyro" else 100 if particles == 1 else 10
    if peer == "numpyro":
        update = jax.jit(lambda state: svi.update(state, *args))
    else:
        update = jax.jit(
            lambda state: jax.lax.scan(
                lambda s, _: svi.update(s, *args), state, None, length=number
            )
        )

    def step() -> None:
        held[0], loss = update(held[0])
        loss.block_until_ready()

    return step, number


def timed(step: Step, seconds: float) -> tuple[int, float]:
    """How many calls for so long, and the processor's time for one."""
    number, end, start = 0, time.perf_counter() + seconds, time.process_time()
    while not number or time.perf_counter() < end:
        step()
        number += 1
    return number, (time.process_time() - start) / number


def serve(peer: str, problem: str, particles: int) -> None:
    """Set up; then answer each line of input by the time of a step."""
    warnings.simplefilter("ignore")
    start = time.perf_counter()
    if peer.startswith("numpyro"):
        import numpy as np

        data = [np.asarray(x, t) for x, t in json.loads(sys.stdin.readline())]
        step, number = numpyro_step(peer, problem, particles, data)
    else:
        sys.stdin.readline()
        step, number = pyro_step(peer, problem, particles)
    for _ in range(1 if number > 1 else 12):
        step()
    setup = time.perf_counter() - start
    print(json.dumps({"setup": setup}), flush=True)
    for line in sys.stdin:
        _, seconds = timed(step, float(line))
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        answer = {"step": seconds / number, "memory": memory}
        print(json.dumps(answer), flush=True)
