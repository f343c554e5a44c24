# SPDX-License-Identifier: Apache-2.0
"""A baseline that a network learns from the data."""

import copy

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.infer import SVI
from torch import nn

from pyro_reparam_ext import TraceSwitch_ELBO
from pyro_reparam_ext.gradients import NeuralBaseline, ScoreFunction
from tests.infer.gradients_of import clear_gradients, parameter_gradients

X = torch.tensor([[-3.0], [-1.0], [0.5], [4.0]], dtype=torch.float64)


def model(x):
    with pyro.plate("data", len(x)):
        c = pyro.sample("c", dist.Bernoulli(0.3))
        pyro.sample("x", dist.Normal(c, 1.0), obs=x[:, 0])


def guide(x):
    logit = pyro.param("logit", torch.tensor(0.2))
    with pyro.plate("data", len(x)):
        pyro.sample("c", dist.Bernoulli(logits=logit + 0.3 * x[:, 0]))


def network():
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(1, 16), nn.Tanh(), nn.Linear(16, 1))


def neural(net=None, **options):
    baseline = NeuralBaseline(net or network(), **options)
    return TraceSwitch_ELBO(sites={"c": ScoreFunction(baseline=baseline)})


@pytest.fixture(autouse=True)
def _empty_store():
    pyro.clear_param_store()
    pyro.set_rng_seed(0)


def logit_gradients(loss, steps):
    rows = []
    for _ in range(steps):
        clear_gradients()
        loss.loss_and_grads(model, guide, X)
        rows.append(pyro.param("logit").grad.clone())
    return torch.stack(rows)


def trained(steps=300):
    loss = neural()
    svi = SVI(model, guide, pyro.optim.Adam({"lr": 0.03}), loss=loss)
    for _ in range(steps):
        svi.step(X)
    return loss


def test_svi_trains_the_network_and_the_variance_falls():
    loss = trained()
    assert any(name.startswith("baseline of c") for name in pyro.get_param_store())
    loss.state.eval()
    learned = logit_gradients(loss, 300)
    plain = logit_gradients(TraceSwitch_ELBO("score"), 300)
    average = TraceSwitch_ELBO("ema")
    logit_gradients(average, 50)
    variances = [
        g.var().item() for g in (learned, plain, logit_gradients(average, 300))
    ]
    assert variances[0] < 0.3 * min(variances[1:]), variances


def test_it_is_unbiased_while_it_learns():
    loss = neural()
    exact = logit_gradients(TraceSwitch_ELBO("enum"), 1)[0]
    found = logit_gradients(loss, 1200)
    error = (found.mean() - exact).abs() / (found.std() / len(found) ** 0.5)
    assert error < 5


def test_a_baseline_that_sees_the_draw_is_caught():
    """The test above fails for a network whose input depends on the draw."""
    seen = {}

    def peeking_guide(x):
        logit = pyro.param("logit", torch.tensor(0.2))
        with pyro.plate("data", len(x)):
            seen["c"] = pyro.sample("c", dist.Bernoulli(logits=logit + 0.3 * x[:, 0]))

    linear = nn.Linear(1, 1)
    nn.init.constant_(linear.weight, 20.0)
    loss = neural(linear, features=lambda x: seen["c"].unsqueeze(-1))
    exact = logit_gradients(TraceSwitch_ELBO("enum"), 1)[0]
    rows = []
    for _ in range(700):
        clear_gradients()
        loss.loss_and_grads(model, peeking_guide, X)
        rows.append(pyro.param("logit").grad.clone())
    found = torch.stack(rows)
    error = (found.mean() - exact).abs() / (found.std() / len(found) ** 0.5)
    assert error > 5


def test_value_of_the_loss_is_the_plain_one():
    values = []
    for loss in (neural(), TraceSwitch_ELBO("score")):
        pyro.set_rng_seed(3)
        values.append(loss.loss_and_grads(model, guide, X))
        pyro.set_rng_seed(3)
        values.append(loss.differentiable_loss(model, guide, X).item())
    assert values == pytest.approx([values[0]] * 4)


def test_a_torch_optimizer_trains_it():
    net = network()
    module = neural(net)(model, guide)
    module(X)
    parameters = dict(module.named_parameters())
    assert any(p is net[0].weight for p in parameters.values())
    before = net[0].weight.detach().clone()
    optimizer = torch.optim.Adam(parameters.values(), lr=0.01)
    optimizer.zero_grad()
    module(X).backward()
    optimizer.step()
    assert not torch.equal(before, net[0].weight)


def test_saved_copied_and_kept_in_evaluation():
    loss = trained(20)
    saved = loss.state.state_dict()
    assert "sites.@c.baseline.0.weight" in saved
    other = neural()
    pyro.clear_param_store()
    other.loss_and_grads(model, guide, X)
    other.state.load_state_dict(saved)
    torch.testing.assert_close(other.state.state_dict(), saved)
    clone = copy.deepcopy(loss)
    assert clone.policy.sites["c"].baseline.network is not None
    net = loss.policy.sites["c"].baseline.network
    loss.state.eval()
    net.zero_grad()
    loss.loss_and_grads(model, guide, X)
    assert all(p.grad is None or p.grad.eq(0).all() for p in net.parameters())


def test_minibatches_of_any_size():
    svi = SVI(model, guide, pyro.optim.Adam({"lr": 0.03}), loss=neural())
    for batch in (X[:3], X[3:]):
        svi.step(batch)


@pytest.mark.parametrize("vectorize", [False, True])
def test_several_particles(vectorize):
    estimator = ScoreFunction(baseline=network())
    loss = TraceSwitch_ELBO(
        estimator, num_particles=3, vectorize_particles=vectorize, max_plate_nesting=1
    )
    loss.loss_and_grads(model, guide, X)
    assert parameter_gradients().isfinite().all()


def test_the_site_names_its_input():
    def annotated(x):
        logit = pyro.param("logit", torch.tensor(0.2))
        with pyro.plate("data", len(x)):
            c = dist.Bernoulli(logits=logit + 0.3 * x[:, 0])
            pyro.sample("c", c, infer={"baseline_input": torch.cat([x, x**2], -1)})

    neural(nn.Linear(2, 1)).loss_and_grads(model, annotated, X)


def test_errors_say_what_is_missing():
    def no_arguments():
        return guide(X)

    with pytest.raises(
        ValueError, match="Site 'c': the neural baseline needs a tensor"
    ):
        neural().loss_and_grads(lambda: model(X), no_arguments)
    with pytest.raises(ValueError, match=r"output has shape \(4, 2\)"):
        neural(nn.Linear(1, 2)).loss_and_grads(model, guide, X)
    with pytest.raises(ValueError, match="a network or None"):
        ScoreFunction(baseline=3)
