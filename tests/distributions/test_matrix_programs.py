# SPDX-License-Identifier: Apache-2.0
"""Distributions of matrices at work: guides, samplers, compilation, lost values."""

import math

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.infer import MCMC, NUTS, SVI, Trace_ELBO
from pyro.infer.autoguide import AutoMultivariateNormal, AutoNormal
from pyro.optim import Adam

from pyro_reparam_ext import distributions as D
from tests.matrix_cases import MATRIX_DISTRIBUTIONS

every_case = pytest.mark.parametrize("case", MATRIX_DISTRIBUTIONS, ids=lambda c: c.name)
QUICK = {"MatrixNormal"}  # to compile
PRIORS = {
    "LKJCholesky": lambda: D.LKJCholesky(2, 1.5),
    "LKJ": lambda: D.LKJ(2, 1.5),
    "WishartCholesky": lambda: D.WishartCholesky(4.0, torch.eye(2)),
    "Wishart": lambda: D.Wishart(4.0, torch.eye(2)),
    "InverseWishartCholesky": lambda: D.InverseWishartCholesky(4.0, torch.eye(2)),
    "InverseWishart": lambda: D.InverseWishart(4.0, torch.eye(2)),
}


def covariance_model(prior):
    """Normal data, whose covariance or its factor has a prior."""
    torch.manual_seed(0)
    mixing = torch.tensor([[1.0, 0.0], [0.8, 0.6]])
    data = torch.randn(60, 2) @ mixing.T

    def model():
        scale = pyro.sample("scale", prior())
        kind = (
            "scale_tril"
            if prior().__class__.__name__.endswith("Cholesky")
            else ("covariance_matrix")
        )
        with pyro.plate("data", 60):
            normal = dist.MultivariateNormal(torch.zeros(2), **{kind: scale})
            pyro.sample("x", normal, obs=data)

    return model


@pytest.mark.parametrize("guide", [AutoNormal, AutoMultivariateNormal])
@pytest.mark.parametrize("name", PRIORS)
def test_autoguides_learn(name, guide):
    pyro.set_rng_seed(0)
    model = covariance_model(PRIORS[name])
    with pyro.get_param_store().scope():
        svi = SVI(model, guide(model), Adam({"lr": 0.05}), Trace_ELBO())
        losses = torch.tensor([svi.step() for _ in range(60)])
    assert losses.isfinite().all()
    assert losses[-10:].mean() < losses[:10].mean()


@pytest.mark.slow
def test_nuts_finds_the_conjugate_posterior():
    """Normal data and an inverse Wishart prior: the posterior is inverse Wishart."""
    pyro.set_rng_seed(0)
    torch.manual_seed(0)
    data = torch.randn(20, 2).double() @ torch.tensor([[1.0, 0.8], [0.0, 0.6]]).double()
    df, scale = torch.tensor(5.0).double(), 2 * torch.eye(2).double()

    def model():
        covariance = pyro.sample("covariance", D.InverseWishart(df, scale))
        with pyro.plate("data", 20):
            normal = dist.MultivariateNormal(
                torch.zeros(2).double(), covariance_matrix=covariance
            )
            pyro.sample("x", normal, obs=data)

    mcmc = MCMC(NUTS(model), num_samples=300, warmup_steps=100, disable_progbar=True)
    mcmc.run()
    draws = mcmc.get_samples()["covariance"]
    posterior = D.InverseWishart(df + 20, scale + data.T @ data)
    # 300 draws with some autocorrelation: six times the error of independent ones
    error = 6 * (posterior.variance / 300).sqrt()
    assert ((draws.mean(0) - posterior.mean).abs() < error).all()


@pytest.mark.slow
def test_a_guide_of_the_posterior_family_reaches_it():
    """With a learnable df and scale, the exact posterior is the optimum."""
    pyro.set_rng_seed(0)
    data = torch.randn(20, 2).double()
    df, scale = torch.tensor(5.0).double(), 2 * torch.eye(2).double()
    posterior = D.InverseWishart(df + 20, scale + data.T @ data)

    def model():
        covariance = pyro.sample("covariance", D.InverseWishart(df, scale))
        with pyro.plate("data", 20):
            normal = dist.MultivariateNormal(
                torch.zeros(2).double(), covariance_matrix=covariance
            )
            pyro.sample("x", normal, obs=data)

    def guide():
        degrees = pyro.param(
            "df", torch.tensor(10.0).double(), dist.constraints.greater_than(1.0)
        )
        factor = pyro.param(
            "factor", 3 * torch.eye(2).double(), dist.constraints.lower_cholesky
        )
        pyro.sample("covariance", D.InverseWishart(degrees, scale_tril=factor))

    with pyro.get_param_store().scope():
        svi = SVI(
            model, guide, Adam({"lr": 0.03}), Trace_ELBO(64, vectorize_particles=True)
        )
        for _ in range(400):
            svi.step()
        found = D.InverseWishart(
            pyro.param("df").detach(), scale_tril=pyro.param("factor").detach()
        )
    assert torch.distributions.kl_divergence(found, posterior) < 0.02


@every_case
def test_not_a_number_is_passed_on(case):
    with pyro.validation_enabled(False):
        parameters = case.parameters(next(iter(case.points)))
        d = case.make(**parameters)
        lost = torch.full(d.event_shape, math.nan, dtype=torch.float64)
        assert d.log_prob(lost).isnan().all()
        for name, p in parameters.items():
            broken = case.make(**{**parameters, name: torch.full_like(p, math.nan)})
            assert broken.sample().isnan().any(), name


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(c, id=c.name, marks=() if c.name in QUICK else pytest.mark.slow)
        for c in MATRIX_DISTRIBUTIONS
    ],
)
@pytest.mark.filterwarnings("ignore")  # dynamo makes autograd functions of its own
def test_draw_and_density_in_one_graph(case):
    names = list(case.points[next(iter(case.points))])

    def draw(*parameters):
        d = case.make(**dict(zip(names, parameters, strict=True)))
        return d.log_prob(d.rsample((4,))).sum()

    compiled = torch.compile(draw, fullgraph=True, backend="aot_eager")
    gradients = []
    with pyro.validation_enabled(False):
        for function in (draw, compiled):
            leaves = list(case.leaves(next(iter(case.points))).values())
            torch.manual_seed(0)
            gradients.append(torch.autograd.grad(function(*leaves), leaves))
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other)
