# SPDX-License-Identifier: Apache-2.0
r"""Supports of random matrices, with bijections that samplers and guides can use.

torch's constraints have the right checks, but to :math:`n \times n` real numbers only
(no bijection, and no log-det), or by a difference that loses a small diagonal. These
are the same sets with bijections from as many real numbers as there are free elements.
"""

import math
from typing import Any

import torch
from pyro.distributions import constraints as pyro_constraints
from pyro.distributions.transforms import CholeskyTransform, CorrMatrixCholeskyTransform
from torch import Tensor
from torch.distributions import (
    ComposeTransform,
    Transform,
    biject_to,
    constraints,
    transform_to,
)

LowerCholesky: Any = type(constraints.lower_cholesky)
PositiveDefinite: Any = type(constraints.positive_definite)
CorrCholesky: Any = type(constraints.corr_cholesky)
CorrMatrix: Any = type(pyro_constraints.corr_matrix)


# torch shows a constraint by its class without the first letter
class _CholeskyFactors(LowerCholesky):
    """Lower triangular matrices with a positive diagonal."""


class _PositiveDefiniteMatrices(PositiveDefinite):
    """Symmetric positive-definite matrices."""

    def check(self, value: Tensor) -> Tensor:
        """As torch's, without a choice that values decide: it works under vmap."""
        away = (value - value.mT).abs()
        symmetric = (away <= 1e-6 + 1e-5 * value.abs()).all(-1).all(-1)
        return symmetric & (torch.linalg.cholesky_ex(value).info == 0)


class _CorrelationFactors(CorrCholesky):
    """Lower triangular matrices with a positive diagonal and rows of length 1."""


class _CorrelationMatrices(CorrMatrix):
    """Positive-definite matrices with a diagonal of ones."""

    def check(self, value: Tensor) -> Tensor:
        """Positive-definite, with ones to 1e-6."""
        diagonal = value.diagonal(dim1=-2, dim2=-1)
        of_ones = ((diagonal - 1).abs() < 1e-6).all(-1)
        return of_ones & positive_definite_matrices.check(value)


cholesky_factors = _CholeskyFactors()
positive_definite_matrices = _PositiveDefiniteMatrices()
correlation_factors = _CorrelationFactors()
correlation_matrices = _CorrelationMatrices()


