# SPDX-License-Identifier: Apache-2.0
"""What is special to mixtures: nested parameters and factorized events."""

import copy
import pickle

import pyro.distributions as dist
import pytest
import torch

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
    expected, found = stock.sample((7,)), ours.rsample((7,))
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    torch.testing.assert_close(ours.log_prob(found), stock.log_prob(found))
    torch.testing.assert_close(ours.mean, stock.mean)
    torch.testing.assert_close(ours.variance, stock.variance)
    if not events:
        torch.testing.assert_close(ours.cdf(found), stock.cdf(found))


@pytest.mark.parametrize("number", [5, 40])
def test_components_are_chosen_by_their_probabilities(number):
    torch.manual_seed(0)
    probs = torch.rand(2, number, dtype=torch.float64)
    probs[:, [0, 2, -1]] = 0.0
    components = dist.Normal(torch.arange(number).double(), 1e-3)
    n = 100_000
    for categorical in (dist.Categorical(probs), dist.Categorical(logits=probs.log())):
        z = D.MixtureSameFamily(categorical, components).sample((n,))
        counts = torch.nn.functional.one_hot(z.round().long(), number).sum(0)
        exact = probs / probs.sum(-1, keepdim=True)
        # 5 sigma
        assert (
            (counts / n - exact).abs() <= 5 * (exact * (1 - exact) / n).sqrt()
        ).all()


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
