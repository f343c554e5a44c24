# SPDX-License-Identifier: Apache-2.0
"""Generalized Pareto, by its textbook formulas in arbitrary precision."""

import mpmath as mp


def log_prob(value, loc, scale, concentration):
    shape = mp.mpf(concentration)
    y = (mp.mpf(value) - loc) / scale
    if shape == 0:
        return -mp.log(scale) - y
    return -mp.log(scale) - (1 + 1 / shape) * mp.log(1 + shape * y)


def cdf(value, loc, scale, concentration):
    shape = mp.mpf(concentration)
    y = (mp.mpf(value) - loc) / scale
    if shape == 0:
        return 1 - mp.exp(-y)
    return 1 - (1 + shape * y) ** (-1 / shape)


def quantile(probability, loc, scale, concentration):
    shape, rest = mp.mpf(concentration), 1 - mp.mpf(probability)
    if shape == 0:
        return loc - scale * mp.log(rest)
    return loc + scale * (rest**-shape - 1) / shape
