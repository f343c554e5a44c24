# SPDX-License-Identifier: Apache-2.0
"""Mixtures of correlated normals: the path, and what Pyro's own mixtures get wrong."""

import pyro.distributions as dist
import pytest
import torch

from pyro_reparam_ext import distributions as D
from pyro_reparam_ext.distributions.mixture_components import NormalComponents

LOGITS = torch.tensor([0.1, 0.5, -0.4], dtype=torch.float64)
LOC = torch.tensor(
    [[0.1, 0.5, -0.3], [-0.8, 0.2, 0.4], [1.0, -0.6, 0.0]], dtype=torch.float64
)
SCALE_TRIL = torch.tensor(
    [
        [[0.6, 0.0, 0.0], [0.5, 1.1, 0.0], [-0.2, 0.3, 0.8]],
        [[0.9, 0.0, 0.0], [-0.4, 0.7, 0.0], [0.6, 0.1, 0.5]],
        [[0.5, 0.0, 0.0], [0.2, 0.8, 0.0], [0.0, -0.7, 1.2]],
    ],
    dtype=torch.float64,
)
VALUE = torch.tensor([0.4, -1.2, 0.9], dtype=torch.float64)
WEIGHTS = torch.tensor([0.7, -1.3, 0.4], dtype=torch.float64)


def mixture(logits, loc, scale_tril):
    return D.MixtureSameFamily(
        dist.Categorical(logits=logits),
        dist.MultivariateNormal(loc, scale_tril=scale_tril),
    )


def leaves(*tensors):
    return [t.clone().requires_grad_() for t in tensors]


def transform(value, logits, loc, scale_tril):
    """The distributional transform of one point, by its definition."""
    scores = torch.linalg.solve_triangular(
        scale_tril, (value - loc).unsqueeze(-1), upper=False
    ).squeeze(-1)
    scale = scale_tril.diagonal(dim1=-2, dim2=-1)
    log_density = -0.5 * scores.square() - scale.log()
    before = log_density.cumsum(-1) - log_density
    weights = torch.softmax(logits.unsqueeze(-1) + before, 0)
    return (weights * torch.special.ndtr(scores)).sum(0)


def path_by_definition(value, parameters):
    """dz/dtheta = -(dT/dz)^-1 dT/dtheta, one matrix a parameter."""
    jacobian = torch.func.jacrev(transform)(value, *parameters)
    result = []
    for k, parameter in enumerate(parameters):
        slope = torch.func.jacrev(transform, argnums=k + 1)(value, *parameters)
        solved = -torch.linalg.solve(jacobian, slope.reshape(len(value), -1))
        result.append(solved.reshape(len(value), *parameter.shape))
    return result


def check_path(parameters, value=VALUE):
    attached = mixture(*parameters).attach_gradient(value)
    expected = path_by_definition(value, [p.detach() for p in parameters])
    for i in range(len(value)):
        found = torch.autograd.grad(attached[i], parameters, retain_graph=True)
        for gradient, solved in zip(found, expected, strict=True):
            torch.testing.assert_close(gradient, solved[i], rtol=1e-11, atol=1e-13)


def test_derivative_of_every_coordinate_is_the_triangular_solve():
    check_path(leaves(LOGITS, LOC, SCALE_TRIL))


@pytest.mark.parametrize("forgotten", ["own", "weights"])
def test_a_term_left_out_of_the_solve_is_caught(forgotten, monkeypatch):
    kept = NormalComponents.feedback

    def feedback(self, points, tensors, shift, responsibility, slope):
        if forgotten == "own":
            responsibility = torch.zeros_like(responsibility)
        else:
            shift = torch.zeros_like(shift)
        return kept(self, points, tensors, shift, responsibility, slope)

    monkeypatch.setattr(NormalComponents, "feedback", feedback)
    with pytest.raises(AssertionError, match="not close"):
        check_path(leaves(LOGITS, LOC, SCALE_TRIL))


