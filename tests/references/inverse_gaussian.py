# SPDX-License-Identifier: Apache-2.0
"""Inverse Gaussian, by its textbook formulas in arbitrary precision."""

import mpmath as mp


def log_prob(value, loc, concentration):
    x, mean, shape = mp.mpf(value), mp.mpf(loc), mp.mpf(concentration)
    quadratic = shape * (x - mean) ** 2 / (2 * mean**2 * x)
    return mp.log(shape / (2 * mp.pi * x**3)) / 2 - quadratic


def cdf(value, loc, concentration):
    x, mean, shape = mp.mpf(value), mp.mpf(loc), mp.mpf(concentration)
    root = mp.sqrt(shape / x)
    # the two terms of a far tail differ by many orders: keep more digits
    with mp.extradps(40):
        near = _normal(root * (x / mean - 1))
        return near + mp.exp(2 * shape / mean) * _normal(-root * (x / mean + 1))


def _normal(x):
    return mp.erfc(-x / mp.sqrt(2)) / 2
