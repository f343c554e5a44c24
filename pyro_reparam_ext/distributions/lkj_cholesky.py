# SPDX-License-Identifier: Apache-2.0
"""Cholesky factors of random correlation matrices."""

import math
from typing import Any, final

import torch
from torch import Tensor
from torch.distributions import constraints
from torch.distributions.kl import register_kl

from pyro_reparam_ext.distributions.base import Parameter, ReparameterizedDistribution
from pyro_reparam_ext.distributions.logit_beta_draw import (
    attach_beta_path,
    logit_beta_draw,
)
from pyro_reparam_ext.distributions.matrix_supports import correlation_factors
from pyro_reparam_ext.ops import clamp_value, log_gamma_ratio


@final
class LKJCholesky(ReparameterizedDistribution):
    r"""Cholesky factor of an LKJ correlation matrix: the prior for correlations.

    Row :math:`i = 1, \dots, d - 1` (the first, :math:`i = 0`, is 1) is a point of the
    sphere: a uniform direction :math:`u_i` before the diagonal, of a random length,

    .. math:: L_{i,<i} = \sqrt{y_i}\, u_i, \quad L_{ii} = \sqrt{1 - y_i}, \qquad
        y_i \sim \mathrm{Beta}\left(\tfrac{i}{2},
        \eta + \tfrac{d - 1 - i}{2}\right)

    .. math:: p(L) = \frac1Z \prod_{i=1}^{d-1} L_{ii}^{2\eta + d - 3 - i}, \qquad
        \log Z = \sum_{i=1}^{d-1} \tfrac i2\log\pi +
        \log\Gamma\left(\eta + \tfrac{d - 1 - i}{2}\right) -
        \log\Gamma\left(\eta + \tfrac{d - 1}{2}\right),

    the density of the elements below the diagonal, so that :math:`LL^\top` has density
    :math:`\propto \det^{\eta - 1}`.

    Args:
        dim: :math:`d \ge 2`, the number of rows.
        concentration: :math:`\eta > 0`. At 1 the correlation matrix is uniform; above
            it is nearer to the identity, below nearer to singular.

    Shapes:
        ``batch_shape`` is that of ``concentration``; events are :math:`d \times d`.

    Support: lower triangular matrices with rows of length 1 and a positive diagonal.

    Gradient: exact pathwise in :math:`\eta`: the directions stay, the lengths follow
    the quantiles of :math:`y_i`.

    Numerics: :math:`y_i` and :math:`1 - y_i` are carried in logs, so that float32
    draws resolve a small diagonal; where it underflows it is set to the smallest
    number, as its gradient is 0.

    Source: Lewandowski, Kurowicka and Joe (2009), "Generating random correlation
    matrices based on vines and extended onion method", section 3. Arguments as in
    :class:`torch.distributions.LKJCholesky`.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> eta = torch.tensor(2.0, requires_grad=True)
        >>> factor = LKJCholesky(3, eta).rsample((10_000,))
        >>> (factor @ factor.mT).det().mean().backward()
        >>> round(eta.grad.item(), 2)
        0.13
    """

    arg_constraints = {"concentration": constraints.positive}  # noqa: RUF012 (torch's)
    support = correlation_factors

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

    def expand(self, batch_shape: Any, _instance: Any = None) -> "LKJCholesky":
        """The same distribution with the concentration expanded to ``batch_shape``."""
        new = super().expand(batch_shape, _instance)
        new.dim = self.dim
        return new

    def rsample(self, sample_shape: Any = torch.Size()) -> Tensor:  # noqa: B008
        """A draw, differentiable in the concentration."""
        shape = torch.Size(sample_shape)
        return onion(*draw_rows(self.concentration, self.dim, shape))

    def attach_gradient(self, value: Tensor) -> Tensor:
        r"""``value``, made to depend on the concentration along the path through it.

        ``value`` has the shape ``sample_shape + batch_shape + (dim, dim)``.
        """
        return onion(*attach_rows(value.detach(), self.concentration, self.dim))

    def log_density(self, value: Tensor) -> Tensor:
        """Powers of the diagonal, less the normalizer."""
        end = value.diagonal(dim1=-2, dim2=-1)[..., 1:].double()
        eta = self.concentration.double()
        i = torch.arange(1, self.dim, dtype=eta.dtype, device=eta.device)
        powers = 2 * (eta.unsqueeze(-1) - 1) + (self.dim - 1 - i)
        log_density = (powers * end.log()).sum(-1) - log_normalizer(eta, self.dim)
        return log_density.to(self.concentration.dtype)

    def entropy(self) -> Tensor:
        r""":math:`\log Z - \sum_i (2\eta + d - 3 - i)\, E\log L_{ii}`."""
        eta = self.concentration.double()
        a, b = beta_parameters(eta, self.dim)
        powers = 2 * (b - 1)
        log_end = 0.5 * (torch.digamma(b) - torch.digamma(a + b))
        entropy = log_normalizer(eta, self.dim) - (powers * log_end).sum(-1)
        return entropy.to(self.concentration.dtype)

    @property
    def mean(self) -> Tensor:
        r"""Diagonal, with :math:`E L_{ii} = E\sqrt{1 - y_i}`."""
        mean = self._log_moment_of_end(0.5).exp()
        first = torch.ones_like(mean[..., :1])
        return torch.cat([first, mean], -1).diag_embed().to(self.concentration.dtype)

    @property
    def variance(self) -> Tensor:
        r""":math:`E y_i/i` before the diagonal, :math:`\mathrm{Var} L_{ii}` on it."""
        a, b = beta_parameters(self.concentration.double(), self.dim)
        below = (0.5 / (a + b)).unsqueeze(-1).expand(*a.shape, self.dim - 1).tril()
        first, second = self._log_moment_of_end(0.5), self._log_moment_of_end(1.0)
        end = (2 * first).exp() * torch.expm1(second - 2 * first)
        variance = torch.nn.functional.pad(below, (0, 1, 1, 0))
        variance = variance + torch.nn.functional.pad(end, (1, 0)).diag_embed()
        return variance.to(self.concentration.dtype)

    @property
    def mode(self) -> Tensor:
        r"""The identity for :math:`\eta > 1`, else NaN."""
        identity = torch.eye(
            self.dim, dtype=self.concentration.dtype, device=self.concentration.device
        )
        exists = (self.concentration > 1)[..., None, None]
        return torch.where(exists, identity, math.nan)

    def _log_moment_of_end(self, power: float) -> Tensor:
        a, b = beta_parameters(self.concentration.double(), self.dim)
        return log_gamma_ratio(b, power) - log_gamma_ratio(a + b, power)