def test_second_derivatives_are_those_of_the_path():
    parameters = leaves(LOGITS, LOC, SCALE_TRIL)
    directions = [
        torch.sin(torch.arange(p.numel()) + 1.0).double().reshape(p.shape)
        for p in parameters
    ]
    directions[-1] = directions[-1].tril()

    def slope(parameters, value):
        objective = mixture(*parameters).attach_gradient(value).tanh() @ WEIGHTS
        found = torch.autograd.grad(objective, parameters, create_graph=True)
        return sum((g * d).sum() for g, d in zip(found, directions, strict=True))

    second = torch.autograd.grad(slope(parameters, VALUE), parameters)
    found = sum((g * d).sum() for g, d in zip(second, directions, strict=True))
    quantile = transform(VALUE, *(p.detach() for p in parameters))

    def moved(t):
        there = [
            (p + t * d).detach() for p, d in zip(parameters, directions, strict=True)
        ]
        value = VALUE.clone()
        for _ in range(30):
            jacobian = torch.func.jacrev(transform)(value, *there)
            residual = transform(value, *there) - quantile
            value = value - torch.linalg.solve(jacobian, residual)
        return slope(leaves(*there), value).detach()

    h = 1e-3
    coarse = (moved(h) - moved(-h)) / (2 * h)
    fine = (moved(h / 2) - moved(-h / 2)) / h
    torch.testing.assert_close(found, (4 * fine - coarse) / 3, rtol=1e-7, atol=1e-9)


