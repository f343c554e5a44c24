# SPDX-License-Identifier: Apache-2.0
"""The Kumaraswamy distribution, computed in logs."""

import math
from typing import final

import torch
from torch import Tensor
from torch.distributions import constraints

from pyro_reparam_ext.distributions.base import Parameter
from pyro_reparam_ext.distributions.noise import StandardExponential
from pyro_reparam_ext.distributions.transport import TransportDistribution
from pyro_reparam_ext.ops import clamp_value, log1mexp, quick_map

_LONG = 1e4  # the exponential of minus it is 0
_EULER_GAMMA = 0.5772156649015329


@final
class Kumaraswamy(TransportDistribution):
    r"""Kumaraswamy distribution: a Beta-like law on (0, 1) with an explicit path.

    .. math:: z = \left(1 - e^{-\epsilon/b}\right)^{1/a},
        \qquad \epsilon \sim \mathrm{Exponential}(1)

    .. math:: p(z) = a b z^{a-1} (1 - z^a)^{b-1}

    Args:
        concentration1: :math:`a > 0`, the power at :math:`z = 0`.
        concentration0: :math:`b > 0`, the power at :math:`z = 1`.

    Shapes:
        The parameters broadcast to ``batch_shape``; events are scalars.

    Support: :math:`z \in (0, 1)`; draws are kept off the endpoints by at most one
    rounding unit.

    Gradient: exact pathwise in both parameters, also for draws moved off an endpoint.

    Numerics: densities, distribution functions and moments are computed in float64
    and returned in the dtype of the parameters; densities are exact to 1e-14 at the
    given value, near both ends. The values themselves resolve 1 only to a rounding
    unit: for small :math:`b` a good part of the mass lies closer (15 % for
    :math:`a = b = 0.1` in float32), and is set to the last number before 1. Where
    :math:`z` underflows, for small :math:`a`, so does its gradient. The relative error
    of the moments is about :math:`10^{-16}\,b\log b` for large :math:`b`.

    Source: Kumaraswamy (1980), J. Hydrology 46; the logarithmic form as in Wasserman
    and Mateos (2024), arXiv:2410.00660. Arguments as in
    :class:`torch.distributions.Kumaraswamy`.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> a = torch.tensor(0.1, requires_grad=True)
        >>> Kumaraswamy(a, 0.1).rsample((1000,)).sum().backward()
        >>> bool(a.grad.isfinite())
        True
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

    def noise(self) -> StandardExponential:
        """Exponential noise: it resolves both ends of the unit interval."""
        return StandardExponential.like(self.concentration1)

    def transport(self, eps: Tensor) -> Tensor:
        r""":math:`(1 - e^{-\epsilon/b})^{1/a}`, through its logarithm."""
        eps = eps.to(self.concentration0.dtype)
        return quick_map(_transport, _value, _partials, eps, *self.parameters.values())

    def inverse(self, value: Tensor) -> Tensor:
        r""":math:`-b\log(1 - z^a)`."""
        log_rest = self._log_rest(value)
        return (-self.concentration0.double() * log_rest).to(self.concentration0.dtype)

    def log_abs_det_jacobian(self, eps: Tensor, value: Tensor) -> Tensor:
        r""":math:`\log|\partial z/\partial\epsilon|`."""
        a, b = self.concentration1, self.concentration0
        return -eps / b - a.log() - b.log() - (a - 1) * value.log()

    def log_density(self, value: Tensor) -> Tensor:
        """Both powers in logs."""
        a, b = self.concentration1.double(), self.concentration0.double()
        powers = _times(a - 1, value.double().log())
        powers = powers + _times(b - 1, self._log_rest(value))
        return (a.log() + b.log() + powers).to(self.concentration0.dtype)

    def cdf(self, value: Tensor) -> Tensor:
        r""":math:`1 - (1 - z^a)^b`."""
        if self._validate_args:
            self._validate_sample(value)
        inside = ((value > 0) & (value < 1)) | value.isnan()
        log_rest = self._log_rest(torch.where(inside, value, 0.5))
        below = -torch.expm1(self.concentration0.double() * log_rest)
        ends = (value >= 1).double()
        return torch.where(inside, below, ends).to(self.concentration0.dtype)

    def quantile(self, probability: Tensor) -> Tensor:
        r""":math:`(1 - (1 - u)^{1/b})^{1/a}`."""
        return self._log_quantile(-torch.log1p(-probability)).exp()

    def entropy(self) -> Tensor:
        r""":math:`(1 - 1/a)H_b + 1 - 1/b - \log ab`, harmonic number :math:`H_b`."""
        a, b = self.concentration1.double(), self.concentration0.double()
        harmonic = torch.digamma(b + 1) + _EULER_GAMMA
        result = (1 - 1 / a) * harmonic + 1 - 1 / b - a.log() - b.log()
        return result.to(self.concentration0.dtype)

    @property
    def mean(self) -> Tensor:
        r""":math:`b\,\mathrm{B}(1 + 1/a, b)`."""
        return self._log_moment(1).exp().to(self.concentration0.dtype)

    @property
    def variance(self) -> Tensor:
        """The second moment less the squared mean, through their logs."""
        first, second = self._log_moment(1), self._log_moment(2)
        variance = (2 * first).exp() * torch.expm1(second - 2 * first)
        return variance.to(self.concentration0.dtype)

    @property
    def mode(self) -> Tensor:
        r""":math:`((a-1)/(ab-1))^{1/a}` for :math:`a, b \ge 1`, else NaN.

        NaN also for :math:`a = b = 1`, the uniform distribution.
        """
        a, b = self.concentration1.double(), self.concentration0.double()
        exists = (a >= 1) & (b >= 1) & (a * b > 1)
        a, b = torch.where(exists, a, 2.0), torch.where(exists, b, 2.0)
        mode = ((a - 1) / (a * b - 1)).pow(1 / a)
        return torch.where(exists, mode, math.nan).to(self.concentration0.dtype)

    def _log_quantile(self, eps: Tensor) -> Tensor:
        return _log_quantile(eps, self.concentration1, self.concentration0)

    def _log_rest(self, value: Tensor) -> Tensor:
        """log(1 - z^a), from the exact logarithm of z."""
        return log1mexp(-self.concentration1.double() * value.double().log())

    def _log_moment(self, order: int) -> Tensor:
        a, b = self.concentration1.double(), self.concentration0.double()
        power = 1 + order / a
        return torch.lgamma(power) + torch.lgamma(b + 1) - torch.lgamma(power + b)


def _times(power: Tensor, log: Tensor) -> Tensor:
    """``power * log``, and 0 for no power at all of an end of the interval."""
    absent = (power == 0) & torch.isinf(log)
    return power * torch.where(absent, 0.0, log)


def _log_quantile(eps: Tensor, a: Tensor, b: Tensor) -> Tensor:
    return log1mexp(eps / b) / a


def _transport(eps: Tensor, a: Tensor, b: Tensor) -> Tensor:
    value = _log_quantile(eps, a, b).exp()
    info = torch.finfo(value.dtype)
    return clamp_value(value, info.tiny, 1 - info.eps / 2)


def _value(eps: Tensor, a: Tensor, b: Tensor) -> Tensor:
    log_power, *_ = _log_power(eps, b)
    info = torch.finfo(eps.dtype)
    return (log_power / a).exp().clamp(info.tiny, 1 - info.eps / 2)


def _partials(eps: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    log_power, t, rest, power = _log_power(eps, b)
    log_value = log_power / a
    slope = -log_value.exp() / a
    return slope * log_value, slope * rest * (t / power) / b


def _log_power(eps: Tensor, b: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    r""":math:`\log z^a, t = \epsilon/b, 1 - z^a = e^{-t}, z^a`."""
    t = (eps / b).clamp(max=_LONG)
    power, rest = -torch.expm1(-t), torch.exp(-t)
    # what the rounding of a power near 1 has lost of its logarithm
    lost = ((1 - power) - rest) * (power - 0.5).sign().clamp(min=0)
    return power.log() + lost, t, rest, power
