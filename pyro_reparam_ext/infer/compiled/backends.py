# SPDX-License-Identifier: Apache-2.0
"""What runs a recorded step: operation by operation, or compiled."""

import os
import shutil
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, fx

BACKENDS = ("auto", "inductor", "replay", "eager")
_TESTED = ("2.13",)
_SMALL = 2**15  # elements; below, starting a second thread costs more than it saves


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
    import torch._inductor

    options: dict[str, Any] = {}
    largest = max((t.numel() for t in inputs), default=0)
    if largest < _SMALL and all(t.device.type == "cpu" for t in inputs):
        options["cpp.threads"] = 1
    with torch.no_grad(), warnings.catch_warnings():
        # the compiler's calls of what torch is about to drop are none of the user's
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", FutureWarning)
        return torch._inductor.compile(graph, list(inputs), options)
