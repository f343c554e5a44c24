# SPDX-License-Identifier: Apache-2.0
"""Every estimator in the settings that Pyro users train in."""

import copy
import math

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from pyro.infer import SVI, Predictive
from pyro.infer.autoguide import (
    AutoDelta,
    AutoDiagonalNormal,
    AutoGuideList,
    AutoIAFNormal,
    AutoLowRankMultivariateNormal,
    AutoMultivariateNormal,
    AutoNormal,
    AutoStructured,
)
from pyro.infer.reparam import LocScaleReparam
from pyro.nn import PyroModule, PyroSample
from torch import nn

from pyro_reparam_ext import TraceIW_ELBO, TraceSwitch_ELBO
from pyro_reparam_ext.gradients import Pathwise

X = torch.linspace(-1.0, 1.0, 12, dtype=torch.float64).reshape(6, 2)
Y = X @ torch.tensor([1.5, -0.5], dtype=torch.float64) + 0.3


def model(x, y):
    with pyro.plate("features", 2):
        weight = pyro.sample("weight", dist.Normal(0.0, 1.0))
    scale = pyro.sample("scale", dist.LogNormal(-1.0, 0.5))
    with pyro.plate("data", len(x)):
        pyro.sample("y", dist.Normal(x @ weight.unsqueeze(-1)[..., 0], scale), obs=y)


class Latents(PyroModule):
    """A discrete local latent, and a random weight."""

    def __init__(self):
        super().__init__()
        self.weight = PyroSample(dist.Normal(0.0, 1.0).expand([2]).to_event(1))

    def forward(self, x):
        weight = self.weight
        with pyro.plate("data", 6, subsample=x):
            c = pyro.sample("c", dist.Bernoulli(0.4))
            z = pyro.sample("z", dist.Normal(torch.zeros(1), 1.0).to_event(1))
            loc = z[..., 0] + 2 * c + weight @ x.T
            pyro.sample("x", dist.Normal(loc, 0.5), obs=x[:, 0])


class Encoder(PyroModule):
    def __init__(self):
        super().__init__()
        self.network = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 3))
        self.loc = nn.Parameter(torch.zeros(2))

    def forward(self, x):
        pyro.sample("weight", dist.Normal(self.loc, 0.5).to_event(1))
        with pyro.plate("data", 6, subsample=x):
            logit, loc, log_scale = self.network(x).unbind(-1)
            pyro.sample("c", dist.Bernoulli(logits=logit))
            z = dist.Normal(loc.unsqueeze(-1), log_scale.exp().unsqueeze(-1))
            pyro.sample("z", z.to_event(1))


@pytest.fixture(autouse=True)
def _fresh_start():
    pyro.clear_param_store()
    pyro.set_rng_seed(0)


PATHS = ["pathwise", "stl", "adaptive", "analytic"]
GUIDES = {
    "AutoNormal": AutoNormal,
    "AutoDiagonalNormal": AutoDiagonalNormal,
    "AutoMultivariateNormal": AutoMultivariateNormal,
    "AutoLowRankMultivariateNormal": AutoLowRankMultivariateNormal,
    "AutoIAFNormal": lambda model: AutoIAFNormal(model, hidden_dim=[4]),
    "AutoStructured": AutoStructured,
}


@pytest.mark.parametrize("estimator", [*PATHS, "score", "rloo"])
@pytest.mark.parametrize("make", GUIDES.values(), ids=GUIDES)
def test_autoguides(make, estimator):
    guide = make(model)
    elbo = TraceSwitch_ELBO(estimator, num_particles=2)
    svi = SVI(model, guide, pyro.optim.Adam({"lr": 0.02}), loss=elbo)
    losses = [svi.step(X, Y) for _ in range(30)]
    assert all(math.isfinite(loss) for loss in losses)
    assert math.isfinite(svi.evaluate_loss(X, Y))


@pytest.mark.parametrize("estimator", PATHS)
def test_a_list_of_guides(estimator):
    guide = AutoGuideList(model)
    guide.append(AutoNormal(poutine.block(model, expose=["weight"])))
    guide.append(AutoDelta(poutine.block(model, expose=["scale"])))
    elbo = TraceSwitch_ELBO(estimator)
    svi = SVI(model, guide, pyro.optim.Adam({"lr": 0.02}), loss=elbo)
    assert all(math.isfinite(svi.step(X, Y)) for _ in range(10))


@pytest.mark.parametrize("estimator", PATHS)
def test_a_model_reparameterized_by_pyro(estimator):
    reparameterized = poutine.reparam(model, {"weight": LocScaleReparam(0.3)})
    elbo = TraceSwitch_ELBO(estimator)
    guide = AutoNormal(reparameterized)
    svi = SVI(reparameterized, guide, pyro.optim.Adam({"lr": 0.02}), loss=elbo)
    assert all(math.isfinite(svi.step(X, Y)) for _ in range(10))


