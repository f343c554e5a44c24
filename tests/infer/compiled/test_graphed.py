# SPDX-License-Identifier: Apache-2.0
"""The path of CUDA graphs, on a processor that takes the part of the device."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pyro
import pytest
import torch
from pyro.infer import SVI, Trace_ELBO
from pyro.optim import Adam
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from pyro_reparam_ext.infer import CaptureWarning, CompiledSVI
from pyro_reparam_ext.infer.compiled import graphed
from tests.infer.compiled.programs import DATA, guide, model
from tests.infer.compiled.test_stages import discrete, discrete_model


class Recorder(TorchDispatchMode):
    """Operations and where they wrote: what a CUDA graph has."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Any] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        self.calls.append((func, args, kwargs or {}, result))
        return result

    def replay(self) -> None:
        """Run again, into the same memory."""
        for func, args, kwargs, result in self.calls:
            again = func(*args, **kwargs)
            if isinstance(result, Tensor) and again.data_ptr() != result.data_ptr():
                result.copy_(again)


class Stream:
    """One that has nothing to wait for."""

    def wait_stream(self, other: Any) -> None:
        """Nothing."""


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> None:
    """The few functions of a CUDA device that are used, on the processor."""

    @contextmanager
    def recording(graph: Recorder) -> Iterator[None]:
        with graph:
            yield

    @contextmanager
    def on(stream: Any) -> Iterator[None]:
        yield

    for name, value in {
        "Stream": Stream,
        "current_stream": Stream,
        "stream": on,
        "CUDAGraph": Recorder,
        "graph": recording,
    }.items():
        monkeypatch.setattr(torch.cuda, name, value)
    monkeypatch.setattr(graphed, "DEVICE", "cpu")
    making = "pyro_reparam_ext.infer.compiled.making"
    monkeypatch.setattr(f"{making}.inductor", lambda graph, inputs: graph)


def losses(backend: str | None, program: Any) -> tuple[list[float], Any]:
    pyro.clear_param_store()
    pyro.set_rng_seed(5)
    args = *program, Adam({"lr": 0.05}), Trace_ELBO(max_plate_nesting=1)
    svi = SVI(*args) if backend is None else CompiledSVI(*args, backend=backend)
    found = [svi.step(DATA) for _ in range(7)]
    found += [svi.step(DATA + 0.01 * i) for i in range(6)]  # elsewhere in memory
    return found, svi


@pytest.mark.usefixtures("device")
@pytest.mark.parametrize("program", [(model, guide), (discrete_model, discrete)])
def test_launches_are_steps(program: Any) -> None:
    ours, svi = losses("cudagraphs", program)
    assert ours == pytest.approx(losses(None, program)[0], rel=1e-12)
    ((recording,),) = svi._stepper._recordings.values()
    assert recording.backend == "cudagraphs"
    assert isinstance(recording.step._run, graphed.GraphedStep)


def test_elsewhere_the_step_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    making = "pyro_reparam_ext.infer.compiled.making"
    monkeypatch.setattr(f"{making}.inductor", lambda graph, inputs: graph)
    monkeypatch.setattr(f"{making}.inductor_loop", lambda graph, inputs: graph)
    with pytest.warns(CaptureWarning, match="one CUDA device; found them on cpu"):
        ours, svi = losses("cudagraphs", (model, guide))
    assert ours == pytest.approx(losses(None, (model, guide))[0], rel=1e-12)
    ((recording,),) = svi._stepper._recordings.values()
    assert recording.backend == "inductor"
