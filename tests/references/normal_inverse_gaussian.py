# SPDX-License-Identifier: Apache-2.0
"""Normal inverse Gaussian, by its textbook density and its mixture of normals."""

import mpmath as mp


def log_prob(value, loc, scale, tailweight, skewness):
    scale, alpha, beta = mp.mpf(scale), mp.mpf(tailweight), mp.mpf(skewness)
    x = mp.mpf(value) - loc
    r = mp.sqrt(scale**2 + x**2)
    gamma = mp.sqrt(alpha**2 - beta**2)
    bessel = mp.log(mp.besselk(1, alpha * r))
    return mp.log(alpha * scale / (mp.pi * r)) + bessel + scale * gamma + beta * x


def cdf(value, loc, scale, tailweight, skewness):
    """As the mixture of normal laws that it is; over the log of the variance."""
    scale, alpha, beta = mp.mpf(scale), mp.mpf(tailweight), mp.mpf(skewness)
    x = mp.mpf(value) - loc
    gamma = mp.sqrt(alpha**2 - beta**2)

    def mass(s):
        v = mp.exp(s)
        below = mp.erfc((beta * v - x) / mp.sqrt(2 * v)) / 2
        return below * mp.exp(-((scale - gamma * v) ** 2) / (2 * v) - s / 2)

    # where the exponent reaches the depth
    middle = scale * gamma + mp.mp.dps * 2.5
    spread = mp.sqrt(middle**2 - (scale * gamma) ** 2)
    top = mp.log((middle + spread) / gamma**2)
    bottom = mp.log(scale**2 / (middle + spread))
    points = [bottom + (top - bottom) * k / 8 for k in range(9)]
    return scale / mp.sqrt(2 * mp.pi) * mp.quad(mass, points)
