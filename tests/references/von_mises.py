# SPDX-License-Identifier: Apache-2.0
"""Von Mises, by mpmath's Bessel functions and adaptive quadrature."""

import mpmath as mp


def log_prob(value, loc, concentration):
    kappa = mp.mpf(concentration)
    angle = mp.mpf(value) - mp.mpf(loc)
    return kappa * mp.cos(angle) - mp.log(2 * mp.pi * mp.besseli(0, kappa))


def standardize(value, loc, concentration):
    """Probability of the arc from the antipode of loc to value."""
    kappa = mp.mpf(concentration)
    angle = mp.mpf(value) - mp.mpf(loc)
    angle -= 2 * mp.pi * mp.nint(angle / (2 * mp.pi))
    if angle > 0:
        return 1 - _lower(-angle, kappa)
    return _lower(angle, kappa)


def cdf(value, loc, concentration):
    """Of the law on [-pi, pi)."""
    start = standardize(-mp.pi, loc, concentration)
    end = standardize(value, loc, concentration)
    return end - start + (1 if end < start else 0)


def _lower(angle, kappa):
    scale = 1 / mp.sqrt(max(kappa, 1))
    breaks = [angle - k * scale for k in (0, 1, 2, 4, 8, 16, 32, 64)]
    breaks = [b for b in breaks if b > -mp.pi]
    points = [-mp.pi, *reversed(breaks)]
    normalizer = 2 * mp.pi * mp.besseli(0, kappa)
    top = mp.cos(angle)
    area = mp.quad(lambda t: mp.exp(kappa * (mp.cos(t) - top)), points)
    return area * mp.exp(kappa * top) / normalizer
