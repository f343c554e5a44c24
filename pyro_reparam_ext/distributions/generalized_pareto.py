# SPDX-License-Identifier: Apache-2.0
"""The generalized Pareto distribution, smooth in its shape at 0."""

import math
from typing import final

import torch
from torch import Tensor
from torch.distributions import constraints

from pyro_reparam_ext.distributions.base import Parameter
from pyro_reparam_ext.distributions.extended_interval import ExtendedInterval
from pyro_reparam_ext.distributions.noise import StandardExponential
from pyro_reparam_ext.distributions.transport import TransportDistribution
from pyro_reparam_ext.ops import (
    choose,
    clamp_to_interior,
    expm1_ratio,
    log1p_ratio,
    quick_map,
)

_LOG_MAX = 700.0  # below log(finfo(float64).max)
# up to here the derivative of log((e^x - 1)/x) is 1/2 + x/12 - x^3/720 + ...
_NEAR = 0.3
_BERNOULLI = (1 / 12, -1 / 720, 1 / 30240, -1 / 1209600, 1 / 47900160)
_SERIES = {torch.float32: _BERNOULLI[2:0:-1], torch.float64: _BERNOULLI[:0:-1]}


@final
class GeneralizedPareto(TransportDistribution):
    r"""Generalized Pareto distribution: the law of excesses over a high threshold.

    .. math:: z = \mu + \sigma\,\frac{e^{\xi\epsilon} - 1}{\xi},
        \qquad \epsilon \sim \mathrm{Exponential}(1)

    .. math:: p(z) = \frac{1}{\sigma}(1 + \xi y)^{-1/\xi - 1},
        \qquad y = \frac{z - \mu}{\sigma}

    Both are taken by their limits at :math:`\xi = 0`, the exponential distribution;
    :math:`\xi = -1` is the uniform one.

    Args:
        loc: :math:`\mu`, the lower end.
        scale: :math:`\sigma > 0`.
        concentration: :math:`\xi`, any real number: the index of the tail.

    Shapes:
        The parameters broadcast to ``batch_shape``; events are scalars.

    Support: :math:`z \ge \mu`, and :math:`z \le \mu - \sigma/\xi` if :math:`\xi < 0`;
    draws are kept strictly inside by at most one rounding unit. A draw too large for
    its dtype (about :math:`\sigma e^{\xi\epsilon}/\xi > 10^{38}` in float32: possible
    for :math:`\xi > 5`; :math:`\xi\epsilon > 700` in float64) is the largest finite
    number.

    Gradient: exact pathwise in all three parameters, at :math:`\xi = 0` too, where
    :math:`\partial z/\partial\xi = \sigma\epsilon^2/2`. A draw set to the largest
    finite number has gradient 0. The support moves with the parameters: a score
    function estimator is not valid in ``loc``, nor for :math:`\xi < -1/2`.

    Numerics: draws and their gradients are computed in the dtype of the parameters,
    to a few units of rounding in the exponent :math:`\xi\epsilon`; densities and
    distribution functions in float64, exact to 1e-14 at the given value. The KL
    divergence of two of them has no elementary closed form, and none is registered.

    Source: Hosking and Wallis (1987), Technometrics 29. Arguments as in
    :class:`torch.distributions.GeneralizedPareto`, whose gradient in
    ``concentration`` is 0 at 0. Moments that diverge are infinite here, NaN there.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> concentration = torch.tensor(0.0, requires_grad=True)
        >>> z = GeneralizedPareto(0.0, 1.0, concentration).rsample((10_000,))
        >>> z.mean().backward()
        >>> concentration.grad.item()  # 1 in expectation
        1.0...
    """

    arg_constraints = {  # noqa: RUF012 (torch's declaration)
        "loc": constraints.real,
        "scale": constraints.positive,
        "concentration": constraints.real,
    }

    def __init__(
        self,
        loc: Parameter,
        scale: Parameter,
        concentration: Parameter,
        validate_args: bool | None = None,
    ) -> None:
        super().__init__(
            loc=loc,
            scale=scale,
            concentration=concentration,
            validate_args=validate_args,
        )

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self) -> ExtendedInterval:
        r""":math:`[\mu, \mu - \sigma/\xi]`, or :math:`[\mu, \infty)`."""
        return ExtendedInterval(self.loc, self._upper_end())

    def noise(self) -> StandardExponential:
        """Exponential noise: the distribution at shape 0."""
        return StandardExponential.like(self.concentration)

    def transport(self, eps: Tensor) -> Tensor:
        r""":math:`\mu + \sigma\epsilon\,(e^{\xi\epsilon} - 1)/(\xi\epsilon)`."""
        eps = eps.to(self.loc.dtype)
        return quick_map(_transport, _value, _partials, eps, *self.parameters.values())

    def inverse(self, value: Tensor) -> Tensor:
        r""":math:`\log(1 + \xi y)/\xi`."""
        return self._excess_hazard(value).to(self.loc.dtype)

    def log_abs_det_jacobian(self, eps: Tensor, value: Tensor) -> Tensor:
        r""":math:`\log\sigma + \xi\epsilon`."""
        return self.scale.log() + self.concentration * eps

    def log_density(self, value: Tensor) -> Tensor:
        r""":math:`-\log\sigma - (1 + \xi)\log(1 + \xi y)/\xi`."""
        growth = 1 + self.concentration.double()
        result = -self.scale.double().log() - growth * self._excess_hazard(value)
        return result.to(self.loc.dtype)

    def cdf(self, value: Tensor) -> Tensor:
        r""":math:`1 - (1 + \xi y)^{-1/\xi}`."""
        if self._validate_args:
            self._validate_sample(value)
        upper = self._upper_end()
        inside = torch.minimum(torch.maximum(value, self.loc), upper)
        probability = -torch.expm1(-self._excess_hazard(inside))
        return torch.where(value >= upper, 1.0, probability).to(self.loc.dtype)

    def quantile(self, probability: Tensor) -> Tensor:
        """That of the hazard, mapped."""
        return self._quantile(-torch.log1p(-probability))

    def entropy(self) -> Tensor:
        r""":math:`\log\sigma + \xi + 1`."""
        return self.scale.log() + self.concentration + 1

    @property
    def mean(self) -> Tensor:
        r""":math:`\mu + \sigma/(1 - \xi)`, infinite for :math:`\xi \ge 1`."""
        exists = self.concentration < 1
        shape = torch.where(exists, self.concentration, 0.5)
        return torch.where(exists, self.loc + self.scale / (1 - shape), math.inf)

    @property
    def variance(self) -> Tensor:
        r""":math:`\sigma^2/((1-\xi)^2(1-2\xi))`, infinite for :math:`\xi \ge 1/2`."""
        exists = self.concentration < 0.5
        shape = torch.where(exists, self.concentration, 0.25)
        result = self.scale.square() / ((1 - shape).square() * (1 - 2 * shape))
        return torch.where(exists, result, math.inf)

    @property
    def mode(self) -> Tensor:
        r"""The lower end; for :math:`\xi < -1` the upper end, where the density
        diverges.
        """  # noqa: D205
        return torch.where(self.concentration < -1, self._upper_end(), self.loc)

    def _upper_end(self) -> Tensor:
        return _upper_end(self.loc, self.scale, self.concentration)

    def _quantile(self, eps: Tensor) -> Tensor:
        return _quantile(eps, self.loc, self.scale, self.concentration)

    def _excess_hazard(self, value: Tensor) -> Tensor:
        loc, scale, shape = (p.double() for p in self.parameters.values())
        y = (value.double() - loc) / scale
        # at the rounded upper end itself 1 + xi y may be 0 or below
        argument = (shape * y).clamp(min=-1 + 2**-53)
        return y * log1p_ratio(argument)


