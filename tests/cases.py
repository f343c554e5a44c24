# SPDX-License-Identifier: Apache-2.0
"""THE REGISTRY: one entry per distribution, estimator and model under test."""

from pyro_reparam_ext import distributions as D
from pyro_reparam_ext.testing.cases import DistributionCase

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
        unresolved=frozenset({"extreme"}),  # 2 % of the mass rounds to 1
    ),
]
