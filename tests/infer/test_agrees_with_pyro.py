# SPDX-License-Identifier: Apache-2.0
"""With no estimator named, the switch is Trace_ELBO: same draws, loss and gradients."""

import pyro
import pytest
import torch
from pyro.infer import Trace_ELBO

from pyro_reparam_ext import TraceSwitch_ELBO
from tests.cases import MODELS
from tests.infer.gradients_of import clear_gradients, parameter_gradients, prepare
from tests.model_case import couples

PARTICLES = [(1, False), (3, False), (3, True)]
COMPARABLE = [m for m in MODELS if m.reparameterized or not m.stock_is_wrong]


def run(loss, case, guide, method):
    pyro.set_rng_seed(7)
    clear_gradients()
    if method == "differentiable_loss":
        value = loss.differentiable_loss(case.model, guide)
        value.backward()
        value = value.item()
    else:
        value = loss.loss_and_grads(case.model, guide)
    after = torch.rand(())
    return value, parameter_gradients(), after


@pytest.mark.parametrize("method", ["loss_and_grads", "differentiable_loss"])
@pytest.mark.parametrize(("particles", "vectorize"), PARTICLES)
@pytest.mark.parametrize("case", COMPARABLE, ids=lambda case: case.name)
def test_default_is_trace_elbo(case, particles, vectorize, method):
    if vectorize and not case.static:
        vectorize = False
    options = {"num_particles": particles, "vectorize_particles": vectorize}
    dependency = "provenance" if case.reparameterized else "plate"
    guide = prepare(case)
    stock = run(Trace_ELBO(**options), case, guide, method)
    ours = run(TraceSwitch_ELBO(dependency=dependency, **options), case, guide, method)
    torch.testing.assert_close(ours[0], stock[0], rtol=1e-13, atol=1e-13)
    torch.testing.assert_close(ours[1], stock[1], rtol=1e-12, atol=1e-12)
    assert torch.equal(ours[2], stock[2]), "the generator is in another state"


@pytest.mark.parametrize("case", MODELS, ids=lambda case: case.name)
def test_value_is_that_of_trace_elbo_for_every_estimator(case):
    """Estimators change the gradient, never the loss, if the noise is the same."""
    guide = prepare(case)
    same_noise = [(k, v) for k, v in case.choices.items() if not couples(v)]
    for label, choice in same_noise:
        particles = choice.get("num_particles", 1)
        values = []
        for loss in (
            Trace_ELBO(num_particles=particles),
            TraceSwitch_ELBO(**choice),
        ):
            pyro.set_rng_seed(3)
            values.append(loss.loss(case.model, guide))
            pyro.set_rng_seed(3)
            values.append(loss.loss_and_grads(case.model, guide))
        expected = torch.full((4,), values[0], dtype=torch.float64)
        torch.testing.assert_close(
            torch.tensor(values, dtype=torch.float64), expected, msg=label
        )


@pytest.mark.parametrize(
    "case", [m for m in MODELS if m.static], ids=lambda case: case.name
)
def test_particles_in_one_run_or_in_many_have_the_same_mean(case):
    """Vectorizing changes the order of the draws, not their law."""
    guide = prepare(case)
    means = []
    # to see a bias of half a standard deviation of one particle
    for vectorize, particles, steps in ((False, 70, 4), (True, 100, 32)):
        pyro.set_rng_seed(0)
        loss = TraceSwitch_ELBO(num_particles=particles, vectorize_particles=vectorize)
        draws = torch.tensor([loss.loss(case.model, guide) for _ in range(steps)])
        means.append((draws.mean(), draws.std() / len(draws) ** 0.5))
    (a, sa), (b, sb) = means
    assert abs(a - b) < 8 * (sa**2 + sb**2).sqrt()  # 5 sigma, few repetitions
