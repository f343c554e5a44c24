# SPDX-License-Identifier: Apache-2.0
r"""Explicit paths :math:`z = g_\theta(\epsilon)` of the classic families.

One function per family, registered with
:func:`~pyro_reparam_ext.distributions.as_transport`. The formulas, with sources, are
tabulated in the documentation under "Classic transports".
"""

import functools
import math
from collections.abc import Callable

import pyro.distributions
import torch
from torch import Tensor
from torch.distributions import (
    Cauchy,
    Distribution,
    Exponential,
    Gumbel,
    HalfCauchy,
    HalfNormal,
    Kumaraswamy,
    Laplace,
    LogNormal,
    LowRankMultivariateNormal,
    MultivariateNormal,
    Normal,
    Pareto,
    Uniform,
    Weibull,
)
from torch.distributions.relaxed_bernoulli import LogitRelaxedBernoulli

from pyro_reparam_ext.distributions import kumaraswamy as ours
from pyro_reparam_ext.distributions import standard_maps as standard
from pyro_reparam_ext.distributions.as_transport import Transport, register_transport
from pyro_reparam_ext.distributions.noise import (
    Noise,
    StandardExponential,
    StandardNormal,
    StandardUniform,
)
from pyro_reparam_ext.ops import log1mexp


def _noise(kind: type[Noise], dist: Distribution, *parameters: Tensor) -> Noise:
    dtype = functools.reduce(torch.promote_types, (p.dtype for p in parameters))
    return kind(dist.batch_shape, dtype=dtype, device=parameters[0].device)


def _location_scale(
    dist: Distribution,
    loc: Tensor,
    scale: Tensor,
    g: Callable[[Tensor], Tensor],
    g_inverse: Callable[[Tensor], Tensor],
    log_slope: Callable[[Tensor, Tensor], Tensor],
    kind: type[Noise] = StandardExponential,
) -> Transport:
    """``loc + scale * g(eps)``; ``log_slope`` is log|dg/deps| of (eps, g(eps))."""
    return Transport(
        distribution=dist,
        noise=_noise(kind, dist, loc, scale),
        transport=lambda eps: loc + scale * g(eps),
        inverse=lambda value: g_inverse((value - loc) / scale),
        log_abs_det_jacobian=lambda eps, value: (
            scale.log() + log_slope(eps, (value - loc) / scale)
        ),
    )


@register_transport(Normal)
def normal(dist: Normal) -> Transport:
    """Location and scale of a standard normal."""
    return _location_scale(
        dist,
        dist.loc,
        dist.scale,
        g=lambda eps: eps,
        g_inverse=lambda x: x,
        log_slope=lambda eps, x: torch.zeros_like(x),
        kind=StandardNormal,
    )


@register_transport(Cauchy)
def cauchy(dist: Cauchy) -> Transport:
    """Location and scale of a cotangent."""
    return _location_scale(
        dist,
        dist.loc,
        dist.scale,
        g=standard.cauchy,
        g_inverse=standard.cauchy_inverse,
        log_slope=lambda eps, x: _log1p_square(x) + math.log(math.pi) - eps,
    )


@register_transport(Laplace)
def laplace(dist: Laplace) -> Transport:
    """Location and scale of a two-sided exponential."""
    return _location_scale(
        dist,
        dist.loc,
        dist.scale,
        g=standard.laplace,
        g_inverse=standard.laplace_inverse,
        log_slope=lambda eps, x: -torch.log(torch.expm1(eps.clamp(max=math.log(2)))),
    )


@register_transport(Gumbel)
def gumbel(dist: Gumbel) -> Transport:
    """Location and scale of minus the log of an exponential; decreasing."""
    return _location_scale(
        dist,
        dist.loc,
        dist.scale,
        g=lambda eps: -torch.log(eps),
        g_inverse=lambda x: torch.exp(-x),
        log_slope=lambda eps, x: x,
    )


@register_transport(pyro.distributions.Logistic)
def logistic(dist: pyro.distributions.Logistic) -> Transport:
    """Location and scale of a logit."""
    return _location_scale(
        dist,
        dist.loc,
        dist.scale,
        g=standard.logistic,
        g_inverse=standard.logistic_inverse,
        log_slope=lambda eps, x: -log1mexp(eps),
    )


@register_transport(LogitRelaxedBernoulli)
def logit_relaxed_bernoulli(dist: LogitRelaxedBernoulli) -> Transport:
    """A logistic draw; ``RelaxedBernoulli`` is its sigmoid."""
    return _location_scale(
        dist,
        dist.logits / dist.temperature,
        dist.temperature.reciprocal(),
        g=standard.logistic,
        g_inverse=standard.logistic_inverse,
        log_slope=lambda eps, x: -log1mexp(eps),
    )


@register_transport(HalfNormal)
def half_normal(dist: HalfNormal) -> Transport:
    """The quantile of the folded normal: the fold itself has no inverse."""
    return _location_scale(
        dist,
        torch.zeros_like(dist.scale),
        dist.scale,
        g=standard.half_normal,
        g_inverse=standard.half_normal_inverse,
        log_slope=lambda eps, x: 0.5 * x.square() + 0.5 * math.log(math.pi / 2) - eps,
    )


