# SPDX-License-Identifier: Apache-2.0
"""Kumaraswamy, by its textbook formulas in arbitrary precision."""

import mpmath as mp


def log_prob(value, concentration1, concentration0):
    z, a, b = mp.mpf(value), mp.mpf(concentration1), mp.mpf(concentration0)
    return mp.log(a * b) + (a - 1) * mp.log(z) + (b - 1) * mp.log(1 - z**a)


def cdf(value, concentration1, concentration0):
    return 1 - (1 - mp.mpf(value) ** concentration1) ** concentration0


def quantile(probability, concentration1, concentration0):
    a, b = mp.mpf(concentration1), mp.mpf(concentration0)
    return (1 - (1 - mp.mpf(probability)) ** (1 / b)) ** (1 / a)
