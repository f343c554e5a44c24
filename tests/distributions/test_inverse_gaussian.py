# SPDX-License-Identifier: Apache-2.0
"""What is special to the inverse Gaussian: two roots, closed forms."""

import copy
import pickle

import pytest
import torch
from scipy import stats
from torch.distributions import kl_divergence

from pyro_reparam_ext import distributions as D


def double(*values):
    return [torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in values]


def integral(law, f, nodes=4000, reach=40.0):
    """Of f(z) p(z), by the trapezoid rule in log z."""
    t = torch.linspace(-reach, reach, nodes, dtype=torch.float64).unsqueeze(-1)
    z = t.exp()
    return (f(z) * (law.log_prob(z) + t).exp()).sum(0) * (t[1] - t[0]).item()


@pytest.mark.parametrize("ratio", [1e-3, 1.0, 1e4])
def test_samples_follow_the_density(ratio):
    torch.manual_seed(0)
    draws = D.InverseGaussian(2.0, 2.0 * ratio).sample((50_000,)).double()
    law = stats.invgauss(1 / ratio, scale=2.0 * ratio)
    # failure probability 1e-4
    assert stats.kstest(draws, law.cdf).pvalue > 1e-4


@pytest.mark.parametrize("f", [torch.tanh, torch.log, torch.reciprocal, torch.sin])
def test_gradient_of_an_expectation(f):
    loc, concentration = double([0.6, 1.5, 3.0], [2.0, 0.4, 30.0])
    torch.manual_seed(1)
    means = []
    for _ in range(40):
        value = D.InverseGaussian(loc, concentration).rsample((4000,))
        objective = f(value).mean(0).sum()
        means.append(torch.stack(torch.autograd.grad(objective, (loc, concentration))))
    law = D.InverseGaussian(loc, concentration)
    exact = torch.autograd.grad(integral(law, f).sum(), (loc, concentration))
    means = torch.stack(means)
    error = means.std(0) / len(means) ** 0.5
    # 5 sigma of a t law with 39 degrees of freedom: failure probability 8e-5
    assert ((means.mean(0) - torch.stack(exact)).abs() <= 5 * error + 1e-9).all()


def test_moments_and_mode():
    law = D.InverseGaussian(*double([0.6, 1.5, 3.0], [2.0, 0.4, 30.0]))
    torch.testing.assert_close(integral(law, lambda z: z), law.mean)
    square = integral(law, lambda z: (z - law.mean) ** 2)
    torch.testing.assert_close(square, law.variance)
    mode = law.mode.detach().requires_grad_()
    (slope,) = torch.autograd.grad(law.log_prob(mode).sum(), mode)
    torch.testing.assert_close(slope * mode, torch.zeros(3).double(), atol=1e-9, rtol=0)


def test_kl_divergence_equals_its_integral():
    p = D.InverseGaussian(*double([0.6, 1.5, 3.0], [2.0, 0.4, 30.0]))
    q = D.InverseGaussian(*double([1.1, 1.5, 2.0], [0.7, 0.4, 5.0]))
    exact = integral(p, lambda z: p.log_prob(z) - q.log_prob(z))
    torch.testing.assert_close(kl_divergence(p, q), exact, rtol=1e-10, atol=1e-11)


def test_path_scales_with_both_parameters():
    # z is homogeneous of degree 1: z = mu dz/dmu + lambda dz/dlambda, for any draw
    loc, concentration = double([0.6, 1.5, 3.0], [2.0, 0.004, 3e5])
    torch.manual_seed(2)
    law = D.InverseGaussian(loc, concentration)
    value = law.sample((100,))
    gradient = law.expand((100, 3)).sample_gradient(value)
    total = loc * gradient["loc"] + concentration * gradient["concentration"]
    torch.testing.assert_close(total, value, rtol=1e-13, atol=0)


def test_second_derivatives_at_a_fixed_quantile():
    parameters = double([0.6, 1.5, 3.0], [2.0, 0.4, 3000.0])
    start = torch.tensor([0.4, 5.0, 3.1], dtype=torch.float64)
    direction = [0.3 * p.detach() for p in parameters]

    def slope(parameters, value):
        law = D.InverseGaussian(*parameters)
        gradient = torch.autograd.grad(
            law.attach_gradient(value).sum(), parameters, create_graph=True
        )
        return sum(g * d for g, d in zip(gradient, direction, strict=True))

    def moved(t):
        there = [
            (p + t * d).detach().requires_grad_()
            for p, d in zip(parameters, direction, strict=True)
        ]
        quantile = D.InverseGaussian(*parameters).cdf(start).detach()
        value = start.clone()
        for _ in range(50):
            law = D.InverseGaussian(*there)
            step = (law.cdf(value) - quantile) / law.log_prob(value).exp()
            value = (value - step).detach()
        return slope(there, value).detach()

    second = torch.autograd.grad(slope(parameters, start).sum(), parameters)
    found = sum(g * d for g, d in zip(second, direction, strict=True))
    h = 2e-3
    coarse = (moved(h) - moved(-h)) / (2 * h)
    fine = (moved(h / 2) - moved(-h / 2)) / h
    torch.testing.assert_close(found, (4 * fine - coarse) / 3, rtol=1e-6, atol=1e-9)


def test_functional_transforms():
    loc, concentration = torch.rand(4) + 0.5, torch.rand(4) + 0.5

    def objective(loc, concentration):
        return D.InverseGaussian(loc, concentration).rsample((3,)).sum()

    gradient = torch.func.grad(objective, argnums=(0, 1))
    found = torch.func.vmap(gradient, randomness="different")(loc, concentration)
    assert all(g.shape == (4,) and g.isfinite().all() for g in found)


def test_copies_expansion_and_dtype():
    law = D.InverseGaussian(1, torch.tensor([1.0, 2.0]))
    for other in (copy.deepcopy(law), pickle.loads(pickle.dumps(law))):
        torch.manual_seed(0)
        first = law.rsample((3,))
        torch.manual_seed(0)
        torch.testing.assert_close(other.rsample((3,)), first, rtol=0, atol=0)
    assert type(law.expand((5, 2))) is D.InverseGaussian
    assert law.expand((5, 2)).rsample((4,)).shape == (4, 5, 2)
    assert first.dtype == torch.float32
    assert D.InverseGaussian(*double(1.0, 1.0)).sample().dtype == torch.float64
