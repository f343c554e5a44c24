# SPDX-License-Identifier: Apache-2.0
"""Relatives of the inverse Gaussian: part of the registry."""

from pyro_reparam_ext import distributions as D
from pyro_reparam_ext.testing.cases import DistributionCase
from tests.references import normal_inverse_gaussian, reciprocal_inverse_gaussian

INVERSE_GAUSSIAN_RELATIVES = [
    DistributionCase(
        name="ReciprocalInverseGaussian",
        make=D.ReciprocalInverseGaussian,
        reference=reciprocal_inverse_gaussian,
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
            "extreme": ("tanh", "sin"),
            "special": ("z", "z^2", "tanh", "sin"),
        },
        special=frozenset({"special"}),
    ),
    DistributionCase(
        name="NormalInverseGaussian",
        make=D.NormalInverseGaussian,
        reference=normal_inverse_gaussian,
        points={
            "scalar": {"loc": 0.3, "scale": 1.5, "tailweight": 2.0, "skewness": 0.5},
            "vector": {
                "loc": [0.0, 1.0],
                "scale": [1.0, 0.5],
                "tailweight": [1.0, 3.0],
                "skewness": [-0.8, 0.0],
            },
            "batch": {
                "loc": [[0.0], [1.0]],
                "scale": 1.0,
                "tailweight": [2.0, 4.0],
                "skewness": [[0.3], [-1.0]],
            },
            "extreme": {
                "loc": 0.0,
                "scale": [1.0, 10.0],
                "tailweight": [0.05, 200.0],
                "skewness": [0.01, 150.0],
            },
        },
        integrands=("tanh", "sin"),
    ),
]
