# SPDX-License-Identifier: Apache-2.0
"""Registry entries of distributions of directions."""

import math
from collections.abc import Callable
from typing import Any

from torch import Tensor

from pyro_reparam_ext import distributions as D
from pyro_reparam_ext.testing.cases import DistributionCase
from tests.references import directional

__all__ = ["DIRECTIONAL_DISTRIBUTIONS"]


def around(cls: Callable[..., Any]) -> Callable[..., Any]:
    """Made with a direction of length 1, wherever a law moves it."""

    def make(loc: Tensor, concentration: Tensor) -> Any:
        return cls(loc / loc.norm(dim=-1, keepdim=True), concentration)

    return make


def uniform(like: Tensor) -> D.SphericalUniform:
    """On the sphere that a direction is on."""
    return D.SphericalUniform(
        int(like.shape[-1]), like.shape[:-1], dtype=like.dtype, device=like.device
    )


FACTOR = [[1.2, 0.0, 0.0], [-0.4, 0.7, 0.0], [0.3, 0.5, 1.1]]
EQUAL = [[2.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0, 0.0, 2.0]]
LONG = [[30.0, 0.0, 0.0], [0.2, 0.5, 0.0], [0.2, 0.1, 0.6]]
POLE = [1.0, 0.0, 0.0]
ANTIPODE = [-1.0, 0.0, 0.0]
LAST = [0.0, 0.0, 1.0]
GENERIC = [0.6, -0.64, 0.48]
FIVE = [0.1, -0.5, 0.7, 0.1, 0.49]

# stereographic coordinates have heavy tails, unless the mass is away from their pole
INTEGRANDS = {
    **dict.fromkeys(("scalar", "vector", "batch", "circle", "five"), ("z",)),
    "extreme": ("z",),
    "narrow": ("z", "z^2"),
    "special": ("z",),
}

POINTS = {
    "scalar": {"loc": GENERIC, "concentration": 2.0},
    "vector": {"loc": [GENERIC, LAST], "concentration": [0.7, 12.0]},
    "batch": {"loc": [POLE, ANTIPODE], "concentration": [[1.0], [5.0]]},
    "circle": {"loc": [0.6, -0.8], "concentration": 1.5},
    "five": {"loc": FIVE, "concentration": 4.0},
    "extreme": {"loc": [GENERIC, ANTIPODE], "concentration": [1e-3, 1e4]},
    "narrow": {"loc": [GENERIC, ANTIPODE], "concentration": 40.0},
    # where a rotation from an axis would be singular
    "special": {"loc": [POLE, ANTIPODE, LAST], "concentration": 3.0},
}

DIRECTIONAL_DISTRIBUTIONS = [
    DistributionCase(
        name="VonMisesFisher",
        make=around(D.VonMisesFisher),
        event_dims={"loc": 1},
        integrands=INTEGRANDS,
        points=POINTS,
        special=frozenset({"special"}),
    ),
    DistributionCase(
        name="PowerSpherical",
        make=around(D.PowerSpherical),
        event_dims={"loc": 1},
        integrands=INTEGRANDS,
        points=POINTS,
        special=frozenset({"special"}),
    ),
    DistributionCase(
        name="SphericalCauchy",
        make=around(D.SphericalCauchy),
        event_dims={"loc": 1},
        integrands=("z",),
        points={
            "scalar": {"loc": GENERIC, "concentration": 0.5},
            "vector": {"loc": [GENERIC, LAST], "concentration": [0.2, 0.9]},
            "batch": {"loc": [POLE, ANTIPODE], "concentration": [[0.4], [0.7]]},
            "circle": {"loc": [0.6, -0.8], "concentration": 0.6},
            "five": {"loc": FIVE, "concentration": 0.8},
            "extreme": {"loc": [GENERIC, ANTIPODE], "concentration": [1e-3, 0.99]},
            "special": {"loc": [POLE, ANTIPODE, LAST], "concentration": 0.5},
        },
        special=frozenset({"special"}),
    ),
    DistributionCase(
        name="AngularCentralGaussian",
        make=lambda scale_tril: D.AngularCentralGaussian(scale_tril.tril()),
        event_dims={"scale_tril": 2},
        integrands=("z",),
        points={
            "scalar": {"scale_tril": FACTOR},
            "vector": {"scale_tril": [FACTOR, EQUAL]},
            "batch": {"scale_tril": [[FACTOR], [LONG]]},
            "circle": {"scale_tril": [[1.2, 0.0], [-0.4, 0.7]]},
            "extreme": {"scale_tril": LONG},
        },
    ),
    DistributionCase(
        name="WrappedCauchy",
        make=D.WrappedCauchy,
        reference=directional.WrappedCauchy,
        period=2 * math.pi,
        integrands=("sin", "cos"),
        points={
            "scalar": {"loc": 0.5, "concentration": 0.6},
            "vector": {"loc": [-3.0, 1.0], "concentration": [0.2, 0.9]},
            "batch": {"loc": [[0.0], [3.1]], "concentration": [0.5, 0.8]},
            "extreme": {"loc": [-3.1, 20.0], "concentration": [1e-3, 0.999]},
        },
    ),
    DistributionCase(
        name="WrappedNormal",
        make=D.WrappedNormal,
        reference=directional.WrappedNormal,
        period=2 * math.pi,
        integrands=("sin", "cos"),
        points={
            "scalar": {"loc": 0.5, "scale": 0.8},
            "vector": {"loc": [-3.0, 1.0], "scale": [0.3, 2.5]},
            "batch": {"loc": [[0.0], [3.1]], "scale": [0.5, 1.7]},
            "extreme": {"loc": [-3.1, 20.0], "scale": [1e-3, 4.0]},
            # where the sum over turns gives way to the Fourier series
            "special": {"loc": [0.3, 0.3], "scale": [2.0, 1.9999999]},
        },
        special=frozenset({"special"}),
    ),
    DistributionCase(
        name="SphericalUniform",
        make=uniform,
        event_dims={"like": 1},
        fixed=frozenset({"like"}),
        points={
            "scalar": {"like": GENERIC},
            "vector": {"like": [GENERIC, LAST]},
            "circle": {"like": [0.6, -0.8]},
            "five": {"like": FIVE},
        },
    ),
]
