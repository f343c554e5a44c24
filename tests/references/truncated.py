# SPDX-License-Identifier: Apache-2.0
"""Truncated distributions, from textbook cdfs in arbitrary precision."""

import functools
from dataclasses import dataclass
from typing import Any

import mpmath as mp

from tests.references import inverse_gaussian


@dataclass(frozen=True)
class Base:
    """A cdf and a density on their support, from ``start`` to ``end``."""

    cdf: Any
    density: Any
    start: Any = None
    end: Any = None


@dataclass(frozen=True)
class Truncated:
    """The base on an interval; functions of the base's parameters and the bounds."""

    base: Base

    def log_prob(self, value, low, high, **parameters):
        mass = self._cdf(high, parameters) - self._cdf(low, parameters)
        return mp.log(self.base.density(mp.mpf(value), **parameters) / mass)

    def cdf(self, value, low, high, **parameters):
        start, end = self._cdf(low, parameters), self._cdf(high, parameters)
        return (self._cdf(value, parameters) - start) / (end - start)

    def quantile(self, probability, low, high, **parameters):
        start, end = self._cdf(low, parameters), self._cdf(high, parameters)
        sought = start + mp.mpf(probability) * (end - start)

        def below(z):
            return self._cdf(z, parameters) < sought

        left, right = mp.mpf(low), mp.mpf(high)
        left = max(left, self._start(parameters))
        step = mp.mpf(1)
        while mp.isinf(left):
            left = -step if below(-step) else left
            step *= 4
        step = mp.mpf(1)
        while mp.isinf(right):
            right = right if below(left + step) else left + step
            step *= 4
        for _ in range(60):
            middle = (left + right) / 2
            left, right = (middle, right) if below(middle) else (left, middle)
        z = (left + right) / 2
        for _ in range(6):
            error = self._cdf(z, parameters) - sought
            z -= error / self.base.density(z, **parameters)
        return z

    def _start(self, parameters):
        start = self.base.start
        return -mp.inf if start is None else start(**parameters)

    def _cdf(self, value, parameters):
        value = mp.mpf(value)
        if value <= self._start(parameters):
            return mp.mpf(0)
        end = mp.inf if self.base.end is None else self.base.end(**parameters)
        if value >= end:
            return mp.mpf(1)
        return self.base.cdf(value, **parameters)


def location_scale(cdf, density):
    return Base(
        lambda z, loc, scale: cdf((z - loc) / scale),
        lambda z, loc, scale: density((z - loc) / scale) / scale,
    )


def positive(cdf, density):
    return Base(
        lambda z, scale: cdf(z / scale),
        lambda z, scale: density(z / scale) / scale,
        start=lambda scale: mp.mpf(0),
    )


def _laplace(x):
    return mp.exp(x) / 2 if x < 0 else 1 - mp.exp(-x) / 2


def _normal(x):
    return mp.erfc(-x / mp.sqrt(2)) / 2


def _bell(x):
    return mp.exp(-(x**2) / 2) / mp.sqrt(2 * mp.pi)


NORMAL = Truncated(location_scale(_normal, _bell))
CAUCHY = Truncated(
    location_scale(
        lambda x: mp.atan(x) / mp.pi + mp.mpf(1) / 2,
        lambda x: 1 / (mp.pi * (1 + x**2)),
    )
)
LAPLACE = Truncated(location_scale(_laplace, lambda x: mp.exp(-abs(x)) / 2))
LOGISTIC = Truncated(
    location_scale(
        lambda x: 1 / (1 + mp.exp(-x)), lambda x: mp.exp(-x) / (1 + mp.exp(-x)) ** 2
    )
)
GUMBEL = Truncated(
    location_scale(lambda x: mp.exp(-mp.exp(-x)), lambda x: mp.exp(-x - mp.exp(-x)))
)
EXPONENTIAL = Truncated(
    Base(
        lambda z, rate: -mp.expm1(-rate * z),
        lambda z, rate: rate * mp.exp(-rate * z),
        start=lambda rate: mp.mpf(0),
    )
)
WEIBULL = Truncated(
    Base(
        lambda z, scale, concentration: -mp.expm1(-((z / scale) ** concentration)),
        lambda z, scale, concentration: (
            concentration
            / z
            * (z / scale) ** concentration
            * mp.exp(-((z / scale) ** concentration))
        ),
        start=lambda scale, concentration: mp.mpf(0),
    )
)
PARETO = Truncated(
    Base(
        lambda z, scale, alpha: 1 - (scale / z) ** alpha,
        lambda z, scale, alpha: alpha / z * (scale / z) ** alpha,
        start=lambda scale, alpha: mp.mpf(scale),
    )
)
HALF_NORMAL = Truncated(
    positive(lambda x: mp.erf(x / mp.sqrt(2)), lambda x: 2 * _bell(x))
)
HALF_CAUCHY = Truncated(
    positive(lambda x: 2 * mp.atan(x) / mp.pi, lambda x: 2 / (mp.pi * (1 + x**2)))
)
LOG_NORMAL = Truncated(
    Base(
        lambda z, loc, scale: _normal((mp.log(z) - loc) / scale),
        lambda z, loc, scale: _bell((mp.log(z) - loc) / scale) / (scale * z),
        start=lambda loc, scale: mp.mpf(0),
    )
)
UNIFORM = Truncated(
    Base(
        lambda z, start, end: (z - start) / (end - start),
        lambda z, start, end: 1 / (mp.mpf(end) - start),
        start=lambda start, end: mp.mpf(start),
        end=lambda start, end: mp.mpf(end),
    )
)
KUMARASWAMY = Truncated(
    Base(
        lambda z, concentration1, concentration0: (
            1 - (1 - z**concentration1) ** concentration0
        ),
        lambda z, concentration1, concentration0: (
            concentration1
            * concentration0
            * z ** (concentration1 - 1)
            * (1 - z**concentration1) ** (concentration0 - 1)
        ),
        start=lambda concentration1, concentration0: mp.mpf(0),
    )
)
GENERALIZED_PARETO = Truncated(
    Base(
        lambda z, loc, scale, concentration: (
            1 - (1 + concentration * (z - loc) / scale) ** (-1 / concentration)
        ),
        lambda z, loc, scale, concentration: (
            (1 + concentration * (z - loc) / scale) ** (-1 / concentration - 1) / scale
        ),
        start=lambda loc, scale, concentration: mp.mpf(loc),
    )
)
GAMMA = Truncated(
    Base(
        lambda z, concentration, rate: mp.gammainc(
            concentration, 0, rate * z, regularized=True
        ),
        lambda z, concentration, rate: (
            mp.mpf(rate) ** concentration
            * z ** (concentration - 1)
            * mp.exp(-rate * z)
            / mp.gamma(concentration)
        ),
        start=lambda concentration, rate: mp.mpf(0),
    )
)
BETA = Truncated(
    Base(
        lambda z, concentration1, concentration0: mp.betainc(
            concentration1, concentration0, 0, z, regularized=True
        ),
        lambda z, concentration1, concentration0: (
            z ** (concentration1 - 1)
            * (1 - z) ** (concentration0 - 1)
            / mp.beta(concentration1, concentration0)
        ),
        start=lambda concentration1, concentration0: mp.mpf(0),
        end=lambda concentration1, concentration0: mp.mpf(1),
    )
)


