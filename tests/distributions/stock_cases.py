# SPDX-License-Identifier: Apache-2.0
"""The stock distributions that have an explicit path, at awkward parameters."""

import pyro.distributions as pd
import torch
import torch.distributions as td
from pyro.distributions.torch_distribution import ExpandedDistribution
from torch.distributions import transforms as tr

from pyro_reparam_ext.testing.cases import DistributionCase

LOC_SCALE = {
    "scalar": {"loc": 0.5, "scale": 2.0},
    "batch": {"loc": [[-3.0], [100.0]], "scale": [0.1, 1.0, 7.0]},
}
COVARIANCE = [[2.0, 0.9, -0.3], [0.9, 1.0, 0.2], [-0.3, 0.2, 0.5]]
LOC3 = [1.0, -2.0, 0.5]
TRIL = [[1.0, 0.0], [-3.0, 0.1]]


def _case(name, make, points):
    return DistributionCase(name=name, make=make, points=points)


# events are scalars, and the reference has a cdf
SCALAR = [
    *(
        _case(f"{c.__module__.split('.')[0]}-{c.__name__}", c, LOC_SCALE)
        for c in (
            td.Normal,
            pd.Normal,
            td.Cauchy,
            td.Laplace,
            td.Gumbel,
            pd.Gumbel,
            pd.Logistic,
        )
    ),
    _case(
        "LogNormal",
        td.LogNormal,
        {
            "scalar": {"loc": 0.5, "scale": 2.0},
            "batch": {"loc": [[-3.0], [4.0]], "scale": [0.1, 1.0, 3.0]},
        },
    ),
    _case("pyro-LogNormal", pd.LogNormal, {"scalar": {"loc": 0.5, "scale": 0.3}}),
    _case("HalfNormal", td.HalfNormal, {"batch": {"scale": [0.01, 1.0, 30.0]}}),
    _case("HalfCauchy", td.HalfCauchy, {"batch": {"scale": [0.01, 1.0, 30.0]}}),
    _case("Exponential", td.Exponential, {"batch": {"rate": [0.01, 1.0, 30.0]}}),
    _case(
        "Weibull",
        td.Weibull,
        {
            "batch": {"scale": [[0.1], [5.0]], "concentration": [0.5, 1.0, 20.0]},
            "extreme": {"scale": 1.0, "concentration": 0.25},
        },
    ),
    _case(
        "Pareto",
        td.Pareto,
        {
            "batch": {"scale": [[0.1], [5.0]], "alpha": [0.7, 2.0, 20.0]},
            "extreme": {"scale": 1.0, "alpha": 0.3},
        },
    ),
    _case("Uniform", td.Uniform, {"batch": {"low": [-3.0, 0.0], "high": [-1.0, 9.0]}}),
    _case("pyro-Uniform", pd.Uniform, {"scalar": {"low": -1.0, "high": 2.0}}),
    _case(
        "Kumaraswamy",
        td.Kumaraswamy,
        {
            "batch": {"concentration1": [[0.7], [5.0]], "concentration0": [0.5, 3.0]},
        },
    ),
]


def _logistic_as_composition(loc, scale):
    base = td.Uniform(torch.zeros_like(loc), torch.ones_like(loc))
    transforms = [tr.SigmoidTransform().inv, tr.AffineTransform(loc, scale)]
    return td.TransformedDistribution(base, transforms)


def _cached_flow(loc, scale_tril):
    base = pd.Normal(loc, torch.ones_like(loc)).to_event(1)
    affine = pd.transforms.LowerCholeskyAffine(loc, scale_tril, cache_size=1)
    inner = tr.ComposeTransform([tr.TanhTransform(), tr.AffineTransform(loc, 2.0)], 1)
    return td.TransformedDistribution(base, [affine, inner])


def _widening(scale):
    # a scalar base, made an event by the second transform only
    base = td.Normal(torch.zeros_like(scale), scale)
    return td.TransformedDistribution(
        base, [tr.ExpTransform(), tr.ReshapeTransform((4,), (2, 2))]
    )


# vector events, wrappers, compositions
OTHER = [
    _case(
        "MVN-covariance",
        lambda loc, covariance_matrix: td.MultivariateNormal(
            loc, covariance_matrix=covariance_matrix
        ),
        {"scalar": {"loc": LOC3, "covariance_matrix": COVARIANCE}},
    ),
    _case(
        "MVN-precision",
        lambda loc, precision_matrix: pd.MultivariateNormal(
            loc, precision_matrix=precision_matrix
        ),
        {"batch": {"loc": [LOC3, LOC3], "precision_matrix": COVARIANCE}},
    ),
    _case(
        "MVN-tril",
        lambda loc, scale_tril: td.MultivariateNormal(loc, scale_tril=scale_tril),
        {"batch": {"loc": [0.0, 9.0], "scale_tril": [[TRIL], [TRIL]]}},
    ),
    _case(
        "LowRankMVN",
        td.LowRankMultivariateNormal,
        {
            "batch": {
                "loc": [LOC3, LOC3],
                "cov_factor": [[1.0], [-2.0], [0.3]],
                "cov_diag": [0.1, 1.0, 0.3],
            },
        },
    ),
    _case(
        "to_event-mask",
        lambda loc, scale: (
            pd.Normal(loc, scale).to_event(1).mask(torch.tensor([True, False]))
        ),
        {"batch": {"loc": [[0.0], [3.0]], "scale": [[1.0, 2.0, 3.0]]}},
    ),
    _case(
        "expand-to_event",
        lambda rate: pd.Exponential(rate).expand((4, 2, 3)).to_event(2),
        {"batch": {"rate": [0.1, 1.0, 7.0]}},
    ),
    _case(
        "ExpandedDistribution",
        lambda loc, scale: ExpandedDistribution(
            pd.Laplace(loc, scale).to_event(1), (2, 4)
        ),
        {"batch": {"loc": [[[0.0, 1.0]], [[2.0, 3.0]]], "scale": 0.5}},
    ),
    _case(
        "mask-expand-MVN",
        lambda loc, scale_tril: (
            pd.MultivariateNormal(loc, scale_tril=scale_tril).mask(False).expand((2, 3))
        ),
        {"scalar": {"loc": [0.0, 9.0], "scale_tril": TRIL}},
    ),
    _case("composition", _logistic_as_composition, LOC_SCALE),
    _case(
        "cached-flow",
        _cached_flow,
        {
            "batch": {
                "loc": [[0.1, 0.2], [0.3, -0.4]],
                "scale_tril": [[0.4, 0.0], [-0.3, 0.2]],  # tanh must not saturate
            },
        },
    ),
    _case("widening", _widening, {"batch": {"scale": [[1.0, 2.0, 0.3, 0.1]] * 3}}),
    _case(
        "LogisticNormal",
        td.LogisticNormal,
        {
            "batch": {"loc": [[0.0, 1.0], [1.0, -2.0]], "scale": [1.0, 0.4]},
        },
    ),
    _case(
        "RelaxedBernoulli",
        lambda temperature, logits: pd.RelaxedBernoulli(temperature, logits=logits),
        {"batch": {"temperature": 0.7, "logits": [-2.0, 0.0, 3.0]}},
    ),
]
