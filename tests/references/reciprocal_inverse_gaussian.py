# SPDX-License-Identifier: Apache-2.0
"""Reciprocal inverse Gaussian, by its textbook formulas in arbitrary precision."""

import mpmath as mp

from tests.references import inverse_gaussian


def log_prob(value, loc, concentration):
    z, mean, shape = mp.mpf(value), mp.mpf(loc), mp.mpf(concentration)
    quadratic = shape * (1 - mean * z) ** 2 / (2 * mean**2 * z)
    return mp.log(shape / (2 * mp.pi * z)) / 2 - quadratic


def cdf(value, loc, concentration):
    with mp.extradps(40):
        return 1 - inverse_gaussian.cdf(1 / mp.mpf(value), loc, concentration)
