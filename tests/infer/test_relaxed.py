# SPDX-License-Identifier: Apache-2.0
"""The biased estimators in losses: right where they should be, and nowhere else."""

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.distributions.score_parts import ScoreParts
from pyro.infer import Trace_ELBO

from pyro_reparam_ext import TraceIW_ELBO, TraceSwitch_ELBO, estimators
from pyro_reparam_ext.gradients import GumbelStraightThrough, ReinMax, StraightThrough
from pyro_reparam_ext.gradients.relaxed import RelaxedEstimator, linear_in_value
from pyro_reparam_ext.infer import followed_draws
from tests.cases import RELAXED_MODELS
from tests.infer.gradients_of import (
    clear_gradients,
    estimate,
    exact,
    parameter_gradients,
    prepare,
    switch_loss,
)
from tests.infer.test_unbiased import significance
from tests.model_case import ModelCase

T = torch.tensor
ALL = [StraightThrough(), GumbelStraightThrough(), ReinMax()]
RIGHT = [(r.case, r.right[label]) for r in RELAXED_MODELS for label in r.right]
WRONG = [(r.case, r.wrong[label]) for r in RELAXED_MODELS for label in r.wrong]
RIGHT_IDS = [f"{r.case.name}-{label}" for r in RELAXED_MODELS for label in r.right]
WRONG_IDS = [f"{r.case.name}-{label}" for r in RELAXED_MODELS for label in r.wrong]
FAILURE_PROBABILITY = 1e-4 / len(RIGHT)


def p_value(case, choice, steps=20, copies=1500):
    guide = prepare(case)
    _, truth = exact(case, guide)
    pyro.set_rng_seed(0)
    loss = switch_loss(case, **choice)
    return significance(estimate(case, guide, loss, steps, copies), truth, steps)


@pytest.mark.parametrize(("case", "choice"), RIGHT, ids=RIGHT_IDS)
def test_right_where_it_should_be(case, choice):
    assert p_value(case, choice) > FAILURE_PROBABILITY


@pytest.mark.slow
@pytest.mark.parametrize(("case", "choice"), RIGHT, ids=RIGHT_IDS)
def test_right_where_it_should_be_with_many_draws(case, choice):
    assert p_value(case, choice, 60, 30_000) > FAILURE_PROBABILITY


@pytest.mark.parametrize(("case", "choice"), WRONG, ids=WRONG_IDS)
def test_off_where_it_should_be(case, choice):
    assert p_value(case, choice) < FAILURE_PROBABILITY


def unextended(fn):
    return fn


def with_the_score(self, fn, value):
    parts = fn.log_prob(value)
    return ScoreParts(parts, 0, linear_in_value(fn).log_prob(value) + parts)


def no_entropy(self, fn, value):
    return ScoreParts(fn.log_prob(value), 0, 0)


def first_order(self, base, hard):
    return base.probs


