# SPDX-License-Identifier: Apache-2.0
"""What a recording cannot have, and where in the user's program it is."""

import linecache
import random
import sysconfig
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pyro
import torch

_LIBRARIES = [
    Path(torch.__file__).parent,
    Path(pyro.__file__).parent,
    Path(sysconfig.get_path("stdlib")),
]
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

    def put_back(self) -> None:
        """Let them draw again what they have drawn since."""
        kind, keys, *rest = self._before["numpy"]
        state: Any = (kind, np.frombuffer(keys, np.uint32), *rest)
        np.random.set_state(state)  # noqa: NPY002
        random.setstate(self._before["random"])


def _generators() -> dict[str, Any]:
    state: Any = np.random.get_state(legacy=True)  # noqa: NPY002 (what users may use)
    kind, keys, *rest = state
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
