# SPDX-License-Identifier: Apache-2.0
"""The inverse Wishart classes against arbitrary precision and known expectations."""

import math

import mpmath as mp
import pytest
import torch

from pyro_reparam_ext import distributions as D
from tests.distributions.test_wishart import (
    FACTOR,
    GRADIENT,
    VALUE,
    drawn,
    every_df,
    every_dtype,
    matrix,
)
from tests.references import wishart


@every_dtype
@every_df
def test_pathwise_derivative_of_every_element(df, dtype):
    """dC = (dS - C dB) B^-1, where only the diagonal of B moves with df."""
    df, scale, values = drawn(D.InverseWishartCholesky, df, dtype)
    path = D.InverseWishartCholesky(df, scale_tril=scale).attach_gradient(values)
    with mp.workdps(400 if df < 2.1 else 50):
        factor = matrix(scale.detach())
        for value, moved in zip(values, path, strict=True):
            inverse = factor**-1 * matrix(value)
            standard = inverse**-1
            ends = [
                wishart.chi_slope(standard[i, i], mp.mpf(df.item()) - 2 + i)
                for i in range(3)
            ]
            by_df = -matrix(value) * mp.diag(ends) * inverse
            for i in range(3):
                for j in range(i + 1):
                    found, by_scale = torch.autograd.grad(
                        moved[i, j], [df, scale], retain_graph=True
                    )
                    tolerance = GRADIENT[dtype]
                    size = max(abs(by_df[k, j]) for k in range(3))
                    assert abs(found.item() - by_df[i, j]) <= tolerance * size
                    largest = max(abs(inverse[k, j]) for k in range(3))
                    for k in range(i + 1):
                        error = abs(by_scale[i, k].item() - inverse[k, j])
                        assert error <= tolerance * largest
                    by_scale[i, : i + 1] = 0
                    assert (by_scale == 0).all()


@every_dtype
@every_df
def test_log_prob(df, dtype):
    df, scale, values = drawn(D.InverseWishartCholesky, df, dtype)
    found = D.InverseWishartCholesky(df, scale_tril=scale).log_prob(values)
    with mp.workdps(400 if df < 2.1 else 50):
        for value, log_prob in zip(values.tolist(), found.tolist(), strict=True):
            expected = wishart.of_factor(
                wishart.inverse_log_prob, value, df.item(), FACTOR
            )
            assert abs(log_prob - expected) <= VALUE[dtype] * max(1, abs(expected))


@every_dtype
@pytest.mark.parametrize("df", [5.0, 50.0])
def test_log_prob_of_the_matrix(df, dtype):
    df, scale, values = drawn(D.InverseWishart, df, dtype)
    found = D.InverseWishart(df, scale_tril=scale).log_prob(values)
    with mp.workdps(400 if df < 2.1 else 50):
        for value, log_prob in zip(values, found.tolist(), strict=True):
            symmetric = value.tril() + value.tril(-1).mT
            expected = wishart.inverse_log_prob(symmetric.tolist(), df.item(), FACTOR)
            assert abs(log_prob - expected) <= VALUE[dtype] * max(1, abs(expected))


def test_the_inverse_is_wishart():
    torch.manual_seed(0)
    scale = torch.tensor(FACTOR, dtype=torch.float64)
    df = torch.tensor(4.5, dtype=torch.float64)
    ours = D.InverseWishart(df, scale_tril=scale)
    inverse = D.Wishart(df, precision_matrix=scale @ scale.mT)
    x = ours.sample((5,))
    torch.testing.assert_close(
        ours.log_prob(x), inverse.log_prob(x.inverse()) - 4 * x.logdet()
    )
    # the map to the inverse has the Jacobian det(X)^(p + 1)
    half = 0.5 * (df - torch.arange(3))
    log_det = 2 * scale.diagonal().log().sum() - 3 * math.log(2)
    log_det = log_det - torch.digamma(half).sum()
    torch.testing.assert_close(ours.entropy(), inverse.entropy() + 4 * log_det)
    other = D.InverseWishart(6.0, 2 * torch.eye(3).double())
    torch.testing.assert_close(
        torch.distributions.kl_divergence(ours, other),
        torch.distributions.kl_divergence(
            inverse, D.Wishart(6.0, 0.5 * torch.eye(3).double())
        ),
    )


@pytest.mark.slow
@every_dtype
@pytest.mark.parametrize("df", [2.05, 2.5, 6.0])
def test_gradient_of_the_mean_log_determinant(df, dtype):
    """In df it is minus half a sum of trigammas."""
    torch.manual_seed(0)
    n = 200_000
    leaf = torch.full((n,), df, dtype=dtype, requires_grad=True)
    scale = torch.tensor(FACTOR, dtype=dtype).requires_grad_()
    factor = D.InverseWishartCholesky(leaf, scale_tril=scale).rsample()
    log_det = 2 * factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    by_df, by_scale = torch.autograd.grad(log_det.sum(), [leaf, scale])
    half = 0.5 * (df - torch.arange(3, dtype=torch.float64))
    expected = -0.5 * torch.special.polygamma(1, half).sum()
    error = by_df.double().std() / n**0.5
    assert (by_df.double().mean() - expected).abs() <= 5 * error
    ends = scale.detach().diagonal()
    torch.testing.assert_close(by_scale / n, (2 / ends).diag(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("cls", [D.InverseWishart, D.InverseWishartCholesky])
def test_few_degrees_of_freedom_have_no_moments_and_are_refused(cls):
    few = cls(2.5, torch.eye(3))
    assert few.mean.isnan().any()
    assert few.variance.isnan().any()
    with pytest.raises(ValueError, match=r"df must be greater than p - 1 = 2"):
        cls(1.0, torch.eye(3))
    with pytest.raises(ValueError, match="scale_matrix must be positive-definite"):
        cls(4.0, -torch.eye(3))
