# SPDX-License-Identifier: Apache-2.0
"""Matrix normal laws against arbitrary precision and the law of the long vector."""

import mpmath as mp
import pytest
import torch
from torch.distributions import MultivariateNormal, kl_divergence

from pyro_reparam_ext import distributions as D
from tests.references import matrix_variate

VALUE = {torch.float64: 1e-12, torch.float32: 1e-5}
LOC = [[0.5, -1.0], [2.0, 0.0], [0.25, 0.125]]
ROWS = [[1.25, 0.0, 0.0], [-0.5, 0.75, 0.0], [0.25, 0.5, 1.125]]
COLUMNS = [[0.0625, 0.0], [1.5, 2.0]]
every_dtype = pytest.mark.parametrize("dtype", list(VALUE), ids=str)


def arguments(dtype=torch.float64):
    return [torch.tensor(a, dtype=dtype) for a in (LOC, ROWS, COLUMNS)]


@every_dtype
def test_normal_log_prob(dtype):
    torch.manual_seed(0)
    law = D.MatrixNormal(*arguments(dtype))
    values = law.sample((5,))
    with mp.workdps(40):
        for value, found in zip(values, law.log_prob(values).tolist(), strict=True):
            expected = matrix_variate.normal_log_prob(
                value.tolist(), LOC, ROWS, COLUMNS
            )
            assert abs(found - expected) <= VALUE[dtype] * max(1, abs(expected))


def long_normal(loc, rows, columns):
    scale = torch.kron(rows.contiguous(), columns.contiguous())
    return MultivariateNormal(loc.flatten(), scale_tril=scale)


def test_it_is_the_normal_law_of_the_long_vector():
    loc, rows, columns = arguments()
    law, vector = D.MatrixNormal(loc, rows, columns), long_normal(loc, rows, columns)
    torch.testing.assert_close(law.entropy(), vector.entropy())
    torch.testing.assert_close(law.variance.flatten(), vector.variance)
    other = (loc + 0.3, 2 * rows + torch.eye(3).double(), columns.mT.tril())
    torch.testing.assert_close(
        kl_divergence(law, D.MatrixNormal(*other)),
        kl_divergence(vector, long_normal(*other)),
    )


def test_draws_move_with_every_parameter():
    """dZ = dM + dA e B' + A e dB', and nothing above the diagonals."""
    leaves = [a.requires_grad_() for a in arguments()]
    law = D.MatrixNormal(*leaves)
    torch.manual_seed(0)
    eps = law.noise().sample()
    weight = torch.randn(3, 2).double()
    by_loc, by_rows, by_columns = torch.autograd.grad(
        (weight * law.transport(eps)).sum(), leaves
    )
    _, rows, columns = (a.detach() for a in leaves)
    torch.testing.assert_close(by_loc, weight)
    torch.testing.assert_close(by_rows, (weight @ columns @ eps.mT).tril())
    torch.testing.assert_close(by_columns, (weight.mT @ rows @ eps).tril())


def test_matrices_of_other_sizes_are_refused():
    loc, rows, columns = arguments()
    with pytest.raises(ValueError, match="3 rows and 2 columns of loc"):
        D.MatrixNormal(loc, columns, rows)
    with pytest.raises(ValueError, match="loc must be a matrix"):
        D.MatrixNormal(loc[0], rows, columns)
