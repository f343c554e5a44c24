# SPDX-License-Identifier: Apache-2.0
"""Mixtures of correlated components under test."""

import pyro.distributions as dist

from pyro_reparam_ext import distributions as D
from pyro_reparam_ext.testing.cases import DistributionCase

FACTORS = [[[0.6, 0.0], [0.5, 1.1]], [[0.9, 0.0], [-0.4, 0.7]]]
NEAR = {"logits": [0.1, 0.5], "loc": [[0.1, 0.5], [-0.8, 0.2]], "scale_tril": FACTORS}
FAR = {"logits": [0.0, 1.0], "loc": [[-4.0, 0.0], [4.0, 1.0]], "scale_tril": FACTORS}


def normal(logits, loc, scale_tril):
    return D.MixtureSameFamily(
        dist.Categorical(logits=logits),
        dist.MultivariateNormal(loc, scale_tril=scale_tril.tril()),
    )


def student(logits, df, loc, scale_tril):
    return D.MixtureSameFamily(
        dist.Categorical(logits=logits),
        dist.MultivariateStudentT(df, loc, scale_tril.tril()),
    )


EVENT_DIMS = {"logits": 1, "df": 1, "loc": 2, "scale_tril": 3}

MIXTURES = [
    DistributionCase(
        name="MixtureSameFamily(MultivariateNormal)",
        make=normal,
        event_dims=EVENT_DIMS,
        points={
            "scalar": NEAR,
            "vector": {**NEAR, "logits": [[0.1, 0.5], [1.0, -3.0]]},
            "extreme": FAR,
        },
    ),
    DistributionCase(
        name="MixtureSameFamily(MultivariateStudentT)",
        make=student,
        event_dims=EVENT_DIMS,
        points={"scalar": {**NEAR, "df": [5.0, 9.0]}},
    ),
]
