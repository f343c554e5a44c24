# SPDX-License-Identifier: Apache-2.0
"""The Gamma family: the part of the registry that ``tests/cases.py`` takes in."""

from pyro_reparam_ext import distributions as D
from pyro_reparam_ext.testing.cases import DistributionCase
from tests.references import beta_family, gamma_family

GAMMA_CASES = [
    DistributionCase(
        name="LogGamma",
        make=D.LogGamma,
        reference=gamma_family.log_gamma,
        points={
            "scalar": {"concentration": 2.0, "rate": 1.5},
            "vector": {"concentration": [0.7, 3.0], "rate": [2.0, 0.6]},
            "batch": {"concentration": [[1.0], [5.0]], "rate": [1.0, 2.0]},
            "extreme": {"concentration": [1e-3, 1e4], "rate": [1.0, 30.0]},
            # where the remainder of Stirling's formula changes to a series
            "special": {"concentration": 12.0, "rate": 1.0},
        },
        special=frozenset({"special"}),
    ),
    DistributionCase(
        name="Gamma",
        make=D.Gamma,
        reference=gamma_family.gamma,
        points={
            "scalar": {"concentration": 2.0, "rate": 1.5},
            "vector": {"concentration": [0.7, 3.0], "rate": [2.0, 0.6]},
            "batch": {"concentration": [[1.0], [5.0]], "rate": [1.0, 2.0]},
            "extreme": {"concentration": [0.1, 1e4], "rate": [1.0, 30.0]},
            "special": {"concentration": [1.0, 12.0], "rate": 1.0},
        },
        special=frozenset({"special"}),
    ),
    DistributionCase(
        name="Chi2",
        make=D.Chi2,
        reference=gamma_family.chi2,
        points={
            "scalar": {"df": 3.0},
            "vector": {"df": [0.7, 12.0]},
            "batch": {"df": [[1.0], [5.0]]},
            "extreme": {"df": [0.2, 1e4]},
            "special": {"df": [2.0, 24.0]},
        },
        special=frozenset({"special"}),
    ),
    DistributionCase(
        name="InverseGamma",
        make=D.InverseGamma,
        reference=gamma_family.inverse_gamma,
        points={
            "scalar": {"concentration": 6.0, "rate": 1.5},
            "vector": {"concentration": [5.5, 9.0], "rate": [2.0, 0.6]},
            "batch": {"concentration": [[5.0], [7.0]], "rate": [1.0, 2.0]},
            "extreme": {"concentration": [0.1, 1e4], "rate": [1.0, 30.0]},
            "special": {"concentration": 12.0, "rate": 1.0},
        },
        integrands={
            "scalar": ("z", "z^2", "tanh", "sin"),
            "vector": ("z", "z^2", "tanh", "sin"),
            "batch": ("z", "z^2", "tanh", "sin"),
            "extreme": ("tanh",),  # no mean
            "special": ("z", "z^2", "tanh", "sin"),
        },
        special=frozenset({"special"}),
    ),
    DistributionCase(
        name="Beta",
        make=D.Beta,
        reference=beta_family.beta,
        points={
            "scalar": {"concentration1": 2.0, "concentration0": 1.5},
            "vector": {"concentration1": [0.7, 3.0], "concentration0": [2.0, 0.9]},
            "batch": {"concentration1": [[1.0], [5.0]], "concentration0": [1.5, 2.0]},
            "extreme": {"concentration1": [0.1, 1e4], "concentration0": [0.1, 30.0]},
            # where the remainders of Stirling's formula change to series
            "special": {"concentration1": [12.0, 5.0], "concentration0": [3.0, 7.0]},
        },
        special=frozenset({"special"}),
        unresolved=frozenset({"extreme"}),  # 2 % of the mass rounds to 1
    ),
    DistributionCase(
        name="StudentT",
        make=D.StudentT,
        reference=beta_family.student_t,
        points={
            "scalar": {"df": 6.0, "loc": 0.5, "scale": 1.5},
            "vector": {"df": [7.0, 12.0], "loc": [0.0, -1.0], "scale": [1.0, 0.3]},
            "batch": {"df": [[5.0], [9.0]], "loc": [0.0, 1.0], "scale": 1.0},
            "extreme": {"df": [0.5, 1e3], "loc": 0.0, "scale": [1e-2, 1.0]},
            # Cauchy's law; where the remainder of Stirling's formula is a series
            "special": {"df": [1.0, 24.0], "loc": 0.0, "scale": 1.0},
        },
        integrands={
            "scalar": ("z", "z^2", "tanh", "sin"),
            "vector": ("z", "z^2", "tanh", "sin"),
            "batch": ("z", "tanh", "sin"),
            "extreme": ("tanh",),
            "special": ("tanh",),
        },
        special=frozenset({"special"}),
    ),
    DistributionCase(
        name="FisherSnedecor",
        make=D.FisherSnedecor,
        reference=beta_family.fisher_snedecor,
        points={
            "scalar": {"df1": 4.0, "df2": 12.0},
            "vector": {"df1": [1.5, 6.0], "df2": [11.0, 14.0]},
            "batch": {"df1": [[3.0], [8.0]], "df2": [13.0, 20.0]},
            "extreme": {"df1": [0.3, 1e3], "df2": [0.5, 50.0]},
            "special": {"df1": [2.0, 24.0], "df2": [12.0, 24.0]},
        },
        integrands={
            "scalar": ("z", "z^2", "tanh", "sin"),
            "vector": ("z", "z^2", "tanh", "sin"),
            "batch": ("z", "z^2", "tanh", "sin"),
            "extreme": ("tanh",),
            "special": ("z", "z^2", "tanh", "sin"),
        },
        special=frozenset({"special"}),
    ),
    DistributionCase(
        name="Dirichlet",
        make=D.Dirichlet,
        reference=beta_family.dirichlet,
        event_dims={"concentration": 1},
        points={
            "scalar": {"concentration": [2.0, 1.5, 3.0]},
            "vector": {"concentration": [[0.7, 2.0], [3.0, 1.2]]},
            "batch": {"concentration": [[[1.0, 2.0, 0.8]], [[5.0, 1.5, 2.0]]]},
            "extreme": {"concentration": [0.3, 300.0, 20.0]},
            # where the remainders of Stirling's formula change to series
            "special": {"concentration": [12.0, 5.0, 7.0]},
        },
        special=frozenset({"special"}),
    ),
]
