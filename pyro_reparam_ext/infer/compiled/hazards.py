# SPDX-License-Identifier: Apache-2.0
"""What a recording cannot have, and where in the user's program it is."""

import linecache
import random
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pyro
import torch
from pyro import poutine

_LIBRARIES = [Path(torch.__file__).parent, Path(pyro.__file__).parent]
_OWN = Path(__file__).parents[2]


class ForeignRandomness:
    """Notices draws from the generators of Python and of numpy."""

    def __init__(self) -> None:
        self._before = _generators()

    def found(self) -> str | None:
        """Whose generator has moved since, if one has."""
        now = _generators()
        moved = [name for name in now if now[name] != self._before[name]]
        return moved[0] if moved else None


def _generators() -> dict[str, Any]:
    kind, keys, *rest = np.random.get_state(legacy=True)
    return {"numpy": (kind, keys.tobytes(), *rest), "random": random.getstate()}


def user_line(error: BaseException) -> str:
    """The line of the user's program that an error came from, or nothing."""
    found = ""
    trace: TracebackType | None = error.__traceback__
    while trace is not None:
        path, number = trace.tb_frame.f_code.co_filename, trace.tb_lineno
        parents = Path(path).parents
        if not any(p in parents for p in [*_LIBRARIES, _OWN]) and path[0] != "<":
            line = linecache.getline(path, number).strip()
            found = f" at {path}:{number}, `{line}`"
        trace = trace.tb_next
    return found


def site_that_varies(model: Any, guide: Any, args: Any, kwargs: Any) -> str:
    """The first site that differs between two runs from one seed, in words.

    Draws from elsewhere than torch, and counters, make it differ.
    """
    seen: list[dict[str, float]] = []
    for _ in range(2):
        with torch.random.fork_rng(), torch.no_grad(), pyro.validation_enabled(False):
            trace = poutine.trace(guide).get_trace(*args, **kwargs)
            replayed = poutine.trace(poutine.replay(model, trace=trace))
            model_trace = replayed.get_trace(*args, **kwargs)
        sites = {}
        for part in (trace, model_trace):
            part.compute_log_prob(lambda name, site: True)
            for name, site in part.nodes.items():
                if site["type"] == "sample" and "log_prob_sum" in site:
                    sites[name] = sites.get(name, 0.0) + float(site["log_prob_sum"])
        seen.append(sites)
    first, second = seen
    varying = [n for n in first if first[n] != second.get(n)]
    return f" It is not the same in two runs from one seed at site {varying[0]!r}." if (
        varying
    ) else ""
