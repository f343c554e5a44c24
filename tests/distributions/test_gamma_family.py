# SPDX-License-Identifier: Apache-2.0
"""What only the Gamma family has: small concentrations, pairs, torch's divergences."""

import math

import pytest
import torch
import torch.distributions as td
from torch.distributions import constraints, kl_divergence

from pyro_reparam_ext import distributions as D
from pyro_reparam_ext.ops import betainc
from pyro_reparam_ext.testing import DistributionCase, check_distribution


def double(*values):
    return torch.tensor(values, dtype=torch.float64)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_beta_of_small_concentrations_is_at_the_ends(dtype):
    torch.manual_seed(0)
    small = torch.tensor(1e-3, dtype=dtype)
    draws = D.Beta(small, small).sample((100_000,))
    lower = betainc(small.double(), small.double(), double(0.4, 0.6))
    expected = float(lower[1] - lower[0])
    inside = ((draws > 0.4) & (draws < 0.6)).double().mean().item()
    assert abs(inside - expected) < 5 * math.sqrt(expected / 100_000)


@pytest.mark.parametrize("concentration", [1e-4, 1e-3, 0.1])
def test_log_gamma_of_small_concentrations_follows_its_law(concentration):
    torch.manual_seed(0)
    alpha = torch.tensor(concentration, dtype=torch.float32)
    draws = D.LogGamma(alpha, 1.0).sample((100_000,)).double()
    lower = D.LogGamma(alpha.double(), 1.0).cdf(draws.sort().values)
    steps = torch.arange(1, 100_001, dtype=torch.float64) / 100_000
    # Massart's bound, failure probability 1e-6
    assert (lower - steps).abs().max() < math.sqrt(math.log(2e6) / 2e5) + 1e-5


def test_log_pair_is_finite_and_sums_to_one():
    torch.manual_seed(0)
    a = torch.tensor(1e-3, requires_grad=True)
    log_z, log_rest = D.Beta(a, 1e-3).rsample_log_pair((10_000,))
    assert log_z.isfinite().all()
    assert log_rest.isfinite().all()
    total = torch.logaddexp(log_z, log_rest)
    assert total.abs().max() < 1e-6
    (gradient,) = torch.autograd.grad(log_rest.sum(), a)
    assert gradient.isfinite()


def test_gradient_of_the_rest_does_not_come_from_rounded_draws():
    torch.manual_seed(0)
    b = torch.full((200_000,), 0.1, requires_grad=True)
    _, log_rest = D.Beta(2.0, b).rsample_log_pair()
    (slope,) = torch.autograd.grad(log_rest.sum(), b)
    # E log(1 - z) = digamma(b) - digamma(a + b)
    expected = torch.polygamma(1, double(0.1)) - torch.polygamma(1, double(2.1))
    error = 5 * slope.double().std() / math.sqrt(200_000)
    assert (slope.double().mean() - expected).abs() < error


@pytest.mark.parametrize(
    ("p", "q"),
    [
        (D.Gamma(double(2.0), 1.5), td.Exponential(double(0.7))),
        (D.Gamma(double(2.0), 1.5), td.Gamma(double(0.7), double(2.0))),
        (td.Gamma(double(2.0), double(1.5)), D.Gamma(double(0.7), 2.0)),
        (td.Exponential(double(0.7)), D.Gamma(double(2.0), 1.5)),
        (D.Chi2(double(3.0)), td.Normal(double(0.7), double(2.0))),
        (D.Beta(double(2.0), 1.5), td.Normal(double(-1.0), double(2.0))),
        (td.Beta(double(2.0), double(1.5)), D.Beta(double(0.7), 2.0)),
        (D.Beta(double(2.0), 1.5), D.Gamma(double(0.7), 2.0)),
    ],
    ids=lambda d: f"{type(d).__module__.split('.')[0]}-{type(d).__name__}",
)
def test_divergences_that_torch_has(p, q):
    def stock(d):
        names = getattr(type(d), "arg_constraints", {})
        return getattr(td, type(d).__name__)(**{n: getattr(d, n) for n in names})

    expected = kl_divergence(stock(p), stock(q))
    assert torch.allclose(kl_divergence(p, q), expected, rtol=1e-9)


@pytest.mark.filterwarnings("ignore:.*Function'> should not be inst:DeprecationWarning")
@pytest.mark.parametrize("name", ["Gamma", "Beta", "StudentT", "FisherSnedecor"])
def test_compiled_draws_are_finite(name):
    parameters = [double(2.0, 3.0).requires_grad_() for _ in range(2)]

    def draw(one, other):
        return getattr(D, name)(one, other, validate_args=False).rsample((3,)).sum()

    value = torch.compile(draw, backend="aot_eager")(*parameters)
    for gradient in torch.autograd.grad(value, parameters):
        assert gradient.isfinite().all()


def test_drop_in_moments_agree_with_torch():
    one, other = double(2.5, 7.0), double(6.0, 9.0)
    for name in ("Gamma", "InverseGamma", "Beta", "FisherSnedecor", "StudentT"):
        ours, theirs = getattr(D, name)(one, other), getattr(td, name)(one, other)
        for what in ("mean", "variance", "mode"):
            assert torch.allclose(getattr(ours, what), getattr(theirs, what)), what
        if name != "FisherSnedecor":
            assert torch.allclose(ours.entropy(), theirs.entropy(), rtol=1e-12)
        value = theirs.sample()
        assert torch.allclose(ours.log_prob(value), theirs.log_prob(value), rtol=1e-10)


class ForgetsThePole(D.ImplicitDistribution):
    """A Gamma law whose path is that of the next concentration, as if boosted."""

    arg_constraints = {"concentration": constraints.positive}  # noqa: RUF012
    support = constraints.nonnegative

    def __init__(self, concentration, validate_args=None):
        super().__init__(concentration=concentration, validate_args=validate_args)

    def simulate(self, sample_shape):
        return D.Gamma(self.concentration, 1.0).simulate(sample_shape)

    def inverse(self, value):
        return D.Gamma(self.concentration, 1.0).cdf(value)

    def log_density(self, value):
        return D.Gamma(self.concentration, 1.0).log_density(value)

    def sample_gradient(self, value):
        return D.Gamma(self.concentration + 1, 1.0).sample_gradient(value)


@pytest.mark.parametrize(
    ("make", "parameters", "law"),
    [
        (ForgetsThePole, {"concentration": 0.7}, "pathwise"),
        (ForgetsThePole, {"concentration": 0.7}, "expectation"),
        # torch's own: a derivative good to 8e-4, and another law
        (td.Gamma, {"concentration": 8.1, "rate": 1.0}, "pathwise"),
        (td.Beta, {"concentration1": 1e-3, "concentration0": 1e-3}, "fit"),
    ],
    ids=["ForgetsThePole-pathwise", "ForgetsThePole-expectation", "Gamma", "Beta"],
)
def test_mistakes_are_caught(make, parameters, law):
    case = DistributionCase(
        name=make.__name__, make=make, points={"one": parameters}, integrands=("tanh",)
    )
    with pytest.raises(AssertionError, match=f"breaks the law {law}"):
        check_distribution(case, only=[law])
