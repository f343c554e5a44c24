# SPDX-License-Identifier: Apache-2.0
"""Random correlation matrices."""

import math
from typing import Any, final

import torch
from torch import Tensor
from torch.distributions import constraints
from torch.distributions.kl import kl_divergence, register_kl

from pyro_reparam_ext.distributions.base import Parameter, ReparameterizedDistribution
from pyro_reparam_ext.distributions.lkj_cholesky import (
    LKJCholesky,
    attach_rows,
    beta_parameters,
    draw_rows,
    log_normalizer,
    onion,
    require_dim,
)
from pyro_reparam_ext.distributions.matrix_supports import correlation_matrices
from pyro_reparam_ext.ops import clamp_value


@final
class LKJ(ReparameterizedDistribution):
    r"""LKJ distribution of correlation matrices, where the matrix itself is wanted.

    :class:`LKJCholesky`, squared; prefer that class where a factor will do.

    .. math:: R = LL^\top, \quad L \sim \mathrm{LKJCholesky}(d, \eta), \qquad
        p(R) = \frac{\det(R)^{\eta - 1}}{Z}

    Args:
        dim: :math:`d \ge 2`, the number of rows.
        concentration: :math:`\eta > 0`. The law is uniform at 1.

    Shapes:
        ``batch_shape`` is that of ``concentration``; events are :math:`d \times d`.

    Support: positive-definite matrices with a diagonal of ones.

    Gradient: exact pathwise in :math:`\eta`, that of :class:`LKJCholesky`.

    Numerics: the elements of a nearly singular matrix do not resolve its determinant:
    :math:`L_{ii}^2` is kept above :math:`8 d` rounding units, so that draws have
    Cholesky factors again. For :math:`\eta` much below 1 that is a good part of them
    in float32 (8 % for :math:`\eta = 0.2`, 0.2 % for 0.5): use :class:`LKJCholesky`.

    Source: Lewandowski, Kurowicka and Joe (2009), "Generating random correlation
    matrices based on vines and extended onion method". Arguments as in
    :class:`pyro.distributions.LKJ`.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> eta = torch.tensor(2.0, requires_grad=True)
        >>> LKJ(3, eta).rsample((10_000,)).det().mean().backward()
        >>> round(eta.grad.item(), 2)
        0.13
    """

    arg_constraints = {"concentration": constraints.positive}  # noqa: RUF012 (torch's)
    support = correlation_matrices

    def __init__(
        self,
        dim: int,
        concentration: Parameter = 1.0,
        validate_args: bool | None = None,
    ) -> None:
        require_dim(type(self).__name__, dim)
        self.dim = dim
        super().__init__(
            event_shape=torch.Size((dim, dim)),
            validate_args=validate_args,
            concentration=concentration,
        )

    def expand(self, batch_shape: Any, _instance: Any = None) -> "LKJ":
        """The same distribution with the concentration expanded to ``batch_shape``."""
        new = super().expand(batch_shape, _instance)
        new.dim = self.dim
        return new

    @property
    def factor(self) -> LKJCholesky:
        """The distribution of the Cholesky factor."""
        return LKJCholesky(self.dim, self.concentration, validate_args=False)

    def rsample(self, sample_shape: Any = torch.Size()) -> Tensor:  # noqa: B008
        """A draw, differentiable in the concentration."""
        direction, logit = draw_rows(
            self.concentration, self.dim, torch.Size(sample_shape)
        )
        smallest = 8 * self.dim * torch.finfo(direction.dtype).eps
        logit = clamp_value(logit, -math.inf, -math.log(smallest))
        return _squared(onion(direction, logit))

    def attach_gradient(self, value: Tensor) -> Tensor:
        r"""``value``, made to depend on the concentration along the path through it.

        ``value`` has the shape ``sample_shape + batch_shape + (dim, dim)``.
        """
        factor = torch.linalg.cholesky_ex(value.detach()).L
        return _squared(onion(*attach_rows(factor, self.concentration, self.dim)))

    def log_density(self, value: Tensor) -> Tensor:
        r""":math:`(\eta - 1)\log\det R - \log Z`."""
        eta = self.concentration.double()
        factor = torch.linalg.cholesky_ex(value.double()).L
        log_det = 2 * factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        log_density = (eta - 1) * log_det - log_normalizer(eta, self.dim)
        return log_density.to(self.concentration.dtype)

    def entropy(self) -> Tensor:
        r""":math:`\log Z - (\eta - 1)\, E\log\det R`."""
        eta = self.concentration.double()
        a, b = beta_parameters(eta, self.dim)
        log_det = (torch.digamma(b) - torch.digamma(a + b)).sum(-1)
        entropy = log_normalizer(eta, self.dim) - (eta - 1) * log_det
        return entropy.to(self.concentration.dtype)

    @property
    def mean(self) -> Tensor:
        """The identity."""
        return self._identity().expand(*self.batch_shape, self.dim, self.dim)

    @property
    def variance(self) -> Tensor:
        r""":math:`1/(2\eta + d - 1)` off the diagonal, 0 on it."""
        variance = 1 / (2 * self.concentration + self.dim - 1)
        return variance[..., None, None] * (1 - self._identity())

    @property
    def mode(self) -> Tensor:
        r"""The identity for :math:`\eta > 1`, else NaN."""
        exists = (self.concentration > 1)[..., None, None]
        return torch.where(exists, self._identity(), math.nan)

    def _identity(self) -> Tensor:
        return torch.eye(
            self.dim, dtype=self.concentration.dtype, device=self.concentration.device
        )


def _squared(factor: Tensor) -> Tensor:
    """The product with its transpose, whose diagonal is 1."""
    product = factor @ factor.mT
    eye = torch.eye(factor.shape[-1], dtype=torch.bool, device=factor.device)
    return torch.where(eye, 1.0, product)


@register_kl(LKJ, LKJ)  # type: ignore[untyped-decorator]
def _kl_lkj_lkj(p: LKJ, q: LKJ) -> Tensor:
    return kl_divergence(p.factor, q.factor)