def test_uncorrelated_components_are_factorized_ones():
    logits, loc, scale = leaves(LOGITS, LOC, SCALE_TRIL.diagonal(dim1=-2, dim2=-1))
    values = torch.randn(7, 3, dtype=torch.float64)
    gradients = []
    for components in (
        dist.MultivariateNormal(loc, scale_tril=torch.diag_embed(scale)),
        dist.Normal(loc, scale).to_event(1),
    ):
        ours = D.MixtureSameFamily(dist.Categorical(logits=logits), components)
        objective = (ours.attach_gradient(values).tanh() @ WEIGHTS).sum()
        gradients.append(torch.autograd.grad(objective, (logits, loc, scale)))
    torch.testing.assert_close(*gradients, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("kind", ["covariance", "precision", "low rank"])
def test_every_parameterization_follows_the_same_path(kind):
    logits, loc, factor = leaves(LOGITS, LOC, SCALE_TRIL[..., :2])
    diagonal = torch.tensor([0.3, 0.5, 0.2], dtype=torch.float64)
    values = torch.randn(7, 3, dtype=torch.float64)

    def gradient(components):
        ours = D.MixtureSameFamily(dist.Categorical(logits=logits), components)
        objective = (ours.attach_gradient(values).tanh() @ WEIGHTS).sum()
        return torch.autograd.grad(objective, (logits, loc, factor))

    def covariance():
        return factor @ factor.mT + diagonal.diag()

    expected = gradient(
        dist.MultivariateNormal(loc, scale_tril=torch.linalg.cholesky(covariance()))
    )
    other = {
        "covariance": lambda: dist.MultivariateNormal(loc, covariance()),
        "precision": lambda: dist.MultivariateNormal(
            loc, precision_matrix=torch.linalg.inv(covariance())
        ),
        "low rank": lambda: dist.LowRankMultivariateNormal(
            loc, factor, diagonal.expand(3, 3)
        ),
    }[kind]()
    torch.testing.assert_close(gradient(other), expected, rtol=1e-9, atol=1e-10)


def test_functional_transforms():
    def objective(logits, loc, value):
        ours = mixture(logits, loc, SCALE_TRIL)
        return ours.attach_gradient(value).tanh().sum()

    logits = torch.randn(5, 3, dtype=torch.float64)
    loc = torch.randn(5, 3, 3, dtype=torch.float64)
    value = torch.randn(5, 3, dtype=torch.float64)
    gradient = torch.func.grad(objective, argnums=(0, 1))
    with dist.util.validation_enabled(False):
        found = torch.func.vmap(gradient)(logits, loc, value)
        each = [gradient(*one) for one in zip(logits, loc, value, strict=True)]
    for one, expected in zip(found, zip(*each, strict=True), strict=True):
        torch.testing.assert_close(one, torch.stack(expected))


@pytest.mark.parametrize("shared", [False, True], ids=["own", "shared"])
def test_batches_broadcast_and_expand(shared):
    logits = torch.zeros(4, 3, requires_grad=True)
    loc = torch.randn(4, 3, 2, requires_grad=True)
    tril = torch.eye(2) if shared else torch.eye(2).repeat(4, 3, 1, 1)
    tril.requires_grad_()
    ours = mixture(logits, loc, tril).expand((7, 4))
    assert type(ours) is D.MixtureSameFamily
    value = ours.rsample((6,))
    assert value.shape == (6, 7, 4, 2)
    gradients = torch.autograd.grad(value.sin().sum(), (logits, loc, tril))
    assert all(g.isfinite().all() and (g != 0).any() for g in gradients)
    assert gradients[-1].shape == tril.shape


INTEGRANDS = {
    "z0 z1": lambda z: z[..., 0] * z[..., 1],
    "z1^2": lambda z: z[..., 1] ** 2,
    "bump": lambda z: torch.exp(-0.3 * (z[..., 0] - 0.2) ** 2 - z[..., 1] ** 2),
}


def discrepancy(make, parameters, integrand, draws=4000):
    """Mean gradients less those of a quadrature over the plane, in standard errors."""
    f = INTEGRANDS[integrand]
    torch.manual_seed(1)
    batches = []
    for _ in range(25):
        value = make(*parameters).rsample((draws,))
        batches.append(torch.autograd.grad(f(value).mean(), parameters))
    grid = torch.linspace(-9, 9, 301, dtype=torch.float64)
    points = torch.stack(torch.meshgrid(grid, grid, indexing="ij"), -1)
    cell = (grid[1] - grid[0]) ** 2
    density = make(*parameters).log_prob(points).exp()
    exact = torch.autograd.grad((f(points) * density).sum() * cell, parameters)
    result = []
    for found, expected in zip(zip(*batches, strict=True), exact, strict=True):
        found = torch.stack(found)
        error = found.std(0) / len(found) ** 0.5
        result.append(float(((found.mean(0) - expected).abs() / (error + 1e-9)).max()))
    return result


@pytest.mark.parametrize("integrand", INTEGRANDS)
def test_gradient_of_an_expectation(integrand):
    parameters = leaves(LOGITS, LOC[:, :2], SCALE_TRIL[:, :2, :2])

    def make(logits, loc, scale_tril):
        return mixture(logits, loc, scale_tril.tril())

    # 5 sigma of a t law with 24 degrees of freedom: failure probability 4e-5
    assert max(discrepancy(make, parameters, integrand)) <= 5


def moved_to_ours(logits, loc, scale):
    return D.MixtureSameFamily(
        dist.Categorical(logits=logits), dist.Normal(loc, scale).to_event(1)
    )


STOCK = {
    "MixtureOfDiagNormals": lambda logits, loc, scale: dist.MixtureOfDiagNormals(
        loc, scale, logits
    ),
    "MixtureOfDiagNormalsSharedCovariance": (
        lambda logits, loc, scale: dist.MixtureOfDiagNormalsSharedCovariance(
            loc, scale, logits
        )
    ),
}


@pytest.mark.parametrize("stock", STOCK)
def test_the_gradient_in_the_weights_that_pyro_gets_wrong(stock):
    scale = torch.tensor([[0.6, 1.1], [0.9, 0.7]], dtype=torch.float64)
    if stock == "MixtureOfDiagNormalsSharedCovariance":
        scale = scale[0]
    parameters = leaves(LOGITS[:2], LOC[:2, :2], scale)
    theirs = discrepancy(STOCK[stock], parameters, "z0 z1", draws=8000)
    ours = discrepancy(moved_to_ours, parameters, "z0 z1", draws=8000)
    assert theirs[0] > 50  # in the logits; far beyond chance
    assert max(theirs[1:]) <= 5
    assert max(ours) <= 5
    value = torch.randn(5, 2, dtype=torch.float64)
    torch.testing.assert_close(
        moved_to_ours(*parameters).log_prob(value),
        STOCK[stock](*parameters).log_prob(value),
    )
