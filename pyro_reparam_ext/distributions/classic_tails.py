# SPDX-License-Identifier: Apache-2.0
r"""Tails in logs of the classic families, and their quantiles.

One function per family, registered with
:func:`~pyro_reparam_ext.distributions.register_log_tails`. Many are laws of
:math:`H = -\log(1 - F)`, the cumulative hazard: an exponential variable. Its logarithm
resolves both tails, since :math:`\log F \approx \log H` where either is small.
"""

import math
from typing import Any

import pyro.distributions
import torch
from torch import Tensor
from torch.distributions import (
    Cauchy,
    Exponential,
    GeneralizedPareto,
    Gumbel,
    HalfCauchy,
    HalfNormal,
    Kumaraswamy,
    Laplace,
    Normal,
    Pareto,
    Uniform,
    Weibull,
)
from torch.nn.functional import logsigmoid

from pyro_reparam_ext.distributions import generalized_pareto, kumaraswamy, noise
from pyro_reparam_ext.distributions.log_tails import (
    LogTails,
    Map,
    log_tails,
    register_log_tails,
    tail_quantile,
)
from pyro_reparam_ext.ops import (
    expm1_ratio,
    log1mexp,
    log1p_ratio,
    log_normal_cdf,
    log_normal_quantile,
)

_LOG2 = math.log(2)


def _symmetric(d: Any, tail: Map, quantile: Map) -> LogTails:
    """Of location and scale; ``tail`` is the lower one of the standard law."""

    def both(value: Tensor) -> tuple[Tensor, Tensor]:
        x = (value - d.loc) / d.scale
        return tail(x), tail(-x)

    return LogTails(
        both=both,
        lower_quantile=lambda log_p: d.loc + d.scale * quantile(log_p),
        upper_quantile=lambda log_p: d.loc - d.scale * quantile(log_p),
    )


@register_log_tails(Normal)
def normal(d: Normal) -> LogTails:
    """By Mills' ratio."""
    return _symmetric(d, log_normal_cdf, log_normal_quantile)


@register_log_tails(noise.StandardNormal)
def standard_normal(d: noise.StandardNormal) -> LogTails:
    """The same without parameters."""
    return LogTails(
        both=lambda value: (log_normal_cdf(value), log_normal_cdf(-value)),
        lower_quantile=log_normal_quantile,
        upper_quantile=lambda log_p: -log_normal_quantile(log_p),
    )


@register_log_tails(pyro.distributions.Logistic)
def logistic(d: pyro.distributions.Logistic) -> LogTails:
    """The logit."""
    return _symmetric(d, logsigmoid, lambda log_p: log_p - log1mexp(-log_p))


@register_log_tails(Laplace)
def laplace(d: Laplace) -> LogTails:
    """Exponential on either side."""

    def tail(x: Tensor) -> Tensor:
        below = x < 0
        inner = torch.log1p(-0.5 * torch.exp(-torch.where(below, 0.0, x)))
        return torch.where(below, x - _LOG2, inner)

    def quantile(log_p: Tensor) -> Tensor:
        below = log_p < -_LOG2
        above = -_LOG2 - log1mexp(-torch.where(below, -0.1, log_p))
        return torch.where(below, log_p + _LOG2, above)

    return _symmetric(d, tail, quantile)


@register_log_tails(Cauchy)
def cauchy(d: Cauchy) -> LogTails:
    """The angle, as that of a point (1, -x)."""

    def tail(x: Tensor) -> Tensor:
        return torch.atan2(torch.ones_like(x), -x).log() - math.log(math.pi)

    def quantile(log_p: Tensor) -> Tensor:
        p = torch.exp(log_p)
        return torch.where(p < 0.25, -1 / torch.tan(math.pi * p), _middle(p))

    def _middle(p: Tensor) -> Tensor:
        return torch.tan(math.pi * (p.clamp(min=0.25) - 0.5))

    return _symmetric(d, tail, quantile)


@register_log_tails(HalfNormal)
def half_normal(d: HalfNormal) -> LogTails:
    """Twice the upper half of a normal."""

    def lower(value: Tensor) -> Tensor:
        x = value / d.scale * math.sqrt(0.5)
        near = x < 0.5
        small = torch.erf(torch.where(near, x, 0.5)).log()
        return torch.where(
            near, small, torch.log1p(-torch.erfc(torch.where(near, 0.5, x)))
        )

    return LogTails(
        both=lambda value: (lower(value), _LOG2 + log_normal_cdf(-value / d.scale)),
        lower_quantile=lambda log_p: (
            d.scale * math.sqrt(2) * torch.erfinv(torch.exp(log_p))
        ),
        upper_quantile=lambda log_p: -d.scale * log_normal_quantile(log_p - _LOG2),
    )


@register_log_tails(HalfCauchy)
def half_cauchy(d: HalfCauchy) -> LogTails:
    """The angle of a point (1, x), from either axis."""

    def log_angle(y: Tensor, x: Tensor) -> Tensor:
        return torch.atan2(y, x).log() + math.log(2 / math.pi)

    def tangent(log_p: Tensor) -> Tensor:
        return torch.tan(0.5 * math.pi * torch.exp(log_p))

    def both(value: Tensor) -> tuple[Tensor, Tensor]:
        scale = d.scale.expand(value.shape)
        return log_angle(value, scale), log_angle(scale, value)

    return LogTails(
        both=both,
        lower_quantile=lambda log_p: d.scale * tangent(log_p),
        upper_quantile=lambda log_p: d.scale / tangent(log_p),
    )


