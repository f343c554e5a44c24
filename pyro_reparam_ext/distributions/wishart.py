# SPDX-License-Identifier: Apache-2.0
"""Wishart matrices."""

import math
from typing import Any, final

import torch
from torch import Tensor
from torch.distributions import constraints
from torch.distributions.kl import kl_divergence, register_kl

from pyro_reparam_ext.distributions import bartlett
from pyro_reparam_ext.distributions.base import Parameter, ReparameterizedDistribution
from pyro_reparam_ext.distributions.matrix_supports import positive_definite_matrices
from pyro_reparam_ext.distributions.scale_factor import require_degrees, scale_factor
from pyro_reparam_ext.distributions.wishart_cholesky import WishartCholesky


@final
class Wishart(ReparameterizedDistribution):
    r"""Wishart distribution of positive-definite matrices, such as precisions.

    :class:`WishartCholesky`, squared; prefer that class where a factor will do.

    .. math:: W = CC^\top, \quad C \sim \mathrm{WishartCholesky}(\nu, L), \qquad
        p(W) = \frac{\det(W)^{(\nu - p - 1)/2}\, e^{-\frac12\mathrm{tr}\,V^{-1}W}}
        {2^{\nu p/2}\,\Gamma_p(\nu/2) \det(V)^{\nu/2}}

    Args:
        df: :math:`\nu > p - 1`, degrees of freedom; the mean is :math:`\nu V`.
        covariance_matrix: :math:`V = LL^\top`, the scale matrix.
        precision_matrix: :math:`V^{-1}`.
        scale_tril: :math:`L`, lower triangular with a positive diagonal; cheapest. One
            of the three is given.

    Shapes:
        ``df`` and the batch dimensions of the matrix broadcast to ``batch_shape``;
        events are :math:`p \times p`.

    Support: symmetric positive-definite matrices.

    Gradient: exact pathwise in :math:`\nu` and :math:`L`, that of
    :class:`WishartCholesky`.

    Numerics: the elements of a nearly singular matrix do not resolve its determinant:
    :math:`C_{ii}` is kept above :math:`\sqrt{8p}` square roots of the rounding unit,
    relative to its row, so that draws have Cholesky factors again. For :math:`\nu`
    below :math:`p + 1` that is some of them in float32 (0.2 % at :math:`\nu = p = 3`):
    use :class:`WishartCholesky`. No draw is rejected or drawn again.

    Source: Bartlett (1933), "On the theory of statistical regression". Arguments as in
    :class:`torch.distributions.Wishart`.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> df = torch.tensor(4.0, requires_grad=True)
        >>> draws = Wishart(df, torch.eye(3)).rsample((10_000,))
        >>> draws.diagonal(dim1=-2, dim2=-1).sum(-1).mean().backward()
        >>> round(df.grad.item(), 1)
        3.0
    """

    arg_constraints = {  # noqa: RUF012 (torch's declaration)
        "df": constraints.dependent(is_discrete=False, event_dim=0),
        "scale_tril": constraints.lower_cholesky,
    }
    support = positive_definite_matrices

    def __init__(
        self,
        df: Parameter,
        covariance_matrix: Tensor | None = None,
        precision_matrix: Tensor | None = None,
        scale_tril: Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:
        owner = type(self).__name__
        factor = scale_factor(
            owner,
            validate_args,
            covariance_matrix=covariance_matrix,
            precision_matrix=precision_matrix,
            scale_tril=scale_tril,
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
    def factor(self) -> WishartCholesky:
        """The distribution of the Cholesky factor."""
        return WishartCholesky(self.df, scale_tril=self.scale_tril, validate_args=False)

    @property
    def covariance_matrix(self) -> Tensor:
        r""":math:`V = LL^\top`."""
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
        law = WishartCholesky(
            self.df.double(), scale_tril=self.scale_tril.double(), validate_args=False
        )
        log_density = law.log_density(factor) - bartlett.log_det_of_square(factor)
        return log_density.to(self.df.dtype)

    def entropy(self) -> Tensor:
        """That of the Cholesky factor, with the expected log-det of the square."""
        p, df = self.event_shape[-1], self.df.double()
        ends = self.scale_tril.double().diagonal(dim1=-2, dim2=-1).log()
        ends = ends + bartlett.mean_log(bartlett.degrees_down(df, p))
        powers = p - torch.arange(p, dtype=df.dtype, device=df.device)
        square = p * math.log(2) + (powers * ends).sum(-1)
        return self.factor.entropy() + square.to(self.df.dtype)

    @property
    def mean(self) -> Tensor:
        r""":math:`\nu V`."""
        return self.df[..., None, None] * self.covariance_matrix

    @property
    def variance(self) -> Tensor:
        r""":math:`\nu(V_{ij}^2 + V_{ii}V_{jj})`."""
        scale = self.covariance_matrix
        ends = scale.diagonal(dim1=-2, dim2=-1)
        outer = ends.unsqueeze(-1) * ends.unsqueeze(-2)
        return self.df[..., None, None] * (scale.square() + outer)

    @property
    def mode(self) -> Tensor:
        r""":math:`(\nu - p - 1)V` for :math:`\nu > p + 1`, else NaN."""
        factor = self.df - self.event_shape[-1] - 1
        factor = torch.where(factor > 0, factor, math.nan)
        return factor[..., None, None] * self.covariance_matrix


@register_kl(Wishart, Wishart)  # type: ignore[untyped-decorator]
def _kl_wishart_wishart(p: Wishart, q: Wishart) -> Tensor:
    return kl_divergence(p.factor, q.factor)
