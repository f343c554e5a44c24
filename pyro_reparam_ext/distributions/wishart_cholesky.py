# SPDX-License-Identifier: Apache-2.0
"""Cholesky factors of Wishart matrices."""

import math
from typing import Any, final

import torch
from torch import Tensor
from torch.distributions import constraints
from torch.distributions.kl import register_kl

from pyro_reparam_ext.distributions import bartlett
from pyro_reparam_ext.distributions.base import Parameter, ReparameterizedDistribution
from pyro_reparam_ext.distributions.matrix_supports import cholesky_factors
from pyro_reparam_ext.distributions.scale_factor import require_degrees, scale_factor


@final
class WishartCholesky(ReparameterizedDistribution):
    r"""Cholesky factor of a Wishart matrix, which no rounding makes singular.

    .. math:: C = LA, \qquad A_{ii} \sim \chi_{\nu - i}, \quad
        A_{ij} \sim \mathrm{N}(0, 1), \quad i > j,
        \qquad i = 0, \dots, p - 1

    .. math:: p(C) = \frac{2^p}{2^{\nu p/2}\,\Gamma_p(\nu/2) \det(L)^\nu}
        \prod_i C_{ii}^{\nu - 1 - i}\; e^{-\frac12\|L^{-1}C\|^2},

    the density of the elements on and below the diagonal; :math:`CC^\top` is Wishart.

    Args:
        df: :math:`\nu > p - 1`, degrees of freedom.
        covariance_matrix: :math:`V = LL^\top`, the scale matrix.
        precision_matrix: :math:`V^{-1}`.
        scale_tril: :math:`L`, lower triangular with a positive diagonal; cheapest. One
            of the three is given.

    Shapes:
        ``df`` and the batch dimensions of the matrix broadcast to ``batch_shape``;
        events are :math:`p \times p`.

    Support: lower triangular matrices with a positive diagonal.

    Gradient: exact pathwise in :math:`\nu` and :math:`L`: the diagonal follows its chi
    quantiles, the rest of :math:`A` stays. What is above the diagonal of
    ``scale_tril`` is not read, and has gradient 0.

    Numerics: chi draws are made in logs, and kept above the 0.45th power of the
    smallest number of the dtype (8e-18 in float32): :math:`\nu` may be close to
    :math:`p - 1`.

    Source: Bartlett (1933), "On the theory of statistical regression". Arguments as in
    :class:`torch.distributions.Wishart`.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> df = torch.tensor(2.5, requires_grad=True)
        >>> factor = WishartCholesky(df, scale_tril=torch.eye(2)).rsample((10_000,))
        >>> factor.square().sum((-2, -1)).mean().backward()
        >>> round(df.grad.item(), 1)
        2.0
    """

    arg_constraints = {  # noqa: RUF012 (torch's declaration)
        "df": constraints.dependent(is_discrete=False, event_dim=0),
        "scale_tril": constraints.lower_cholesky,
    }
    support = cholesky_factors

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
    def covariance_matrix(self) -> Tensor:
        r""":math:`V = LL^\top`."""
        return self.scale_tril @ self.scale_tril.mT

    def rsample(self, sample_shape: Any = torch.Size()) -> Tensor:  # noqa: B008
        """A draw, differentiable in both parameters."""
        standard = bartlett.draw(self._degrees(), torch.Size(sample_shape))
        return self.scale_tril.tril() @ standard

    def attach_gradient(self, value: Tensor) -> Tensor:
        r"""``value``, made to depend on the parameters along the path through it.

        ``value`` has the shape ``sample_shape + batch_shape + (p, p)``.
        """
        standard = bartlett.quotient(self.scale_tril.detach(), value.detach())
        return self.scale_tril.tril() @ bartlett.attach(standard, self._degrees())

    def log_density(self, value: Tensor) -> Tensor:
        """That of the standard factor, less the log-det of its scaling."""
        scale = self.scale_tril.double()
        standard = bartlett.quotient(scale, value.double())
        log_density = bartlett.log_density(standard, self._degrees().double())
        return (log_density - bartlett.log_det_of_product(scale)).to(self.df.dtype)

    def entropy(self) -> Tensor:
        """That of the standard factor, with the log-det of its scaling."""
        entropy = bartlett.entropy(self._degrees().double())
        scale = bartlett.log_det_of_product(self.scale_tril.double())
        return (entropy + scale).to(self.df.dtype)

    @property
    def mean(self) -> Tensor:
        r""":math:`L\,\mathrm{diag}(E A_{ii})`."""
        return self.scale_tril * self._mean_of_ends().unsqueeze(-2).to(self.df.dtype)

    @property
    def variance(self) -> Tensor:
        r""":math:`L_{ij}^2\,\mathrm{Var} A_{jj} + \sum_{j < k \le i} L_{ik}^2`."""
        scale, degrees = self.scale_tril.double(), self._degrees().double()
        ends = degrees - self._mean_of_ends().square()
        squares = scale.square()
        after = squares.flip(-1).cumsum(-1).flip(-1) - squares
        return (squares * ends.unsqueeze(-2) + after).tril().to(self.df.dtype)

    @property
    def mode(self) -> Tensor:
        r""":math:`L\,\mathrm{diag}\sqrt{\nu - 1 - i}` for :math:`\nu > p`, else NaN."""
        degrees = self._degrees()
        exists = (degrees > 1).all(-1, keepdim=True)
        ends = torch.where(exists, degrees - 1, math.nan).sqrt()
        return self.scale_tril * ends.unsqueeze(-2)

    def _degrees(self) -> Tensor:
        return bartlett.degrees_down(self.df, self.event_shape[-1])

    def _mean_of_ends(self) -> Tensor:
        return bartlett.log_moment(self._degrees().double(), 1).exp()


@register_kl(WishartCholesky, WishartCholesky)  # type: ignore[untyped-decorator]
def _kl_wishart_cholesky(p: WishartCholesky, q: WishartCholesky) -> Tensor:
    divergence = bartlett.divergence(
        p._degrees().double(),
        q._degrees().double(),
        p.scale_tril.double(),
        q.scale_tril.double(),
    )
    return divergence.to(p.df.dtype)
