# SPDX-License-Identifier: Apache-2.0
"""The Wishart classes against arbitrary precision and known expectations."""

import mpmath as mp
import pytest
import torch

from pyro_reparam_ext import distributions as D
from tests.references import wishart

GRADIENT = {torch.float64: 1e-8, torch.float32: 1e-4}
VALUE = {torch.float64: 1e-12, torch.float32: 1e-5}
FACTOR = [[1.5, 0.0, 0.0], [-0.5, 0.75, 0.0], [0.25, 0.5, 1.25]]
DEGREES = [2.001, 2.3, 3.0, 4.5, 50.0, 1e5]
every_dtype = pytest.mark.parametrize("dtype", list(GRADIENT), ids=str)
every_df = pytest.mark.parametrize("df", DEGREES)


def drawn(cls, df, dtype, n=3):
    torch.manual_seed(1)
    df = torch.tensor(df, dtype=dtype).requires_grad_()
    scale = torch.tensor(FACTOR, dtype=dtype).requires_grad_()
    return df, scale, cls(df, scale_tril=scale).sample((n,))


def matrix(tensor):
    return mp.matrix([[mp.mpf(x) for x in row] for row in tensor.tolist()])


@every_dtype
@every_df
def test_pathwise_derivative_of_every_element(df, dtype):
    """dC = dL A + L dA, where only the diagonal of A moves with df."""
    df, scale, values = drawn(D.WishartCholesky, df, dtype)
    path = D.WishartCholesky(df, scale_tril=scale).attach_gradient(values)
    with mp.workdps(50):
        factor = matrix(scale.detach())
        for value, moved in zip(values, path, strict=True):
            standard = factor**-1 * matrix(value)
            ends = [
                wishart.chi_slope(standard[i, i], mp.mpf(df.item()) - i)
                for i in range(3)
            ]
            by_df = factor * mp.diag(ends)
            for i in range(3):
                for j in range(i + 1):
                    found, by_scale = torch.autograd.grad(
                        moved[i, j], [df, scale], retain_graph=True
                    )
                    tolerance = GRADIENT[dtype]
                    size = max(abs(by_df[k, j]) for k in range(3))
                    assert abs(found.item() - by_df[i, j]) <= tolerance * size
                    row = [by_scale[i, k].item() for k in range(3)]
                    for k in range(i + 1):
                        assert abs(row[k] - standard[k, j]) <= tolerance
                    by_scale[i, : i + 1] = 0
                    assert (by_scale == 0).all()


@every_dtype
@every_df
def test_log_prob(df, dtype):
    df, scale, values = drawn(D.WishartCholesky, df, dtype)
    found = D.WishartCholesky(df, scale_tril=scale).log_prob(values)
    with mp.workdps(50):
        for value, log_prob in zip(values.tolist(), found.tolist(), strict=True):
            expected = wishart.of_factor(wishart.log_prob, value, df.item(), FACTOR)
            assert abs(log_prob - expected) <= VALUE[dtype] * max(1, abs(expected))


@every_dtype
@pytest.mark.parametrize("df", [5.0, 50.0])
def test_log_prob_of_the_matrix(df, dtype):
    df, scale, values = drawn(D.Wishart, df, dtype)
    found = D.Wishart(df, scale_tril=scale).log_prob(values)
    with mp.workdps(50):
        for value, log_prob in zip(values, found.tolist(), strict=True):
            # what a matrix that is symmetric only to rounding means: its lower half
            symmetric = value.tril() + value.tril(-1).mT
            expected = wishart.log_prob(symmetric.tolist(), df.item(), FACTOR)
            assert abs(log_prob - expected) <= VALUE[dtype] * max(1, abs(expected))


def test_forms_of_the_scale_matrix_agree():
    scale = torch.tensor(FACTOR, dtype=torch.float64)
    matrix = scale @ scale.mT
    for cls in (D.Wishart, D.WishartCholesky):
        forms = [
            cls(4.0, matrix),
            cls(4.0, precision_matrix=matrix.inverse()),
            cls(4.0, scale_tril=scale),
        ]
        for d in forms:
            torch.testing.assert_close(d.scale_tril, scale)
            torch.testing.assert_close(d.covariance_matrix, matrix)


def test_log_prob_entropy_and_moments_are_torchs():
    torch.manual_seed(0)
    scale = torch.tensor(FACTOR, dtype=torch.float64)
    df = torch.tensor([3.5, 9.0], dtype=torch.float64)
    ours = D.Wishart(df, scale_tril=scale)
    theirs = torch.distributions.Wishart(df, scale_tril=scale)
    z = ours.sample((5,))
    torch.testing.assert_close(ours.log_prob(z), theirs.log_prob(z))
    for name in ("mean", "variance"):
        torch.testing.assert_close(getattr(ours, name), getattr(theirs, name))
    torch.testing.assert_close(ours.entropy(), theirs.entropy())
    # one by one: torch's divergence of a batch has another value
    for one in df:
        found, expected = (
            torch.distributions.kl_divergence(
                cls(one, scale_tril=scale),
                cls(torch.tensor(5.0).double(), torch.eye(3).double()),
            )
            for cls in (D.Wishart, torch.distributions.Wishart)
        )
        torch.testing.assert_close(found, expected)


@pytest.mark.slow
@every_dtype
@pytest.mark.parametrize("df", [2.05, 2.5, 6.0])
def test_gradient_of_the_mean_log_determinant(df, dtype):
    """In df it is half a sum of trigammas, in the scale twice its inverse diagonal."""
    torch.manual_seed(0)
    n = 200_000
    leaf = torch.full((n,), df, dtype=dtype, requires_grad=True)
    scale = torch.tensor(FACTOR, dtype=dtype).requires_grad_()
    factor = D.WishartCholesky(leaf, scale_tril=scale).rsample()
    log_det = 2 * factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    by_df, by_scale = torch.autograd.grad(log_det.sum(), [leaf, scale])
    half = 0.5 * (df - torch.arange(3, dtype=torch.float64))
    expected = 0.5 * torch.special.polygamma(1, half).sum()
    error = by_df.double().std() / n**0.5
    assert (by_df.double().mean() - expected).abs() <= 5 * error
    ends = scale.detach().diagonal()
    torch.testing.assert_close(by_scale / n, (2 / ends).diag(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("cls", [D.Wishart, D.WishartCholesky])
def test_errors(cls):
    eye = torch.eye(3)
    name = cls.__name__
    with pytest.raises(ValueError, match=f"{name}: df must be greater than p - 1 = 2"):
        cls(torch.tensor([3.0, 2.0]), eye)
    with pytest.raises(ValueError, match=r"exactly one form .* found none"):
        cls(4.0)
    with pytest.raises(ValueError, match="exactly one form"):
        cls(4.0, eye, scale_tril=eye)
    with pytest.raises(ValueError, match="must be a square matrix"):
        cls(4.0, torch.ones(2, 3))
    with pytest.raises(ValueError, match="covariance_matrix must be positive-def"):
        cls(4.0, -eye)
    with pytest.raises(ValueError, match="scale_tril"):
        cls(4.0, scale_tril=-eye)
