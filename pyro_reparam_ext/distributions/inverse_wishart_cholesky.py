# SPDX-License-Identifier: Apache-2.0
"""Cholesky factors of inverse Wishart matrices."""

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
class InverseWishartCholesky(ReparameterizedDistribution):
    r"""Cholesky factor of an inverse Wishart matrix, which no rounding makes singular.

    .. math:: C = SB^{-1}, \qquad B_{ii} \sim \chi_{\nu - p + 1 + i}, \quad
        B_{ij} \sim \mathrm{N}(0, 1), \quad i > j,
        \qquad i = 0, \dots, p - 1

    .. math:: p(C) = \frac{2^p \det(S)^\nu}{2^{\nu p/2}\,\Gamma_p(\nu/2)}
        \prod_i C_{ii}^{-\nu - 1 - i}\; e^{-\frac12\|C^{-1}S\|^2},

    the density of the elements on and below the diagonal; :math:`CC^\top` is inverse
    Wishart.

    Args:
        df: :math:`\nu > p - 1`, degrees of freedom.
        scale_matrix: :math:`\Psi = SS^\top`.
        scale_tril: :math:`S`, lower triangular with a positive diagonal; cheaper. One
            of the two is given.

    Shapes:
        ``df`` and the batch dimensions of the matrix broadcast to ``batch_shape``;
        events are :math:`p \times p`.

    Support: lower triangular matrices with a positive diagonal.

    Gradient: exact pathwise in :math:`\nu` and :math:`S`: the diagonal of :math:`B`
    follows its chi quantiles, the rest stays. What is above the diagonal of
    ``scale_tril`` is not read, and has gradient 0.

    Numerics: chi draws are made in logs, and kept above the 0.45th power of the
    smallest number of the dtype (8e-18 in float32), so that :math:`\nu` may be close to
    :math:`p - 1`; the triangular system is solved in float64.

    Source: Bartlett (1933), "On the theory of statistical regression", from the last
    row up. ``df`` and ``scale_tril`` as in :class:`torch.distributions.Wishart`.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> df = torch.tensor(6.0, requires_grad=True)
        >>> law = InverseWishartCholesky(df, scale_tril=torch.eye(2))
        >>> law.rsample((10_000,)).square().sum((-2, -1)).mean().backward()
        >>> round(df.grad.item(), 1)
        -0.2
    """

    arg_constraints = {  # noqa: RUF012 (torch's declaration)
        "df": constraints.dependent(is_discrete=False, event_dim=0),
        "scale_tril": constraints.lower_cholesky,
    }
    support = cholesky_factors

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
    def scale_matrix(self) -> Tensor:
        r""":math:`\Psi = SS^\top`."""
        return self.scale_tril @ self.scale_tril.mT

    def rsample(self, sample_shape: Any = torch.Size()) -> Tensor:  # noqa: B008
        """A draw, differentiable in both parameters."""
        standard = bartlett.draw(self._degrees(), torch.Size(sample_shape))
        return self._divided(standard)

    def attach_gradient(self, value: Tensor) -> Tensor:
        r"""``value``, made to depend on the parameters along the path through it.

        ``value`` has the shape ``sample_shape + batch_shape + (p, p)``.
        """
        value, scale = value.detach().double(), self.scale_tril.detach().double()
        standard = bartlett.quotient(value, scale)
        return self._divided(bartlett.attach(standard, self._degrees().double()))

    def log_density(self, value: Tensor) -> Tensor:
        """That of the standard factor, with the log-dets of inverse and scaling."""
        scale = self.scale_tril.double()
        standard = bartlett.quotient(value.double(), scale)
        log_density = bartlett.log_density(standard, self._degrees().double())
        ends = standard.diagonal(dim1=-2, dim2=-1).log()
        inverse = (self.event_shape[-1] + 1) * ends.sum(-1)
        log_density = log_density + inverse - bartlett.log_det_of_product(scale)
        return log_density.to(self.df.dtype)

    def entropy(self) -> Tensor:
        """That of the standard factor, with the expected log-dets."""
        degrees = self._degrees().double()
        ends = bartlett.mean_log(degrees).sum(-1)
        entropy = bartlett.entropy(degrees) - (self.event_shape[-1] + 1) * ends
        scale = bartlett.log_det_of_product(self.scale_tril.double())
        return (entropy + scale).to(self.df.dtype)

    @property
    def mean(self) -> Tensor:
        r""":math:`S\,\mathrm{diag}(E B_{ii}^{-1})` for :math:`\nu > p`, else NaN."""
        return self.scale_tril * self._mean_of_ends().unsqueeze(-2).to(self.df.dtype)

    @property
    def variance(self) -> Tensor:
        r"""In closed form for :math:`\nu > p + 1`, else NaN.

        The squares of :math:`D = B^{-1}` have :math:`E D_{ii}^2 = 1/(k_i - 2)` and
        :math:`E D_{ij}^2 = 1/(k_j - 1)(k_j - 2)`, where
        :math:`B_{ii} \sim \chi_{k_i}`.
        """
        scale, degrees = self.scale_tril.double(), self._degrees().double()
        exists = (degrees > 2).all(-1, keepdim=True)
        degrees = torch.where(exists, degrees, math.nan)
        ends = 1 / (degrees - 2) - self._mean_of_ends().square()
        below = 1 / ((degrees - 1) * (degrees - 2))
        squares = scale.square()
        after = squares.flip(-1).cumsum(-1).flip(-1) - squares
        variance = squares * ends.unsqueeze(-2) + after * below.unsqueeze(-2)
        return variance.tril().to(self.df.dtype)

    @property
    def mode(self) -> Tensor:
        r""":math:`S\,\mathrm{diag}(1/\sqrt{\nu + 1 + i})`."""
        ends = (self._degrees() + self.event_shape[-1]).rsqrt()
        return self.scale_tril * ends.unsqueeze(-2)

    def _divided(self, standard: Tensor) -> Tensor:
        scale = self.scale_tril.tril().double().expand(standard.shape)
        value = torch.linalg.solve_triangular(
            standard.double(), scale, upper=False, left=False
        )
        return value.to(self.df.dtype)

    def _degrees(self) -> Tensor:
        return bartlett.degrees_up(self.df, self.event_shape[-1])

    def _mean_of_ends(self) -> Tensor:
        degrees = self._degrees().double()
        exists = (degrees > 1).all(-1, keepdim=True)
        return bartlett.log_moment(torch.where(exists, degrees, math.nan), -1).exp()


@register_kl(InverseWishartCholesky, InverseWishartCholesky)  # type: ignore[untyped-decorator]
def _kl_inverse_wishart_cholesky(
    p: InverseWishartCholesky, q: InverseWishartCholesky
) -> Tensor:
    # that of the inverses, whose scale matrices are the inverses of these
    divergence = bartlett.divergence(
        p._degrees().double().flip(-1),
        q._degrees().double().flip(-1),
        q.scale_tril.double(),
        p.scale_tril.double(),
    )
    return divergence.to(p.df.dtype)
