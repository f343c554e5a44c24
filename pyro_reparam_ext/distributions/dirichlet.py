# SPDX-License-Identifier: Apache-2.0
"""The Dirichlet distribution, drawn in logs."""

import math
from typing import Any, final

import torch
from torch import Tensor
from torch.distributions import constraints
from torch.distributions.kl import register_kl

from pyro_reparam_ext.distributions.attach_gradient import attach_gradient
from pyro_reparam_ext.distributions.base import ReparameterizedDistribution
from pyro_reparam_ext.distributions.log_gamma_draw import log_gamma_draw
from pyro_reparam_ext.ops import (
    beta_path_of_first,
    log_minus_digamma,
    logsumexp_of_others,
    stirling_remainder,
)


@final
class Dirichlet(ReparameterizedDistribution):
    r"""Dirichlet distribution: the probabilities of a categorical law.

    .. math:: \log z_i = w_i - \log\textstyle\sum_k e^{w_k}, \qquad
        e^{w_i} \sim \mathrm{Gamma}(\alpha_i, 1)

    .. math:: p(z) = \frac{\Gamma(\sum_k\alpha_k)}{\prod_k\Gamma(\alpha_k)}
        \prod_k z_k^{\alpha_k - 1}

    Args:
        concentration: :math:`\alpha_i > 0`, at least two along the last dimension.

    Shapes:
        ``concentration`` has shape ``batch_shape + event_shape``; events are vectors.

    Support: the simplex; elements of draws are at least the smallest positive number.

    Gradient: pathwise. As :math:`\alpha_j` moves, :math:`z_j` keeps its quantile, of
    the law :math:`\mathrm{Beta}(\alpha_j, \sum_{k\ne j}\alpha_k)`, and the others their
    ratios:

    .. math:: \frac{\partial\log z_i}{\partial\alpha_j} =
        (\delta_{ij} - z_j)\,h_j, \qquad
        h_j = \frac{\partial}{\partial\alpha_j}\log\frac{z_j}{1 - z_j}

    with :math:`h` of :func:`~pyro_reparam_ext.ops.beta_path_of_first`; second
    derivatives are those of this path.

    Numerics: in float64, returned in the dtype of the parameter. At small
    concentrations elements underflow; ``rsample_log`` gives their logarithms, finite
    and of the right law.

    Source: Jankowiak and Obermeyer (2018), "Pathwise derivatives beyond the
    reparameterization trick", on the path. Arguments as in
    :class:`torch.distributions.Dirichlet`.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> alpha = torch.tensor([1e-3, 1e-3, 1e-3], requires_grad=True)
        >>> log_z = Dirichlet(alpha).rsample_log((5,))
        >>> bool(log_z.isfinite().all())
        True
    """

    arg_constraints = {  # noqa: RUF012 (torch's declaration)
        "concentration": constraints.independent(constraints.positive, 1)
    }
    support = constraints.simplex

    def __init__(
        self, concentration: Tensor, validate_args: bool | None = None
    ) -> None:
        if not isinstance(concentration, Tensor):
            raise TypeError(
                "Dirichlet: concentration must be a tensor; found "
                f"{type(concentration).__name__}. Wrap it in torch.tensor(...)."
            )
        if concentration.dim() < 1 or concentration.shape[-1] < 2:
            raise ValueError(
                "Dirichlet: concentration must have at least two elements along its "
                f"last dimension; found shape {tuple(concentration.shape)}. Use Beta "
                "for one probability."
            )
        super().__init__(
            event_shape=concentration.shape[-1:],
            validate_args=validate_args,
            concentration=concentration,
        )

    def rsample(self, sample_shape: Any = torch.Size()) -> Tensor:  # noqa: B008
        """A draw, differentiable in the concentrations."""
        return self.attach_gradient(self.sample(sample_shape))

    def sample(self, sample_shape: Any = torch.Size()) -> Tensor:  # noqa: B008
        """A draw without gradient; the same as ``rsample`` under the same seed."""
        with torch.no_grad():
            value = self._log_draw(sample_shape).exp()
            tiny = torch.finfo(self.concentration.dtype).tiny
            return value.clamp(min=tiny).to(self.concentration.dtype)

    @classmethod
    def infer_shapes(cls, concentration: Any) -> tuple[Any, Any]:
        """Batch shape and event shape, from the shape of the parameter."""
        return concentration[:-1], concentration[-1:]

    def rsample_log(self, sample_shape: Any = torch.Size()) -> Tensor:  # noqa: B008
        r"""A draw of :math:`\log z`: finite where :math:`z` would underflow."""
        with torch.no_grad():
            log_value = self._log_draw(sample_shape)
        concentration = self.concentration.expand(log_value.shape)
        attached = attach_gradient(log_value, _pull_back_logs, concentration)
        return attached.to(self.concentration.dtype)

    def attach_gradient(self, value: Tensor) -> Tensor:
        """``value``, made to depend on the concentrations along the path above."""
        concentration = self.concentration.expand(value.shape)
        return attach_gradient(value, _pull_back, concentration)

    def log_density(self, value: Tensor) -> Tensor:
        """As a relative entropy from the mean; at an end, its limit."""
        alpha = self.concentration.double()
        end = value == 0
        z = torch.where(end, 1.0, value).double()
        inside = alpha * (z / self._shares()).log() - z.log()
        limit = torch.where(alpha < 1, math.inf, -math.inf)
        limit = torch.where(alpha == 1, -self._shares().log(), limit)
        terms = torch.where(end, limit, inside)
        return (terms.sum(-1) - _log_peak(alpha)).to(value.dtype)

    def entropy(self) -> Tensor:
        r""":math:`\log\mathrm{B}(\alpha) - \sum_k(\alpha_k - 1)E\log z_k`."""
        logs = self.mean_log
        entropy = _cross_entropy(self.concentration.double(), logs) + logs.sum(-1)
        return entropy.to(self.concentration.dtype)

    @property
    def mean(self) -> Tensor:
        r""":math:`\alpha_i/\sum_k\alpha_k`."""
        return self._shares().to(self.concentration.dtype)

    @property
    def variance(self) -> Tensor:
        r""":math:`m_i(1 - m_i)/(1 + \sum_k\alpha_k)`, :math:`m` the mean."""
        total = self.concentration.double().sum(-1, keepdim=True)
        rest = (total - self.concentration) / total
        return (self._shares() * rest / (1 + total)).to(self.concentration.dtype)

    @property
    def mode(self) -> Tensor:
        r""":math:`\alpha_i - 1`, normalized; a corner if all are below 1."""
        above = (self.concentration - 1).clamp(min=0)
        inner = above / above.sum(-1, keepdim=True)
        corners = torch.nn.functional.one_hot(
            self.concentration.argmax(-1), self.event_shape[0]
        ).to(inner)
        all_below = (self.concentration < 1).all(-1, keepdim=True)
        return torch.where(all_below, corners, inner)

    @property
    def mean_log(self) -> Tensor:
        r""":math:`E\log z_i = \psi(\alpha_i) - \psi(\sum_k\alpha_k)`, in float64."""
        alpha = self.concentration.double()
        of_total = log_minus_digamma(alpha.sum(-1, keepdim=True))
        return of_total - log_minus_digamma(alpha) + self._shares().log()

    def _log_draw(self, sample_shape: Any) -> Tensor:
        shape = self._extended_shape(torch.Size(sample_shape))
        return log_gamma_draw(self.concentration, shape).log_softmax(-1)

    def _shares(self) -> Tensor:
        alpha = self.concentration.double()
        return alpha / alpha.sum(-1, keepdim=True)


