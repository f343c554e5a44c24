# SPDX-License-Identifier: Apache-2.0
"""The normal on an interval, from tail probabilities in arbitrary precision."""

import mpmath as mp


def log_prob(value, loc, scale, low, high):
    a, b, z = _standardized(loc, scale, low, high, value)
    density = mp.exp(-z * z / 2) / mp.sqrt(2 * mp.pi)
    return mp.log(density / (scale * _mass(a, b)))


def cdf(value, loc, scale, low, high):
    a, b, z = _standardized(loc, scale, low, high, value)
    return _mass(a, z) / _mass(a, b)


def quantile(probability, loc, scale, low, high):
    a, b, _ = _standardized(loc, scale, low, high, loc)
    p = mp.mpf(probability)
    if abs(a) > abs(b):
        return loc - scale * _root(-b, -a, 1 - p)
    return loc + scale * _root(a, b, p)


def _standardized(loc, scale, low, high, value):
    loc, scale = mp.mpf(loc), mp.mpf(scale)
    return tuple((mp.mpf(x) - loc) / scale for x in (low, high, value))


def _upper(x):
    return mp.mpf(0) if x == mp.inf else mp.erfc(x / mp.sqrt(2)) / 2


def _mass(a, b):
    if a > 0:
        return _upper(a) - _upper(b)
    return _upper(-b) - _upper(-a)


def _root(a, b, p):
    """Newton on the log of the upper tail, which is concave."""
    target = mp.log((1 - p) * _upper(a) + p * _upper(b))
    z = max(a, mp.mpf(-3))
    for _ in range(200):
        tail = _upper(z)
        density = mp.exp(-z * z / 2) / mp.sqrt(2 * mp.pi)
        step = (mp.log(tail) - target) * tail / density
        z += step
        if abs(step) < mp.eps * 1000 * (1 + abs(z)):
            return z
    raise ArithmeticError("the quantile did not converge")