@register_log_tails(Uniform)
def uniform(d: Uniform) -> LogTails:
    """The distances from either end."""
    width = d.high - d.low
    return LogTails(
        both=lambda value: (
            ((value - d.low) / width).log(),
            ((d.high - value) / width).log(),
        ),
        lower_quantile=lambda log_p: d.low + width * torch.exp(log_p),
        upper_quantile=lambda log_p: d.high - width * torch.exp(log_p),
    )


@register_log_tails(noise.StandardUniform)
def standard_uniform(d: noise.StandardUniform) -> LogTails:
    """The distances from 0 and 1."""
    return LogTails(
        both=lambda value: (value.log(), torch.log1p(-value)),
        lower_quantile=torch.exp,
        upper_quantile=lambda log_p: -torch.expm1(log_p),
    )


def _of_hazard(
    hazard: Map, log_hazard: Map, value_at: Map, log_density: Map | None = None
) -> LogTails:
    """A law given by its cumulative hazard, its logarithm and the inverse of that."""
    return LogTails(
        log_density=log_density,
        both=lambda value: (_log_of_complement(log_hazard(value)), -hazard(value)),
        lower_quantile=lambda log_p: value_at(_log_of_hazard(log_p)),
        upper_quantile=lambda log_p: value_at(torch.log(-log_p)),
    )


def _log_of_complement(log_h: Tensor) -> Tensor:
    r""":math:`\log(1 - e^{-H})`; H itself may underflow."""
    small = log_h < math.log(_LOG2)
    h = torch.exp(log_h)
    near = log_h + expm1_ratio(-torch.where(small, h, 0.5)).log()
    return torch.where(small, near, torch.log1p(-torch.exp(-h)))


def _log_of_hazard(log_p: Tensor) -> Tensor:
    r""":math:`\log(-\log(1 - p))`; p itself may underflow."""
    p = torch.exp(log_p)
    small = p < 0.5
    near = log_p + log1p_ratio(-torch.where(small, p, 0.25)).log()
    far = torch.log(-log1mexp(-torch.where(small, -1.0, log_p)))
    return torch.where(small, near, far)


@register_log_tails(Exponential)
def exponential(d: Exponential) -> LogTails:
    """The rate times the value."""
    return _of_hazard(
        lambda value: d.rate * value,
        lambda value: value.log() + d.rate.log(),
        lambda log_h: torch.exp(log_h) / d.rate,
    )


@register_log_tails(noise.StandardExponential)
def standard_exponential(d: noise.StandardExponential) -> LogTails:
    """The value itself."""
    return _of_hazard(lambda value: value, torch.log, torch.exp)


@register_log_tails(Weibull)
def weibull(d: Weibull) -> LogTails:
    """A power of the value.

    The class keeps a rounded reciprocal of the power, which its density shows.
    """

    def hazard(value: Tensor) -> Tensor:
        return (value / d.scale) ** d.concentration

    def log_hazard(value: Tensor) -> Tensor:
        return d.concentration * (value / d.scale).log()

    return _of_hazard(
        hazard,
        log_hazard,
        lambda log_h: d.scale * torch.exp(log_h / d.concentration),
        lambda value: (
            torch.xlogy(d.concentration - 1, value / d.scale)
            - hazard(value)
            + (d.concentration / d.scale).log()
        ),
    )


@register_log_tails(Pareto)
def pareto(d: Pareto) -> LogTails:
    """The logarithm of the value."""

    def hazard(value: Tensor) -> Tensor:
        return d.alpha * torch.log1p((value - d.scale) / d.scale)

    return _of_hazard(
        hazard,
        lambda value: hazard(value).log(),
        lambda log_h: d.scale * torch.exp(torch.exp(log_h) / d.alpha),
    )


@register_log_tails(Gumbel)
def gumbel(d: Gumbel) -> LogTails:
    """An exponential variable on the other side: its logarithm is that of 1/F."""
    mirrored = _of_hazard(
        lambda value: torch.exp((d.loc - value) / d.scale),
        lambda value: (d.loc - value) / d.scale,
        lambda log_h: d.loc - d.scale * log_h,
    )
    return LogTails(
        both=lambda value: mirrored.both(value)[::-1],
        lower_quantile=mirrored.upper_quantile,
        upper_quantile=mirrored.lower_quantile,
    )


@register_log_tails(Kumaraswamy)
def stock_kumaraswamy(d: Kumaraswamy) -> LogTails:
    """Those of our own class of the same name, computed in logs."""
    return _of_ours(
        kumaraswamy.Kumaraswamy(d.concentration1, d.concentration0, validate_args=False)
    )


@register_log_tails(GeneralizedPareto)
def stock_generalized_pareto(d: GeneralizedPareto) -> LogTails:
    """Those of our own class of the same name, smooth at shape 0."""
    return _of_ours(
        generalized_pareto.GeneralizedPareto(
            d.loc, d.scale, d.concentration, validate_args=False
        )
    )


def _of_ours(d: Any) -> LogTails:
    no = torch.zeros((), dtype=torch.bool)
    return LogTails(
        both=lambda value: log_tails(d, value)[:2],
        lower_quantile=lambda log_p: tail_quantile(d, log_p, no),
        upper_quantile=lambda log_p: tail_quantile(d, log_p, ~no),
        log_density=d.log_prob,
    )
