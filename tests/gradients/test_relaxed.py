# SPDX-License-Identifier: Apache-2.0
"""Draws with a gradient of their making: the law of the draw, and what the bias is."""

import math

import pyro
import pyro.distributions as dist
import pytest
import torch
from scipy import integrate

from pyro_reparam_ext.gradients import GumbelStraightThrough, ReinMax, StraightThrough

T = torch.tensor
ALL = [StraightThrough(), GumbelStraightThrough(), ReinMax()]


@pytest.fixture(autouse=True)
def _double_precision(clean_state):
    torch.set_default_dtype(torch.float64)


def mean_derivatives(estimator, fn, logits, slope, copies=200_000):
    """Of the expectation of a function in the logits: the mean, and its error."""
    wide = logits.expand(copies, *logits.shape).clone().requires_grad_()
    z = estimator.draw(fn(logits=wide), torch.Size())
    (gradient,) = torch.autograd.grad(z, wide, slope(z.detach()))
    return gradient.mean(0), gradient.std(0) / copies**0.5


@pytest.mark.parametrize("logit", [-1.5, 0.4, 2.0])
def test_straight_through_is_off_by_the_stated_amount(logit):
    """For f = 3z - 2z^2 of one bit."""
    p, curvature = T(logit).sigmoid(), -4.0
    exact_derivative = p * (1 - p) * (3 - 2)
    bias = (2 * p - 1) * p * (1 - p) * curvature / 2
    mean, error = mean_derivatives(
        StraightThrough(), dist.Bernoulli, T(logit), lambda z: 3 + curvature * z
    )
    assert (mean - exact_derivative - bias).abs() < 5 * error
    assert bias.abs() > 20 * error
    mean, error = mean_derivatives(
        ReinMax(), dist.Bernoulli, T(logit), lambda z: 3 + curvature * z
    )
    assert (mean - exact_derivative).abs() < 5 * error


def test_reinmax_is_exact_for_quadratic_functions_of_a_one_hot_draw():
    logits = T([0.4, -0.8, 1.1])
    matrix = T([[0.5, -1.0, 0.3], [2.0, 0.7, 0.1], [-0.4, 1.2, 0.9]])
    mean, error = mean_derivatives(
        ReinMax(), dist.OneHotCategorical, logits, lambda z: z @ (matrix + matrix.T)
    )
    p, f = logits.softmax(-1), matrix.diagonal()
    assert ((mean - p * (f - p @ f)).abs() < 5 * error).all()
    mean, error = mean_derivatives(
        StraightThrough(),
        dist.OneHotCategorical,
        logits,
        lambda z: z @ (matrix + matrix.T),
    )
    assert ((mean - p * (f - p @ f)).abs() > 10 * error).any()


@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.0])
@pytest.mark.parametrize("logit", [-1.0, 0.7])
def test_gumbel_of_a_bit_has_the_mean_of_its_definition(logit, temperature):
    """By quadrature over the logistic noise that makes both the bit and its path."""

    def slope(z):
        return torch.exp(z) - 0.5

    def integrand(u):
        x = logit + math.log(u / (1 - u))
        soft = 1 / (1 + math.exp(-x / temperature))
        return slope(T(float(x > 0))).item() * soft * (1 - soft) / temperature

    middle = 1 / (1 + math.exp(logit))
    expected = sum(
        integrate.quad(integrand, *ends)[0] for ends in [(0, middle), (middle, 1)]
    )
    estimator = GumbelStraightThrough(temperature)
    mean, error = mean_derivatives(estimator, dist.Bernoulli, T(logit), slope)
    assert (mean - expected).abs() < 5 * error


@pytest.mark.parametrize("temperature", [0.4, 1.5])
def test_gumbel_of_a_one_hot_has_the_mean_of_its_definition(temperature):
    """By Gumbel noise that makes both the draw and its path."""
    logits, weight = T([0.4, -0.8, 1.1]), T([1.0, -2.0, 0.5])
    estimator = GumbelStraightThrough(temperature)
    mean, error = mean_derivatives(
        estimator, dist.OneHotCategorical, logits, lambda z: torch.exp(z * weight)
    )
    wide = logits.expand(200_000, 3).clone().requires_grad_()
    perturbed = wide + dist.Gumbel(T(0.0), 1.0).sample(wide.shape)
    hard = torch.eye(3)[perturbed.argmax(-1)]
    soft = (perturbed / temperature).softmax(-1)
    (gradient,) = torch.autograd.grad(soft, wide, torch.exp(hard * weight))
    both = (error**2 + gradient.var(0) / len(wide)).sqrt()
    assert ((mean - gradient.mean(0)).abs() < 5 * both).all()


FAMILIES = {
    "bits": dist.Bernoulli(logits=T([0.3, -2.0])).to_event(1),
    "saturated": dist.Bernoulli(logits=T([90.0, -90.0])),
    "probs": dist.Bernoulli(T([0.3, 0.9])).mask(T([True, False])),
    "one-hot": dist.OneHotCategorical(T([0.2, 0.5, 0.3])).expand([2]),
    "impossible": dist.OneHotCategorical(logits=T([0.2, 0.5, -torch.inf])),
    "masked": dist.OneHotCategorical(logits=T([[0.2, 90.0, -90.0]])).mask(False),
}


@pytest.mark.parametrize("estimator", ALL, ids=repr)
@pytest.mark.parametrize("family", FAMILIES)
def test_draws_are_the_discrete_ones_to_the_bit(estimator, family):
    fn = FAMILIES[family]
    assert estimator.supports(fn) is None
    for seed in range(20):
        pyro.set_rng_seed(seed)
        drawn = estimator.draw(fn, torch.Size())
        pyro.set_rng_seed(seed)
        assert torch.equal(drawn, fn.sample())
        parts = estimator.score_parts(fn, drawn)
        torch.testing.assert_close(parts.entropy_term, fn.log_prob(drawn))


@pytest.mark.parametrize("estimator", ALL, ids=repr)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradients_are_finite_at_the_ends(estimator, dtype):
    for cls in (dist.Bernoulli, dist.OneHotCategorical):
        logits = T([-200.0, 0.0, 200.0, -torch.inf][: 3 + (cls is not dist.Bernoulli)])
        logits = logits.to(dtype).requires_grad_()
        fn = cls(logits=logits, validate_args=False)
        value = estimator.draw(fn, torch.Size())
        entropy = estimator.score_parts(fn, value).entropy_term
        (gradient,) = torch.autograd.grad(value.sum() + entropy.sum(), logits)
        assert gradient.isfinite().all()
        assert value.dtype == dtype


@pytest.mark.parametrize("estimator", ALL, ids=repr)
def test_other_families_are_refused_with_the_reason(estimator):
    assert "OneHotCategorical, or" in estimator.supports(dist.Categorical(T([0.5] * 2)))
    assert "Use 'pathwise'" in estimator.supports(dist.Normal(0.0, 1.0).to_event(0))
    assert "integers" in estimator.supports(dist.Poisson(1.0))


def test_temperatures_are_positive():
    for cls in (GumbelStraightThrough, ReinMax):
        for temperature in (0.0, -1.0, float("inf"), float("nan")):
            with pytest.raises(ValueError, match="must be a positive number"):
                cls(temperature)