class _FromTriangle(Transform):
    """Takes a vector of the elements on and below a diagonal, row by row."""

    domain = constraints.real_vector
    bijective = True
    diagonal: int

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self)

    __hash__ = Transform.__hash__

    def forward_shape(self, shape: Any) -> torch.Size:
        """From that of the elements to that of the matrix."""
        n = math.isqrt(2 * shape[-1]) - self.diagonal
        n = n if n * (n + 1 + 2 * self.diagonal) == 2 * shape[-1] else n + 1
        if n * (n + 1 + 2 * self.diagonal) != 2 * shape[-1]:
            raise ValueError(
                f"{type(self).__name__}: expected the elements of a triangle; found "
                f"{shape[-1]} of them. Give n (n + {1 + 2 * self.diagonal}) / 2."
            )
        return torch.Size((*shape[:-1], n, n))

    def inverse_shape(self, shape: Any) -> torch.Size:
        """From that of the matrix to that of the elements."""
        n = shape[-1]
        return torch.Size((*shape[:-2], n * (n + 1 + 2 * self.diagonal) // 2))

    def _matrix(self, x: Tensor) -> Tensor:
        n = self.forward_shape(x.shape)[-1]
        row, column = torch.tril_indices(n, n, self.diagonal, device=x.device)
        place = torch.zeros(n, n, dtype=torch.long, device=x.device)
        place[row, column] = torch.arange(len(row), device=x.device)
        return x[..., place].tril(self.diagonal)

    def _elements(self, matrix: Tensor) -> Tensor:
        n = matrix.shape[-1]
        row, column = torch.tril_indices(n, n, self.diagonal, device=matrix.device)
        return matrix[..., row, column]


class CholeskyFactorTransform(_FromTriangle):
    r"""From :math:`n(n+1)/2` real numbers to lower triangular matrices.

    The diagonal is the exponential of its elements.
    """

    codomain = cholesky_factors
    diagonal = 0

    def _call(self, x: Tensor) -> Tensor:
        matrix = self._matrix(x)
        end = matrix.diagonal(dim1=-2, dim2=-1).exp()
        return matrix.tril(-1) + end.diag_embed()

    def _inverse(self, y: Tensor) -> Tensor:
        end = y.diagonal(dim1=-2, dim2=-1).log()
        return self._elements(y.tril(-1) + end.diag_embed())

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """With respect to the elements on and below the diagonal."""
        return y.diagonal(dim1=-2, dim2=-1).log().sum(-1)


class CorrelationFactorTransform(_FromTriangle):
    r"""From :math:`n(n-1)/2` real numbers to Cholesky factors of correlations.

    .. math:: L_{ij} = \tanh x_{ij} \prod_{k<j} \frac1{\cosh x_{ik}}, \quad j < i,
        \qquad L_{ii} = \prod_{k<i} \frac1{\cosh x_{ik}},

    the coordinates of :class:`torch.distributions.CorrCholeskyTransform`, which takes
    :math:`1/\cosh^2 x` as :math:`1 - \tanh^2 x`. Here no element is a difference, in
    either direction.
    """

    codomain = correlation_factors
    diagonal = -1

    def _call(self, x: Tensor) -> Tensor:
        matrix = self._matrix(x)
        left = _log_cosh(matrix).cumsum(-1).roll(1, -1).neg().exp()
        left = torch.cat([torch.ones_like(left[..., :1]), left[..., 1:]], -1)
        eye = torch.eye(matrix.shape[-1], dtype=x.dtype, device=x.device)
        return (torch.tanh(matrix) + eye) * left

    def _inverse(self, y: Tensor) -> Tensor:
        # what is left of a row from each element on, as a sum of squares
        rest = y.square().flip(-1).cumsum(-1).flip(-1).roll(-1, -1)
        return torch.asinh(self._elements(y) / self._elements(rest).sqrt())

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """With respect to the elements below the diagonal."""
        matrix = self._matrix(x)
        n = matrix.shape[-1]
        i = torch.arange(n, dtype=x.dtype, device=x.device)
        # log sech^2 of its own element, log sech of each to the right
        powers = (i.unsqueeze(-1) - i + 1).clamp(min=0)
        return -(powers * _log_cosh(matrix)).sum((-2, -1))


def _log_cosh(x: Tensor) -> Tensor:
    return x.abs() + torch.log1p(torch.exp(-2 * x.abs())) - math.log(2)


def _square(factor: Transform, square: Any) -> Transform:
    return ComposeTransform([factor, square.inv])


@biject_to.register(_CholeskyFactors)  # type: ignore[untyped-decorator]
@transform_to.register(_CholeskyFactors)  # type: ignore[untyped-decorator]
def _to_cholesky_factors(constraint: Any) -> Transform:
    return CholeskyFactorTransform()


@biject_to.register(_CorrelationFactors)  # type: ignore[untyped-decorator]
@transform_to.register(_CorrelationFactors)  # type: ignore[untyped-decorator]
def _to_correlation_factors(constraint: Any) -> Transform:
    return CorrelationFactorTransform()


@biject_to.register(_PositiveDefiniteMatrices)  # type: ignore[untyped-decorator]
@transform_to.register(_PositiveDefiniteMatrices)  # type: ignore[untyped-decorator]
def _to_positive_definite_matrices(constraint: Any) -> Transform:
    return _square(CholeskyFactorTransform(), CholeskyTransform())


@biject_to.register(_CorrelationMatrices)  # type: ignore[untyped-decorator]
@transform_to.register(_CorrelationMatrices)  # type: ignore[untyped-decorator]
def _to_correlation_matrices(constraint: Any) -> Transform:
    return _square(CorrelationFactorTransform(), CorrMatrixCholeskyTransform())
