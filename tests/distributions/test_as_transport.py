# SPDX-License-Identifier: Apache-2.0
"""The view of every stock distribution is exact; planted mistakes are caught."""

import dataclasses
import math

import pytest
import torch
import torch.distributions as td

from pyro_reparam_ext.distributions import as_transport
from tests.distributions.stock_cases import COVARIANCE, LOC3, OTHER, SCALAR
from tests.distributions.transport_laws import (
    check_gradient,
    check_law,
    check_log_det,
    check_log_prob,
    check_round_trip,
    check_shapes,
    unmasked,
)

DTYPES = [torch.float64, torch.float32]


def _over(cases):
    return pytest.mark.parametrize(
        ("case", "point"),
        [pytest.param(c, p, id=f"{c.name}-{p}") for c in cases for p in c.points],
    )


@pytest.mark.parametrize("dtype", DTYPES, ids=["float64", "float32"])
@_over(SCALAR + OTHER)
def test_shapes(case, point, dtype):
    dist = case.distribution(point, dtype)
    check_shapes(dist, as_transport(dist))


@_over(SCALAR + OTHER)
def test_round_trip(case, point):
    check_round_trip(as_transport(case.distribution(point)), rtol=1e-9, atol=1e-9)


@_over(SCALAR + OTHER)
def test_log_det(case, point):
    check_log_det(as_transport(case.distribution(point)))


@_over(SCALAR + OTHER)
def test_log_prob(case, point):
    dist = case.distribution(point)
    check_log_prob(dist, as_transport(dist), rtol=1e-9, atol=1e-8)


@_over(SCALAR)
def test_float32_density(case, point):
    """In float32, at float32 draws, the density is that of float64 at the same point.

    The location 100 costs digits of value - loc that no formula can give back.
    """
    view = as_transport(case.distribution(point, torch.float32))
    value = view.sample((200,))
    expected = as_transport(case.distribution(point)).log_prob(value.double())
    torch.testing.assert_close(
        view.log_prob(value).double(), expected, rtol=2e-5, atol=2e-4
    )


@pytest.mark.parametrize("dtype", DTYPES, ids=["float64", "float32"])
@_over(SCALAR)
def test_law(case, point, dtype):
    check_law(case.distribution(point), as_transport(case.distribution(point, dtype)))


@_over(SCALAR)
def test_gradient(case, point):
    torch.manual_seed(2)
    check_gradient(case.make, case.parameters(point))


GAUSSIAN = [c for c in OTHER if "MVN" in c.name]


@_over(GAUSSIAN)
def test_gaussian_moments_and_their_gradient(case, point):
    """The points ±√d eᵢ have the moments of N(0, I): quadratics are exact on them."""
    parameters = {n: p.requires_grad_() for n, p in case.parameters(point).items()}
    dist = case.make(**parameters)
    view = as_transport(dist)
    d = dist.event_shape[0]
    eps = math.sqrt(d) * torch.cat([torch.eye(d), -torch.eye(d)]).double()
    eps = eps.reshape(2 * d, *[1] * len(dist.batch_shape), d)
    value = view.transport(eps.expand(-1, *dist.batch_shape, d))
    gaussian = unmasked(dist)
    weight = torch.arange(1.0, d * d + 1).reshape(d, d).double().sin()
    weight = weight + weight.T  # a covariance varies as a symmetric matrix
    second = gaussian.covariance_matrix + gaussian.loc.unsqueeze(
        -1
    ) * gaussian.loc.unsqueeze(-2)
    expected = (weight * second).sum() + gaussian.loc.sum()
    outer = (value.unsqueeze(-1) * value.unsqueeze(-2)).mean(0)
    actual = (weight * outer).sum() + value.mean(0).sum()
    torch.testing.assert_close(actual, expected)
    ours = torch.autograd.grad(actual, list(parameters.values()), retain_graph=True)
    theirs = torch.autograd.grad(expected, list(parameters.values()))
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b)


def test_draws_of_vectors_follow_the_law():
    """Mean and covariance within 5 standard errors."""
    torch.manual_seed(3)
    loc, covariance = torch.tensor(LOC3), torch.tensor(COVARIANCE)
    draws = as_transport(td.MultivariateNormal(loc, covariance)).sample((50_000,))
    standard_error = (covariance.diagonal() / 50_000).sqrt()
    assert ((draws.mean(0) - loc).abs() < 5 * standard_error).all()
    s = covariance.diagonal()
    standard_error = ((covariance**2 + s[:, None] * s) / 50_000).sqrt()
    assert ((draws.T.cov() - covariance).abs() < 5 * standard_error).all()


@pytest.mark.parametrize("mistake", ["law", "inverse", "log_det", "gradient"])
def test_planted_mistakes_are_caught(mistake):
    def make(loc, scale):
        return td.Laplace(loc, scale)

    parameters = {
        "loc": torch.tensor(0.5).double(),
        "scale": torch.tensor(2.0).double(),
    }
    dist = make(**parameters)
    view = as_transport(dist)
    if (
        mistake == "law"
    ):  # a wrong scale: the cdf is off by 0.034, where 0.02 is detected
        bad = dataclasses.replace(
            view, transport=lambda eps: 1.2 * (view.transport(eps) - 0.5) + 0.5
        )
        with pytest.raises(AssertionError):
            check_law(dist, bad)
    elif mistake == "inverse":
        bad = dataclasses.replace(view, inverse=lambda z: view.inverse(z) + 1e-6)
        with pytest.raises(AssertionError):
            check_round_trip(bad, 1e-9, 1e-9)
    elif mistake == "log_det":  # the scale is forgotten
        bad = dataclasses.replace(
            view,
            log_abs_det_jacobian=lambda eps, z: (
                view.log_abs_det_jacobian(eps, z) - dist.scale.log()
            ),
        )
        with pytest.raises(AssertionError):
            check_log_det(bad)
        with pytest.raises(AssertionError):
            check_log_prob(dist, bad, 1e-9, 1e-8)
    else:  # half of the path of the scale is detached

        def half(loc, scale):
            return make(loc, 0.5 * (scale + scale.detach()))

        def judged(loc, scale):
            return half(loc, scale) if judged.first else make(loc, scale)

        judged.first = True

        class Once:
            def __call__(self, **p):
                dist = judged(**p)
                judged.first = False
                return dist

        with pytest.raises(AssertionError):
            check_gradient(Once(), parameters)
