# SPDX-License-Identifier: Apache-2.0
r"""Integrals of :math:`e^{-cs - s^2/2}` over an interval, anchored for accuracy.

An interval :math:`[a, a + w]` of the standard normal, with :math:`a + w \ge |a|` (its
mirror image if need be), is described from its *anchor* :math:`c`, and a point of it
by the offset :math:`t = z - c`. The anchor is the bound :math:`a`, the one nearer the
mode, unless the interval is wide and contains the mode: then :math:`c = 0`. With
:math:`h(t) = (z^2 - c^2)/2 = t(2c + t)/2` the density is proportional to
:math:`e^{-h}`, and neither a far tail nor a narrow interval makes it cancel.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from pyro_reparam_ext.ops.gauss_legendre import gauss_legendre, legendre_nodes
from pyro_reparam_ext.ops.mills_ratio import mills_ratio, mills_ratio_complement

# exp(-h) varies by at most a factor e over what is called narrow: ten nodes are exact
_NARROW = 1.0
# exp(-reach^2 / 2) is below the rounding of float64
_REACH = 8.6


class GaussianInterval(NamedTuple):
    """A standardized interval with its regime."""

    a: Tensor
    width: Tensor
    narrow: Tensor
    straddles: Tensor

    @property
    def anchor(self) -> Tensor:
        """The bound nearer the mode, or the mode."""
        return torch.where(self.straddles, 0.0, self.a)


def gaussian_interval(a: Tensor, width: Tensor) -> GaussianInterval:
    """The interval ``[a, a + width]``, ``a + width >= |a|``, ends possibly infinite."""
    narrow = is_narrow(a, width)
    return GaussianInterval(a, width, narrow, (a < 0) & ~narrow)


def is_narrow(a: Tensor, width: Tensor) -> Tensor:
    """Whether the density varies little over the interval."""
    # 0 * inf is NaN, and NaN <= 1 is False, as it should be
    return a.abs() * width + 0.5 * width.square() <= _NARROW


def exponent(anchor: Tensor, offset: Tensor) -> Tensor:
    r""":math:`h(t) = t(2c + t)/2`."""
    return 0.5 * offset * (2 * anchor + offset)


def narrow_integrals(a: Tensor, width: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    r""":math:`\int_0^w f\,e^{-h}\,ds` for :math:`f = 1, s, h`, narrow intervals.

    By quadrature: all terms are positive, so the relative accuracy is full.
    """
    nodes, weights = (a.new_tensor(x) for x in legendre_nodes(10))
    s = 0.5 * width.unsqueeze(-1) * (1 + nodes)
    h = exponent(a.unsqueeze(-1), s)
    density = 0.5 * width.unsqueeze(-1) * torch.exp(-h) * weights
    return density.sum(-1), (density * s).sum(-1), (density * h).sum(-1)


def tail_integrals(a: Tensor, width: Tensor) -> tuple[Tensor, Tensor]:
    """Those of 1 and s for ``a >= 0`` and an interval that is not narrow."""
    bounded = torch.isfinite(width)
    w = torch.where(bounded, width, 1.0)
    decay = torch.where(bounded, torch.exp(-exponent(a, w)), 0.0)
    m, rest = mills_ratio(a + w), mills_ratio_complement(a + w)
    zeroth = mills_ratio(a) - decay * m
    first = mills_ratio_complement(a) - decay * (rest + w * m)
    return zeroth, first


def anchored_integrals(interval: GaussianInterval) -> tuple[Tensor, Tensor]:
    """Those of 1 and s in every regime; those of a straddling interval are NaN-free
    placeholders.
    """  # noqa: D205
    a, width, narrow, straddles = interval
    near = narrow_integrals(
        torch.where(narrow, a, 0.0), torch.where(narrow, width, 0.1)
    )
    wide = narrow | straddles
    far = tail_integrals(torch.where(wide, 1.0, a), torch.where(wide, 4.0, width))
    return (
        torch.where(narrow, near[0], far[0]),
        torch.where(narrow, near[1], far[1]),
    )


def log_gaussian_mass(interval: GaussianInterval) -> Tensor:
    r""":math:`\log\int e^{-h}` over the interval, relative to its anchor."""
    a, width, _, straddles = interval
    zeroth, _ = anchored_integrals(interval)
    bounded = straddles & torch.isfinite(a)
    low = torch.where(bounded, a, -1.0)
    below = torch.where(bounded, upper_tail(-low), 0.0)
    bounded = straddles & torch.isfinite(width)
    high = torch.where(bounded, a + width, 1.0)
    above = torch.where(bounded, upper_tail(high), 0.0)
    inside = torch.log1p(-(below + above)) + 0.5 * math.log(2 * math.pi)
    return torch.where(straddles, inside, torch.log(zeroth))


def upper_tail(x: Tensor) -> Tensor:
    r""":math:`1 - \Phi(x)`, with relative accuracy for positive :math:`x`."""
    return 0.5 * torch.special.erfc(x * math.sqrt(0.5))


class OffsetMoments(NamedTuple):
    """Moments of the offset from ``start``, which need not be the anchor."""

    start: Tensor
    log_mass: Tensor
    mean: Tensor
    variance: Tensor
    exponent: Tensor


def offset_moments(a: Tensor, width: Tensor) -> OffsetMoments:
    r"""Mass, mean, variance and mean exponent of N(0, 1) on :math:`[a, a + w]`.

    By quadrature over the part of the interval that holds all but 1e-16 of the mass,
    so that each is a sum of positive terms: relative error below 1e-12. The ``start``
    is :math:`a`, or -8.6 if that is higher.
    """
    start = a.clamp(min=-_REACH)
    outside = torch.isinf(a)
    above = torch.where(outside, 0.0, a) + torch.where(torch.isinf(width), 1.0, width)
    high = torch.where(torch.isinf(width), _REACH, above)
    span = torch.where(a < -_REACH, high + _REACH, width)
    # where h has grown by reach^2 / 2, past the start or past the mode
    tail = start.clamp(min=0)
    cut = _REACH**2 / (tail + torch.sqrt(tail.square() + _REACH**2))
    cut = cut + (tail - start)
    span = torch.where(span < cut, torch.where(torch.isinf(span), 1.0, span), cut)

    def integrate(f: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        def integrand(s: Tensor) -> Tensor:
            h = exponent(start.unsqueeze(-1), s)
            return f(s, h) * torch.exp(-h)

        return gauss_legendre(integrand, torch.zeros_like(span), span, 96)

    mass = integrate(lambda s, h: torch.ones_like(s))
    mean = integrate(lambda s, h: s) / mass
    variance = integrate(lambda s, h: (s - mean.unsqueeze(-1)).square()) / mass
    mean_exponent = integrate(lambda s, h: h) / mass
    return OffsetMoments(start, mass.log(), mean, variance, mean_exponent)


def conditional_probabilities(
    interval: GaussianInterval, offset: Tensor
) -> tuple[Tensor, Tensor]:
    """Probabilities below and above a point of the interval, each to full accuracy."""
    a, width, narrow, straddles = interval
    log_mass = log_gaussian_mass(interval)
    # anchored at a bound: both parts are intervals of the same kind
    c = torch.where(straddles, 1.0, a)
    t = torch.where(straddles, 0.1, offset)
    rest = torch.where(straddles, 0.1, width - t)
    below = torch.exp(log_gaussian_mass(_part(c, t, narrow)) - log_mass)
    above = log_gaussian_mass(_part(c + t, rest, narrow)) - exponent(c, t) - log_mass
    # anchored at the mode
    low = torch.where(straddles & torch.isfinite(a), a, -1.0)
    under = torch.where(straddles & torch.isfinite(a), upper_tail(-low), 0.0)
    bounded = straddles & torch.isfinite(width)
    high = torch.where(bounded, a + width, 1.0)
    over = torch.where(bounded, upper_tail(high), 0.0)
    z = torch.where(straddles, offset, 0.0)
    mass = torch.exp(-log_mass) * math.sqrt(2 * math.pi)
    lower = (upper_tail(-z) - under) * mass
    upper = (upper_tail(z) - over) * mass
    left = z < 0
    return (
        torch.where(straddles, torch.where(left, lower, 1 - upper), below),
        torch.where(straddles, torch.where(left, 1 - lower, upper), torch.exp(above)),
    )


def _part(a: Tensor, width: Tensor, narrow: Tensor) -> GaussianInterval:
    """A part of a narrow interval, or of one in a tail; never straddling."""
    return GaussianInterval(
        a, width, narrow | is_narrow(a, width), torch.zeros_like(narrow)
    )
