# SPDX-License-Identifier: Apache-2.0
"""Bijections onto matrices: inverse, log-det, and digits where torch loses them."""

import pytest
import torch
from torch.distributions import biject_to, transform_to
from torch.distributions.transforms import CorrCholeskyTransform

from pyro_reparam_ext.distributions import matrix_supports as supports

FACTORS = [supports.cholesky_factors, supports.correlation_factors]
SQUARES = [supports.positive_definite_matrices, supports.correlation_matrices]
every_support = pytest.mark.parametrize("support", FACTORS + SQUARES, ids=repr)


def free(matrix, support):
    """The free elements of a matrix, row by row."""
    diagonal = -1 if support in (FACTORS[1], SQUARES[1]) else 0
    row, column = torch.tril_indices(*matrix.shape[-2:], diagonal)
    return matrix[..., row, column]


@every_support
@pytest.mark.parametrize("size", [2, 3, 5])
def test_bijection(support, size):
    torch.manual_seed(0)
    to_support = biject_to(support)
    shape = to_support.inverse_shape((4, size, size))
    x = torch.randn(shape, dtype=torch.float64)
    y = to_support(x)
    assert y.shape == (4, size, size) == to_support.forward_shape(shape)
    assert support.check(y).all()
    assert support.event_dim == 2
    torch.testing.assert_close(to_support.inv(y), x)
    jacobian = torch.func.vmap(
        torch.func.jacrev(lambda x: free(to_support(x), support))
    )(x)
    torch.testing.assert_close(
        to_support.log_abs_det_jacobian(x, y), torch.linalg.slogdet(jacobian).logabsdet
    )
    torch.testing.assert_close(transform_to(support)(x), y)


def test_coordinates_of_correlations_are_torchs():
    x = torch.randn(3, 6, dtype=torch.float64)
    ours, theirs = supports.CorrelationFactorTransform(), CorrCholeskyTransform()
    y = theirs(x)
    torch.testing.assert_close(ours(x), y)
    torch.testing.assert_close(
        ours.log_abs_det_jacobian(x, y), theirs.log_abs_det_jacobian(x, y)
    )


def test_a_small_diagonal_keeps_its_digits():
    """torch gets 1 - tanh(x)^2 wrong from x = 8 on in float32."""
    x = torch.tensor([15.0, -12.0, 20.0])
    ours = supports.CorrelationFactorTransform()
    exact = ours(x.double())
    torch.testing.assert_close(ours(x), exact.float(), rtol=1e-5, atol=0)
    torch.testing.assert_close(ours.inv(ours(x)), x)
    assert not torch.allclose(CorrCholeskyTransform()(x)[1, 1], exact[1, 1].float())


def test_check_refuses():
    eye = torch.eye(2)
    bad = torch.stack([-eye, eye + torch.tensor([[0.0, 1.0], [0.0, 0.0]]), eye * 0])
    assert not supports.positive_definite_matrices.check(bad).any()
    assert not supports.correlation_matrices.check(torch.stack([2 * eye, -eye])).any()
    assert not supports.cholesky_factors.check(bad).any()
    assert not supports.correlation_factors.check(torch.stack([2 * eye, -eye])).any()


def test_a_vector_of_no_triangle_is_refused():
    with pytest.raises(ValueError, match="expected the elements of a triangle"):
        supports.CholeskyFactorTransform()(torch.zeros(4))
