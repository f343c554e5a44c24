# SPDX-License-Identifier: Apache-2.0
"""Which components a mixture differentiates, and which it refuses."""

import pyro.distributions as dist
import pytest
import scipy.stats
import torch
from torch import nn
from torch.distributions import transforms

from pyro_reparam_ext import distributions as D
from tests.distributions.test_mixture import LOC, LOGITS, SCALE, leaves

FAMILIES = {
    "Normal": lambda a, b: dist.Normal(a, b),
    "Logistic": lambda a, b: dist.Logistic(a, b),
    "Laplace": lambda a, b: dist.Laplace(a, b),
    "Cauchy": lambda a, b: dist.Cauchy(a, b),
    "Gumbel": lambda a, b: dist.Gumbel(a, b),
    "LogNormal": lambda a, b: dist.LogNormal(a, b),
    "Exponential": lambda a, b: dist.Exponential(a.exp() * b),
    "Weibull": lambda a, b: dist.Weibull(a.exp(), b + 1),
    "HalfNormal": lambda a, b: dist.HalfNormal(a.exp() + b),
    "Kumaraswamy": lambda a, b: D.Kumaraswamy(a.exp(), b),
    "Gamma": lambda a, b: dist.Gamma(a.exp(), b),
    "InverseGamma": lambda a, b: dist.InverseGamma(a.exp(), b),
    "StudentT": lambda a, b: dist.StudentT(b + 1, a, b),
    "Beta": lambda a, b: dist.Beta(a.exp(), b),
    "InverseGaussian": lambda a, b: D.InverseGaussian(a.exp(), b),
    "reflected": lambda a, b: dist.TransformedDistribution(
        dist.Normal(a, b), [transforms.AffineTransform(1.0, -2.0)]
    ),
}

# where torch has none, or one of few digits
CDFS = {
    "Kumaraswamy": lambda d, z: 1 - (1 - z**d.concentration1) ** d.concentration0,
    "StudentT": lambda d, z: torch.as_tensor(
        scipy.stats.t.cdf(z, d.df, loc=d.loc, scale=d.scale)
    ),
    "Beta": lambda d, z: torch.as_tensor(
        scipy.stats.beta.cdf(z, d.concentration1, d.concentration0)
    ),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_component_families(family):
    logits, a, b = leaves(LOGITS, LOC[:, 0], SCALE[:, 0])
    torch.manual_seed(2)
    components = FAMILIES[family](a, b)
    ours = D.MixtureSameFamily(dist.Categorical(logits=logits), components)
    assert ours.has_rsample
    value = ours.sample((50,))
    found = torch.autograd.grad(
        ours.attach_gradient(value).sum(), (logits, a, b), allow_unused=True
    )
    step = 1e-6

    def quotient(name):
        center = {"logits": logits, "a": a, "b": b}
        rows = []
        for i in range(3):
            cdfs = []
            for sign in (-1, 1):
                moved = {n: t.detach().clone() for n, t in center.items()}
                moved[name][i] += sign * step
                weights = moved["logits"].softmax(-1)
                each = FAMILIES[family](moved["a"], moved["b"])
                cdf = CDFS.get(family, lambda d, z: d.cdf(z))
                cdfs.append((weights * cdf(each, value.unsqueeze(-1))).sum(-1))
            slope = (cdfs[1] - cdfs[0]) / (2 * step)
            rows.append((-slope / ours.log_prob(value).exp()).sum())
        return torch.stack(rows).detach()

    for name, gradient in zip(("logits", "a", "b"), found, strict=True):
        torch.testing.assert_close(gradient, quotient(name), rtol=1e-4, atol=1e-5)


class Scaled(nn.Module):
    def __init__(self):
        super().__init__()
        self.loc = nn.Parameter(LOC[:, 0].clone())

    def forward(self):
        transform = transforms.AffineTransform(self.loc, 2.0)
        standard = dist.Normal(torch.zeros(3, dtype=torch.float64), 1.0)
        return dist.TransformedDistribution(standard, [transform])


def test_parameters_of_transforms_are_found():
    module = Scaled()
    ours = D.MixtureSameFamily(dist.Categorical(logits=LOGITS), module())
    value = torch.tensor([0.3], dtype=torch.float64)
    ours.attach_gradient(value).sum().backward()
    same = D.MixtureSameFamily(
        dist.Categorical(logits=LOGITS), dist.Normal(module.loc, 2.0)
    )
    (expected,) = torch.autograd.grad(same.attach_gradient(value).sum(), module.loc)
    torch.testing.assert_close(module.loc.grad, expected)


def test_parameters_out_of_sight_are_refused():
    hidden = torch.ones(3, requires_grad=True)

    class Hidden(dist.Normal):
        def __init__(self, *args):
            super().__init__(*args)
            self.shift = lambda: hidden

        def log_prob(self, value):
            return super().log_prob(value - self.shift())

    ours = D.MixtureSameFamily(
        dist.Categorical(logits=torch.zeros(3)), Hidden(torch.zeros(3), 1.0)
    )
    with pytest.raises(NotImplementedError, match="in a closure"):
        ours.rsample()


@pytest.mark.parametrize(
    ("components", "found"),
    [
        (dist.Poisson(torch.ones(3)), "discrete"),
        (dist.Dirichlet(torch.ones(3, 2)), "or MultivariateStudentT ones.*factorize"),
        (dist.Stable(torch.ones(3), 0.0), "has no cdf"),
        (
            dist.Uniform(torch.tensor([0.0, 1.0, 3.0]), torch.tensor([1.0, 2.0, 4.0])),
            "gap",
        ),
    ],
    ids=lambda x: type(x).__name__ if not isinstance(x, str) else "",
)
def test_unsupported_components_say_so(components, found):
    ours = D.MixtureSameFamily(dist.Categorical(logits=torch.zeros(3)), components)
    assert not ours.has_rsample
    assert not ours.expand((2,)).has_rsample
    assert ours.sample((4,)).shape[0] == 4
    with pytest.raises(NotImplementedError, match=found):
        ours.rsample()
    with pytest.raises(NotImplementedError, match="sample\\(\\)"):
        ours.attach_gradient(ours.sample())


BOUNDED = {
    "Uniform": lambda a, b: dist.Uniform(a, b + 3),
    "TruncatedNormal": lambda a, b: D.TruncatedNormal(0.5, 1.0, a, b + 3),
    "Pareto": lambda a, b: dist.Pareto(a + 2, b + 3),
}


@pytest.mark.parametrize("family", BOUNDED)
def test_components_with_bounds_of_their_own(family):
    a, b = leaves(*torch.tensor([[-1.0, 0.0], [-2.0, 0.5]]).double())
    (logits,) = leaves(torch.tensor([0.4, 0.0]).double())
    torch.manual_seed(3)
    # E f is the weighted sum of the components' own, by their own paths
    means = []
    for _ in range(50):
        components = BOUNDED[family](a, b)
        ours = D.MixtureSameFamily(dist.Categorical(logits=logits), components)
        each = components.rsample((4000,)).tanh().mean(0)
        difference = ours.rsample((4000,)).tanh().mean() - each @ logits.softmax(0)
        gradient = torch.autograd.grad(difference, (logits, a, b))
        means.append(torch.stack(gradient))
    means = torch.stack(means)
    error = means.std(0) / len(means) ** 0.5
    # 5 sigma of a t law with 49 degrees of freedom: failure probability 5e-5
    assert (means.mean(0).abs() <= 5 * error + 1e-9).all()
