# SPDX-License-Identifier: Apache-2.0
"""Contexts over losses, and sites that are neither drawn plainly nor plainly drawn."""

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.distributions.testing.rejection_gamma import (
    RejectionGamma,
    ShapeAugmentedGamma,
)
from pyro.infer import Trace_ELBO

from pyro_reparam_ext import TraceSwitch_ELBO, estimators
from tests.infer.test_policy import SCORE, chosen, discrete_guide, guide, model


def test_a_context_can_undo_the_choice_of_the_loss():
    with estimators({"w": None}):
        found = chosen(TraceSwitch_ELBO(sites={"w": "score", "z": "score"}))
    assert found == {"w": None, "z": SCORE}


def test_a_context_overrides_what_the_site_could_not_have():
    with estimators({"z": "score"}):
        found = chosen(TraceSwitch_ELBO("pathwise"), discrete_guide)
    assert found["z"] == SCORE


def test_a_context_leaves_alone_what_only_the_model_draws():
    def with_latent():
        scale = pyro.param("scale", torch.tensor(1.0))
        u = pyro.sample("u", dist.Normal(0.0, scale))
        pyro.sample("x", dist.Normal(u, 1.0), obs=torch.tensor(1.0))

    gradients = []
    for handler in (estimators("score"), pyro.poutine.messenger.Messenger()):
        pyro.clear_param_store()
        pyro.set_rng_seed(0)
        with handler, pytest.warns(UserWarning, match="in model but not guide"):
            Trace_ELBO().loss_and_grads(with_latent, lambda: None)
        parameter = dict(pyro.get_param_store().named_parameters())["scale"]
        gradients.append(parameter.grad)
    assert torch.equal(*gradients)


def test_a_key_for_a_guide_without_sites_is_an_error():
    loss = TraceSwitch_ELBO(sites={"z": "score"})
    with pytest.raises(ValueError, match="Guide sites: none"):
        loss.loss_and_grads(lambda: None, lambda: None)


def test_errors_name_autoguide_sites_as_users_know_them():
    auto = pyro.infer.autoguide.AutoNormal(model)
    with pytest.raises(ValueError, match="Guide sites: 'w', 'z'"):
        TraceSwitch_ELBO(sites={"zz": "score"}).loss_and_grads(model, auto)


@pytest.mark.parametrize("family", [RejectionGamma, ShapeAugmentedGamma])
@pytest.mark.parametrize("estimator", [None, "pathwise", "score"])
def test_a_path_with_a_score_term_of_its_own(family, estimator):
    """A rejection sampler is partly reparameterized: its correction is kept."""

    def gamma_model():
        with pyro.plate("copies", 20_000), pyro.poutine.scale(scale=1 / 20_000):
            pyro.sample("z", dist.Gamma(torch.tensor(2.0), torch.tensor(1.0)))

    def gamma_guide():
        shape = pyro.param("shape", torch.tensor(3.0))
        with pyro.plate("copies", 20_000), pyro.poutine.scale(scale=1 / 20_000):
            pyro.sample("z", family(shape, torch.tensor(1.0)))

    shape = torch.tensor(3.0, requires_grad=True)
    one = torch.tensor(1.0)
    kl = torch.distributions.kl_divergence(
        dist.Gamma(shape, one), dist.Gamma(torch.tensor(2.0), one)
    )
    (exact,) = torch.autograd.grad(kl, shape)
    draws = []
    pyro.set_rng_seed(0)
    loss = TraceSwitch_ELBO(estimator)
    pyro.param("shape", torch.tensor(3.0))
    parameter = dict(pyro.get_param_store().named_parameters())["shape"]
    for _ in range(12):
        parameter.grad = None
        loss.loss_and_grads(gamma_model, gamma_guide)
        draws.append(parameter.grad.clone())
    stacked = torch.stack(draws)
    error = stacked.std() / len(draws) ** 0.5
    assert (stacked.mean() - exact).abs() < 6 * error  # Student's t, 11 degrees


@pytest.mark.parametrize("name", ["type", "values", "a.b", "a/b", "forward", "x y"])
def test_any_site_name_can_have_state(name):
    def named_guide():
        loc = pyro.param("loc", torch.tensor(0.2))
        pyro.sample(name, dist.Normal(loc, 1.0))

    def named_model():
        pyro.sample(name, dist.Normal(0.0, 1.0))

    loss, fresh = TraceSwitch_ELBO("ema"), TraceSwitch_ELBO("ema")
    loss.loss_and_grads(named_model, named_guide)
    fresh.state.load_state_dict(loss.state.state_dict())
    saved, loaded = loss.state.state_dict(), fresh.state.state_dict()
    assert len(saved) == 2
    assert saved == loaded


def test_a_state_dict_without_averages_starts_afresh():
    empty = TraceSwitch_ELBO("ema").state.state_dict()
    loss = TraceSwitch_ELBO("ema")
    loss.loss_and_grads(model, guide)
    loss.state.load_state_dict(empty)
    assert not loss.state.state_dict()
