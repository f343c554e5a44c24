# SPDX-License-Identifier: Apache-2.0
"""Registry entries of distributions of matrices."""

from functools import partial

from torch import Tensor

from pyro_reparam_ext import distributions as D
from pyro_reparam_ext.testing.cases import DistributionCase
from tests.references import lkj, matrix_variate, wishart

__all__ = ["MATRIX_DISTRIBUTIONS", "OTHER_SIZES"]


def lkj_cholesky(concentration: Tensor, dim: int = 3) -> D.LKJCholesky:
    return D.LKJCholesky(dim, concentration)


def lkj_matrix(concentration: Tensor) -> D.LKJ:
    return D.LKJ(3, concentration)


FACTOR = [[1.2, 0.0], [-0.4, 0.7]]
LONG = [[30.0, 0.0], [0.02, 0.05]]
FACTOR_3 = [[1.2, 0.0, 0.0], [-0.4, 0.7, 0.0], [0.3, 0.5, 1.1]]
LKJ_POINTS = {
    "scalar": {"concentration": 1.5},
    "vector": {"concentration": [0.7, 3.0]},
    "batch": {"concentration": [[1.0], [20.0]]},
    "extreme": {"concentration": [0.05, 1e3]},
}

MATRIX_DISTRIBUTIONS = [
    DistributionCase(
        name="LKJCholesky",
        make=lkj_cholesky,
        reference=lkj,
        points=LKJ_POINTS,
    ),
    DistributionCase(
        name="LKJ",
        make=lkj_matrix,
        reference=lkj,
        points={
            "scalar": {"concentration": 1.5},
            "vector": {"concentration": [0.9, 3.0]},
            "batch": {"concentration": [[1.0], [20.0]]},
            "extreme": {"concentration": [0.7, 1e3]},
        },
    ),
    DistributionCase(
        name="WishartCholesky",
        make=lambda df, scale_tril: D.WishartCholesky(df, scale_tril=scale_tril.tril()),
        reference=wishart,
        event_dims={"scale_tril": 2},
        points={
            "scalar": {"df": 4.0, "scale_tril": FACTOR},
            "vector": {"df": [1.5, 2.5], "scale_tril": FACTOR},
            "batch": {"df": [[2.0], [7.0]], "scale_tril": [FACTOR, LONG]},
            "three": {"df": 3.5, "scale_tril": FACTOR_3},
            "extreme": {"df": [1.3, 1e3], "scale_tril": LONG},
        },
    ),
    DistributionCase(
        name="Wishart",
        make=lambda df, scale_tril: D.Wishart(df, scale_tril=scale_tril.tril()),
        reference=wishart,
        event_dims={"scale_tril": 2},
        points={
            "scalar": {"df": 4.0, "scale_tril": FACTOR},
            "vector": {"df": [5.0, 3.5], "scale_tril": FACTOR},
            "batch": {"df": [[3.0], [7.0]], "scale_tril": [FACTOR, LONG]},
            "three": {"df": 4.5, "scale_tril": FACTOR_3},
            "extreme": {"df": 1e3, "scale_tril": LONG},
        },
    ),
    DistributionCase(
        name="InverseWishartCholesky",
        make=lambda df, scale_tril: D.InverseWishartCholesky(
            df, scale_tril=scale_tril.tril()
        ),
        reference=wishart,
        event_dims={"scale_tril": 2},
        points={
            "scalar": {"df": 6.5, "scale_tril": FACTOR},
            "vector": {"df": [1.5, 2.5], "scale_tril": FACTOR},
            "batch": {"df": [[6.0], [7.0]], "scale_tril": [FACTOR, LONG]},
            "three": {"df": 8.5, "scale_tril": FACTOR_3},
            "extreme": {"df": [1.3, 1e3], "scale_tril": LONG},
        },
        integrands={  # heavy tails: a fourth moment is needed for z^2
            "scalar": ("z", "z^2"),
            "vector": (),
            "batch": ("z", "z^2"),
            "three": ("z", "z^2"),
            "extreme": (),
        },
    ),
    DistributionCase(
        name="InverseWishart",
        make=lambda df, scale_tril: D.InverseWishart(df, scale_tril=scale_tril.tril()),
        reference=wishart,
        event_dims={"scale_tril": 2},
        points={
            "scalar": {"df": 11.0, "scale_tril": FACTOR},
            "vector": {"df": [5.0, 3.5], "scale_tril": FACTOR},
            "batch": {"df": [[12.0], [15.0]], "scale_tril": [FACTOR, LONG]},
            "three": {"df": 14.5, "scale_tril": FACTOR_3},
            "extreme": {"df": 1e3, "scale_tril": LONG},
        },
        integrands={
            "scalar": ("z", "z^2"),
            "vector": (),
            "batch": ("z", "z^2"),
            "three": ("z", "z^2"),
            "extreme": ("z", "z^2"),
        },
    ),
    DistributionCase(
        name="MatrixNormal",
        make=lambda loc, scale_tril_row, scale_tril_column: D.MatrixNormal(
            loc, scale_tril_row.tril(), scale_tril_column.tril()
        ),
        reference=matrix_variate,
        event_dims={"loc": 2, "scale_tril_row": 2, "scale_tril_column": 2},
        points={
            "scalar": {
                "loc": [[0.5, -1.0], [2.0, 0.0], [0.3, 0.1]],
                "scale_tril_row": FACTOR_3,
                "scale_tril_column": FACTOR,
            },
            "vector": {
                "loc": [[[1.0, 2.0, 3.0]], [[0.0, 0.0, 0.0]]],
                "scale_tril_row": [[0.5]],
                "scale_tril_column": FACTOR_3,
            },
            "batch": {
                "loc": [[0.5], [-1.0]],
                "scale_tril_row": [[FACTOR], [LONG]],
                "scale_tril_column": [[[1.0]], [[0.3]], [[2.0]]],
            },
            "extreme": {
                "loc": [[0.0, 1.0], [0.0, -1e3]],
                "scale_tril_row": LONG,
                "scale_tril_column": [[1e-3, 0.0], [50.0, 1.0]],
            },
        },
    ),
    DistributionCase(
        name="MatrixStudentT",
        make=lambda df, loc, scale_row, scale_column: D.MatrixStudentT(
            df, loc, scale_row.tril(), scale_column.tril()
        ),
        reference=matrix_variate,
        event_dims={"loc": 2, "scale_row": 2, "scale_column": 2},
        points={
            "scalar": {
                "df": 7.0,
                "loc": [[0.5, -1.0], [2.0, 0.0], [0.3, 0.1]],
                "scale_row": FACTOR_3,
                "scale_column": FACTOR,
            },
            "vector": {
                "df": [1.5, 6.0],
                "loc": [[1.0, 2.0, 3.0]],
                "scale_row": [[0.5]],
                "scale_column": FACTOR_3,
            },
            "batch": {
                "df": 8.0,
                "loc": [[0.5], [-1.0]],
                "scale_row": [[FACTOR], [LONG]],
                "scale_column": [[[1.0]], [[0.3]], [[2.0]]],
            },
            "extreme": {
                "df": [0.3, 1e4],
                "loc": [[0.0, 1.0], [0.0, -1e3]],
                "scale_row": LONG,
                "scale_column": [[1e-3, 0.0], [0.5, 1.0]],
            },
        },
        integrands={
            "scalar": ("z", "z^2"),
            "vector": (),
            "batch": ("z", "z^2"),
            "extreme": (),
        },
    ),
]

OTHER_SIZES = [
    DistributionCase(
        name="LKJCholesky-2",
        make=partial(lkj_cholesky, dim=2),
        points={"scalar": {"concentration": 0.8}, "small": {"concentration": 0.05}},
    ),
    DistributionCase(
        name="LKJCholesky-6",
        make=partial(lkj_cholesky, dim=6),
        points={"scalar": {"concentration": 2.5}, "uniform": {"concentration": 1.0}},
    ),
]
