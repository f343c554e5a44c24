# SPDX-License-Identifier: Apache-2.0
"""The four routes against arbitrary precision, in use, and when misused."""

import math
import pickle

import mpmath as mp
import pyro
import pytest
import torch
from torch.distributions import constraints

from pyro_reparam_ext.distributions.custom import (
    from_cdf,
    from_density,
    from_quantile,
    from_transport,
)
from tests import custom_cases
from tests.custom_cases import CUSTOM_DISTRIBUTIONS, LINE

DTYPES = [torch.float64, torch.float32]
GRADIENT = {torch.float64: 1e-8, torch.float32: 1e-4}
LOG_PROB = {torch.float64: 1e-12, torch.float32: 1e-5}
UNIT = {"loc": constraints.real}
LEVELS = (1e-6, 0.02, 0.4, 0.9, 0.9999)
ACCURACY = [
    ("Rayleigh", {"scale": 1.3}),
    ("Rayleigh", {"scale": 1e-3}),
    ("GumbelMin", {"loc": 0.3, "scale": 1.5}),
    ("GumbelMin", {"loc": -200.0, "scale": 0.1}),
    ("Logistic", {"loc": 0.3, "scale": 1.5}),
    ("Logistic", {"loc": 200.0, "scale": 0.25}),
    ("PowerLaw", {"power": 2.5}),
    ("PowerLaw", {"power": 0.3}),
    ("GeneralizedNormal", {"loc": 0.3, "scale": 1.5, "power": 1.5}),
    ("GeneralizedNormal", {"loc": 2.0, "scale": 0.5, "power": 1.0}),
    ("GeneralizedNormal", {"loc": 0.0, "scale": 1.5, "power": 0.7}),
    ("GeneralizedNormal", {"loc": 0.0, "scale": 1.5, "power": 8.0}),
    ("DoubleWell", {"depth": 1.5, "tilt": 0.3}),
    ("DoubleWell", {"depth": 10.0, "tilt": -2.0}),
]


