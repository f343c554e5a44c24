# SPDX-License-Identifier: Apache-2.0
"""Whoever looks between two steps sees what SVI would show; copies and saved states."""

import copy
import io
import pickle
from collections.abc import Callable
from typing import Any

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.infer import SVI, Predictive
from pyro.optim import Adam
from torch import Tensor

from pyro_reparam_ext import TraceSwitch_ELBO
from pyro_reparam_ext.infer import CompiledSVI
from tests.infer.compiled.networks import MeanField, amortized, model
from tests.infer.compiled.programs import DATA, guide, likelihood, replay

STEPS = 9


def observed(x: Tensor) -> None:
    """The model of the guide that is a function."""
    likelihood(x, pyro.sample("z", dist.Normal(0.0, 1.0)))


def start(make: Callable[..., Any], program: tuple[Any, Any]) -> Any:
    elbo = TraceSwitch_ELBO(max_plate_nesting=1)
    return make(*program, Adam({"lr": 0.05}), elbo)


def seeded() -> None:
    pyro.clear_param_store()
    pyro.set_rng_seed(5)


def predicted(program: tuple[Any, Any]) -> dict[str, Tensor]:
    """Draws of a predictive law, which leave the generator as it was."""
    state = torch.get_rng_state()
    pyro.set_rng_seed(0)
    one_model, one_guide = program
    predictive = Predictive(one_model, guide=one_guide, num_samples=3)
    found = predictive(DATA)
    torch.set_rng_state(state)
    return {f"{name} predicted": value for name, value in found.items()}


def test_everything_is_seen_between_steps() -> None:
    """Of a guide that is a module, one that uses a module, and one of parameters."""

    def views(make: Callable[..., Any]) -> list[dict[str, Tensor]]:
        found = []
        network_model, network_guide, encoder = amortized()()
        own = MeanField()
        for program in [
            (network_model, network_guide),
            (model, own),
            (observed, guide),
        ]:
            seeded()
            svi = start(make, program)
            for _ in range(STEPS):
                svi.step(DATA)
                seen = dict(pyro.get_param_store().items())
                seen |= dict(encoder.named_parameters(prefix="encoder"))
                seen |= dict(own.state_dict(prefix="own"))
                seen |= {"loc": own.loc, "scale": own.scale}
                seen |= predicted(program)
                seen["loss"] = torch.tensor(svi.evaluate_loss(DATA))
                found.append({k: v.detach().clone() for k, v in seen.items()})
        return found

    seeded()
    expected = views(SVI)
    seeded()
    for ours, theirs in zip(views(replay), expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-13)


def test_state_of_a_module_is_loaded_between_steps() -> None:
    def losses(make: Callable[..., Any]) -> list[float]:
        seeded()
        own = MeanField()
        svi = start(make, (model, own))
        found = [svi.step(DATA) for _ in range(3)]
        state = copy.deepcopy(own.state_dict())
        found += [svi.step(DATA) for _ in range(4)]
        own.load_state_dict(state)
        return found + [svi.step(DATA) for _ in range(4)]

    assert losses(replay) == pytest.approx(losses(SVI), rel=1e-12)


def test_store_is_set_back_between_steps() -> None:
    def losses(make: Callable[..., Any]) -> list[float]:
        seeded()
        svi = start(make, (observed, guide))
        found = [svi.step(DATA) for _ in range(3)]
        state = copy.deepcopy(pyro.get_param_store().get_state())
        found += [svi.step(DATA) for _ in range(4)]
        pyro.get_param_store().set_state(state)
        return found + [svi.step(DATA) for _ in range(6)]

    assert losses(replay) == pytest.approx(losses(SVI), rel=1e-12)


def test_module_is_saved_and_resumed(tmp_path: Any) -> None:
    seeded()
    svi = start(SVI, (model, MeanField()))
    expected = [svi.step(DATA) for _ in range(STEPS)]

    seeded()
    own = MeanField()
    svi = start(replay, (model, own))
    found = [svi.step(DATA) for _ in range(5)]
    file = io.BytesIO()
    torch.save(own.state_dict(), file)
    svi.optim.save(tmp_path / "optim")
    random = torch.get_rng_state()

    seeded()
    again = MeanField()
    again.load_state_dict(torch.load(io.BytesIO(file.getvalue())))
    svi = start(replay, (model, again))
    svi.optim.load(tmp_path / "optim")
    torch.set_rng_state(random)
    found += [svi.step(DATA) for _ in range(STEPS - 5)]
    assert found == pytest.approx(expected, rel=1e-12)


def test_a_copy_goes_on_as_one_of_svi_does() -> None:
    def losses(make: Callable[..., Any]) -> list[float]:
        found = []
        for program in [(observed, guide), (model, MeanField())]:
            seeded()
            svi = start(make, program)
            found += [svi.step(DATA) for _ in range(5)]
            other = copy.deepcopy(svi)
            found += [other.step(DATA) for _ in range(7)]
            found += [svi.step(DATA) for _ in range(4)]
        return found

    seeded()
    expected = losses(SVI)
    seeded()
    assert losses(replay) == pytest.approx(expected, rel=1e-12)


def test_a_copy_of_what_is_recorded_is_recorded_too() -> None:
    seeded()
    svi = start(replay, (observed, guide))
    svi.run(5, DATA)
    other = copy.deepcopy(svi)
    assert isinstance(other, CompiledSVI)
    assert other.backend == "replay"
    other.run(5, DATA)
    ((recording,),) = other._stepper._recordings.values()
    assert recording.taken > 0


def test_pickling_says_what_to_save_instead() -> None:
    seeded()
    svi = start(replay, (observed, guide))
    with pytest.raises(TypeError, match=r"get_param_store\(\).save"):
        pickle.dumps(svi)
