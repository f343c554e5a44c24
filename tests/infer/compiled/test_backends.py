# SPDX-License-Identifier: Apache-2.0
"""An installation that cannot compile, and compilers that fail, end no run."""

import shutil
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from pyro.infer import SVI
from torch import Tensor, fx

from pyro_reparam_ext.infer import CaptureWarning, CompiledSVI
from tests.infer.compiled.programs import DATA, guide, model, steps

MAKING = "pyro_reparam_ext.infer.compiled.making"


def losses_and_message(
    backend: str, between: Callable[[int], Any] = lambda i: None
) -> tuple[CompiledSVI, str]:
    """Those of SVI, and the one warning that there must be."""
    expected, _ = steps(SVI, between, lambda: (model, guide))

    def make(*args: Any) -> CompiledSVI:
        return CompiledSVI(*args, backend=backend)

    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        found, svi = steps(make, between, lambda: (model, guide))
    assert found == pytest.approx(expected, rel=1e-12)
    (message,) = [str(w.message) for w in told if w.category is CaptureWarning]
    return svi, message


def inductor(*args: Any) -> CompiledSVI:
    return CompiledSVI(*args, backend="inductor")


def backends(svi: CompiledSVI) -> list[str]:
    return [r.backend for rs in svi._stepper._recordings.values() for r in rs]


def test_torch_that_was_not_tested(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "__version__", "2.99.1+cpu")
    svi, message = losses_and_message("auto")
    assert "torch 2.99 is not among those tested" in message
    assert svi.backend == "replay"
    assert backends(svi) == ["replay"]


def test_no_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    svi, message = losses_and_message("auto")
    assert "there is no C++ compiler" in message
    assert svi.backend == "replay"
    assert backends(svi) == ["replay"]


def test_trusted_installation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "some-compiler")
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(torch, "__version__", "2.13.0")
    _, svi = steps(CompiledSVI, lambda i: None, lambda: (model, guide), 0)
    assert svi.backend == "inductor"


def refuse(graph: fx.GraphModule, inputs: Sequence[Tensor]) -> Any:
    raise RuntimeError("no such kernel")


def compile_by(monkeypatch: pytest.MonkeyPatch, compiler: Any) -> None:
    monkeypatch.setattr(f"{MAKING}.inductor", compiler)
    monkeypatch.setattr(f"{MAKING}.inductor_loop", compiler)


def test_compiler_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    compile_by(monkeypatch, refuse)
    svi, message = losses_and_message("inductor")
    assert "cannot run with backend 'inductor': RuntimeError: no such kern" in message
    assert backends(svi) == ["replay"]


def test_compiler_that_fails_for_other_shapes(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the middle of a run; what was compiled before stays so."""

    def compiler(graph: fx.GraphModule, inputs: Sequence[Tensor]) -> Any:
        if any(t.shape == (5,) for t in inputs):
            refuse(graph, inputs)
        return graph

    compile_by(monkeypatch, compiler)
    svi, message = losses_and_message(
        "inductor", lambda i: (DATA if i < 6 or i > 10 else DATA[:5],)
    )
    assert "cannot run with backend 'inductor': RuntimeError: no such kern" in message
    assert backends(svi) == ["inductor", "replay"]


def test_compiled_step_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not before it runs."""

    def compiler(graph: fx.GraphModule, inputs: Sequence[Tensor]) -> Any:
        return lambda *inputs: refuse(graph, inputs)

    compile_by(monkeypatch, compiler)
    svi, message = losses_and_message("inductor")
    assert "'inductor', the loss (RuntimeError: no such kernel) came out" in message
    assert backends(svi) == ["replay"]


def test_compiled_step_that_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    def compiler(graph: fx.GraphModule, inputs: Sequence[Tensor]) -> Any:
        def run(*inputs: Tensor) -> list[Tensor]:
            return [t * 1.001 for t in graph(*inputs)]

        return run

    compile_by(monkeypatch, compiler)
    svi, message = losses_and_message("inductor")
    assert "It is 'replay' from now on" in message
    assert backends(svi) == ["replay"]


def test_what_a_compiler_warns_of_is_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where warnings are errors, as they are here."""
    import torch._inductor

    def compiler(graph: fx.GraphModule, inputs: Any, options: Any) -> Any:
        warnings.warn("an old function", FutureWarning, stacklevel=2)
        return graph

    monkeypatch.setattr(torch._inductor, "compile", compiler)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _, svi = steps(inductor, lambda i: None, lambda: (model, guide))
    assert backends(svi) == ["inductor"]
