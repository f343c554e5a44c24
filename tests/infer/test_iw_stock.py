# SPDX-License-Identifier: Apache-2.0
"""Where RenyiELBO is wrong, and TraceIW_ELBO is not."""

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.infer import RenyiELBO

from pyro_reparam_ext import TraceIW_ELBO
from pyro_reparam_ext.testing.exact_iw import exact_iw_gradient
from tests.cases import IW_MODELS
from tests.infer.gradients_of import estimate, prepare
from tests.infer.iw_gradients_of import exact, iw_estimate, iw_loss
from tests.infer.test_unbiased import significance

CASES = {case.name: case for case in IW_MODELS}
STEPS, COPIES = 30, 3000
WRONG, RIGHT = 1e-8, 1e-6


@pytest.mark.parametrize(
    ("particles", "loss", "gradient"),
    [(1, 1.806964, 0.167770), (2, 1.778726, 0.0912337), (5, 1.760546, 0.0366399)],
)
def test_the_oracle_has_the_known_values(particles, loss, gradient):
    case = CASES["coin"]
    guide = prepare(case)
    found = exact_iw_gradient(case.model, guide, num_particles=particles)
    assert found[0].item() == pytest.approx(loss, abs=1e-6)
    assert found[1]["a"].item() == pytest.approx(gradient, abs=1e-6)


@pytest.mark.parametrize("alpha", [0.0, 0.5])
def test_a_discrete_guide_site_has_a_gradient(alpha):
    """D1: that of RenyiELBO is 0 for alpha = 0, and else that of many particles."""
    case = CASES["coin"]
    choice = {"num_particles": 2, "alpha": alpha}
    guide = prepare(case)
    _, truth = exact(case, guide, choice)
    pyro.set_rng_seed(1)
    ours, _ = iw_estimate(case, guide, iw_loss(case, **choice), STEPS, COPIES)
    assert significance(ours, truth, STEPS) > RIGHT

    class Case:  # one copy a step: a stock loss multiplies the weights of copies
        model, static, nesting, exact_model = case.model, False, 0, None

    stock_loss = RenyiELBO(vectorize_particles=True, max_plate_nesting=0, **choice)
    stock = estimate(Case, guide, stock_loss, 1, 5000 if alpha else 500)
    if alpha == 0.0:
        assert (stock.mean == 0).all()
        assert (stock.standard_error == 0).all()
    else:
        assert significance(stock, truth, 2000) < 1e-4


def test_a_minibatch_estimates_a_bound():
    """D2: RenyiELBO scales the weights inside of the logarithm."""
    data = torch.linspace(-1.0, 2.0, 6)
    evidence = dist.Normal(0.0, 2**0.5).log_prob(data).sum().item()
    assert -evidence == pytest.approx(9.543073, abs=1e-6)

    def model(size):
        with pyro.plate("data", 6, subsample_size=size) as index:
            z = pyro.sample("z", dist.Normal(0.0, 1.0))
            pyro.sample("x", dist.Normal(z, 1.0), obs=data[index])

    def guide(size):
        with pyro.plate("data", 6, subsample_size=size):
            pyro.sample("z", dist.Normal(0.0, 1.0))

    def mean(loss, size, steps=400):
        pyro.set_rng_seed(2)
        values = torch.tensor([loss.loss(model, guide, size) for _ in range(steps)])
        return values.mean().item(), values.std().item() / steps**0.5

    options = {
        "num_particles": 10,
        "vectorize_particles": True,
        "max_plate_nesting": 1,
    }
    stock, ours = RenyiELBO(alpha=0.0, **options), TraceIW_ELBO(**options)
    assert mean(stock, 1)[0] == pytest.approx(7.272, abs=0.6)  # below -log p(x)
    full, error = mean(ours, None)
    assert full - 3 * error > -evidence
    for size in (1, 3):
        part, its_error = mean(ours, size)
        assert abs(part - full) < 5 * (error**2 + its_error**2) ** 0.5
