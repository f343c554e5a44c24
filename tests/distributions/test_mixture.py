# SPDX-License-Identifier: Apache-2.0
"""What is special to mixtures: nested parameters and factorized events."""

import copy
import pickle

import pyro.distributions as dist
import pytest
import torch
from torch import nn
from torch.distributions import transforms

from pyro_reparam_ext import distributions as D

LOGITS = torch.tensor([0.1, 0.5, -0.4], dtype=torch.float64)
LOC = torch.tensor([[0.1, 0.5], [-0.8, 0.2], [1.0, -0.6]], dtype=torch.float64)
SCALE = torch.tensor([[0.6, 1.1], [0.9, 0.7], [0.5, 0.8]], dtype=torch.float64)
INTEGRANDS = {
    "z0 z1": lambda z: z[..., 0] * z[..., 1],
    "z1^2": lambda z: z[..., 1] ** 2,
    "bump": lambda z: torch.exp(-0.3 * (z[..., 0] - 0.2) ** 2 - z[..., 1] ** 2),
}


def mixture(logits, loc, scale):
    components = dist.Normal(loc, scale)
    if loc.dim() > logits.dim():
        components = components.to_event(1)
    return D.MixtureSameFamily(dist.Categorical(logits=logits), components)


def leaves(*tensors):
    return [t.clone().requires_grad_() for t in tensors]


@pytest.mark.parametrize("events", [0, 1], ids=["scalar", "factorized"])
def test_drop_in_for_torch(events):
    loc, scale = (LOC, SCALE) if events else (LOC[:, 0], SCALE[:, 0])
    components = torch.distributions.Normal(loc, scale)
    if events:
        components = torch.distributions.Independent(components, events)
    categorical = torch.distributions.Categorical(logits=LOGITS)
    ours = D.MixtureSameFamily(categorical, components)
    stock = torch.distributions.MixtureSameFamily(categorical, components)
    assert isinstance(ours, torch.distributions.MixtureSameFamily)
    torch.manual_seed(0)
    expected = stock.sample((7,))
    torch.manual_seed(0)
    found = ours.rsample((7,))
    torch.testing.assert_close(found, expected, rtol=0, atol=0)
    torch.testing.assert_close(ours.log_prob(found), stock.log_prob(found))
    torch.testing.assert_close(ours.mean, stock.mean)
    torch.testing.assert_close(ours.variance, stock.variance)
    if not events:
        torch.testing.assert_close(ours.cdf(found), stock.cdf(found))


@pytest.mark.parametrize("integrand", INTEGRANDS)
def test_gradient_of_an_expectation_factorized(integrand):
    f = INTEGRANDS[integrand]
    parameters = leaves(LOGITS, LOC, SCALE)
    torch.manual_seed(1)
    batches = []
    for _ in range(25):
        value = mixture(*parameters).rsample((4000,))
        batches.append(torch.autograd.grad(f(value).mean(), parameters))
    grid = torch.linspace(-9, 9, 301, dtype=torch.float64)
    points = torch.stack(torch.meshgrid(grid, grid, indexing="ij"), -1)
    cell = (grid[1] - grid[0]) ** 2
    density = mixture(*parameters).log_prob(points).exp()
    exact = torch.autograd.grad((f(points) * density).sum() * cell, parameters)
    for found, expected in zip(zip(*batches, strict=True), exact, strict=True):
        found = torch.stack(found)
        # 5 sigma of a t law with 24 degrees of freedom: failure probability 4e-5
        error = found.std(0) / len(found) ** 0.5
        assert ((found.mean(0) - expected).abs() <= 5 * error + 1e-9).all()


def transform(value, logits, loc, scale):
    """The distributional transform of one point, by its definition."""
    normal = torch.distributions.Normal(loc, scale)
    log_density = normal.log_prob(value)
    before = log_density.cumsum(-1) - log_density
    weights = torch.softmax(logits.unsqueeze(-1) + before, 0)
    return (weights * normal.cdf(value)).sum(0)