MISTAKES = {
    "the prior loses the value": (followed_draws, "linear_in_value", unextended),
    "the entropy counts twice": (RelaxedEstimator, "score_parts", with_the_score),
    "no entropy": (RelaxedEstimator, "score_parts", no_entropy),
    "first order": (ReinMax, "path", first_order),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_planted_mistakes_are_caught(mistake, monkeypatch):
    owner, name, wrong = MISTAKES[mistake]
    case, choice = next(c for c, i in zip(RIGHT, RIGHT_IDS, strict=True) if "quad" in i)
    monkeypatch.setattr(owner, name, wrong)
    assert p_value(case, choice) < FAILURE_PROBABILITY


def test_own_terms_are_exact_without_noise():
    """Linear in the draw, they have the same straight-through gradient at any value."""

    def model():
        pyro.sample("b", dist.Bernoulli(T([0.3, 0.9])).to_event(1))
        pyro.sample("h", dist.OneHotCategorical(T([0.1, 0.6, 0.3])))

    def guide():
        b = dist.Bernoulli(logits=pyro.param("b_logits", T([0.9, -0.7])))
        h = dist.OneHotCategorical(logits=pyro.param("h_logits", T([0.1, -0.9, 0.8])))
        pyro.sample("b", b.to_event(1))
        pyro.sample("h", h)

    case = ModelCase("own terms", model, lambda model: guide, {})
    _, truth = exact(case, prepare(case))
    loss = TraceSwitch_ELBO("straight_through", allow_biased=True)
    for _ in range(5):
        clear_gradients()
        loss.loss_and_grads(model, guide)
        torch.testing.assert_close(parameter_gradients(), truth, atol=1e-10, rtol=1e-8)


def one_hot_model(law=dist.OneHotCategorical):
    h = pyro.sample("h", law(probs=T([0.1, 0.6, 0.3])))
    pyro.sample("x", dist.Normal(h[..., 1], 1.0), obs=T(1.0))


def one_hot_guide():
    logits = pyro.param("logits", T([0.1, -0.9, 0.8]))
    pyro.sample("h", dist.OneHotCategorical(logits=logits))


@pytest.mark.parametrize("estimator", ALL, ids=repr)
def test_the_loss_is_that_of_any_other_estimator(estimator):
    values = []
    for loss in (TraceSwitch_ELBO(sites={"h": estimator}), Trace_ELBO()):
        pyro.set_rng_seed(3)
        values.append(loss.loss_and_grads(one_hot_model, one_hot_guide))
    assert values[0] == values[1]


@pytest.mark.parametrize("name", ["straight_through", "gumbel", "reinmax"])
def test_never_by_default_and_nowhere_else(name):
    with pytest.raises(ValueError, match="is biased"):
        TraceSwitch_ELBO(name)
    with pytest.raises(ValueError, match=r"Site 'h'.*does not go with TraceIW_ELBO"):
        TraceIW_ELBO(sites={"h": name}).loss_and_grads(one_hot_model, one_hot_guide)
    with pytest.raises(ValueError, match="a stock one does"), estimators({"h": name}):
        Trace_ELBO().loss_and_grads(one_hot_model, one_hot_guide)


def test_a_prior_that_would_lose_the_gradient_is_refused():
    def model():
        one_hot_model(lambda probs: dist.Multinomial(1, probs=probs))

    loss = TraceSwitch_ELBO(sites={"h": "reinmax"})
    with pytest.raises(ValueError, match=r"Site 'h'.*found Multinomial"):
        loss.loss_and_grads(model, one_hot_guide)


def test_a_draw_that_reaches_the_model_through_a_point_mass():
    def model():
        h = pyro.sample("h", dist.OneHotCategorical(T([0.1, 0.6, 0.3])))
        pyro.factor("f", (h * T([0.3, -1.0, 2.0])).sum(-1))

    def guide():
        logits = pyro.param("logits", T([0.1, -0.9, 0.8]))
        law = dist.OneHotCategorical(logits=logits)
        u = pyro.sample("u", law, infer={"is_auxiliary": True})
        pyro.sample("h", dist.Delta(u, event_dim=1))

    def direct_guide():
        logits = pyro.param("logits", T([0.1, -0.9, 0.8]))
        pyro.sample("h", dist.OneHotCategorical(logits=logits))

    found = []
    for site, program in (("u", guide), ("h", direct_guide)):
        clear_gradients()
        loss = TraceSwitch_ELBO(sites={site: "straight_through"})
        loss.loss_and_grads(model, program)
        found.append(parameter_gradients())
    torch.testing.assert_close(*found)


def test_particles_in_one_run():
    loss = TraceSwitch_ELBO(
        "reinmax", allow_biased=True, num_particles=3, vectorize_particles=True
    )
    loss.loss_and_grads(one_hot_model, one_hot_guide)
    assert parameter_gradients().isfinite().all()
