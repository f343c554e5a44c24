# SPDX-License-Identifier: Apache-2.0
"""Normal inverse Gaussian, by its textbook density and adaptive quadrature."""

import mpmath as mp


def log_prob(value, loc, scale, tailweight, skewness):
    scale, alpha, beta = mp.mpf(scale), mp.mpf(tailweight), mp.mpf(skewness)
    x = mp.mpf(value) - loc
    r = mp.sqrt(scale**2 + x**2)
    gamma = mp.sqrt(alpha**2 - beta**2)
    bessel = mp.log(mp.besselk(1, alpha * r))
    return mp.log(alpha * scale / (mp.pi * r)) + bessel + scale * gamma + beta * x


def cdf(value, loc, scale, tailweight, skewness):
    """Over arsinh of the standardized value, on the side away from the mode."""
    scale, alpha, beta = mp.mpf(scale), mp.mpf(tailweight), mp.mpf(skewness)
    center = mp.atanh(beta / alpha)
    g = scale * mp.sqrt(alpha**2 - beta**2)
    t = mp.asinh((mp.mpf(value) - loc) / scale)

    def density(u):
        bessel = mp.besselk(1, alpha * scale * mp.cosh(u))
        return alpha * scale / mp.pi * bessel * mp.exp(g + beta * scale * mp.sinh(u))

    depth = mp.mp.dps * 2.5
    reach = mp.acosh(mp.cosh(t - center) + depth / g)
    end = center - reach if t < center else center + reach
    points = [t + (end - t) * k / 4 for k in range(5)]
    beyond = mp.quad(density, points)  # negative towards the left
    return -beyond if t < center else 1 - beyond