def _student_cdf(z, df, loc, scale):
    x = (z - loc) / scale
    tail = mp.betainc(mp.mpf(df) / 2, 0.5, 0, df / (df + x**2), regularized=True) / 2
    return tail if x < 0 else 1 - tail


def _student_density(z, df, loc, scale):
    x, df = (z - loc) / scale, mp.mpf(df)
    normalizer = scale * mp.sqrt(df) * mp.beta(mp.mpf(1) / 2, df / 2)
    return (1 + x**2 / df) ** (-(df + 1) / 2) / normalizer


STUDENT = Truncated(Base(_student_cdf, _student_density))


def _fisher_logit(z, df1, df2):
    return mp.mpf(df1) * z / (mp.mpf(df1) * z + df2)


def _fisher_density(z, df1, df2):
    a, b, x = mp.mpf(df1) / 2, mp.mpf(df2) / 2, _fisher_logit(z, df1, df2)
    return x**a * (1 - x) ** b / (z * mp.beta(a, b))


def _von_mises_density(z, loc, concentration):
    k = mp.mpf(concentration)
    return mp.exp(k * mp.cos(z - loc)) / (2 * mp.pi * mp.besseli(0, k))


def _von_mises_integral(angle, concentration):
    """From 0, term by term in the Fourier series."""
    terms = enumerate(_harmonics(concentration, mp.mp.dps), start=1)
    series = mp.fsum(c * mp.sin(n * angle) / n for n, c in terms)
    return (angle + 2 * series) / (2 * mp.pi)


@functools.cache
def _harmonics(concentration, digits):
    """Ratios of Bessel functions, while they matter."""
    whole, ratios = mp.besseli(0, concentration), []
    while not ratios or ratios[-1] > mp.mpf(10) ** -(digits + 5):
        ratios.append(mp.besseli(len(ratios) + 1, concentration) / whole)
    return tuple(ratios)


FISHER_SNEDECOR = Truncated(
    Base(
        lambda z, df1, df2: mp.betainc(
            mp.mpf(df1) / 2,
            mp.mpf(df2) / 2,
            0,
            _fisher_logit(z, df1, df2),
            regularized=True,
        ),
        _fisher_density,
        start=lambda df1, df2: mp.mpf(0),
    )
)
LOG_GAMMA = Truncated(
    Base(
        lambda z, concentration, rate: mp.gammainc(
            concentration, 0, rate * mp.exp(z), regularized=True
        ),
        lambda z, concentration, rate: (
            mp.exp(concentration * (z + mp.log(rate)) - rate * mp.exp(z))
            / mp.gamma(concentration)
        ),
    )
)
INVERSE_GAUSSIAN = Truncated(
    Base(
        inverse_gaussian.cdf,
        lambda z, **parameters: mp.exp(inverse_gaussian.log_prob(z, **parameters)),
        start=lambda loc, concentration: mp.mpf(0),
    )
)
VON_MISES = Truncated(
    Base(
        lambda z, loc, concentration: (
            _von_mises_integral(z - loc, mp.mpf(concentration))
            - _von_mises_integral(-mp.pi - loc, mp.mpf(concentration))
        ),
        _von_mises_density,
        start=lambda loc, concentration: -mp.pi,
        end=lambda loc, concentration: mp.pi,
    )
)