def test_derivative_of_every_coordinate_is_the_triangular_solve():
    parameters = leaves(LOGITS, LOC, SCALE)
    value = torch.tensor([0.4, -1.2], dtype=torch.float64)
    jacobian = torch.func.jacrev(transform)(value, *parameters)
    attached = mixture(*parameters).attach_gradient(value)
    for i in range(2):
        found = torch.autograd.grad(attached[i], parameters, retain_graph=True)
        for k, gradient in enumerate(found):
            by_parameter = torch.func.jacrev(transform, argnums=k + 1)
            slope = by_parameter(value, *parameters).reshape(2, -1)
            expected = -torch.linalg.solve(jacobian, slope)[i].reshape(gradient.shape)
            torch.testing.assert_close(gradient, expected, rtol=1e-11, atol=1e-13)


def test_second_derivatives_are_those_of_the_path():
    parameters = leaves(LOGITS, LOC, SCALE)
    directions = [torch.sin(torch.arange(p.numel()) + 1.0) for p in parameters]
    directions = [
        d.double().reshape(p.shape) for d, p in zip(directions, parameters, strict=True)
    ]
    start = torch.tensor([0.4, -1.2], dtype=torch.float64)
    quantile = transform(start, *(p.detach() for p in parameters))

    def slope(parameters, value):
        attached = mixture(*parameters).attach_gradient(value)
        objective = attached.tanh() @ torch.tensor([0.7, -1.3], dtype=torch.float64)
        found = torch.autograd.grad(objective, parameters, create_graph=True)
        return sum((g * d).sum() for g, d in zip(found, directions, strict=True))

    def moved(t):
        there = [
            (p + t * d).detach() for p, d in zip(parameters, directions, strict=True)
        ]
        value = start.clone()
        for _ in range(30):
            jacobian = torch.func.jacrev(transform)(value, *there)
            residual = transform(value, *there) - quantile
            value = value - torch.linalg.solve(jacobian, residual)
        return slope(leaves(*there), value).detach()

    second = torch.autograd.grad(slope(parameters, start), parameters)
    found = sum((g * d).sum() for g, d in zip(second, directions, strict=True))
    h = 1e-3
    coarse = (moved(h) - moved(-h)) / (2 * h)
    fine = (moved(h / 2) - moved(-h / 2)) / h
    torch.testing.assert_close(found, (4 * fine - coarse) / 3, rtol=1e-7, atol=1e-9)


