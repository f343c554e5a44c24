# SPDX-License-Identifier: Apache-2.0
"""Distributions made from functions, by each route: part of the registry.

The laws of all points but the first are slow: a root is found for every value.
"""

import torch
from torch.distributions import constraints
from torch.nn.functional import logsigmoid

from pyro_reparam_ext.distributions.custom import (
    from_cdf,
    from_density,
    from_quantile,
    from_transport,
)
from pyro_reparam_ext.testing.cases import DistributionCase
from tests.references import custom

LINE = {"loc": constraints.real, "scale": constraints.positive}

Rayleigh = from_transport(
    "Rayleigh",
    lambda eps, scale: scale * (2 * eps).sqrt(),
    noise="exponential",
    arg_constraints={"scale": constraints.positive},
    support=constraints.positive,
)

GumbelMin = from_quantile(
    "GumbelMin",
    icdf_of_logs=lambda log_u, log1m_u, loc, scale: loc + scale * torch.log(-log1m_u),
    arg_constraints=LINE,
)

Logistic = from_cdf(
    "Logistic",
    log_cdf=lambda value, loc, scale: logsigmoid((value - loc) / scale),
    log_sf=lambda value, loc, scale: logsigmoid((loc - value) / scale),
    arg_constraints=LINE,
)


PowerLaw = from_cdf(
    "PowerLaw",
    lambda value, power: value**power,
    arg_constraints={"power": constraints.positive},
    support=constraints.unit_interval,
)

GeneralizedNormal = from_density(
    "GeneralizedNormal",
    lambda value, loc, scale, power: -(((value - loc).abs() / scale) ** power),
    arg_constraints={**LINE, "power": constraints.positive},
    breaks=lambda loc, scale, power: (loc,),
)

DoubleWell = from_density(
    "DoubleWell",
    lambda value, depth, tilt: -depth * (value.square() - 1).square() + tilt * value,
    arg_constraints={"depth": constraints.positive, "tilt": constraints.real},
)

CUSTOM_DISTRIBUTIONS = [
    DistributionCase(
        name="custom.Rayleigh",
        make=Rayleigh,
        reference=custom.Rayleigh,
        points={"scalar": {"scale": 1.3}, "extreme": {"scale": [1e-3, 1e3]}},
        integrands=("tanh",),
        draws=20_000,
    ),
    DistributionCase(
        name="custom.GumbelMin",
        make=GumbelMin,
        reference=custom.GumbelMin,
        points={
            "scalar": {"loc": 0.3, "scale": 1.5},
            "vector": {"loc": [0.0, 2.0], "scale": [1.0, 0.4]},
        },
        integrands=("tanh", "sin"),
        draws=20_000,
    ),
    DistributionCase(
        name="custom.Logistic",
        make=Logistic,
        reference=custom.Logistic,
        points={
            "scalar": {"loc": 0.3, "scale": 1.5},
            "vector": {"loc": [0.0, 200.0], "scale": [1e-3, 0.4]},
        },
        draws=20_000,
    ),
    DistributionCase(
        name="custom.PowerLaw",
        make=PowerLaw,
        reference=custom.PowerLaw,
        points={"scalar": {"power": 2.5}, "vector": {"power": [0.7, 9.0]}},
        draws=20_000,
    ),
    DistributionCase(
        name="custom.GeneralizedNormal",
        make=GeneralizedNormal,
        reference=custom.GeneralizedNormal,
        points={
            "scalar": {"loc": 0.3, "scale": 1.5, "power": 1.5},
            "special": {"loc": 0.3, "scale": 1.5, "power": [1.0, 2.0]},
        },
        special=frozenset({"special"}),
        draws=500,
    ),
    DistributionCase(
        name="custom.DoubleWell",
        make=DoubleWell,
        reference=custom.DoubleWell,
        points={
            "scalar": {"depth": 1.5, "tilt": 0.3},
            "vector": {"depth": [0.5, 4.0], "tilt": [0.0, -1.0]},
        },
        draws=500,
    ),
]
