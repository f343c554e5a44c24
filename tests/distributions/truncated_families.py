# SPDX-License-Identifier: Apache-2.0
"""Bases that can be truncated, with intervals from easy to very far out."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pyro.distributions as dist

from pyro_reparam_ext import distributions as D
from tests.references import truncated

INF = math.inf


@dataclass(frozen=True)
class TruncatedFamily:
    """A base as a function of its parameters, and the intervals to compare on."""

    base: Callable[..., Any]
    reference: truncated.Truncated
    parameters: dict[str, float]
    intervals: tuple[tuple[float, float], ...]
    digits: int = 80

    def make(self, low, high, **parameters):
        return D.Truncated(self.base(**parameters), low, high)


LINE = ((-1.0, 2.0), (-INF, INF), (0.5, INF), (-INF, -0.3), (0.25, 0.75))
FAR = ((8.0, 9.0), (40.0, INF), (40.0, 41.0), (-INF, -40.0), (-21.0, -20.0))
POSITIVE = ((0.5, 2.0), (-INF, INF), (0.0, 1.5), (-1.0, 0.5), (0.7, INF))

FAMILIES = {
    "Cauchy": TruncatedFamily(
        dist.Cauchy,
        truncated.CAUCHY,
        {"loc": 0.3125, "scale": 1.25},
        (*LINE, *FAR, (1e6, INF), (-1e4, 1e9)),
    ),
    "Laplace": TruncatedFamily(
        dist.Laplace,
        truncated.LAPLACE,
        {"loc": 0.3125, "scale": 1.25},
        (*LINE, *FAR, (300.0, INF)),
        digits=160,
    ),
    "Logistic": TruncatedFamily(
        dist.Logistic,
        truncated.LOGISTIC,
        {"loc": 0.3125, "scale": 1.25},
        (*LINE, *FAR, (-INF, -300.0)),
        digits=160,
    ),
    "Gumbel": TruncatedFamily(
        dist.Gumbel,
        truncated.GUMBEL,
        {"loc": 0.3125, "scale": 1.25},
        (*LINE, (8.0, 9.0), (40.0, INF), (-INF, -3.0), (-6.0, -5.5)),
    ),
    "Exponential": TruncatedFamily(
        dist.Exponential,
        truncated.EXPONENTIAL,
        {"rate": 1.25},
        (*POSITIVE, (40.0, INF), (40.0, 41.0), (1e-6, 1e-3), (300.0, INF)),
        digits=200,
    ),
    "Weibull": TruncatedFamily(
        dist.Weibull,
        truncated.WEIBULL,
        {"scale": 0.8125, "concentration": 1.75},
        ((0.5, 2.0), (-INF, 0.5), (0.7, INF), (8.0, INF), (8.0, 8.5), (1e-6, 1e-3)),
    ),
    "Pareto": TruncatedFamily(
        dist.Pareto,
        truncated.PARETO,
        {"scale": 0.8125, "alpha": 1.75},
        ((1.0, 2.0), (-INF, INF), (0.5, 1.5), (3.0, INF), (1e5, INF), (0.82, 0.9)),
    ),
    "HalfNormal": TruncatedFamily(
        dist.HalfNormal,
        truncated.HALF_NORMAL,
        {"scale": 1.25},
        (*POSITIVE, (8.0, 9.0), (16.0, INF), (1e-6, 1e-3)),
        digits=110,
    ),
    "HalfCauchy": TruncatedFamily(
        dist.HalfCauchy,
        truncated.HALF_CAUCHY,
        {"scale": 1.25},
        (*POSITIVE, (40.0, 41.0), (1e6, INF), (1e-6, 1e-3)),
    ),
    "LogNormal": TruncatedFamily(
        dist.LogNormal,
        truncated.LOG_NORMAL,
        {"loc": 0.3125, "scale": 1.25},
        (*POSITIVE, (1e4, INF), (1e-6, 1e-3)),
    ),
    "Uniform": TruncatedFamily(
        lambda start, end: dist.Uniform(start, end),
        truncated.UNIFORM,
        {"start": -0.5, "end": 3.25},
        ((0.5, 2.0), (-1.0, 2.0), (0.5, 4.0), (2.0, 2.125)),
    ),
    "Kumaraswamy": TruncatedFamily(
        D.Kumaraswamy,
        truncated.KUMARASWAMY,
        {"concentration1": 1.75, "concentration0": 2.5},
        ((0.2, 0.7), (-INF, 0.5), (0.9, 0.95), (1e-6, 1e-3)),
    ),
    "GeneralizedPareto": TruncatedFamily(
        D.GeneralizedPareto,
        truncated.GENERALIZED_PARETO,
        {"loc": 0.3125, "scale": 0.8125, "concentration": 0.25},
        ((0.5, 2.0), (-INF, 1.0), (1.0, INF), (1e4, INF)),
    ),
    "Gamma": TruncatedFamily(
        dist.Gamma,
        truncated.GAMMA,
        {"concentration": 2.25, "rate": 1.25},
        ((0.5, 2.0), (-INF, INF), (60.0, INF), (40.0, 41.0), (1e-6, 1e-3)),
    ),
    "Gamma, small": TruncatedFamily(
        dist.Gamma,
        truncated.GAMMA,
        {"concentration": 0.125, "rate": 1.25},
        ((0.5, 2.0), (0.0009765625, 0.5), (40.0, INF), (1e-6, 1e-3)),
    ),
    "Beta": TruncatedFamily(
        dist.Beta,
        truncated.BETA,
        {"concentration1": 1.75, "concentration0": 2.5},
        ((0.25, 0.75), (-INF, 0.5), (0.9, INF), (1e-6, 1e-3)),
    ),
    "Beta, steep": TruncatedFamily(
        dist.Beta,
        truncated.BETA,
        {"concentration1": 0.25, "concentration0": 30.0},
        ((0.25, 0.75), (0.0009765625, 0.5)),
    ),
    "StudentT": TruncatedFamily(
        dist.StudentT,
        truncated.STUDENT,
        {"df": 3.5, "loc": 0.3125, "scale": 1.25},
        (*LINE, (40.0, 41.0), (-INF, -1e4), (1e6, INF)),
    ),
    "LogGamma": TruncatedFamily(
        D.LogGamma,
        truncated.LOG_GAMMA,
        {"concentration": 2.25, "rate": 1.25},
        ((0.5, 2.0), (-INF, INF), (4.0, INF), (-60.0, -50.0)),
    ),
    "LogGamma, small": TruncatedFamily(
        D.LogGamma,
        truncated.LOG_GAMMA,
        {"concentration": 0.03125, "rate": 1.25},
        ((-1.0, 1.0), (-100.0, -50.0), (3.0, INF)),
    ),
    "FisherSnedecor": TruncatedFamily(
        D.FisherSnedecor,
        truncated.FISHER_SNEDECOR,
        {"df1": 3.5, "df2": 5.0},
        ((0.5, 2.0), (-INF, INF), (1e3, INF), (40.0, 41.0), (1e-6, 1e-3)),
    ),
    "InverseGaussian": TruncatedFamily(
        D.InverseGaussian,
        truncated.INVERSE_GAUSSIAN,
        {"loc": 1.25, "concentration": 2.5},
        ((0.5, 2.0), (-INF, INF), (40.0, INF), (40.0, 41.0), (0.015625, 0.03125)),
    ),
    "InverseGaussian, heavy": TruncatedFamily(
        D.InverseGaussian,
        truncated.INVERSE_GAUSSIAN,
        {"loc": 8.0, "concentration": 0.0625},
        ((0.5, 2.0), (100.0, INF), (0.03125, 0.0625)),
    ),
    "VonMises": TruncatedFamily(
        D.VonMises,
        truncated.VON_MISES,
        {"loc": 0.75, "concentration": 2.5},
        ((-1.0, 2.0), (2.5, INF), (-INF, -1.5)),
        digits=40,
    ),
    "VonMises, peaked": TruncatedFamily(
        D.VonMises,
        truncated.VON_MISES,
        {"loc": 0.75, "concentration": 40.0},
        ((0.5, 1.0), (2.0, 3.0)),
        digits=60,
    ),
}