def _upper_end(loc: Tensor, scale: Tensor, shape: Tensor) -> Tensor:
    bounded = shape < 0
    end = loc - scale / torch.where(bounded, shape, -1.0)
    return torch.where(bounded & torch.isfinite(end), end, math.inf)


def _quantile(eps: Tensor, loc: Tensor, scale: Tensor, shape: Tensor) -> Tensor:
    growth = shape.double() * eps.double()
    representable = ~(growth >= _LOG_MAX)  # NaN is passed on
    y = eps * expm1_ratio(torch.where(representable, growth, 0.0))
    largest = torch.finfo(loc.dtype).max
    value = (loc.double() + scale.double() * y).clamp(max=largest)
    return torch.where(representable, value, largest).to(loc.dtype)


def _transport(eps: Tensor, loc: Tensor, scale: Tensor, shape: Tensor) -> Tensor:
    value = _quantile(eps, loc, scale, shape)
    return clamp_to_interior(value, loc, _upper_end(loc, scale, shape))


def _value(eps: Tensor, loc: Tensor, scale: Tensor, shape: Tensor) -> Tensor:
    y, *_ = _standardized(eps, shape)
    end = loc + scale / (0.0 - shape).clamp(min=0)  # inf unless the shape is negative
    low = torch.nextafter(loc, loc.new_tensor(math.inf))
    value = torch.maximum(loc + scale * y, low)
    return torch.minimum(value, torch.nextafter(end, loc))


def _partials(
    eps: Tensor, loc: Tensor, scale: Tensor, shape: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    y, x, h = _standardized(eps, shape)
    # the derivative of log((e^x - 1)/x): its series, where the difference cancels
    square = x.square()
    series = torch.zeros_like(x)
    for c in _SERIES[x.dtype]:
        series = (series + c) * square
    series = 0.5 + (series + 1 / 12) * x
    rise = h + 1
    difference = rise / h * (rise / (h + 2)) - 1 / x
    by_growth = choose(_NEAR - x.abs(), series, difference)
    largest = torch.finfo(x.dtype).max
    away = (scale * y).clamp(max=largest)
    kept = (largest - (loc + away)).sign()  # 0 where the draw is the largest number
    away = kept * away
    return kept, away / scale, (away * (eps * by_growth)).clamp(max=largest)


def _standardized(eps: Tensor, shape: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    r""":math:`(e^x - 1)/\xi`, :math:`x = \xi\epsilon` and :math:`e^{x/2} - 1`."""
    info = torch.finfo(eps.dtype)
    # a number next to 0 stands for it: the ratio is 1 at both
    x = (shape * eps).clamp(max=1.3 * math.log(info.max)) + 3 * info.tiny
    h = torch.expm1(0.5 * x)
    return eps * (h / x * (h + 2)), x, h  # no factor overflows before the product
