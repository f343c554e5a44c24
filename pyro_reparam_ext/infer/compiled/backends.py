# SPDX-License-Identifier: Apache-2.0
"""What runs a recorded step: operation by operation, or compiled."""

import os
import shutil
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, fx

BACKENDS = ("auto", "cudagraphs", "inductor", "replay", "eager")
SIMPLER = {"cudagraphs": "inductor", "inductor": "replay"}  # what to do if one fails
_TESTED = ("2.13",)
_SMALL = 2**15  # elements; below, starting a second thread costs more than it saves
_LONG = 2500  # operations; above, code is compiled in two pieces


def why_not_compiled() -> str | None:
    """Why this installation is not trusted to compile, if it is not."""
    version = ".".join(torch.__version__.split(".")[:2])
    if version not in _TESTED:
        return f"torch {version} is not among those tested ({', '.join(_TESTED)})"
    compilers = (os.environ.get("CXX"), "g++", "clang++", "c++", "cl")
    if not any(name and shutil.which(name) for name in compilers):
        return "there is no C++ compiler (g++, say, or what CXX names)"
    return None


def inductor(graph: fx.GraphModule, inputs: Sequence[Tensor]) -> Callable[..., Any]:
    """A graph, compiled for inputs of these shapes."""
    return _compiled(graph, list(inputs), _threads(inputs))


def inductor_loop(
    graph: fx.GraphModule, inputs: Sequence[Tensor]
) -> Callable[..., Any]:
    """A graph with a loop in it, compiled such that Python takes no part in the loop.

    Draws are made by torch, from its generator.
    """
    from torch._subclasses.fake_tensor import FakeTensorMode
    from torch.fx.experimental.symbolic_shapes import ShapeEnv

    # a loop asks for the mode to know of shapes, as that of examples does not
    mode = FakeTensorMode(shape_env=ShapeEnv())
    fake = [mode.from_tensor(t, static_shapes=True) for t in inputs]
    parts = [m for m in graph.modules() if isinstance(m, fx.GraphModule)]
    options = {
        **_threads(inputs),
        "cpp_wrapper": True,
        "fallback_random": True,
        "size_asserts": False,
        "reorder_for_peak_memory": False,  # draws are made in their order
        # slower by some percent; but in one piece, a C++ compiler takes ever longer
        "cpp_wrapper_build_separate": sum(len(m.graph.nodes) for m in parts) > _LONG,
    }
    return _compiled(graph, fake, options)


def _compiled(
    graph: fx.GraphModule, inputs: list[Any], options: dict[str, Any]
) -> Callable[..., Any]:
    import torch._inductor

    with torch.no_grad(), warnings.catch_warnings():
        # the compiler's calls of what torch is about to drop are none of the user's
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", FutureWarning)
        return torch._inductor.compile(graph, inputs, options)


def _threads(inputs: Sequence[Tensor]) -> dict[str, Any]:
    largest = max((t.numel() for t in inputs), default=0)
    small = largest < _SMALL and all(t.device.type == "cpu" for t in inputs)
    return {"cpp.threads": 1} if small else {}
