# SPDX-License-Identifier: Apache-2.0
"""The mean of every estimator of an importance-weighted bound is its exact gradient.

One p-value a parameter and one for the value (Student's t over independent steps); the
test fails if the smallest, times the number of p-values in this file, is below 1e-4.
"""

import pyro
import pytest

from tests.cases import IW_MODELS
from tests.infer.gradients_of import prepare
from tests.infer.iw_gradients_of import exact, iw_estimate, iw_loss
from tests.infer.test_unbiased import detectable_bias, significance

PAIRS = [(case, label) for case in IW_MODELS for label in case.choices]
IDS = [f"{case.name}-{label}" for case, label in PAIRS]
FAILURE_PROBABILITY = 1e-4 / (2 * len(PAIRS))


def check(case, label, steps, copies, bias):
    choice = case.choices[label]
    guide = prepare(case)
    loss, truth = exact(case, guide, choice)
    pyro.set_rng_seed(20)
    gradient, value = iw_estimate(case, guide, iw_loss(case, **choice), steps, copies)
    assert significance(gradient, truth, steps) > FAILURE_PROBABILITY, (
        f"mean {gradient.mean.tolist()}, exact {truth.tolist()}, "
        f"standard error {gradient.standard_error.tolist()}"
    )
    assert significance(value, truth.new_tensor([loss]), steps) > FAILURE_PROBABILITY, (
        f"mean {value.mean.item()}, exact {loss}, error {value.standard_error.item()}"
    )
    assert detectable_bias(gradient, truth, steps) < bias


@pytest.mark.parametrize(("case", "label"), PAIRS, ids=IDS)
def test_mean_is_the_exact_gradient(case, label):
    check(case, label, steps=20, copies=1500, bias=0.8 if case.static else 8.0)


@pytest.mark.slow
@pytest.mark.parametrize(("case", "label"), PAIRS, ids=IDS)
def test_mean_is_the_exact_gradient_to_seven_percent(case, label):
    per_run = 2.0 if not case.static else 0.4 if case.steps_vary else 0.07
    check(case, label, steps=60, copies=30_000, bias=per_run)
