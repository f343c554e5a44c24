# SPDX-License-Identifier: Apache-2.0
"""Normal matrices with covariance between rows and between columns."""

import math
from typing import Any, final

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints
from torch.distributions.kl import register_kl

from pyro_reparam_ext.distributions.noise import StandardNormal
from pyro_reparam_ext.distributions.transport import TransportDistribution
from pyro_reparam_ext.ops import expm1_remainder


@final
class MatrixNormal(TransportDistribution):
    r"""Matrix normal distribution: rows and columns correlated, at the cost of each.

    .. math:: Z = M + A\,\epsilon\,B^\top,
        \qquad \epsilon_{ij} \sim \mathrm{N}(0, 1)

    .. math:: p(Z) = \frac{e^{-\frac12\|A^{-1}(Z - M)B^{-\top}\|^2}}
        {(2\pi)^{nm/2} \det(A)^m \det(B)^n},

    so that the covariance of :math:`Z_{ij}` and :math:`Z_{kl}` is
    :math:`(AA^\top)_{ik}(BB^\top)_{jl}`.

    Args:
        loc: :math:`M`, of :math:`n` rows and :math:`m` columns.
        scale_tril_row: :math:`A`, :math:`n \times n`, lower triangular with a positive
            diagonal.
        scale_tril_column: :math:`B`, :math:`m \times m`, likewise. A factor of
            :math:`A` may be moved to :math:`B`: fix one of the scales.

    Shapes:
        The batch dimensions of the three broadcast to ``batch_shape``; events are
        :math:`n \times m`.

    Support: all real matrices.

    Gradient: exact pathwise in the three parameters, by automatic differentiation. What
    is above the diagonals of the factors is not read, and has gradient 0.

    Numerics: two triangular products for a draw, two triangular solves for a density,
    in float64: no :math:`nm \times nm` matrix is formed.

    Source: Dawid (1981), "Some matrix-variate distribution theory". Arguments as in
    NumPyro's ``MatrixNormal``.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> rows = torch.eye(3).requires_grad_()
        >>> law = MatrixNormal(torch.zeros(3, 2), rows, torch.eye(2))
        >>> law.rsample((10_000,)).square().sum((-2, -1)).mean().backward()
        >>> rows.grad.diagonal().round()
        tensor([4., 4., 4.])
    """

    arg_constraints = {  # noqa: RUF012 (torch's declaration)
        "loc": constraints.independent(constraints.real, 2),
        "scale_tril_row": constraints.lower_cholesky,
        "scale_tril_column": constraints.lower_cholesky,
    }
    support = constraints.independent(constraints.real, 2)

    def __init__(
        self,
        loc: Tensor,
        scale_tril_row: Tensor,
        scale_tril_column: Tensor,
        validate_args: bool | None = None,
    ) -> None:
        owner = type(self).__name__
        require_matrices(owner, loc, scale_tril_row, scale_tril_column)
        super().__init__(
            event_shape=loc.shape[-2:],
            validate_args=validate_args,
            loc=loc,
            scale_tril_row=scale_tril_row,
            scale_tril_column=scale_tril_column,
        )

    def noise(self) -> Distribution:
        """A matrix of standard normals."""
        return StandardNormal.like(self.loc).to_event(2)

    def transport(self, eps: Tensor) -> Tensor:
        r""":math:`M + A\,\epsilon\,B^\top`."""
        stretched = self.scale_tril_row.tril() @ eps @ self.scale_tril_column.tril().mT
        return self.loc + stretched

    def inverse(self, value: Tensor) -> Tensor:
        r""":math:`A^{-1}(Z - M)B^{-\top}`."""
        return whitened(value - self.loc, self.scale_tril_row, self.scale_tril_column)

    def log_abs_det_jacobian(self, eps: Tensor, value: Tensor) -> Tensor:
        r""":math:`m\log\det A + n\log\det B`."""
        log_det = log_det_of_scales(self.scale_tril_row, self.scale_tril_column)
        shape = value.shape[:-2]
        return log_det.expand(torch.broadcast_shapes(log_det.shape, shape))

    def log_density(self, value: Tensor) -> Tensor:
        """A sum of squares, in float64."""
        rows, columns = self.scale_tril_row.double(), self.scale_tril_column.double()
        eps = whitened(value.double() - self.loc.double(), rows, columns)
        constant = 0.5 * self.event_shape.numel() * math.log(2 * math.pi)
        square = 0.5 * eps.square().sum((-2, -1))
        log_density = -square - constant - log_det_of_scales(rows, columns)
        return log_density.to(self.loc.dtype)

    def entropy(self) -> Tensor:
        r""":math:`\frac{nm}2(1 + \log 2\pi) + m\log\det A + n\log\det B`."""
        rows, columns = self.scale_tril_row.double(), self.scale_tril_column.double()
        constant = 0.5 * self.event_shape.numel() * (1 + math.log(2 * math.pi))
        return (constant + log_det_of_scales(rows, columns)).to(self.loc.dtype)

    @property
    def mean(self) -> Tensor:
        r""":math:`M`."""
        return self.loc

    @property
    def variance(self) -> Tensor:
        r""":math:`(AA^\top)_{ii}(BB^\top)_{jj}`."""
        return variances(self.scale_tril_row, self.scale_tril_column)

    @property
    def mode(self) -> Tensor:
        r""":math:`M`."""
        return self.loc


