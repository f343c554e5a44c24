# SPDX-License-Identifier: Apache-2.0
"""Truncated distributions under test: one base in full, the others at their edges."""

import math

import pyro.distributions as dist

from pyro_reparam_ext import distributions as D
from pyro_reparam_ext.testing.cases import DistributionCase
from tests.references import truncated


def over(base):
    """Truncated, as a function of the base's parameters and the bounds."""

    def make(low, high, **parameters):
        return D.Truncated(base(**parameters), low, high)

    return make


TRUNCATED = [
    DistributionCase(
        name="Truncated",
        make=over(dist.Cauchy),
        reference=truncated.CAUCHY,
        points={
            "scalar": {"loc": 0.3, "scale": 1.5, "low": -1.0, "high": 2.0},
            "vector": {
                "loc": [0.0, 1.0],
                "scale": [1.0, 0.5],
                "low": [0.5, -9.0],
                "high": [0.7, 0.0],
            },
            "batch": {
                "loc": [[0.0], [1.0]],
                "scale": [1.0, 2.0],
                "low": -0.5,
                "high": [[1.0], [4.0]],
            },
            "extreme": {
                "loc": 0.0,
                "scale": 1.0,
                "low": [8.0, -21.0, 40.0],
                "high": [1e3, -20.5, 42.0],
            },
            "infinite": {
                "loc": 0.3,
                "scale": 1.2,
                "low": [-math.inf, -math.inf, 1.0],
                "high": [math.inf, 0.0, math.inf],
            },
        },
        integrands={
            "scalar": ("z", "z^2", "tanh", "sin"),
            "vector": ("z", "z^2", "tanh", "sin"),
            "batch": ("z", "z^2", "tanh", "sin"),
            "extreme": ("tanh", "sin"),
            "infinite": ("tanh",),
        },
    ),
    DistributionCase(
        name="Truncated(Gumbel)",
        make=over(dist.Gumbel),
        reference=truncated.GUMBEL,
        points={
            "scalar": {"loc": 0.2, "scale": 1.3, "low": -1.0, "high": 3.0},
            "vector": {
                "loc": 0.0,
                "scale": [1.0, 0.5],
                "low": [-1.0, -math.inf],
                "high": [math.inf, -1.0],
            },
        },
    ),
    DistributionCase(
        name="Truncated(Weibull)",
        make=over(dist.Weibull),
        reference=truncated.WEIBULL,
        points={
            "scalar": {"scale": 1.3, "concentration": 1.7, "low": 0.2, "high": 2.0},
            "vector": {
                "scale": 1.3,
                "concentration": [1.7, 0.8],
                "low": [0.2, -1.0],
                "high": [math.inf, 2.0],
            },
        },
    ),
    DistributionCase(
        name="Truncated(LogGamma)",
        make=over(D.LogGamma),
        reference=truncated.LOG_GAMMA,
        points={
            "scalar": {"concentration": 2.0, "rate": 1.5, "low": -1.0, "high": 1.0},
            "vector": {
                "concentration": [0.125, 3.0],
                "rate": 1.5,
                "low": [-math.inf, 0.5],
                "high": [-1.0, math.inf],
            },
        },
    ),
    DistributionCase(
        name="Truncated(FisherSnedecor)",
        make=over(D.FisherSnedecor),
        reference=truncated.FISHER_SNEDECOR,
        points={
            "scalar": {"df1": 4.0, "df2": 6.0, "low": 0.5, "high": 3.0},
            "vector": {
                "df1": [1.5, 6.0],
                "df2": 12.0,
                "low": [-1.0, 0.5],
                "high": [2.0, math.inf],
            },
        },
    ),
    DistributionCase(
        name="Truncated(InverseGaussian)",
        make=over(D.InverseGaussian),
        draws=20_000,  # each is inverted numerically
        reference=truncated.INVERSE_GAUSSIAN,
        points={
            "scalar": {"loc": 1.5, "concentration": 2.0, "low": 0.5, "high": 3.0},
            "vector": {
                "loc": [0.7, 3.0],
                "concentration": [2.0, 1.0],
                "low": [-1.0, 0.5],
                "high": [2.0, math.inf],
            },
        },
    ),
    DistributionCase(
        name="Truncated(VonMises)",
        make=over(D.VonMises),
        draws=3_000,  # each is inverted numerically
        reference=truncated.VON_MISES,
        points={
            "scalar": {"loc": 0.5, "concentration": 2.0, "low": -1.0, "high": 2.0},
            "vector": {
                "loc": [-3.0, 1.0],
                "concentration": [0.7, 12.0],
                "low": [-math.inf, 0.5],
                "high": [0.0, math.inf],
            },
        },
    ),
]
