# SPDX-License-Identifier: Apache-2.0
"""How a von Mises angle moves with its concentration, without trigonometry inside."""

import math

import torch
from torch import Tensor

from pyro_reparam_ext.ops.bessel import asymptotic_series
from pyro_reparam_ext.ops.gauss_legendre import legendre_nodes
from pyro_reparam_ext.ops.half_line import HalfLinePolynomial
from pyro_reparam_ext.ops.quick_map import choose

# nodes, and the exponent at which the density is taken to have ended
_EXACT = (26, 40.0)
_RULES = {torch.float64: _EXACT, torch.float32: (12, 18.0)}


def quick_von_mises_path(centered: Tensor, concentration: Tensor) -> Tensor:
    r""":math:`\partial s/\partial\kappa` of an angle at a fixed quantile.

    .. math:: \frac{\partial s}{\partial\kappa} =
        -\int_{-\pi}^{s} \bigl(\cos t - A(\kappa)\bigr)\,
        e^{\kappa(\cos t - \cos s)}\,dt, \qquad A = I_1/I_0,

    from 0 or from the antipode, whichever keeps the integrand of one sign. In
    :math:`\tau = \tan((t - s)/4)` all sines of the integrand are rational functions of
    one another; the rule is Gauss and Legendre's. No derivatives.

    Args:
        centered: :math:`s \in [-\pi, \pi]`, in float64, so that the distance from the
            antipode is exact.
        concentration: :math:`\kappa > 0`; its dtype is that of the computation and of
            the result.

    Numerics: relative error below 1e-13 in float64, 1e-5 in float32.
    """
    kappa = concentration
    num_nodes, decay = _RULES.get(kappa.dtype, _EXACT)
    spread = quick_one_minus_bessel_ratio(kappa)
    end = -centered.abs()
    room = 0.5 * (math.pi + end).to(kappa.dtype)
    half_end = (0.5 * end).to(kappa.dtype)
    sine, cosine = half_end.sin(), half_end.cos()
    away = sine.square()  # (1 - cos s) / 2
    reach = away + decay / (2 * kappa)
    # half the way to where the density has ended, at most to the antipode
    start = -reach.clamp(max=1).sqrt().asin() - (reach - 1).sign().clamp(min=0)
    outer = torch.maximum(start - half_end, -room)
    half_way = choose(spread - 2 * away, -half_end, outer)
    top = (0.5 * half_way).tan()
    # cos t - cos s = -2 sin((t - s)/2) sin((t + s)/2), a rational function of tau
    first = -8 * top * sine * cosine
    second = -8 * top.square() * (1 - 2 * away)
    third, squares = -first * top.square(), top.square()
    base, one = spread - 2 * away, torch.ones_like(top)
    total = torch.zeros_like(top)
    nodes, weights = legendre_nodes(num_nodes)
    for node, weight in zip(nodes, weights, strict=True):
        x = 0.5 * (1 + node)
        inverse = one.add(squares, alpha=x**2).reciprocal()
        product = (first * x).add(second, alpha=x**2).add(third, alpha=x**3)
        above = product * inverse.square()
        density = torch.exp(kappa * above)
        # cos t - A is a sum of two terms of one sign
        total = total.addcmul((base + above) * inverse, density, value=weight)
    # the sign is that of the side; at s = 0 the path is 0
    return -2 * centered.sign().to(kappa.dtype) * top * total


def quick_one_minus_bessel_ratio(x: Tensor) -> Tensor:
    r""":func:`one_minus_bessel_ratio` by a polynomial; no derivatives.

    Relative error below 1e-13 in float64, 3e-6 in float32.
    """
    return _SPREAD(x) / (1 + 2 * x)


def _scaled_spread(x: float) -> float:
    if x > 40:
        return (1 + 2 * x) * asymptotic_series(x)
    ratio = 0.0  # by the continued fraction of I1/I0
    for k in range(100, 0, -1):
        ratio = x / (2 * k + x * ratio)
    return (1 + 2 * x) * (1 - ratio)


_SPREAD = HalfLinePolynomial(
    _scaled_spread, 5.0, {torch.float64: 45, torch.float32: 20}
)
