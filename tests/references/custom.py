# SPDX-License-Identifier: Apache-2.0
"""The laws of the custom cases, by their textbook formulas in arbitrary precision."""

import mpmath as mp


class Rayleigh:
    @staticmethod
    def log_prob(value, scale):
        x = mp.mpf(value) / scale
        return mp.log(x / scale) - x**2 / 2

    @staticmethod
    def cdf(value, scale):
        return -mp.expm1(-((mp.mpf(value) / scale) ** 2) / 2)


class GumbelMin:
    @staticmethod
    def log_prob(value, loc, scale):
        x = (mp.mpf(value) - loc) / scale
        return x - mp.exp(x) - mp.log(scale)

    @staticmethod
    def cdf(value, loc, scale):
        return -mp.expm1(-mp.exp((mp.mpf(value) - loc) / scale))


class Logistic:
    @staticmethod
    def log_prob(value, loc, scale):
        x = abs((mp.mpf(value) - loc) / scale)
        return -x - mp.log(scale) - 2 * mp.log1p(mp.exp(-x))

    @staticmethod
    def cdf(value, loc, scale):
        return 1 / (1 + mp.exp(-(mp.mpf(value) - loc) / scale))


class PowerLaw:
    @staticmethod
    def log_prob(value, power):
        a = mp.mpf(power)
        return mp.log(a) + (a - 1) * mp.log(mp.mpf(value))

    @staticmethod
    def cdf(value, power):
        return mp.mpf(value) ** mp.mpf(power)


class GeneralizedNormal:
    @staticmethod
    def log_prob(value, loc, scale, power):
        x, b = abs(mp.mpf(value) - loc) / scale, mp.mpf(power)
        return mp.log(b / (2 * scale)) - mp.loggamma(1 / b) - x**b

    @staticmethod
    def cdf(value, loc, scale, power):
        x, b = (mp.mpf(value) - loc) / scale, mp.mpf(power)
        beyond = mp.gammainc(1 / b, abs(x) ** b, regularized=True) / 2
        return 1 - beyond if x > 0 else beyond


class DoubleWell:
    @staticmethod
    def log_prob(value, depth, tilt):
        return _well(value, depth, tilt) - mp.log(_area(depth, tilt, mp.inf))

    @staticmethod
    def cdf(value, depth, tilt):
        return _area(depth, tilt, mp.mpf(value)) / _area(depth, tilt, mp.inf)


def _well(value, depth, tilt):
    z = mp.mpf(value)
    return -mp.mpf(depth) * (z**2 - 1) ** 2 + mp.mpf(tilt) * z


def _area(depth, tilt, upper):
    reach = 2 + (mp.mp.dps * 3 / mp.mpf(depth)) ** 0.25 + abs(mp.mpf(tilt) / depth)
    breaks = [-reach, *(mp.mpf(i) / 2 for i in range(-4, 5)), reach]
    points = [b for b in breaks if b < upper] + ([upper] if upper < reach else [])
    return mp.quad(lambda z: mp.exp(_well(z, depth, tilt)), points)
