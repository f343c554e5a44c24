# SPDX-License-Identifier: Apache-2.0
"""The Beta distribution, drawn in logits."""

import math
from typing import Any, final

import torch
from torch import Tensor
from torch.distributions import constraints
from torch.distributions.kl import register_kl
from torch.nn.functional import logsigmoid

from pyro_reparam_ext.distributions.base import Parameter
from pyro_reparam_ext.distributions.implicit import ImplicitDistribution
from pyro_reparam_ext.distributions.logit_beta_draw import (
    attach_beta_path,
    logit_beta_draw,
)
from pyro_reparam_ext.ops import (
    beta_cross_entropy,
    beta_mean_logs,
    beta_path,
    betainc,
    log_beta_density,
)


@final
class Beta(ImplicitDistribution):
    r"""Beta distribution: probabilities and proportions.

    .. math:: z = \sigma(y), \qquad y = w_1 - w_0, \quad
        e^{w_1} \sim \mathrm{Gamma}(a, 1), \; e^{w_0} \sim \mathrm{Gamma}(b, 1)

    .. math:: p(z) = \frac{z^{a-1}(1-z)^{b-1}}{\mathrm{B}(a, b)}

    Args:
        concentration1: :math:`a > 0`, the power at :math:`z = 0`.
        concentration0: :math:`b > 0`, the power at :math:`z = 1`.

    Shapes:
        The parameters broadcast to ``batch_shape``; events are scalars.

    Support: :math:`z \in [0, 1]`; draws are kept off the ends by at most one rounding
    unit.

    Gradient: pathwise in both parameters at a fixed quantile of :math:`z`, by
    :func:`~pyro_reparam_ext.ops.beta_path`: relative error below 1e-8 for
    :math:`a, b \in [10^{-4}, 10^4]`. Second derivatives are exact.

    Numerics: in float64, returned in the dtype of the parameters. The values resolve 1
    only to a rounding unit, and for small :math:`b` much of the mass is closer:
    ``rsample_log_pair`` gives :math:`\log z` and :math:`\log(1 - z)` to their own
    digits, whatever the concentrations. Never compute :math:`1 - z` from a draw.

    Source: Figurnov, Mohamed and Mnih (2018), "Implicit reparameterization gradients".
    Arguments as in :class:`torch.distributions.Beta`.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> b = torch.tensor(0.1, requires_grad=True)
        >>> log_z, log_rest = Beta(2.0, b).rsample_log_pair((10_000,))
        >>> log_rest.mean().backward()
        >>> round(b.grad.item(), -1)
        100.0
    """

    arg_constraints = {  # noqa: RUF012 (torch's declaration)
        "concentration1": constraints.positive,
        "concentration0": constraints.positive,
    }
    support = constraints.unit_interval

    def __init__(
        self,
        concentration1: Parameter,
        concentration0: Parameter,
        validate_args: bool | None = None,
    ) -> None:
        super().__init__(
            concentration1=concentration1,
            concentration0=concentration0,
            validate_args=validate_args,
        )

    def simulate(self, sample_shape: torch.Size) -> Tensor:
        """The draw of a logit, rounded into the open interval."""
        a, b = self.concentration1, self.concentration0
        logit = logit_beta_draw(a, b, sample_shape + self.batch_shape)
        info = torch.finfo(a.dtype)
        return logit.sigmoid().clamp(info.tiny, 1 - info.eps / 2).to(a.dtype)

    def rsample_log_pair(
        self,
        sample_shape: Any = torch.Size(),  # noqa: B008
    ) -> tuple[Tensor, Tensor]:
        r"""A draw as :math:`\log z` and :math:`\log(1 - z)`, both to their own digits.

        Differentiable in the parameters; finite where :math:`z` would round to 0 or 1.
        """
        a, b = self.concentration1, self.concentration0
        shape = torch.Size(sample_shape) + self.batch_shape
        with torch.no_grad():
            logit = logit_beta_draw(a, b, shape)
        logit = attach_beta_path(logit, a, b)
        return logsigmoid(logit).to(a.dtype), logsigmoid(-logit).to(a.dtype)

    def inverse(self, value: Tensor) -> Tensor:
        """The cdf."""
        return self.cdf(value)

    def sample_gradient(self, value: Tensor) -> dict[str, Tensor]:
        """The scores over one tail, over the density."""
        z = value.double()
        logit = z.log() - torch.log1p(-z)
        paths = beta_path(self.concentration1, self.concentration0, logit)
        slope = z * (1 - z)
        return {
            name: (slope * path).to(value.dtype)
            for name, path in zip(self.arg_constraints, paths, strict=True)
        }

    def log_density(self, value: Tensor) -> Tensor:
        """In both logarithms; at an end, its limit."""
        a, b = self.concentration1.double(), self.concentration0.double()
        end = (value == 0) | (value == 1)
        z = torch.where(end, 0.5, value).double()
        log_z, log_rest = z.log(), torch.log1p(-z)
        inside = log_beta_density(a, b, log_z, log_rest) - log_z - log_rest
        power, other = torch.where(value == 0, a, b), torch.where(value == 0, b, a)
        limit = torch.where(power < 1, math.inf, -math.inf)
        limit = torch.where(power == 1, other.log(), limit)
        return torch.where(end, limit, inside).to(value.dtype)

    def cdf(self, value: Tensor) -> Tensor:
        r""":math:`I_z(a, b)`, differentiable in everything."""
        z = value.clamp(0, 1).double()
        cdf = betainc(self.concentration1.double(), self.concentration0.double(), z)
        return cdf.to(value.dtype)

    def entropy(self) -> Tensor:
        r""":math:`\log\mathrm{B} - (a-1)\psi(a) - (b-1)\psi(b) + (a+b-2)\psi(a+b)`."""
        a, b = self.concentration1.double(), self.concentration0.double()
        logs = beta_mean_logs(a, b)
        entropy = beta_cross_entropy(a, b, *logs) + logs[0] + logs[1]
        return entropy.to(self.concentration1.dtype)

    @property
    def mean(self) -> Tensor:
        r""":math:`a/(a+b)`."""
        return self.concentration1 / (self.concentration1 + self.concentration0)

    @property
    def variance(self) -> Tensor:
        r""":math:`ab/(a+b)^2(a+b+1)`."""
        n = self.concentration1 + self.concentration0
        return (self.concentration1 / n) * (self.concentration0 / n) / (n + 1)

    @property
    def mode(self) -> Tensor:
        r""":math:`(a-1)/(a+b-2)`; at an end whose power is below 1; NaN if uniform."""
        a, b = self.concentration1 - 1, self.concentration0 - 1
        inside = (a > 0) | (b > 0)
        above, below = a.clamp(min=0), b.clamp(min=0)
        total = torch.where(inside, above + below, 1.0)
        at_end = torch.where((a == 0) & (b == 0), math.nan, (a > b).to(a.dtype))
        lower_power = torch.where(inside, above / total, at_end)
        # with one power below 1 and one of exactly 1, at the end of the former
        return torch.where((a == 0) & (b < 0), 1.0, lower_power)


@register_kl(Beta, Beta)  # type: ignore[untyped-decorator]
def _kl_beta_beta(p: Beta, q: Beta) -> Tensor:
    a, b = p.concentration1.double(), p.concentration0.double()
    logs = beta_mean_logs(a, b)
    other = (q.concentration1.double(), q.concentration0.double())
    divergence = beta_cross_entropy(*other, *logs) - beta_cross_entropy(a, b, *logs)
    return divergence.to(p.concentration1.dtype)