def require_dim(owner: str, dim: Any) -> None:
    """Raise unless a correlation matrix can have ``dim`` rows."""
    if not isinstance(dim, int) or dim < 2:
        raise ValueError(
            f"{owner}: dim must be an integer, at least 2; found {dim!r}. Smaller "
            "correlation matrices are constant."
        )


def beta_parameters(concentration: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """Of the squared lengths of rows 1, 2, … before the diagonal."""
    i = torch.arange(
        1, dim, dtype=concentration.dtype, device=concentration.device
    ).expand(*concentration.shape, dim - 1)
    return 0.5 * i, concentration.unsqueeze(-1) + 0.5 * (dim - 1 - i)


def log_normalizer(concentration: Tensor, dim: int) -> Tensor:
    r""":math:`\log\int\prod_i L_{ii}^{2\eta + d - 3 - i}\,dL`."""
    a, b = beta_parameters(concentration, dim)
    terms = a * math.log(math.pi) - log_gamma_ratio(b, a)
    return terms.sum(-1)


def draw_rows(
    concentration: Tensor, dim: int, sample_shape: torch.Size
) -> tuple[Tensor, Tensor]:
    """Directions of the rows before the diagonal, and log odds of squared lengths.

    The log odds are in float64.
    """
    a, b = beta_parameters(concentration, dim)
    shape = sample_shape + a.shape
    with torch.no_grad():
        logit = logit_beta_draw(a, b, shape)
    normal = torch.randn((*shape, dim - 1), dtype=a.dtype, device=a.device)
    # a row of one number may be exactly 0
    normal = torch.where(normal == 0, torch.finfo(a.dtype).eps, normal).tril()
    direction = normal / normal.norm(dim=-1, keepdim=True)
    return direction, attach_beta_path(logit, a, b)


def attach_rows(
    factor: Tensor, concentration: Tensor, dim: int
) -> tuple[Tensor, Tensor]:
    """As :func:`draw_rows`, of a factor that was drawn before."""
    before = factor[..., 1:, :-1].tril()
    end = factor.diagonal(dim1=-2, dim2=-1)[..., 1:].double()
    length = before.double().norm(dim=-1)
    direction = (before / length.unsqueeze(-1)).to(factor.dtype)
    logit = 2 * (length.log() - end.log())
    return direction, attach_beta_path(logit, *beta_parameters(concentration, dim))


def onion(direction: Tensor, logit: Tensor) -> Tensor:
    """The factor of these directions and log odds of squared lengths."""
    log_sigmoid = torch.nn.functional.logsigmoid
    length, end = (
        (0.5 * log_sigmoid(odds)).exp().to(direction.dtype) for odds in (logit, -logit)
    )
    before = direction * length.unsqueeze(-1)
    end = clamp_value(end, torch.finfo(end.dtype).tiny, 1.0)
    first = torch.zeros_like(end[..., :1])
    diagonal = torch.cat([first + 1, end], -1)
    return torch.nn.functional.pad(before, (0, 1, 1, 0)) + diagonal.diag_embed()


@register_kl(LKJCholesky, LKJCholesky)  # type: ignore[untyped-decorator]
def _kl_lkj_cholesky(p: LKJCholesky, q: LKJCholesky) -> Tensor:
    require_same_dim(p, q)
    eta, other = p.concentration.double(), q.concentration.double()
    a, b = beta_parameters(eta, p.dim)
    log_det = (torch.digamma(b) - torch.digamma(a + b)).sum(-1)
    difference = log_normalizer(other, p.dim) - log_normalizer(eta, p.dim)
    return (difference + (eta - other) * log_det).to(p.concentration.dtype)


def require_same_dim(p: Any, q: Any) -> None:
    """Raise unless two distributions on correlation matrices are on the same."""
    if p.dim != q.dim:
        raise ValueError(
            f"kl_divergence: expected {type(p).__name__} of equal dim; found {p.dim} "
            f"and {q.dim}. Use the same dim for both."
        )