def require_matrices(owner: str, loc: Any, rows: Any, columns: Any) -> None:
    """Raise unless the sizes of rows and columns are those of ``loc``."""
    given = {"loc": loc, "the factor of the rows": rows, "of the columns": columns}
    for name, matrix in given.items():
        if not isinstance(matrix, Tensor) or matrix.dim() < 2:
            found = tuple(matrix.shape) if isinstance(matrix, Tensor) else matrix
            raise ValueError(
                f"{owner}: {name} must be a matrix, or a batch of them; found {found}. "
                "Use a distribution of vectors, or add a dimension."
            )
    n, m = loc.shape[-2:]
    if rows.shape[-2:] != (n, n) or columns.shape[-2:] != (m, m):
        raise ValueError(
            f"{owner}: for {n} rows and {m} columns of loc, the factors must be "
            f"{n} x {n} and {m} x {m}; found {tuple(rows.shape[-2:])} and "
            f"{tuple(columns.shape[-2:])}. Exchange them, or transpose loc."
        )


def whitened(value: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    r""":math:`A^{-1}ZB^{-\top}`."""
    batch = torch.broadcast_shapes(
        value.shape[:-2], rows.shape[:-2], columns.shape[:-2]
    )
    rows, columns = (f.expand(batch + f.shape[-2:]) for f in (rows, columns))
    value = value.expand(batch + value.shape[-2:])
    solved = torch.linalg.solve_triangular(rows, value, upper=False)
    return torch.linalg.solve_triangular(columns, solved.mT, upper=False).mT


def log_det_of_scales(rows: Tensor, columns: Tensor) -> Tensor:
    r""":math:`m\log\det A + n\log\det B`."""
    by_row, by_column = (
        f.diagonal(dim1=-2, dim2=-1).log().sum(-1) for f in (rows, columns)
    )
    return columns.shape[-1] * by_row + rows.shape[-1] * by_column


def variances(rows: Tensor, columns: Tensor) -> Tensor:
    r""":math:`(AA^\top)_{ii}(BB^\top)_{jj}`."""
    by_row, by_column = (f.tril().square().sum(-1) for f in (rows, columns))
    return by_row.unsqueeze(-1) * by_column.unsqueeze(-2)


@register_kl(MatrixNormal, MatrixNormal)  # type: ignore[untyped-decorator]
def _kl_matrix_normal_matrix_normal(p: MatrixNormal, q: MatrixNormal) -> Tensor:
    rows, columns = q.scale_tril_row.double(), q.scale_tril_column.double()
    away = whitened(p.loc.double() - q.loc.double(), rows, columns)
    row, column = (
        torch.linalg.solve_triangular(f, g.double().tril(), upper=False)
        for f, g in ((rows, p.scale_tril_row), (columns, p.scale_tril_column))
    )
    # E of a squared element is a product of squared lengths; its log-det, of ends
    lengths = row.square().sum(-1).unsqueeze(-1) * column.square().sum(-1).unsqueeze(-2)
    ends = row.diagonal(dim1=-2, dim2=-1).log().unsqueeze(-1) + column.diagonal(
        dim1=-2, dim2=-1
    ).log().unsqueeze(-2)
    turned = lengths - (2 * ends).exp()
    terms = expm1_remainder(2 * ends) + turned + away.square()
    return 0.5 * terms.sum((-2, -1)).to(p.loc.dtype)
