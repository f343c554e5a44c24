# SPDX-License-Identifier: Apache-2.0
"""The same distributions in scipy, for one point's parameters as NumPy arrays."""

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import stats


class Kumaraswamy(stats.rv_continuous):
    """Scipy has none: its density and distribution function, written down."""

    def _pdf(self, x: Any, a: Any, b: Any) -> Any:
        return a * b * x ** (a - 1) * (1 - x**a) ** (b - 1)

    def _cdf(self, x: Any, a: Any, b: Any) -> Any:
        return 1 - (1 - x**a) ** b


class NormalMixture:
    """The weighted sums of scipy's normal density and distribution function."""

    def __init__(self, logits: Any, loc: Any, scale: Any) -> None:
        weights = np.exp(logits)
        self.weights = weights / weights.sum(-1, keepdims=True)
        self.normal = stats.norm(loc, scale)

    def logpdf(self, x: Any) -> Any:
        return np.log((self.weights * self.normal.pdf(x[..., None])).sum(-1))

    def cdf(self, x: Any) -> Any:
        return (self.weights * self.normal.cdf(x[..., None])).sum(-1)

    def mean(self) -> Any:
        return (self.weights * self.normal.mean()).sum(-1)

    def var(self) -> Any:
        second = (self.weights * (self.normal.var() + self.normal.mean() ** 2)).sum(-1)
        return second - self.mean() ** 2


class StudentT:
    """Scipy calls the mean of a Cauchy law infinite: it has none."""

    def __init__(self, df: Any, loc: Any, scale: Any) -> None:
        self.df, self.law = df, stats.t(df, loc, scale)
        self.logpdf, self.cdf, self.var = self.law.logpdf, self.law.cdf, self.law.var

    def mean(self) -> Any:
        return np.where(self.df > 1, self.law.mean(), np.nan)


class Truncated:
    """A law of scipy's between bounds."""

    def __init__(self, law: Any, low: Any, high: Any) -> None:
        self.law, self.below = law, law.cdf(low)
        self.mass = law.cdf(high) - self.below

    def logpdf(self, x: Any) -> Any:
        return self.law.logpdf(x) - np.log(self.mass)

    def cdf(self, x: Any) -> Any:
        return (self.law.cdf(x) - self.below) / self.mass


class ReciprocalInverseGaussian:
    """Scipy integrates its moments, slowly: here they are written down."""

    def __init__(self, loc: Any, concentration: Any) -> None:
        self.inverse, self.rest = 1 / loc, 1 / concentration
        law = stats.recipinvgauss(loc / concentration, scale=1 / concentration)
        self.logpdf, self.cdf = law.logpdf, law.cdf

    def mean(self) -> Any:
        return self.inverse + self.rest

    def var(self) -> Any:
        return self.rest * (self.inverse + 2 * self.rest)


class WrappedCauchy:
    """Scipy's is on [0, 2 pi), around 0."""

    def __init__(self, loc: Any, concentration: Any) -> None:
        self.loc, self.law = loc, stats.wrapcauchy(concentration)

    def logpdf(self, x: Any) -> Any:
        return self.law.logpdf(np.mod(x - self.loc, 2 * np.pi))


class WrappedNormal:
    """The sum of scipy's normal densities over turns."""

    def __init__(self, loc: Any, scale: Any) -> None:
        self.normal = stats.norm(loc, scale)

    def logpdf(self, x: Any) -> Any:
        turns = [self.normal.pdf(x + 2 * np.pi * k) for k in range(-9, 10)]
        return np.log(np.sum(turns, axis=0))


SCIPY: dict[str, Callable[..., Any]] = {
    "Kumaraswamy": lambda concentration1, concentration0: Kumaraswamy(a=0, b=1)(
        concentration1, concentration0
    ),
    "VonMises": lambda loc, concentration: stats.vonmises(concentration, loc),
    "InverseGaussian": lambda loc, concentration: stats.invgauss(
        loc / concentration, scale=concentration
    ),
    "ReciprocalInverseGaussian": ReciprocalInverseGaussian,
    # scipy's tail weight and skewness have no dimension
    "NormalInverseGaussian": lambda loc, scale, tailweight, skewness: (
        stats.norminvgauss(tailweight * scale, skewness * scale, loc, scale)
    ),
    "WrappedCauchy": WrappedCauchy,
    "WrappedNormal": WrappedNormal,
    "LogGamma": lambda concentration, rate: stats.loggamma(
        concentration, -np.log(rate)
    ),
    "Gamma": lambda concentration, rate: stats.gamma(concentration, scale=1 / rate),
    "Chi2": stats.chi2,
    "InverseGamma": lambda concentration, rate: stats.invgamma(
        concentration, scale=rate
    ),
    "Beta": lambda concentration1, concentration0: stats.beta(
        concentration1, concentration0
    ),
    "StudentT": StudentT,
    "FisherSnedecor": lambda df1, df2: stats.f(df1, df2),
    "Truncated": lambda loc, scale, low, high: Truncated(
        stats.cauchy(loc, scale), low, high
    ),
    "Truncated(Gumbel)": lambda loc, scale, low, high: Truncated(
        stats.gumbel_r(loc, scale), low, high
    ),
    "Truncated(Weibull)": lambda scale, concentration, low, high: Truncated(
        stats.weibull_min(concentration, scale=scale), low, high
    ),
    "Truncated(LogGamma)": lambda concentration, rate, low, high: Truncated(
        stats.loggamma(concentration, -np.log(rate)), low, high
    ),
    "Truncated(FisherSnedecor)": lambda df1, df2, low, high: Truncated(
        stats.f(df1, df2), low, high
    ),
    "Truncated(InverseGaussian)": lambda loc, concentration, low, high: Truncated(
        stats.invgauss(loc / concentration, scale=concentration), low, high
    ),
    "Truncated(VonMises)": lambda loc, concentration, low, high: Truncated(
        stats.vonmises(concentration, loc),
        np.maximum(low, -np.pi),
        np.minimum(high, np.pi),
    ),
    "MixtureSameFamily": NormalMixture,
    "GeneralizedPareto": lambda loc, scale, concentration: stats.genpareto(
        concentration, loc, scale
    ),
    "TruncatedNormal": lambda loc, scale, low, high: stats.truncnorm(
        (low - loc) / scale, (high - loc) / scale, loc, scale
    ),
}