@register_transport(HalfCauchy)
def half_cauchy(dist: HalfCauchy) -> Transport:
    """The quantile of the folded Cauchy: the fold itself has no inverse."""
    return _location_scale(
        dist,
        torch.zeros_like(dist.scale),
        dist.scale,
        g=standard.half_cauchy,
        g_inverse=standard.half_cauchy_inverse,
        log_slope=lambda eps, x: _log1p_square(x) + math.log(math.pi / 2) - eps,
    )


@register_transport(Exponential)
def exponential(dist: Exponential) -> Transport:
    """Exponential noise over the rate."""
    rate = dist.rate
    return Transport(
        distribution=dist,
        noise=_noise(StandardExponential, dist, rate),
        transport=lambda eps: eps / rate,
        inverse=lambda value: value * rate,
        log_abs_det_jacobian=lambda eps, value: -rate.log(),
    )


@register_transport(Uniform)
def uniform(dist: Uniform) -> Transport:
    """An interval; draws stay below its open end."""
    low, high = dist.low, dist.high

    def transport(eps: Tensor) -> Tensor:
        value = low + (high - low) * eps
        # rounding may reach `high`, where the density is 0; the gradient is kept
        inside = torch.minimum(value, torch.nextafter(high, low)).detach()
        return value + (inside - value.detach())

    return Transport(
        distribution=dist,
        noise=_noise(StandardUniform, dist, low, high),
        transport=transport,
        inverse=lambda value: (value - low) / (high - low),
        log_abs_det_jacobian=lambda eps, value: (high - low).log(),
    )


@register_transport(LogNormal)
def log_normal(dist: LogNormal) -> Transport:
    """The exponential of a normal."""
    loc, scale = dist.loc, dist.scale
    return Transport(
        distribution=dist,
        noise=_noise(StandardNormal, dist, loc, scale),
        transport=lambda eps: torch.exp(loc + scale * eps),
        inverse=lambda value: (value.log() - loc) / scale,
        log_abs_det_jacobian=lambda eps, value: value.log() + scale.log(),
    )


@register_transport(Weibull)
def weibull(dist: Weibull) -> Transport:
    """A power of exponential noise; kept positive where the power underflows."""
    scale, power = dist.scale, dist.concentration

    def transport(eps: Tensor) -> Tensor:
        value = scale * eps ** power.reciprocal()
        return value.clamp(min=torch.finfo(value.dtype).tiny)

    return Transport(
        distribution=dist,
        noise=_noise(StandardExponential, dist, scale, power),
        transport=transport,
        inverse=lambda value: (value / scale) ** power,
        log_abs_det_jacobian=lambda eps, value: (
            scale.log() - power.log() + (1 - power) * torch.log(value / scale)
        ),
    )


@register_transport(Pareto)
def pareto(dist: Pareto) -> Transport:
    """The exponential of exponential noise."""
    scale, alpha = dist.scale, dist.alpha
    return Transport(
        distribution=dist,
        noise=_noise(StandardExponential, dist, scale, alpha),
        transport=lambda eps: scale * torch.exp(eps / alpha),
        inverse=lambda value: alpha * torch.log1p((value - scale) / scale),
        log_abs_det_jacobian=lambda eps, value: value.log() - alpha.log(),
    )


@register_transport(Kumaraswamy)
def kumaraswamy(dist: Kumaraswamy) -> Transport:
    """The path of our own class of the same name, computed in logs."""
    same = ours.Kumaraswamy(
        dist.concentration1, dist.concentration0, validate_args=False
    )
    return Transport(
        distribution=dist,
        noise=same.noise(),
        transport=same.transport,
        inverse=same.inverse,
        log_abs_det_jacobian=same.log_abs_det_jacobian,
    )


@register_transport(MultivariateNormal)
@register_transport(LowRankMultivariateNormal)
def multivariate_normal(
    dist: MultivariateNormal | LowRankMultivariateNormal,
) -> Transport:
    """The Cholesky factor of the covariance, for all parameterizations.

    The low-rank class samples with more noise than it has dimensions, which has no
    inverse; the Cholesky factor has one, at cubic cost in the dimension.
    """
    loc, scale_tril = dist.loc, dist.scale_tril
    noise = StandardNormal(
        dist.batch_shape + dist.event_shape,
        dtype=torch.promote_types(loc.dtype, scale_tril.dtype),
        device=loc.device,
    )

    def inverse(value: Tensor) -> Tensor:
        centred = (value - loc).unsqueeze(-1)
        return torch.linalg.solve_triangular(scale_tril, centred, upper=False)[..., 0]

    return Transport(
        distribution=dist,
        noise=noise.to_event(1),
        transport=lambda eps: loc + (scale_tril @ eps.unsqueeze(-1))[..., 0],
        inverse=inverse,
        log_abs_det_jacobian=lambda eps, value: (
            scale_tril.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        ),
    )


def _log1p_square(x: Tensor) -> Tensor:
    # log(1 + x²) without the overflow of the square
    return 2 * torch.log(torch.hypot(torch.ones_like(x), x))
