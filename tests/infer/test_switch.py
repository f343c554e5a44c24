# SPDX-License-Identifier: Apache-2.0
"""The switch in use: draws, state, torch optimizers, copies, convergence."""

import copy
import pickle

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.infer import SVI, Predictive, Trace_ELBO, TraceGraph_ELBO
from pyro.infer.autoguide import AutoNormal
from pyro.infer.reparam import LocScaleReparam
from pyro.nn import PyroModule, PyroParam
from torch.distributions import constraints, kl_divergence

from pyro_reparam_ext import TraceSwitch_ELBO, distributions, estimators
from pyro_reparam_ext.gradients import NAMED_ESTIMATORS, ScoreFunction
from pyro_reparam_ext.infer.site import estimator_of, plain, switch
from tests.models import MODELS

CASES = {case.name: case for case in MODELS}
SCORE = ScoreFunction()


class Model(PyroModule):
    def forward(self, x):
        with pyro.plate("data", 6, subsample=x):
            c = pyro.sample("c", dist.Bernoulli(0.4))
            z = pyro.sample("z", dist.Normal(0.0, 1.0))
            pyro.sample("x", dist.Normal(z + c, 1.0), obs=x)


class Guide(PyroModule):
    def __init__(self):
        super().__init__()
        self.encoder = torch.nn.Linear(1, 3)
        self.width = PyroParam(torch.tensor(0.5), constraint=constraints.positive)

    def forward(self, x):
        with pyro.plate("data", 6, subsample=x):
            logits, loc, log_scale = self.encoder(x.unsqueeze(-1)).unbind(-1)
            pyro.sample("c", dist.Bernoulli(logits=logits))
            pyro.sample("z", dist.Normal(loc, self.width * log_scale.exp()))


@pytest.fixture
def module_local_params():
    with pyro.settings.context(module_local_params=True):
        yield


X = [[0.3, -0.4, 1.2, 2.0], [0.1, 0.7]]


def batches():
    return [torch.tensor(x) for x in X]


def train(module, optimizer, epochs=3):
    losses = []
    for _ in range(epochs):
        for x in batches():
            optimizer.zero_grad()
            loss = module(x)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    return losses


def make_module(**options):
    torch.manual_seed(0)
    elbo = TraceSwitch_ELBO(**options)
    return elbo(Model(), Guide())


@pytest.mark.usefixtures("module_local_params")
@pytest.mark.parametrize(
    "options",
    [
        {"sites": {"c": "ema"}},
        {"sites": {"c": "rloo"}, "num_particles": 2},
        {
            "estimator": "rloo",
            "num_particles": 3,
            "vectorize_particles": True,
            "max_plate_nesting": 1,
        },
    ],
    ids=["ema", "rloo", "vectorized rloo"],
)
def test_torch_optimizers_and_ragged_batches(options):
    module = make_module(**options)
    optimizer = torch.optim.Adam(module.parameters(), lr=0.01)
    before = copy.deepcopy(module.guide.state_dict())
    losses = train(module, optimizer)
    assert all(torch.tensor(losses).isfinite())
    after = module.guide.state_dict()
    assert all(not torch.equal(before[name], after[name]) for name in before)
    assert not list(pyro.get_param_store())


@pytest.mark.usefixtures("module_local_params")
def test_a_saved_module_goes_on_bit_for_bit():
    first = make_module(sites={"c": "ema"})
    optimizer = torch.optim.SGD(first.parameters(), lr=0.01)
    train(first, optimizer, epochs=2)
    saved = copy.deepcopy(first.state_dict())
    assert "estimator_state.sites.@c.mean" in saved
    second = make_module(sites={"c": "ema"})
    second.load_state_dict(saved)
    results = []
    for module in (first, second):
        torch.manual_seed(5)
        optimizer = torch.optim.SGD(module.parameters(), lr=0.01)
        results.append(train(module, optimizer, epochs=1))
    assert results[0] == results[1]
    assert all(
        torch.equal(a, b)
        for a, b in zip(
            first.state_dict().values(), second.state_dict().values(), strict=True
        )
    )


@pytest.mark.usefixtures("module_local_params")
def test_evaluation_mode_does_not_teach_the_baseline():
    module = make_module(sites={"c": "ema"})
    train(module, torch.optim.SGD(module.parameters(), lr=0.01), epochs=1)
    saved = copy.deepcopy(module.estimator_state.state_dict())
    module.eval()
    module(batches()[0])
    assert saved == module.estimator_state.state_dict()
    module.train()
    module(batches()[0])
    assert saved != module.estimator_state.state_dict()


def test_state_moves_with_the_module():
    module = make_module(sites={"c": "ema"})
    module(batches()[0])
    module.float()
    assert module.estimator_state.state_dict()["sites.@c.mean"].dtype == torch.float32


def test_site_names_with_dots_have_state():
    loss = TraceSwitch_ELBO()
    loss.state.of("a.b").scalar("mean", torch.tensor(2.0))
    fresh = TraceSwitch_ELBO()
    fresh.state.load_state_dict(loss.state.state_dict())
    assert set(fresh.state.state_dict()) == {"sites.@a%2Eb.mean"}


FOR_THE_ELBO = [n for n, e in NAMED_ESTIMATORS.items() if "elbo" in e.objectives]


