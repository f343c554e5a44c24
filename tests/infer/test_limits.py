# SPDX-License-Identifier: Apache-2.0
"""Where an estimator would be wrong it is refused, or does less."""

import pyro
import pyro.distributions as dist
import pytest
import torch
from torch.distributions.transforms import AffineTransform

from pyro_reparam_ext import TraceIW_ELBO, TraceSwitch_ELBO
from tests.infer.gradients_of import clear_gradients, parameter_gradients

T = torch.tensor


def program(prior, posterior):
    """A model and a guide of one site, with parameters m and s."""

    def model():
        z = pyro.sample("z", prior())
        pyro.factor("f", -((z - 0.7) ** 2).sum(-1) if z.dim() else -((z - 0.7) ** 2))

    def guide():
        m, s = pyro.param("m", T(0.5)), pyro.param("s", T(0.8))
        pyro.sample("z", posterior(m, s))

    return model, guide


def mean_gradient(loss, model, guide, steps):
    pyro.set_rng_seed(0)
    rows = []
    for _ in range(steps):
        clear_gradients()
        loss.loss_and_grads(model, guide)
        rows.append(parameter_gradients())
    stacked = torch.stack(rows)
    return stacked.mean(0), stacked.std(0) / steps**0.5


@pytest.mark.parametrize("estimator", ["stl", "adaptive", "score", "ema"])
def test_a_moving_support_has_no_score_of_mean_zero(estimator):
    model, guide = program(
        lambda: dist.Normal(0.0, 1.0), lambda low, s: dist.Uniform(low, low + s)
    )
    with pytest.raises(ValueError, match=r"support of Uniform moves .* 'pathwise'"):
        TraceSwitch_ELBO(estimator).loss_and_grads(model, guide)
    TraceSwitch_ELBO("pathwise").loss_and_grads(model, guide)
    TraceIW_ELBO(num_particles=2).loss_and_grads(model, guide)


@pytest.mark.parametrize(
    ("prior", "posterior"),
    [
        (
            lambda: dist.TransformedDistribution(
                dist.Normal(1.0, 1.0), [AffineTransform(0.5, 0.8)]
            ),
            lambda m, s: dist.TransformedDistribution(
                dist.Normal(0.0, 1.0), [AffineTransform(m, s)]
            ),
        ),
        (
            lambda: dist.Normal(torch.zeros(2), 1.0).mask(T([True, False])).to_event(1),
            lambda m, s: (
                dist.Normal(m, s).expand([2]).mask(T([False, True])).to_event(1)
            ),
        ),
    ],
    ids=["equal transforms", "unequal masks"],
)
def test_closed_forms_that_leave_something_out_are_not_used(prior, posterior):
    model, guide = program(prior, posterior)
    a, sa = mean_gradient(TraceSwitch_ELBO("analytic"), model, guide, 400)
    b, sb = mean_gradient(TraceSwitch_ELBO("pathwise"), model, guide, 400)
    assert ((a - b).abs() < 5 * (sa**2 + sb**2).sqrt() + 1e-9).all()
    assert b.abs().max() > 0.1


@pytest.mark.parametrize(
    ("posterior", "names"),
    [
        (lambda m, s: dist.Laplace(m, s), {"loc", "scale"}),
        (lambda m, s: dist.Gumbel(m, s), None),
        (  # derived tensors: one coefficient for all
            lambda m, s: dist.LowRankMultivariateNormal(
                m.expand(2), s.expand(2, 1), s.expand(2)
            ),
            {"all"},
        ),
        (lambda m, s: dist.RelaxedBernoulli(T(0.5), probs=m), None),
        (lambda m, s: dist.AsymmetricLaplace(m, s, 1 + s), None),
        (lambda m, s: dist.StudentT(4 + s, m, 0.3), None),
    ],
    ids=["Laplace", "Gumbel", "low rank", "lazy", "shared graph", "path elsewhere"],
)
def test_adaptive_is_unbiased_whatever_a_distribution_holds(posterior, names):
    event = posterior(T(0.5), T(0.8)).event_shape
    shape = torch.zeros(event)
    model, guide = program(
        lambda: dist.Normal(shape, 2.0).to_event(len(event)), posterior
    )
    loss = TraceSwitch_ELBO("adaptive")
    a, sa = mean_gradient(loss, model, guide, 600)
    b, sb = mean_gradient(TraceSwitch_ELBO("pathwise"), model, guide, 600)
    assert ((a - b).abs() < 5 * (sa**2 + sb**2).sqrt() + 1e-9).all()
    if names is not None:
        assert set(loss.coefficients()["z"]) == names


def test_a_replayed_guide_keeps_its_minibatch():
    data = T([1.0, -2.0, 0.5, 3.0])

    def model():
        with pyro.plate("d", 4, subsample_size=2) as i:
            z = pyro.sample("z", dist.Normal(0.0, 1.0))
            pyro.sample("x", dist.Normal(z, 0.5), obs=data[i])

    def guide():
        loc = pyro.param("loc", T([2.0, -1.0, 0.0, 1.5]))
        with pyro.plate("d", 4, subsample_size=2) as i:
            pyro.sample("z", dist.Normal(loc[i], 0.7))

    results = []
    for stl in ("site", "replay"):
        clear_gradients()
        pyro.set_rng_seed(3)
        TraceSwitch_ELBO("stl", stl=stl).loss_and_grads(model, guide)
        results.append(parameter_gradients())
    torch.testing.assert_close(*results)


def test_evaluation_does_not_learn_from_the_start():
    model, guide = program(lambda: dist.Normal(0.0, 1.0), dist.Normal)
    for estimator in ("ema", "adaptive"):
        loss = TraceSwitch_ELBO(estimator)
        module = loss(model, guide)
        module.eval()
        module().backward()
        assert all(not value.any() for value in loss.state.state_dict().values())