def _logit_path(concentration: Tensor, log_value: Tensor) -> Tensor:
    """How the logit of each element moves with its own concentration."""
    log_rest = logsumexp_of_others(log_value.movedim(-1, 0)).movedim(0, -1)
    alpha = concentration.double()
    rest = alpha.sum(-1, keepdim=True) - alpha
    return beta_path_of_first(concentration, rest, log_value - log_rest)


def _pull_back_logs(
    log_value: Tensor, parameters: tuple[Tensor, ...], grad_output: Tensor
) -> tuple[Tensor, ...]:
    total = grad_output.sum(-1, keepdim=True)
    path = _logit_path(parameters[0], log_value)
    gradient = path * (grad_output - log_value.exp() * total)
    return (gradient.to(parameters[0].dtype),)


def _pull_back(
    value: Tensor, parameters: tuple[Tensor, ...], grad_output: Tensor
) -> tuple[Tensor, ...]:
    z = value.double()
    return _pull_back_logs(z.log(), parameters, grad_output * z)


def _log_peak(alpha: Tensor) -> Tensor:
    """What is left of the logarithm of the normalizer, by Stirling's formula."""
    total = alpha.sum(-1)
    return (
        stirling_remainder(alpha).sum(-1)
        - stirling_remainder(total)
        + 0.5 * (total / (2 * math.pi)).log()
        - 0.5 * (alpha / (2 * math.pi)).log().sum(-1)
    )


def _cross_entropy(alpha: Tensor, mean_log: Tensor) -> Tensor:
    """Minus the mean of the log-density with all powers one higher."""
    log_shares = alpha.log() - alpha.sum(-1, keepdim=True).log()
    return (alpha * (log_shares - mean_log)).sum(-1) + _log_peak(alpha)


@register_kl(Dirichlet, Dirichlet)  # type: ignore[untyped-decorator]
def _kl_dirichlet_dirichlet(p: Dirichlet, q: Dirichlet) -> Tensor:
    logs = p.mean_log
    cross = _cross_entropy(q.concentration.double(), logs)
    divergence = cross - _cross_entropy(p.concentration.double(), logs)
    return divergence.to(p.concentration.dtype)