@pytest.mark.parametrize("estimator", FOR_THE_ELBO)
def test_switching_leaves_the_draws_as_they_are(estimator):
    """The estimator of a site changes no value, at that site or any other."""
    discrete = NAMED_ESTIMATORS[estimator].supports(dist.Normal(0.0, 1.0)) is not None
    case, site = (CASES["nested"], "c") if discrete else (CASES["plated"], "z")
    guide = case.guide(case.model)
    loss = TraceSwitch_ELBO(sites={site: estimator}, num_particles=2)

    def values(loss):
        drawn = {}

        class Record(pyro.poutine.messenger.Messenger):
            def _pyro_post_sample(self, msg):
                drawn.setdefault(msg["name"], msg["value"])

        pyro.set_rng_seed(2)
        with Record():
            loss.loss(case.model, guide)
        return drawn

    plain_values, switched = values(TraceSwitch_ELBO(num_particles=2)), values(loss)
    assert plain_values.keys() == switched.keys()
    assert all(torch.equal(plain_values[n], switched[n]) for n in plain_values)


def test_a_switched_distribution_is_still_what_it_was():
    normal = dist.Normal(torch.zeros(3), 1.0).to_event(1)
    switched = switch(normal, SCORE)
    assert isinstance(switched, dist.Independent)
    assert normal.has_rsample
    assert not switched.has_rsample
    assert kl_divergence(switched, normal) == 0
    assert estimator_of(switched.expand([2])) == SCORE
    assert type(plain(switched)) is type(normal)
    for clone in (
        copy.deepcopy(switched),
        copy.copy(switched),
        pickle.loads(pickle.dumps(switched)),
    ):
        assert estimator_of(clone) == SCORE
        assert clone.base_dist.loc.shape == (3,)


def test_our_distributions_switch_too():
    switched = switch(distributions.Kumaraswamy(torch.tensor(2.0), 1.5), SCORE)
    value = switched()
    assert not value.requires_grad
    assert estimator_of(switched.expand([2])) == SCORE


@pytest.mark.parametrize("estimator", ["pathwise", "score", "ema", "rloo"])
def test_svi_reaches_the_conjugate_posterior(estimator):
    """x ~ N(z, 1), z ~ N(0, 1), x = 2: the posterior is N(1, 1/2)."""
    case = CASES["normal"]
    guide = case.guide(case.model)
    pyro.set_rng_seed(0)
    loss = TraceSwitch_ELBO(
        estimator, num_particles=16, vectorize_particles=True, max_plate_nesting=0
    )
    lr = {"lr": 0.05, "lrd": 0.995}
    svi = SVI(case.model, guide, pyro.optim.ClippedAdam(lr), loss=loss)
    for _ in range(700):
        svi.step()
    assert abs(pyro.param("loc").item() - 1.0) < 0.06
    assert abs(pyro.param("log_scale").exp().item() - 0.5**0.5) < 0.06


def test_max_plate_nesting_zero_puts_particles_in_the_right_place():
    case = CASES["normal"]
    guide = case.guide(case.model)
    for nesting in (float("inf"), 0, 3):
        loss = TraceSwitch_ELBO(
            "rloo",
            num_particles=5,
            vectorize_particles=True,
            max_plate_nesting=nesting,
        )
        assert torch.tensor(loss.loss_and_grads(case.model, guide)).isfinite()


def test_under_poutine_reparam_and_with_predictive():
    case = CASES["normal"]
    model = pyro.poutine.reparam(case.model, config={"z": LocScaleReparam(0.0)})
    guide = AutoNormal(model)
    svi = SVI(model, guide, pyro.optim.Adam({"lr": 0.01}), loss=TraceSwitch_ELBO("ema"))
    assert torch.tensor(svi.step()).isfinite()
    assert Predictive(model, guide=guide, num_samples=3)()["z"].shape[0] == 3


def test_the_handler_around_a_stock_loss():
    case = CASES["plated"]
    guide = case.guide(case.model)
    with estimators({"z": "score"}):
        loss = TraceGraph_ELBO().loss_and_grads(case.model, guide)
    assert torch.tensor(loss).isfinite()


def test_score_of_a_mixture_without_a_path():
    """Components without a cdf: no rsample, and the score function works."""

    def program(shift):
        logits = pyro.param("logits", torch.zeros(2))
        components = dist.FisherSnedecor(torch.tensor([2.0, 3.0]) + shift, 5.0)
        weights = dist.Categorical(logits=logits)
        pyro.sample("z", distributions.MixtureSameFamily(weights, components))

    model, guide = (lambda: program(0.5)), (lambda: program(0.0))
    loss = TraceSwitch_ELBO("score").loss_and_grads(model, guide)
    assert torch.tensor(loss).isfinite()
    with pytest.raises(ValueError, match="pathwise needs a distribution with rsample"):
        TraceSwitch_ELBO("pathwise").loss_and_grads(model, guide)


@pytest.mark.parametrize("empty", ["guide", "both"])
def test_programs_without_latent_sites(empty):
    def model():
        if empty == "guide":
            pyro.sample("x", dist.Normal(0.0, 1.0), obs=torch.tensor(0.3))

    loss = TraceSwitch_ELBO()
    expected = Trace_ELBO().loss(model, lambda: None)
    assert loss.loss(model, lambda: None) == pytest.approx(expected)
    assert loss.loss_and_grads(model, lambda: None) == pytest.approx(expected)
    assert loss.differentiable_loss(model, lambda: None) == pytest.approx(expected)


@pytest.mark.parametrize("estimator", ["pathwise", "adaptive", "rloo", "mvd"])
def test_a_loss_can_be_pickled_after_a_step(estimator):
    """It keeps neither the program nor its arguments."""
    case = CASES["normal"]
    loss = TraceSwitch_ELBO(estimator, num_particles=2)
    loss.loss_and_grads(lambda: case.model(), lambda: case.guide(case.model)())
    loss.loss(lambda: case.model(), lambda: case.guide(case.model)())
    again = pickle.loads(pickle.dumps(loss))
    assert again.state.state_dict().keys() == loss.state.state_dict().keys()
