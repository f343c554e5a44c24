# SPDX-License-Identifier: Apache-2.0
"""Right formulas pass, every planted mistake is named, and none samples in silence."""

import pytest
import torch
from torch.distributions import constraints

from pyro_reparam_ext.distributions import Kumaraswamy
from pyro_reparam_ext.distributions.custom import (
    from_cdf,
    from_density,
    from_quantile,
    from_transport,
    verify,
)
from tests.custom_cases import CUSTOM_DISTRIBUTIONS

LOC = {"loc": constraints.real}
SCALE = {"scale": constraints.positive}
MONOTONE = "transport is strictly monotone"
INVERSE = "inverse(transport(eps)) is eps"
LOG_DET = "log_abs_det_jacobian is that of transport"
RISES = "the cdf does not fall"
REACHES = "the cdf goes from 0 to 1"
DERIVATIVE = "log_density is the derivative of the cdf"
TAILS = "exp(log_cdf) + exp(log_sf) is 1"
SUPPORT = "draws are in the support"
MASS = "the density integrates to 1"
PATH = "the path moves with loc as the density does"
SLOPE = "the gradient of log_prob in loc is its slope"


def logistic(value, loc):
    return torch.sigmoid(value - loc)


MISTAKES = {
    "NotMonotone": (
        from_transport(
            "NotMonotone", lambda e, loc: loc + e.square(), arg_constraints=LOC
        ),
        MONOTONE,
    ),
    "WrongInverse": (
        from_transport(
            "WrongInverse",
            lambda e, loc: loc + e,
            inverse=lambda z, loc: z - 2 * loc,
            arg_constraints=LOC,
        ),
        INVERSE,
    ),
    "WrongLogDet": (
        from_transport(
            "WrongLogDet",
            lambda e, loc: loc + 2 * e,
            log_abs_det_jacobian=lambda e, z, loc: torch.zeros_like(e),
            arg_constraints=LOC,
        ),
        LOG_DET,
    ),
    "LeavesTheSupport": (
        from_transport(
            "LeavesTheSupport",
            lambda e, loc: loc + e,
            arg_constraints=LOC,
            support=constraints.positive,
        ),
        SUPPORT,
    ),
    "SupportTooWide": (
        from_density("SupportTooWide", lambda z, loc: 0 * z * loc, arg_constraints=LOC),
        MASS,
    ),
    "WrongSurvival": (
        from_quantile(
            "WrongSurvival",
            lambda u, loc: loc + torch.logit(u),
            log_sf=lambda z, loc: -torch.nn.functional.softplus(loc - z),
            arg_constraints=LOC,
        ),
        INVERSE,
    ),
    "StopsAtOneHalf": (
        from_cdf(
            "StopsAtOneHalf", lambda z, loc: 0.5 * logistic(z, loc), arg_constraints=LOC
        ),
        REACHES,
    ),
    "Falls": (
        from_cdf(
            "Falls",
            lambda z, loc: logistic(z, loc) - 0.5 * torch.exp(-((z - loc) ** 2)),
            arg_constraints=LOC,
        ),
        RISES,
    ),
    "WrongDensity": (
        from_cdf(
            "WrongDensity",
            logistic,
            log_density=lambda z, loc: -0.5 * (z - loc).square(),
            arg_constraints=LOC,
        ),
        DERIVATIVE,
    ),
    "TailsDisagree": (
        from_cdf(
            "TailsDisagree",
            log_cdf=lambda z, loc: torch.nn.functional.logsigmoid(z - loc),
            log_sf=lambda z, loc: torch.nn.functional.logsigmoid(2 * (loc - z)),
            arg_constraints=LOC,
        ),
        TAILS,
    ),
    "NotIntegrable": (
        from_density(
            "NotIntegrable",
            lambda z, loc: -torch.log1p((z - loc).abs()),
            arg_constraints=LOC,
        ),
        MASS,
    ),
    "UndeclaredKink": (
        from_density(
            "UndeclaredKink", lambda z, loc: -(z - loc).abs(), arg_constraints=LOC
        ),
        PATH,
    ),
    "Detached": (
        from_density(
            "Detached",
            lambda z, loc: -0.5 * (z - loc.detach()).square() + 0 * loc,
            arg_constraints=LOC,
        ),
        SLOPE,
    ),
}
# what can be seen without looking for it
SEEN_AT_ONCE = [
    "NotMonotone",
    "LeavesTheSupport",
    "SupportTooWide",
    "StopsAtOneHalf",
    "NotIntegrable",
]


@pytest.mark.parametrize("case", CUSTOM_DISTRIBUTIONS, ids=lambda case: case.name)
def test_right_formulas_pass(case):
    report = verify(case.distribution(next(iter(case.points))), strict=True)
    assert report.passed, str(report)


@pytest.mark.parametrize("name", MISTAKES)
def test_mistake_is_named(name):
    make, statement = MISTAKES[name]
    report = verify(make(0.7))
    assert statement in [a.statement for a in report.failures], str(report)
    assert f"WRONG  {statement}: error" in str(report)
    with pytest.raises(ValueError, match=f"{name}: verify expected formulas that"):
        verify(make(0.7), strict=True)


@pytest.mark.parametrize("name", SEEN_AT_ONCE)
def test_draws_of_a_wrong_formula_raise_or_are_nan(name):
    make, _ = MISTAKES[name]
    with pytest.raises(ValueError, match=rf"{name}: expected .* found"):
        make(0.7).rsample((200,))
    if name != "NotMonotone":  # whose draws are those of another law
        assert make(0.7, validate_args=False).sample((200,)).isnan().any()


def test_report_says_how_each_method_is_computed():
    report = verify(CUSTOM_DISTRIBUTIONS[0].distribution("scalar"))
    assert report.routes["inverse"] == "transport by bisection"
    assert "inverse               transport by bisection" in str(report)
    assert str(report).startswith("Rayleigh: all 8 agreements hold\n  ok     ")


def test_verify_keeps_the_random_state():
    state = torch.get_rng_state()
    verify(CUSTOM_DISTRIBUTIONS[0].distribution("scalar"))
    assert torch.equal(torch.get_rng_state(), state)


def test_other_distributions_are_referred_to_the_laws():
    with pytest.raises(TypeError, match=r"found Kumaraswamy\. .*check_dist"):
        verify(Kumaraswamy(1.0, 1.0))