def exact_slope(reference, value, known, name):
    """-dF/dtheta / p."""
    step = mp.mpf(10) ** (-mp.mp.dps // 4) * max(abs(known[name]), mp.mpf("1e-3"))
    above, below = (
        reference.cdf(value, **{**known, name: known[name] + sign * step})
        for sign in (1, -1)
    )
    density = mp.exp(reference.log_prob(value, **known))
    return -(above - below) / (2 * step) / density


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(("name", "point"), ACCURACY, ids=str)
def test_density_and_path_are_exact(name, point, dtype):
    reference = getattr(custom_cases.custom, name)
    parameters = {
        n: torch.tensor(v, dtype=dtype, requires_grad=True) for n, v in point.items()
    }
    known = {n: mp.mpf(p.item()) for n, p in parameters.items()}
    distribution = getattr(custom_cases, name)(**parameters)
    levels = torch.tensor(LEVELS, dtype=torch.float64)
    if hasattr(distribution, "noise"):
        values = distribution.transport(distribution.noise().icdf(levels))
    else:
        values = distribution.attach_gradient(distribution.icdf(levels).detach())
    with mp.workdps(30):
        for i, value in enumerate(values.detach()):
            z = mp.mpf(value.item())
            expected = reference.log_prob(z, **known)
            error = abs(mp.mpf(distribution.log_prob(value).item()) - expected)
            assert error <= LOG_PROB[dtype] * max(1, abs(expected)), i
            found = torch.autograd.grad(
                values[i], list(parameters.values()), retain_graph=True
            )
            for n, slope in zip(known, found, strict=True):
                expected = exact_slope(reference, z, known, n)
                # the value was rounded: the path through it is another one
                scale = max(abs(expected), mp.mpf("1e-2"))
                error = abs(mp.mpf(slope.item()) - expected)
                assert error <= GRADIENT[dtype] * scale, (i, n)


def test_both_tails_are_right_in_float32():
    torch.manual_seed(0)
    gumbel = custom_cases.GumbelMin(0.0, 1.0)
    draws = gumbel.sample((1_000_000,))
    assert draws.dtype == torch.float32
    # of a million draws the smallest is near log(1e-6), the largest near log(13.8)
    assert -20 < draws.min() < -10
    assert 2.5 < draws.max() < 3.2
    far = torch.tensor([-80.0, 4.0])
    torch.testing.assert_close(gumbel.log_prob(far), far - far.exp())


@pytest.mark.parametrize("case", CUSTOM_DISTRIBUTIONS, ids=lambda case: case.name)
def test_classes_pickle_with_their_parameters(case):
    d = case.distribution(next(iter(case.points)))
    again = pickle.loads(pickle.dumps(d))
    assert type(again) is case.make
    torch.manual_seed(0)
    z = d.sample((3,))
    torch.manual_seed(0)
    assert torch.equal(again.sample((3,)), z)


@pytest.mark.parametrize("case", CUSTOM_DISTRIBUTIONS[::4], ids=lambda c: c.name)
def test_in_a_plate_of_a_model_and_its_guide(case):
    parameters = case.parameters("scalar")

    def model():
        with pyro.plate("outer", 2, dim=-2), pyro.plate("inner", 3, dim=-1):
            z = pyro.sample("z", case.make(**parameters))
            pyro.sample("x", pyro.distributions.Normal(z, 1.0), obs=torch.zeros(2, 3))
        with pyro.plate("rows", 2):
            pyro.sample("w", case.make(**parameters).expand([2, 3]).to_event(1))

    trace = pyro.poutine.trace(model).get_trace()
    trace.compute_log_prob()
    assert trace.nodes["z"]["log_prob"].shape == (2, 3)
    assert trace.nodes["w"]["log_prob"].shape == (2,)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")  # of the compiler, about itself
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("name", ["Rayleigh", "Logistic", "DoubleWell"])
def test_compiles(name):
    case = next(c for c in CUSTOM_DISTRIBUTIONS if c.name == f"custom.{name}")
    parameters = case.parameters("scalar")
    names = list(parameters)

    def log_prob(value, *parameters):
        given = dict(zip(names, parameters, strict=True))
        return case.make(**given, validate_args=False).log_prob(value)

    value = case.distribution("scalar").sample((4,))
    compiled = torch.compile(log_prob, backend="aot_eager")
    torch.testing.assert_close(
        compiled(value, *parameters.values()), log_prob(value, *parameters.values())
    )


def test_cdf_and_quantile_are_inverse_and_differentiable():
    u = torch.tensor([1e-9, 0.3, 0.999], dtype=torch.float64, requires_grad=True)
    for case in CUSTOM_DISTRIBUTIONS:
        d = case.distribution("scalar")
        z = d.icdf(u)
        torch.testing.assert_close(d.cdf(z), u, rtol=1e-9, atol=1e-13)
        (slope,) = torch.autograd.grad(z.sum(), u)
        torch.testing.assert_close(slope, d.log_prob(z).neg().exp(), rtol=1e-7, atol=0)


def test_moments_of_a_density():
    d = custom_cases.GeneralizedNormal(0.3, 1.5, torch.tensor([1.0, 2.0]).double())
    torch.testing.assert_close(d.mean, torch.full_like(d.mean, 0.3), rtol=1e-12, atol=0)
    exact = d.scale.square() * torch.exp(
        torch.lgamma(3 / d.power) - torch.lgamma(1 / d.power)
    )
    torch.testing.assert_close(d.variance, exact, rtol=1e-11, atol=0)
    area = 2 * d.scale * torch.exp(torch.lgamma(1 + 1 / d.power))
    torch.testing.assert_close(d.log_normalizer, area.log(), rtol=1e-12, atol=0)


def test_a_moment_that_does_not_exist_is_nan():
    cauchy = from_density(
        "Cauchy", lambda z, loc: -torch.log1p((z - loc).square()), arg_constraints=UNIT
    )
    d = cauchy(torch.tensor(0.5).double())
    torch.testing.assert_close(d.log_normalizer.exp().item(), math.pi)
    assert d.mean.isnan()
    assert d.variance.isnan()


def test_a_support_that_moves():
    pareto = from_quantile(
        "Pareto",
        icdf_of_logs=lambda log_u, log1m_u, low, tail: low * torch.exp(-log1m_u / tail),
        arg_constraints={"low": constraints.positive, "tail": constraints.positive},
        support=lambda low, tail: constraints.greater_than(low),
    )
    low = torch.tensor([0.5, 2.0], dtype=torch.float64)
    exact = torch.distributions.Pareto(low, 3.0)
    value = torch.tensor([1.0, 1e100], dtype=torch.float64)
    torch.testing.assert_close(
        pareto(low, 3.0, validate_args=False).log_prob(value), exact.log_prob(value)
    )
    assert (pareto(low, 3.0).sample((1000,)) > low).all()


def test_a_falling_map_has_a_rising_cdf():
    falling = from_transport(
        "Falling", lambda eps, loc: loc - torch.sinh(eps), arg_constraints=UNIT
    )
    d = falling(torch.tensor(1.0).double())
    z = torch.linspace(-5, 5, 11).double()
    exact = torch.distributions.Normal(0.0, 1.0).cdf(torch.asinh(z - 1))
    torch.testing.assert_close(d.cdf(z), exact)
    torch.testing.assert_close(d.icdf(d.cdf(z)), z)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (
            lambda: from_quantile("X", lambda u, sigma: u, arg_constraints=LINE),
            TypeError,
            r"X: icdf must take .* found icdf\(u, sigma\)",
        ),
        (
            lambda: from_quantile("X", arg_constraints=LINE),
            TypeError,
            "X needs icdf or icdf_of_logs; found neither",
        ),
        (
            lambda: from_cdf("X", log_cdf=torch.log, arg_constraints=LINE),
            TypeError,
            "X needs either cdf, or log_cdf and log_sf; found log_cdf",
        ),
        (
            lambda: from_transport(
                "X", lambda eps, loc: eps, arg_constraints=UNIT, noise="gamma"
            ),
            ValueError,
            "noise of X must be one of",
        ),
        (
            lambda: from_density(
                "X", lambda z, noise: z, arg_constraints={"inverse": constraints.real}
            ),
            TypeError,
            "may not be called 'inverse'",
        ),
        (
            lambda: from_density(
                "X", lambda z, loc: z, arg_constraints=UNIT, support=constraints.simplex
            ),
            TypeError,
            "support must be an interval",
        ),
        (
            lambda: from_cdf("X", lambda z, loc: z, arg_constraints=UNIT)(
                1.0, 2.0, 3.0
            ),
            TypeError,
            r"X: expected the parameters \['loc'\]",
        ),
    ],
)
def test_misuse_says_what_was_expected(make, error, message):
    with pytest.raises(error, match=message):
        make()
