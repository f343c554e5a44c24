# SPDX-License-Identifier: Apache-2.0
"""Log-probabilities of both tails of a scalar distribution, and the way back."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, final

import torch
from torch import Tensor
from torch.distributions import Distribution, TransformedDistribution

from pyro_reparam_ext.distributions.base import declared_ends, is_discrete
from pyro_reparam_ext.distributions.tail_inversion import invert_tails
from pyro_reparam_ext.distributions.transport import TransportDistribution

Map = Callable[[Tensor], Tensor]
Pair = Callable[[Tensor], tuple[Tensor, Tensor]]


@final
@dataclass(frozen=True, kw_only=True)
class LogTails:
    r"""The tails of a scalar distribution in logs, as functions.

    Given to :func:`register_log_tails`. All are called inside the support, with
    float64 tensors, on a distribution whose parameters are float64 too.

    Args:
        both: :math:`\log F(z)` and :math:`\log(1 - F(z))`, differentiable in the value
            and the parameters.
        lower_quantile: :math:`z` from :math:`\log F(z)`; it need not be
            differentiable. Asked for below the median. Without it the tails are
            inverted numerically, in about twenty evaluations.
        upper_quantile: :math:`z` from :math:`\log(1 - F(z))`, above the median.
        log_density: :math:`\log p(z)`, where that of the class is not accurate.
        rough: As ``both``, to some six digits and without gradient, where that is much
            faster: the numerical inversion starts with it.
    """

    both: Pair
    lower_quantile: Map | None = None
    upper_quantile: Map | None = None
    log_density: Map | None = None
    rough: Pair | None = None


class Tails(NamedTuple):
    r"""Both tails at a value.

    Args:
        lower: :math:`\log F(z)`.
        upper: :math:`\log(1 - F(z))`.
        resolved: Whether a small tail keeps its digits. If not, both were taken from
            ``cdf``, and only the larger one has a trustworthy derivative.
    """

    lower: Tensor
    upper: Tensor
    resolved: bool


Builder = Callable[[Any], LogTails]

_BUILDERS: dict[type[Distribution], Builder] = {}


def register_log_tails(cls: type[Distribution]) -> Callable[[Builder], Builder]:
    r"""Give a class of scalar distributions its tails in logs.

    With them it can be the base of
    :class:`~pyro_reparam_ext.distributions.Truncated`, and a component of
    :class:`~pyro_reparam_ext.distributions.MixtureSameFamily` that stays accurate
    between far components. A class of your own needs no entry if it has methods
    ``log_cdf(value)`` and ``log_sf(value)``, :math:`\log F` and :math:`\log(1 - F)`
    (and, if you like, their inverses ``log_icdf`` and ``log_isf``), or if it is a
    :class:`~pyro_reparam_ext.distributions.TransportDistribution`.

    Args:
        cls: The class; its subclasses too, unless they override ``cdf``. A later entry
            for the same class replaces the earlier.

    Example:
        >>> from pyro.distributions import SoftLaplace
        >>> from pyro_reparam_ext.distributions import Truncated
        >>> @register_log_tails(SoftLaplace)
        ... def soft_laplace(d):  # F(z) = arctan(exp(x)) 2 / pi
        ...     def tail(x):
        ...         return torch.atan(torch.exp(x)).log() + math.log(2 / math.pi)
        ...     def both(value):
        ...         x = (value - d.loc) / d.scale
        ...         return tail(x), tail(-x)
        ...     return LogTails(both=both)
        >>> z = Truncated(SoftLaplace(0.0, 1.0), low=20.0).sample((1000,))
        >>> bool((z > 20).all()), round(z.mean().item())
        (True, 21)
    """

    def register(builder: Builder) -> Builder:
        _BUILDERS[cls] = builder
        return builder

    return register


def log_tails(distribution: Distribution, value: Tensor) -> Tails:
    r"""Both tails at ``value``, by the best formula known for the family.

    Resolved for registered families, for monotone transforms and transports of them,
    and for distributions with methods ``log_cdf`` and ``log_sf``; from ``cdf`` for all
    others.
    """
    d: Any = distribution
    builder = _builder(d)
    if builder is not None:
        return Tails(*builder(d).both(value), True)
    if _has_methods(d):
        return Tails(d.log_cdf(value), d.log_sf(value), True)
    if isinstance(d, TransportDistribution):
        eps, vjp = torch.func.vjp(d.inverse, value)[:2]
        (slope,) = vjp(torch.ones_like(eps))
        return _flipped(log_tails(d.noise(), eps), slope < 0)
    if _is_monotone_transform(d):
        for transform in reversed(d.transforms):
            value = transform.inv(value)
        return _flipped(log_tails(d.base_dist, value), _is_decreasing(d))
    cdf = d.cdf(value)
    return Tails(_log(cdf), _log(1 - cdf), False)


def tail_density(distribution: Distribution, value: Tensor) -> Tensor:
    """The log-density, by the best formula known for the family."""
    builder = _builder(distribution)
    own = None if builder is None else builder(distribution).log_density
    result: Tensor = distribution.log_prob(value) if own is None else own(value)
    return result


def tail_quantile(
    distribution: Distribution, log_probability: Tensor, upper: Tensor
) -> Tensor:
    r"""The value with :math:`\log F(z)` given, or :math:`\log(1 - F(z))` if ``upper``.

    Without gradient. For distributions whose tails are resolved.
    """
    d: Any = distribution
    inverses = _quantiles(d)
    if inverses is not None:
        # each sees probabilities of its own side
        below = inverses[0](torch.where(upper, -1.0, log_probability))
        above = inverses[1](torch.where(upper, log_probability, -1.0))
        return torch.where(upper, above, below)
    if _builder(d) is None and not _has_methods(d):
        if isinstance(d, TransportDistribution):
            low, high = (
                d.transport(torch.full(d.batch_shape, u).to(log_probability))
                for u in (0.25, 0.75)
            )
            flipped = upper ^ (high < low)
            return d.transport(tail_quantile(d.noise(), log_probability, flipped))
        if _is_monotone_transform(d):
            flipped = upper ^ _is_decreasing(d)
            value = tail_quantile(d.base_dist, log_probability, flipped)
            for transform in d.transforms:
                value = transform(value)
            return value
    builder = _builder(d)
    return invert_tails(
        lambda value: log_tails(d, value)[:2],
        None if builder is None else builder(d).rough,
        lambda value: tail_density(d, value),
        log_probability,
        upper,
        *support_ends(d),
    )


def support_ends(distribution: Distribution) -> tuple[Tensor, Tensor]:
    """The ends of the support, infinite where there is none."""
    d: Any = distribution
    if _builder(d) is None and _is_monotone_transform(d):
        # torch declares the codomain of the last transform, whatever comes into it
        low, high = support_ends(d.base_dist)
        for transform in d.transforms:
            low, high = transform(low), transform(high)
        flipped = _is_decreasing(d)
        return torch.where(flipped, high, low), torch.where(flipped, low, high)
    return declared_ends(d)


def log_tails_and_density(d: Any, value: Tensor) -> tuple[Tails, Tensor]:
    """Both tails and the log-density, at points outside of the support too.

    A component of a mixture is asked for these where another one has drawn.
    """
    bounds = [getattr(d.support, f"{end}_bound", None) for end in ("lower", "upper")]
    if not any(isinstance(bound, Tensor) for bound in bounds):
        return log_tails(d, value), d.log_prob(value)
    lower, upper = (end.detach() for end in declared_ends(d))
    inner = torch.where(
        lower.isfinite() & upper.isfinite(),
        0.5 * (lower + upper),
        torch.where(lower.isfinite(), lower + 1, upper.clamp(max=1.0) - 1),
    ).to(value)
    outside = ~d.support.check(value)
    # formulas see only points inside: no NaN in the unused gradient
    inside = torch.where(outside, inner, value)
    tails, log_density = log_tails(d, inside), d.log_prob(inside)
    below, above = outside & (value < inner), outside & (value > inner)
    lower_tail = torch.where(above, 0.0, tails.lower.where(~below, -math.inf))
    upper_tail = torch.where(below, 0.0, tails.upper.where(~above, -math.inf))
    log_density = torch.where(outside, -math.inf, log_density)
    return Tails(lower_tail, upper_tail, tails.resolved), log_density


def why_no_tails(distribution: Any) -> str | None:
    """What keeps :func:`log_tails` from a differentiable answer, or None."""
    name = type(distribution).__name__
    if distribution.event_shape:
        shape = tuple(distribution.event_shape)
        return f"{name}, whose events of shape {shape} do not factorize"
    if is_discrete(distribution):
        return f"{name}, which is discrete"
    if _builder(distribution) is not None or _has_methods(distribution):
        return None
    if _is_monotone_transform(distribution):
        return why_no_tails(distribution.base_dist)
    if isinstance(distribution, TransportDistribution):
        return why_no_tails(distribution.noise())
    cdf = type(distribution).cdf
    if cdf is Distribution.cdf or cdf is TransformedDistribution.cdf:
        return f"{name}, which has no cdf"
    return None


def has_resolved_tails(distribution: Any) -> bool:
    """Whether a small tail keeps its digits, for a scalar distribution."""
    if _builder(distribution) is not None or _has_methods(distribution):
        return True
    if isinstance(distribution, TransportDistribution):
        return has_resolved_tails(distribution.noise())
    if _is_monotone_transform(distribution):
        return has_resolved_tails(distribution.base_dist)
    return False


def _builder(distribution: Distribution) -> Builder | None:
    """That of the nearest class, unless a subclass has a law of its own."""
    cls: Any = type(distribution)
    known = next((c for c in cls.__mro__ if c in _BUILDERS), None)
    if known is None or cls.cdf is not known.cdf:
        return None
    return _BUILDERS[known]


def _has_methods(d: Any) -> bool:
    return hasattr(d, "log_cdf") and hasattr(d, "log_sf")


def _quantiles(d: Any) -> tuple[Map, Map] | None:
    """Quantiles from the lower and the upper log-tail, if both are given."""
    builder = _builder(d)
    if builder is not None:
        tails = builder(d)
        both = tails.lower_quantile, tails.upper_quantile
    else:
        both = getattr(d, "log_icdf", None), getattr(d, "log_isf", None)
    return None if both[0] is None or both[1] is None else (both[0], both[1])


def _is_monotone_transform(d: Any) -> bool:
    return (
        type(d).cdf is TransformedDistribution.cdf
        and not d.base_dist.event_shape
        and all(t.bijective for t in d.transforms)
    )


def _is_decreasing(d: Any) -> Tensor:
    flipped = torch.zeros((), dtype=torch.bool)
    for transform in d.transforms:
        flipped = flipped ^ (torch.as_tensor(transform.sign) < 0)
    return flipped


def _flipped(tails: Tails, flipped: Tensor) -> Tails:
    return Tails(
        torch.where(flipped, tails.upper, tails.lower),
        torch.where(flipped, tails.lower, tails.upper),
        tails.resolved,
    )


def _log(x: Tensor) -> Tensor:
    positive = x > 0
    return torch.where(positive, torch.where(positive, x, 1.0).log(), -math.inf)
