# SPDX-License-Identifier: Apache-2.0
"""Programs of every kind: losses, parameters and buffers are those of SVI."""

import warnings
from collections.abc import Callable
from typing import Any

import pyro
import pytest
import torch
from pyro.infer import SVI
from pyro.optim import Adam
from torch import Tensor, nn

from pyro_reparam_ext.infer import CaptureWarning, CompiledSVI
from tests.infer.compiled.autoguides import AUTOGUIDES, Program
from tests.infer.compiled.handmade import HANDMADE
from tests.infer.compiled.networks import NETWORKS

STEPS = 9  # recorded in the second; alone in the fifth, eighth and ninth
TABLE = AUTOGUIDES | NETWORKS | HANDMADE
# One of each kind of operation; the registry has compiled all estimators.
COMPILED = [
    "AutoNormal",
    "AutoMultivariateNormal",
    "AutoIAFNormal",
    "AutoHierarchicalNormalMessenger",
    "amortized",
    "amortized, several particles",
    "PyroModule",
    "dropout",
    "batch norm",
    "subsample",
    "Dirichlet",
    "custom operations",
    "neural baseline",
    "float32",
]


def train(make: Callable[..., Any], program: Program) -> tuple[Any, ...]:
    """Losses; parameters and buffers; and what made the steps."""
    pyro.clear_param_store()
    pyro.set_rng_seed(3)
    torch.set_default_dtype(program.dtype)
    model, guide, *modules = program.make()
    svi = make(model, guide, Adam({"lr": 0.02}), program.loss())
    x = torch.linspace(-1.0, 2.0, 12)
    losses = [svi.step(x) for _ in range(STEPS)]
    state: dict[str, Tensor] = dict(pyro.get_param_store().items())
    for number, module in enumerate([model, guide, *modules]):
        if isinstance(module, nn.Module):
            found = module.state_dict().items()
            state |= {f"{key} of module {number}": value for key, value in found}
    return losses, {key: value.detach().clone() for key, value in state.items()}, svi


def check(program: Program, backend: str, rtol: float) -> None:
    losses, state, _ = train(SVI, program)

    def compiled(*args: Any) -> CompiledSVI:
        return CompiledSVI(*args, backend=backend)

    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        found, ours, svi = train(compiled, program)
    assert found == pytest.approx(losses, rel=rtol)
    assert list(ours) == list(state)
    for key, value in state.items():
        torch.testing.assert_close(ours[key], value, rtol=rtol, atol=rtol)
    messages = [str(w.message) for w in told if w.category is CaptureWarning]
    ((recording,),) = svi._stepper._recordings.values()
    if program.warns is None:
        assert messages == []
        assert not recording.refused
        assert recording.backend == backend
        assert recording.taken == STEPS - 2
    else:
        assert len(messages) == 1, messages
        assert program.warns in messages[0]
        assert recording.refused


@pytest.mark.parametrize("name", TABLE)
def test_replay_is_the_program(name: str) -> None:
    program = TABLE[name]
    single = program.dtype == torch.float32
    check(program, "replay", 1e-6 if single else 1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("name", COMPILED)
def test_compiled_is_the_program(name: str) -> None:
    program = TABLE[name]
    single = program.dtype == torch.float32
    check(program, "inductor", 1e-4 if single else 1e-10)
