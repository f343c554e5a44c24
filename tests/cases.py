# SPDX-License-Identifier: Apache-2.0
"""THE REGISTRY: one entry per distribution, estimator and model under test."""

import math

import pyro.distributions as dist

from pyro_reparam_ext import distributions as D
from pyro_reparam_ext.testing.cases import DistributionCase
from tests.custom_cases import CUSTOM_DISTRIBUTIONS
from tests.directional_cases import DIRECTIONAL_DISTRIBUTIONS
from tests.gamma_cases import GAMMA_CASES
from tests.inverse_gaussian_cases import INVERSE_GAUSSIAN_RELATIVES
from tests.iw_models import IW_MODELS
from tests.matrix_cases import MATRIX_DISTRIBUTIONS
from tests.mixture_cases import MIXTURES
from tests.models import MODELS
from tests.references import (
    generalized_pareto,
    inverse_gaussian,
    kumaraswamy,
    mixture,
    truncated_normal,
    von_mises,
)
from tests.relaxed_models import RELAXED_MODELS
from tests.truncated_cases import TRUNCATED

__all__ = [
    "CUSTOM_DISTRIBUTIONS",
    "DISTRIBUTIONS",
    "IW_MODELS",
    "MODELS",
    "RELAXED_MODELS",
]

DISTRIBUTIONS = [
    DistributionCase(
        name="Kumaraswamy",
        make=D.Kumaraswamy,
        points={
            "scalar": {"concentration1": 2.0, "concentration0": 1.5},
            "vector": {"concentration1": [0.7, 3.0], "concentration0": [2.0, 0.6]},
            "batch": {"concentration1": [[1.0], [5.0]], "concentration0": [1.0, 2.0]},
            "extreme": {"concentration1": [0.1, 20.0], "concentration0": [0.1, 30.0]},
        },
        reference=kumaraswamy,
        unresolved=frozenset({"extreme"}),  # 2 % of the mass rounds to 1
    ),
    DistributionCase(
        name="GeneralizedPareto",
        make=D.GeneralizedPareto,
        reference=generalized_pareto,
        points={
            "scalar": {"loc": 0.5, "scale": 1.5, "concentration": 0.1},
            "vector": {"loc": [0.0, 1.0], "scale": [1.0, 0.5], "concentration": -0.3},
            "batch": {
                "loc": [[0.0], [-0.7]],
                "scale": [1.0, 2.0],
                "concentration": [[0.05], [-1.0]],
            },
            "extreme": {"loc": 0.0, "scale": [1e-3, 1.0], "concentration": [2.0, 0.6]},
            "special": {"loc": 0.3, "scale": 2.0, "concentration": 0.0},
        },
        integrands={
            "scalar": ("z", "z^2", "tanh", "sin"),
            "vector": ("z", "z^2", "tanh", "sin"),
            "batch": ("z", "z^2", "tanh", "sin"),
            # no second moment, and on the left not even a mean
            "extreme": ("tanh",),
            "special": ("z", "z^2", "tanh", "sin"),
        },
        special=frozenset({"special"}),
    ),
    DistributionCase(
        name="TruncatedNormal",
        make=D.TruncatedNormal,
        reference=truncated_normal,
        points={
            "scalar": {"loc": 0.3, "scale": 1.5, "low": -1.0, "high": 2.0},
            "vector": {
                "loc": [0.0, 1.0],
                "scale": [1.0, 0.5],
                "low": [0.5, -1.0],
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
                "high": [math.inf, -20.9, 40.05],
            },
            "infinite": {
                "loc": 0.3,
                "scale": 1.2,
                "low": [-math.inf, -math.inf, 1.0],
                "high": [math.inf, 0.0, math.inf],
            },
            # where the interval is taken to be narrow, or to begin at the mode
            "special": {
                "loc": 0.0,
                "scale": 1.0,
                "low": [0.0, -1.0, 1.0],
                "high": [math.sqrt(2), math.sqrt(3) - 1, math.sqrt(3)],
            },
        },
        special=frozenset({"special"}),
    ),
    DistributionCase(
        name="VonMises",
        make=D.VonMises,
        reference=von_mises,
        period=2 * math.pi,
        integrands=("sin", "cos"),
        points={
            "scalar": {"loc": 0.5, "concentration": 2.0},
            "vector": {"loc": [-3.0, 1.0], "concentration": [0.7, 12.0]},
            "batch": {"loc": [[0.0], [3.1]], "concentration": [1.0, 5.0]},
            "extreme": {"loc": [-3.1, 20.0], "concentration": [1e-3, 1e4]},
            # where the Bessel ratio changes from functions to a series
            "special": {"loc": [0.3, 0.3], "concentration": [30.0, 30.000001]},
        },
        special=frozenset({"special"}),
    ),
    DistributionCase(
        name="InverseGaussian",
        make=D.InverseGaussian,
        reference=inverse_gaussian,
        points={
            "scalar": {"loc": 1.5, "concentration": 2.0},
            "vector": {"loc": [0.7, 3.0], "concentration": [2.0, 1.0]},
            "batch": {"loc": [[1.0], [2.0]], "concentration": [1.0, 5.0]},
            "extreme": {"loc": [0.1, 1.0], "concentration": [1e3, 0.05]},
            # where Mills' ratio changes to a series for half of the draws
            "special": {"loc": 1.0, "concentration": 100.0},
        },
        integrands={
            "scalar": ("z", "z^2", "tanh", "sin"),
            "vector": ("z", "z^2", "tanh", "sin"),
            "batch": ("z", "z^2", "tanh", "sin"),
            # cubes of heavy draws: z^2 has a variance of 1e9 there
            "extreme": ("tanh", "sin"),
            "special": ("z", "z^2", "tanh", "sin"),
        },
        special=frozenset({"special"}),
    ),
    DistributionCase(
        name="MixtureSameFamily",
        make=lambda logits, loc, scale: D.MixtureSameFamily(
            dist.Categorical(logits=logits), dist.Normal(loc, scale)
        ),
        reference=mixture,
        event_dims={"logits": 1, "loc": 1, "scale": 1},
        points={
            "scalar": {"logits": [0.1, 0.5], "loc": [-0.5, 1.0], "scale": [0.6, 1.2]},
            "vector": {
                "logits": [[0.1, 0.5, -0.2], [1.0, 0.0, 0.0]],
                "loc": [[-0.5, 1.0, 2.0], [0.0, 0.5, -1.0]],
                "scale": [[0.6, 1.2, 0.8], [1.0, 1.0, 0.5]],
            },
            "batch": {
                "logits": [[[0.1, 0.5]], [[0.0, -1.0]]],
                "loc": [[-0.5, 1.0], [0.0, 0.3], [2.0, 0.0]],
                "scale": [0.6, 1.2],
            },
            "extreme": {"logits": [-5.0, 0.0], "loc": [-2.0, 2.0], "scale": [0.5, 1.5]},
            # equal means: near them the components' cdfs nearly agree
            "special": {"logits": [0.3, 0.0], "loc": [0.5, 0.5], "scale": [1.0, 2.0]},
        },
        special=frozenset({"special"}),
    ),
    *DIRECTIONAL_DISTRIBUTIONS,
    *MATRIX_DISTRIBUTIONS,
    *GAMMA_CASES,
    *TRUNCATED,
    *MIXTURES,
    *INVERSE_GAUSSIAN_RELATIVES,
]
