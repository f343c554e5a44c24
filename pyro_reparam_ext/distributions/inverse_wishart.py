# SPDX-License-Identifier: Apache-2.0
"""Inverse Wishart matrices."""

import math
from typing import Any, final

import torch
from torch import Tensor
from torch.distributions import constraints
from torch.distributions.kl import kl_divergence, register_kl

from pyro_reparam_ext.distributions import bartlett
from pyro_reparam_ext.distributions.base import Parameter, ReparameterizedDistribution
from pyro_reparam_ext.distributions.inverse_wishart_cholesky import (
    InverseWishartCholesky,
)
from pyro_reparam_ext.distributions.matrix_supports import positive_definite_matrices
from pyro_reparam_ext.distributions.scale_factor import require_degrees, scale_factor


@final
class InverseWishart(ReparameterizedDistribution):
    r"""Inverse Wishart distribution, the conjugate prior of a covariance matrix.

    :class:`InverseWishartCholesky`, squared; prefer that class where a factor will do.

    .. math:: X = CC^\top, \quad C \sim \mathrm{InverseWishartCholesky}(\nu, S), \qquad
        p(X) = \frac{\det(\Psi)^{\nu/2}\, e^{-\frac12\mathrm{tr}\,\Psi X^{-1}}}
        {2^{\nu p/2}\,\Gamma_p(\nu/2) \det(X)^{(\nu + p + 1)/2}}

    Args:
        df: :math:`\nu > p - 1`, degrees of freedom.
        scale_matrix: :math:`\Psi = SS^\top`; the mean is :math:`\Psi/(\nu - p - 1)`.
        scale_tril: :math:`S`, lower triangular with a positive diagonal; cheaper. One
            of the two is given.

    Shapes:
        ``df`` and the batch dimensions of the matrix broadcast to ``batch_shape``;
        events are :math:`p \times p`.

    Support: symmetric positive-definite matrices.

    Gradient: exact pathwise in :math:`\nu` and :math:`S`, that of
    :class:`InverseWishartCholesky`.

    Numerics: the elements of a nearly singular matrix do not resolve its determinant:
    :math:`C_{ii}` is kept above :math:`\sqrt{8p}` square roots of the rounding unit,
    relative to its row, so that draws have Cholesky factors again. For :math:`\nu`
    below :math:`p + 1` that is some of them in float32: use
    :class:`InverseWishartCholesky`.

    Source: Bartlett (1933), "On the theory of statistical regression", from the last
    row up. ``df`` and ``scale_tril`` as in :class:`torch.distributions.Wishart`.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> df = torch.tensor(6.0, requires_grad=True)
        >>> draws = InverseWishart(df, torch.eye(2)).rsample((10_000,))
        >>> draws.diagonal(dim1=-2, dim2=-1).sum(-1).mean().backward()
        >>> round(df.grad.item(), 1)
        -0.2
    """

    arg_constraints = {  # noqa: RUF012 (torch's declaration)
        "df": constraints.dependent(is_discrete=False, event_dim=0),
        "scale_tril": constraints.lower_cholesky,
    }
    support = positive_definite_matrices

    def __init__(
        self,
        df: Parameter,
        scale_matrix: Tensor | None = None,
        scale_tril: Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:
        owner = type(self).__name__
        factor = scale_factor(
            owner, validate_args, scale_matrix=scale_matrix, scale_tril=scale_tril
        )
        super().__init__(
            event_shape=factor.shape[-2:],
            validate_args=validate_args,
            df=df,
            scale_tril=factor,
        )
        if self._validate_args:
            require_degrees(owner, self.df, factor.shape[-1])

    @property
    def factor(self) -> InverseWishartCholesky:
        """The distribution of the Cholesky factor."""
        return InverseWishartCholesky(
            self.df, scale_tril=self.scale_tril, validate_args=False
        )

    @property
    def scale_matrix(self) -> Tensor:
        r""":math:`\Psi = SS^\top`."""
        return self.scale_tril @ self.scale_tril.mT

    def rsample(self, sample_shape: Any = torch.Size()) -> Tensor:  # noqa: B008
        """A draw, differentiable in both parameters."""
        return bartlett.squared(self.factor.rsample(sample_shape))

    def attach_gradient(self, value: Tensor) -> Tensor:
        r"""``value``, made to depend on the parameters along the path through it.

        ``value`` has the shape ``sample_shape + batch_shape + (p, p)``.
        """
        factor = torch.linalg.cholesky_ex(value.detach()).L
        return bartlett.squared(self.factor.attach_gradient(factor))

    def log_density(self, value: Tensor) -> Tensor:
        """That of the Cholesky factor, less the log-det of the square."""
        factor = torch.linalg.cholesky_ex(value.double()).L
        law = InverseWishartCholesky(
            self.df.double(), scale_tril=self.scale_tril.double(), validate_args=False
        )
        log_density = law.log_density(factor) - bartlett.log_det_of_square(factor)
        return log_density.to(self.df.dtype)

    def entropy(self) -> Tensor:
        """That of the Cholesky factor, with the expected log-det of the square."""
        p, df = self.event_shape[-1], self.df.double()
        ends = self.scale_tril.double().diagonal(dim1=-2, dim2=-1).log()
        ends = ends - bartlett.mean_log(bartlett.degrees_up(df, p))
        powers = p - torch.arange(p, dtype=df.dtype, device=df.device)
        square = p * math.log(2) + (powers * ends).sum(-1)
        return self.factor.entropy() + square.to(self.df.dtype)

    @property
    def mean(self) -> Tensor:
        r""":math:`\Psi/(\nu - p - 1)` for :math:`\nu > p + 1`, else NaN."""
        return self.scale_matrix / self._beyond(1)

    @property
    def variance(self) -> Tensor:
        r"""In closed form for :math:`\nu > p + 3`, else NaN.

        With :math:`n = \nu - p`,

        .. math:: \mathrm{Var}\, X_{ij} = \frac{(n + 1)\Psi_{ij}^2 +
            (n - 1)\Psi_{ii}\Psi_{jj}}{n (n - 1)^2 (n - 3)}.
        """
        scale, n = self.scale_matrix, self._beyond(3) + 3
        ends = scale.diagonal(dim1=-2, dim2=-1)
        outer = ends.unsqueeze(-1) * ends.unsqueeze(-2)
        total = (n + 1) * scale.square() + (n - 1) * outer
        return total / (n * (n - 1).square() * (n - 3))

    @property
    def mode(self) -> Tensor:
        r""":math:`\Psi/(\nu + p + 1)`."""
        return self.scale_matrix / (self.df + self.event_shape[-1] + 1)[..., None, None]

    def _beyond(self, needed: int) -> Tensor:
        """Degrees of freedom beyond p and what is needed, NaN if there are none."""
        left = self.df - self.event_shape[-1] - needed
        return torch.where(left > 0, left, math.nan)[..., None, None]


@register_kl(InverseWishart, InverseWishart)  # type: ignore[untyped-decorator]
def _kl_inverse_wishart_inverse_wishart(p: InverseWishart, q: InverseWishart) -> Tensor:
    return kl_divergence(p.factor, q.factor)
