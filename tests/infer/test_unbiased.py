# SPDX-License-Identifier: Apache-2.0
"""The mean of every estimator, on every registered model, is the exact gradient.

One p-value a parameter (Student's t over independent steps); the test fails if the
smallest, times the number of p-values in this file, is below 1e-4. The draws suffice to
detect the relative bias stated.
"""

import pyro
import pytest
import torch
from pyro.distributions.score_parts import ScoreParts
from scipy import stats

from pyro_reparam_ext.gradients import (
    DisARM,
    LeaveOneOut,
    MeasureValued,
    ScoreFunction,
    StickingTheLanding,
)
from pyro_reparam_ext.infer import closed_forms, elbo
from pyro_reparam_ext.infer.run import Run
from tests.cases import MODELS
from tests.infer.gradients_of import Estimate, estimate, exact, prepare, switch_loss

PAIRS = [(case, label) for case in MODELS for label in case.choices]
IDS = [f"{case.name}-{label}" for case, label in PAIRS]
FAILURE_PROBABILITY = 1e-4 / len(PAIRS)


def significance(result: Estimate, truth: torch.Tensor, steps: int) -> float:
    """The smallest p-value, corrected for the number of parameters."""
    error = (result.mean - truth).abs()
    exactly_right = error < 1e-6 * (1 + truth.abs())  # as accurate as the oracle is
    score = torch.where(
        exactly_right, 0.0, error / result.standard_error.clamp(min=1e-300)
    )
    p_value = 2 * stats.t.sf(score.max().item(), steps - 1)
    return min(1.0, len(truth) * p_value)


def detectable_bias(result: Estimate, truth: torch.Tensor, steps: int) -> float:
    """The relative bias of the largest component that would be significant."""
    largest = truth.abs().argmax()
    critical = stats.t.isf(FAILURE_PROBABILITY / len(truth) / 2, steps - 1)
    return (critical * result.standard_error[largest] / truth[largest].abs()).item()


def check(case, label, steps, copies, bias):
    guide = prepare(case)
    _, truth = exact(case, guide)
    pyro.set_rng_seed(20)
    loss = switch_loss(case, **case.choices[label])
    result = estimate(case, guide, loss, steps, copies)
    assert significance(result, truth, steps) > FAILURE_PROBABILITY, (
        f"mean {result.mean.tolist()}, exact {truth.tolist()}, "
        f"standard error {result.standard_error.tolist()}"
    )
    assert detectable_bias(result, truth, steps) < bias


@pytest.mark.parametrize(("case", "label"), PAIRS, ids=IDS)
def test_mean_is_the_exact_gradient(case, label):
    check(case, label, steps=20, copies=1500, bias=0.6 if case.static else 1.5)


@pytest.mark.slow
@pytest.mark.parametrize(("case", "label"), PAIRS, ids=IDS)
def test_mean_is_the_exact_gradient_to_five_percent(case, label):
    per_step = not case.static or case.exact_model is not None
    check(case, label, steps=60, copies=40_000, bias=0.4 if per_step else 0.05)


def test_a_wrong_leave_one_out_denominator_is_caught(monkeypatch):
    """Dividing by K instead of K - 1 shrinks the baseline: still unbiased.

    Including the draw itself is what biases; both are tried, and only the second fails.
    """
    case = next(case for case in MODELS if case.name == "normal")
    guide = prepare(case)
    _, truth = exact(case, guide)

    def significance_with(value):
        monkeypatch.setattr(LeaveOneOut, "value", value)
        pyro.set_rng_seed(0)
        loss = switch_loss(case, estimator="rloo", num_particles=2)
        return significance(estimate(case, guide, loss, 30, 2000), truth, 30)

    def shrunk(self, cost, state):
        return (cost.sum(0, keepdim=True) - cost) / len(cost)

    def including_itself(self, cost, state):
        return cost.mean(0, keepdim=True)

    assert significance_with(shrunk) > FAILURE_PROBABILITY
    assert significance_with(including_itself) < FAILURE_PROBABILITY


def no_score(self, fn, value):
    return ScoreParts(fn.log_prob(value), 0, 0)


def doubled_score(self, fn, value):
    return ScoreParts(fn.log_prob(value), 2 * fn.log_prob(value), 0)


def no_entropy(self):
    return -self.model.log_prob_sum()


def total_derivative_taken_off(self, fn, value):
    log_prob = fn.log_prob(value)
    return ScoreParts(log_prob, 0, log_prob.detach() + 0 * log_prob)


def doubled(method):
    return lambda *args: 2 * method(*args)


def one_twin_for_all(self, base, value):
    return torch.zeros_like(value)[None]


def kl_the_other_way(q, p):
    return torch.distributions.kl_divergence(p, q)


MISTAKES = {
    "no score": ("normal", "score", ScoreFunction, "score_parts", no_score),
    "doubled score": ("normal", "score", ScoreFunction, "score_parts", doubled_score),
    "no entropy": ("normal", "pathwise", Run, "pathwise_surrogate", no_entropy),
    "no entropy for stl": (
        "normal",
        "stl",
        StickingTheLanding,
        "score_parts",
        total_derivative_taken_off,
    ),
    "doubled mvd": (
        "integers",
        "mvd",
        MeasureValued,
        "surrogate",
        doubled(MeasureValued.surrogate),
    ),
    "not the twin": (
        "masked discrete",
        "disarm",
        DisARM,
        "alternatives",
        one_twin_for_all,
    ),
    "doubled enum": (
        "chain",
        "enum",
        elbo,
        "sum_surrogate",
        doubled(elbo.sum_surrogate),
    ),
    "kl the other way": (
        "normal",
        "analytic",
        closed_forms,
        "closed_form_kl",
        kl_the_other_way,
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_planted_mistakes_are_caught(monkeypatch, mistake):
    model, estimator, owner, method, wrong = MISTAKES[mistake]
    monkeypatch.setattr(owner, method, wrong)
    case = next(case for case in MODELS if case.name == model)
    guide = prepare(case)
    _, truth = exact(case, guide)
    pyro.set_rng_seed(0)
    result = estimate(case, guide, switch_loss(case, estimator=estimator), 30, 2000)
    assert significance(result, truth, 30) < FAILURE_PROBABILITY