MIXED = {
    "default": {},
    "stl and disarm": {"sites": {"c": "disarm", "*": "stl"}},
    "adaptive and mvd": {"sites": {"c": "mvd", "*": "adaptive"}},
    "analytic": {"estimator": "analytic"},
    "enum": {"sites": {"c": "enum", "*": "adaptive"}, "stl": "replay"},
    "reinmax": {"sites": {"c": "reinmax", "*": "adaptive"}},
    "gumbel": {"sites": {"c": "gumbel"}, "num_particles": 2},
    "sobol and straight-through": {
        "sites": {"c": "straight_through", "*": Pathwise(noise="sobol")},
        "num_particles": 4,
        "vectorize_particles": True,
        "max_plate_nesting": 1,
    },
    "ema": {"estimator": "ema"},
    "rloo": {"sites": {"c": "rloo"}, "num_particles": 3},
    "vectorized": {
        "sites": {"c": "mvd", "z": "analytic", "weight": "adaptive"},
        "num_particles": 3,
        "vectorize_particles": True,
        "max_plate_nesting": 1,
    },
}


@pytest.mark.parametrize("options", MIXED.values(), ids=MIXED)
@pytest.mark.parametrize("loop", ["svi", "torch", "manual"])
def test_training_loops(loop, options):
    """SVI; a torch optimizer over a module's parameters; a loop with minibatches."""
    with pyro.settings.context(module_local_params=loop != "svi"):
        losses = train(loop, Latents(), Encoder(), TraceSwitch_ELBO(**options))
    assert all(math.isfinite(loss) for loss in losses)


def train(loop, program, guide, elbo):
    if loop == "svi":
        svi = SVI(program, guide, pyro.optim.ClippedAdam({"lr": 0.02}), loss=elbo)
        return [svi.step(batch) for _ in range(5) for batch in X.split(4)]
    module = elbo(program, guide)
    module(X)
    optimizer = torch.optim.Adam(module.parameters(), lr=0.02)
    losses = []
    for _ in range(5):
        for batch in X.split(4):
            optimizer.zero_grad()
            loss = module(batch)
            (loss / 7 if loop == "manual" else loss).backward()
            losses.append(loss.item())
            optimizer.step()
    assert guide.loc.grad.isfinite().all()
    copy.deepcopy(module).load_state_dict(module.state_dict())
    module.eval()
    before = copy.deepcopy(elbo.state.state_dict())
    module(X).backward()
    torch.testing.assert_close(elbo.state.state_dict(), before)
    return losses


@pytest.mark.parametrize("options", [{}, {"alpha": 0.5}, {"sites": {"c": "mvd"}}])
def test_importance_weighted_training(options):
    def local(x):
        with pyro.plate("data", 6, subsample=x):
            c = pyro.sample("c", dist.Bernoulli(0.4))
            z = pyro.sample("z", dist.Normal(torch.zeros(1), 1.0).to_event(1))
            pyro.sample("x", dist.Normal(z[..., 0] + 2 * c, 0.5), obs=x[:, 0])

    encoder = Encoder()

    def guide(x):
        pyro.module("network", encoder.network)
        with pyro.plate("data", 6, subsample=x):
            logit, loc, log_scale = encoder.network(x).unbind(-1)
            pyro.sample("c", dist.Bernoulli(logits=logit))
            z = dist.Normal(loc.unsqueeze(-1), log_scale.exp().unsqueeze(-1))
            pyro.sample("z", z.to_event(1))

    elbo = TraceIW_ELBO(num_particles=4, **options)
    svi = SVI(local, guide, pyro.optim.Adam({"lr": 0.02}), loss=elbo)
    losses = [svi.step(batch) for _ in range(5) for batch in X.split(4)]
    assert all(math.isfinite(loss) for loss in losses)


def test_what_was_learned_is_there_to_predict_with():
    guide = AutoNormal(model)
    elbo = TraceSwitch_ELBO("adaptive")
    svi = SVI(model, guide, pyro.optim.Adam({"lr": 0.05}), loss=elbo)
    for _ in range(300):
        svi.step(X, Y)
    draws = Predictive(model, guide=guide, num_samples=200)(X, None)
    error = (draws["y"].mean(0).squeeze() - Y).abs().mean()
    assert error < 0.3
    assert set(elbo.coefficients()) == {"weight_unconstrained", "scale_unconstrained"}


def test_two_programs_may_share_a_loss():
    elbo = TraceSwitch_ELBO("adaptive")
    for program in (model, poutine.scale(model, 0.5)):
        guide = AutoNormal(program)
        assert math.isfinite(elbo.loss_and_grads(program, guide, X, Y))