def test_gradcheck_of_the_gradient_in_probabilities():
    value = torch.tensor([0.3, 1.4], dtype=torch.float64)
    probs = torch.tensor([0.2, 0.5, 0.3], dtype=torch.float64, requires_grad=True)
    logits = probs.detach().log().requires_grad_()
    components = dist.Normal(LOC[:, 0], SCALE[:, 0])
    by_probs, by_logits = (
        D.MixtureSameFamily(categorical, components).attach_gradient(value).sum()
        for categorical in (
            dist.Categorical(probs=probs),
            dist.Categorical(logits=logits),
        )
    )
    (from_probs,) = torch.autograd.grad(by_probs, probs)
    (from_logits,) = torch.autograd.grad(by_logits, logits)
    torch.testing.assert_close(from_probs * probs.detach(), from_logits)


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
    "InverseGaussian": lambda a, b: D.InverseGaussian(a.exp(), b),
    "reflected": lambda a, b: dist.TransformedDistribution(
        dist.Normal(a, b), [transforms.AffineTransform(1.0, -2.0)]
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
                if family == "Kumaraswamy":
                    powers = value.unsqueeze(-1) ** each.concentration1
                    cdf = 1 - (1 - powers) ** each.concentration0
                else:
                    cdf = each.cdf(value.unsqueeze(-1))
                cdfs.append((weights * cdf).sum(-1))
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
        (dist.MultivariateNormal(torch.zeros(3, 2), torch.eye(2)), "do not factorize"),
        (dist.StudentT(torch.ones(3)), "has no cdf"),
        (dist.Gamma(torch.ones(3), 1.0), "no derivative in the concentration"),
        (dist.InverseGamma(torch.ones(3), 1.0), "no derivative in the concentration"),
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


@pytest.mark.parametrize("mixture_batch", [(), (4,), (1,), (5, 4)])
def test_batches_broadcast_and_expand(mixture_batch):
    logits = torch.zeros(*mixture_batch, 3, requires_grad=True)
    loc = torch.randn(4, 3, 2, requires_grad=True)
    ours = D.MixtureSameFamily(
        dist.Categorical(logits=logits), dist.Normal(loc, 1.0).to_event(1)
    )
    batch = torch.broadcast_shapes(mixture_batch, (4,))
    assert ours.batch_shape == batch
    assert ours.mean.shape == ours.variance.shape == (*batch, 2)
    value = ours.rsample((6,))
    assert value.shape == (6, *batch, 2)
    assert ours.log_prob(value).shape == (6, *batch)
    expanded = ours.expand((7, *batch))
    assert type(expanded) is D.MixtureSameFamily
    assert expanded.has_rsample
    value = expanded.rsample((2,))
    assert value.shape == (2, 7, *batch, 2)
    gradients = torch.autograd.grad(value.sin().sum(), (logits, loc))
    assert all(g.isfinite().all() and (g != 0).any() for g in gradients)


def test_higher_event_dimensions_are_flat():
    loc = torch.randn(3, 2, 2, dtype=torch.float64)
    square = D.MixtureSameFamily(
        dist.Categorical(logits=LOGITS), dist.Normal(loc, 1.0).to_event(2)
    )
    flat = D.MixtureSameFamily(
        dist.Categorical(logits=LOGITS), dist.Normal(loc.flatten(1), 1.0).to_event(1)
    )
    value = torch.randn(5, 2, 2, dtype=torch.float64)
    logits = leaves(LOGITS)[0]
    found, expected = (
        torch.autograd.grad(
            D.MixtureSameFamily(
                dist.Categorical(logits=logits), m.component_distribution
            )
            .attach_gradient(v)
            .sum(),
            logits,
        )[0]
        for m, v in ((square, value), (flat, value.flatten(1)))
    )
    torch.testing.assert_close(found, expected)


def test_functional_transforms():
    def objective(logits, loc):
        return mixture(logits, loc, torch.ones(3)).rsample((4,)).sum()

    logits, loc = torch.zeros(5, 3), torch.randn(5, 3)
    gradient = torch.func.grad(objective, argnums=(0, 1))
    found = torch.func.vmap(gradient, randomness="different")(logits, loc)
    assert all(g.shape == (5, 3) and g.isfinite().all() for g in found)
    draws = torch.func.vmap(
        lambda _: mixture(logits[0], loc[0], torch.ones(3)).rsample(),
        randomness="different",
    )(torch.zeros(50))
    assert draws.unique().numel() == 50


def test_vmap_of_the_gradient_is_the_gradient():
    value = torch.randn(5, 2, dtype=torch.float64)
    logits = torch.randn(5, 3, dtype=torch.float64)

    def objective(logits, value):
        return mixture(logits, LOC, SCALE).attach_gradient(value).tanh().sum()

    gradient = torch.func.grad(objective)
    found = torch.func.vmap(gradient)(logits, value)
    expected = torch.stack([gradient(a, b) for a, b in zip(logits, value, strict=True)])
    torch.testing.assert_close(found, expected)


def test_copies():
    ours = mixture(LOGITS, LOC, SCALE)
    for other in (copy.deepcopy(ours), pickle.loads(pickle.dumps(ours))):
        torch.manual_seed(0)
        first = ours.rsample((3,))
        torch.manual_seed(0)
        torch.testing.assert_close(other.rsample((3,)), first, rtol=0, atol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dtype_is_kept(dtype):
    parameters = leaves(LOGITS.to(dtype), LOC.to(dtype), SCALE.to(dtype))
    value = mixture(*parameters).rsample((3,))
    assert value.dtype == dtype
    gradients = torch.autograd.grad(value.sum(), parameters)
    assert all(g.dtype == dtype for g in gradients)
