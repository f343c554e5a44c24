# SPDX-License-Identifier: Apache-2.0
"""The Python values that a program refers to, watched because a recording has them.

A tensor that is changed in place is read anew by every step. A number, or a name that
comes to mean another tensor, is not: when one has changed, what was recorded is stale.
"""

import functools
import inspect
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from pyro.distributions import Distribution
from pyro.poutine.messenger import Messenger
from torch import Tensor, nn

_NUMBERS = (bool, int, float, complex, str, type(None))
_LIBRARIES = ("torch.", "pyro.", "numpy", "scipy.", "builtins", "tqdm")
_OURS = "pyro_reparam_ext."
_OF_EVERY_MODULE = frozenset(vars(nn.Module()))
_OPAQUE = (type, types.ModuleType, types.BuiltinFunctionType, Distribution)
_GONE = object()


@dataclass
class Watched:
    """A value, where it is found, and what to call it."""

    place: Any
    key: Any
    value: Any
    name: str

    def now(self) -> Any:
        """What is there at this moment."""
        if isinstance(self.place, types.CellType):
            try:
                return self.place.cell_contents
            except ValueError:
                return _GONE
        return self.place.get(self.key, _GONE)

    def put_back(self) -> None:
        """Make it what it was."""
        if self.now() is self.value or self.value is _GONE:
            return
        if isinstance(self.place, types.CellType):
            self.place.cell_contents = self.value
        else:
            self.place[self.key] = self.value


class Watch:
    """The values that some programs refer to, as they are at this moment.

    Args:
        programs: Models, guides and losses: functions, methods, modules, objects.
    """

    def __init__(self, *programs: Any) -> None:
        self.values = list({_where(w): w for p in programs for w in _of(p)}.values())

    def changed(self) -> Watched | None:
        """The first value that has changed, if any has."""
        for watched in self.values:
            now = watched.now()
            if now is watched.value:
                continue
            if _same_number(now, watched.value):
                watched.value = now
                continue
            return watched
        return None

    def keep(self) -> Callable[[], None]:
        """What puts all back to how it is now, as if a run had not been."""
        copies = [
            (w.value, w.value._version, w.value.detach().clone())
            for w in self.values
            if isinstance(w.value, Tensor) and not w.value.requires_grad
        ]

        def put_back() -> None:
            for watched in self.values:
                watched.put_back()
            for tensor, version, value in copies:
                if tensor._version != version:
                    tensor.detach().copy_(value)

        return put_back

    def leave_to_the_program(self) -> None:
        """Watch no longer what is not a number and has changed: the program did it.

        A program that keeps a draw for later, say. What comes of it is for a
        comparison with the program to see.
        """
        self.values = [
            w
            for w in self.values
            if isinstance(w.value, _NUMBERS) or w.now() is w.value
        ]

    def numbers(self) -> dict[str, Any]:
        """The numbers as they are now, by name."""
        return {w.name: w.now() for w in self.values if isinstance(w.value, _NUMBERS)}


def _where(watched: Watched) -> tuple[int, Any]:
    return id(watched.place), watched.key


def _same_number(one: Any, other: Any) -> bool:
    return type(one) is type(other) and isinstance(one, _NUMBERS) and one == other


def _of(program: Any) -> Iterator[Watched]:
    seen: set[int] = set()
    waiting = [(program, _name(program))]
    while waiting:
        thing, name = waiting.pop()
        if id(thing) in seen:
            continue
        seen.add(id(thing))
        for watched in _held(thing, name):
            value = watched.value
            if isinstance(value, (*_NUMBERS, Tensor)):
                yield watched
            elif isinstance(value, dict) and len(value) <= 64:
                yield watched
                for key, entry in value.items():
                    if isinstance(entry, (*_NUMBERS, Tensor)):
                        yield Watched(value, key, entry, f"{watched.name}[{key!r}]")
            elif _may_hold(value):
                yield watched
                waiting.append((value, watched.name))


def _held(thing: Any, name: str) -> Iterator[Watched]:
    """What a thing refers to by itself."""
    if isinstance(thing, types.MethodType):
        yield Watched({0: thing.__self__}, 0, thing.__self__, _name(thing.__self__))
        yield from _held(thing.__func__, name)
    elif isinstance(thing, functools.partial):
        parts: dict[Any, Any] = {"func": thing.func, **thing.keywords}
        parts.update(enumerate(thing.args))
        yield from (Watched(parts, k, v, f"{k} of {name}") for k, v in parts.items())
    elif isinstance(thing, types.FunctionType):
        cells = zip(thing.__code__.co_freevars, thing.__closure__ or (), strict=True)
        for free, cell in cells:
            watched = Watched(cell, None, None, f"{free!r} in {name}")
            watched.value = watched.now()
            yield watched
        for free in _names(thing.__code__):
            if free in thing.__globals__:
                value = thing.__globals__[free]
                yield Watched(thing.__globals__, free, value, f"the global {free!r}")
    elif isinstance(thing, nn.Module):
        yield from _of_module(thing, name)
    elif hasattr(thing, "__dict__"):
        ours = type(thing).__module__.startswith(_OURS)
        for key, value in list(vars(thing).items()):
            if not (ours and key.startswith("_")):  # what a loss notes for itself
                yield Watched(vars(thing), key, value, f"{name}.{key}")
        call = vars(type(thing)).get("__call__")
        if isinstance(call, types.FunctionType) and not _from_library(call):
            yield from _held(call, name)


def _of_module(module: nn.Module, name: str) -> Iterator[Watched]:
    for path, child in module.named_modules():
        label = f"{name}.{path}" if path else name
        own = not _from_library(type(child))
        for key, value in list(vars(child).items()):
            internal = key in _OF_EVERY_MODULE or key.startswith("_pyro")
            if key == "training" or (own and not internal):
                yield Watched(vars(child), key, value, f"{label}.{key}")
        for key, value in child._buffers.items():
            yield Watched(child._buffers, key, value, f"{label}.{key}")
        if own:
            for key, function in vars(type(child)).items():
                if isinstance(function, types.FunctionType) and key != "__init__":
                    yield from _held(function, f"{label}.{key}")


def _names(code: types.CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names(constant)


def _may_hold(value: Any) -> bool:
    """Whether to look at what a thing refers to in its turn."""
    if isinstance(value, _OPAQUE):
        return False
    if isinstance(value, nn.Module | functools.partial | types.MethodType | Messenger):
        return True
    if isinstance(value, types.FunctionType):
        # a handler around a program is a function of Pyro's with the program in it
        return bool(value.__closure__) or not _from_library(value)
    return hasattr(value, "__dict__") and not _from_library(type(value))


def _from_library(thing: Any) -> bool:
    module = getattr(thing, "__module__", None) or "builtins"
    return module.startswith(_LIBRARIES) or f"{module}." in _LIBRARIES


def _name(thing: Any) -> str:
    if inspect.ismethod(thing) or inspect.isfunction(thing):
        return str(thing.__qualname__)
    return type(thing).__name__
