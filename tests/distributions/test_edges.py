# SPDX-License-Identifier: Apache-2.0
"""Edges that the laws do not reach: what is not a number, not inside, not copied."""

import copy
import math

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.infer import SVI, JitTrace_ELBO
from pyro.infer.autoguide import AutoNormal
from torch import tensor

from pyro_reparam_ext import distributions as D
from pyro_reparam_ext.testing import DistributionCase
from pyro_reparam_ext.testing.law import is_scalar
from tests.cases import DISTRIBUTIONS

# whose parameters are its own, not those of a distribution it is given
PARAMETRIC = [
    case
    for case in DISTRIBUTIONS
    if isinstance(case.make, type) and is_scalar(case, next(iter(case.points)))
]


def ids(case):
    return case.name


@pytest.fixture
def unvalidated():
    with pyro.validation_enabled(False):
        yield


@pytest.mark.usefixtures("unvalidated")
@pytest.mark.parametrize("case", PARAMETRIC, ids=ids)
def test_not_a_number_is_passed_on(case):
    """A training run that has diverged must show it."""
    point = next(iter(case.points))
    parameters = case.parameters(point)
    nan = tensor(math.nan, dtype=torch.float64)
    assert case.make(**parameters).log_prob(nan).isnan().all()
    for name in parameters:
        if name not in ("low", "high"):
            broken = case.make(**{**parameters, name: nan})
            assert broken.sample().isnan().all(), name


@pytest.mark.usefixtures("unvalidated")
@pytest.mark.parametrize("value", [-math.inf, -1e3, 0.0, 1e3, math.inf])
@pytest.mark.parametrize("case", PARAMETRIC, ids=ids)
def test_outside_of_the_support_there_is_no_gradient_to_spoil(case, value):
    point = next(iter(case.points))
    leaves = case.leaves(point)
    distribution = case.make(**leaves)
    inside = distribution.support.check(tensor(value, dtype=torch.float64))
    log_prob = distribution.log_prob(torch.full_like(distribution.sample(), value))
    if not inside.any():
        assert (log_prob == -math.inf).all()
        gradients = torch.autograd.grad(log_prob.sum(), list(leaves.values()))
        assert all((gradient == 0).all() for gradient in gradients)


@pytest.mark.parametrize("case", PARAMETRIC, ids=ids)
def test_leaf_parameters_stay_leaves(case):
    leaves = case.leaves(next(iter(case.points)))
    distribution = case.make(**leaves)
    assert all(getattr(distribution, name) is leaf for name, leaf in leaves.items())
    copied = copy.deepcopy(distribution)
    assert copied.batch_shape == distribution.batch_shape


@pytest.mark.parametrize(
    ("value", "low", "high", "expected"),
    [(5.0, 5.0, 6.0, 0.0), (6.0, 5.0, 6.0, 1.0), (0.0, 0.0, math.inf, 0.0)],
)
def test_the_cdf_at_a_bound_has_gradient_zero(value, low, high, expected):
    loc = tensor(0.0, requires_grad=True)
    cdf = D.TruncatedNormal(loc, 1.0, low=low, high=high).cdf(tensor(value))
    assert cdf == expected
    assert torch.autograd.grad(cdf, loc)[0] == 0


@pytest.mark.parametrize("make", [D.InverseGaussian, D.VonMises])
def test_the_cdf_of_an_integer_is_a_probability(make):
    assert make(1.0, 1.0).cdf(tensor(1)) == make(1.0, 1.0).cdf(tensor(1.0))
    double = make(tensor(1.0, dtype=torch.float64), 1.0)
    assert double.cdf(tensor(1.0)).dtype == torch.float64


def test_kumaraswamy_at_ends_where_a_power_is_zero():
    ends = tensor([0.0, 1.0])
    assert torch.equal(D.Kumaraswamy(1.0, 1.0).log_prob(ends), torch.zeros(2))
    assert D.Kumaraswamy(2.0, 1.0).log_prob(tensor(1.0)) == pytest.approx(math.log(2))


@pytest.mark.filterwarnings("ignore")  # torch.jit announces its retirement
def test_an_infinite_bound_under_the_jit():
    def model():
        pyro.sample("z", dist.HalfNormal(1.0))

    def guide():
        loc = pyro.param("loc", torch.ones(()))
        scale = pyro.param(
            "scale", torch.ones(()), constraint=dist.constraints.positive
        )
        pyro.sample("z", D.TruncatedNormal(loc, scale, low=0.0))

    loss = JitTrace_ELBO(ignore_jit_warnings=True)
    svi = SVI(model, guide, pyro.optim.Adam({"lr": 0.01}), loss=loss)
    assert all(math.isfinite(svi.step()) for _ in range(6))


@pytest.mark.usefixtures("unvalidated")
@pytest.mark.filterwarnings("ignore")  # dynamo makes autograd functions of its own
def test_truncated_normal_in_one_graph():
    def draw(loc, scale):
        distribution = D.TruncatedNormal(loc, scale, 0.0)
        return distribution.log_prob(distribution.rsample((4,))).sum()

    compiled = torch.compile(draw, fullgraph=True, backend="aot_eager")
    gradients = []
    for function in (draw, compiled):
        loc = torch.zeros(2, requires_grad=True)
        torch.manual_seed(0)
        gradients.append(torch.autograd.grad(function(loc, torch.ones(2)), loc)[0])
    torch.testing.assert_close(*gradients)


def test_a_mixture_on_one_interval_can_be_a_prior():
    def model():
        loc = tensor([-1.0, 1.0])
        components = D.TruncatedNormal(loc, 0.7, low=0.0, high=3.0)
        weights = dist.Categorical(torch.ones(2))
        pyro.sample("z", D.MixtureSameFamily(weights, components))

    z = AutoNormal(model)()["z"]
    assert 0 < z < 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"points": {}}, "points must map at least one label"),
        ({"points": {"scale": 1.0}}, "points must map at least one label"),
        ({"special": frozenset({"zero"})}, r"must name points; found \['zero'\]"),
    ],
)
def test_a_case_that_checks_nothing_is_refused(changes, message):
    arguments = {"name": "N", "make": dist.Normal, "points": {"a": {"loc": 0.0}}}
    with pytest.raises(ValueError, match=message):
        DistributionCase(**{**arguments, **changes})
