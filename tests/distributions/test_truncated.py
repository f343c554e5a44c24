# SPDX-License-Identifier: Apache-2.0
"""What is special to truncated distributions: bounds, ends of supports, bases."""

import math

import pyro.distributions as dist
import pytest
import torch
from torch.distributions import transforms

from pyro_reparam_ext import distributions as D
from pyro_reparam_ext.distributions import truncated_path
from pyro_reparam_ext.distributions.log_tails import log_tails, tail_quantile
from tests.distributions.test_accuracy_truncated import errors
from tests.distributions.truncated_families import FAMILIES

INF = math.inf


def double(*values):
    return [torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in values]


@pytest.mark.parametrize("name", FAMILIES)
def test_bounds_move_a_draw_by_ratios_of_densities(name):
    family = FAMILIES[name]
    low, high = next(i for i in family.intervals if math.isfinite(sum(i)))
    low, high = double(low, high)
    base = family.base(
        **{n: torch.tensor(v).double() for n, v in family.parameters.items()}
    )
    eps = torch.linspace(0.01, 0.99, 9, dtype=torch.float64)
    z = D.Truncated(base, low, high).transport(eps)
    for i in range(9):
        found = torch.autograd.grad(z[i], (low, high), retain_graph=True)
        at = base.log_prob(torch.stack([low, high]).detach()) - base.log_prob(z[i])
        expected = torch.stack([1 - eps[i], eps[i]]) * at.exp()
        torch.testing.assert_close(torch.stack(found), expected, rtol=1e-10, atol=0)


@pytest.mark.parametrize("forgotten", ["low", "high"])
def test_a_bound_left_out_of_the_path_is_caught(forgotten, monkeypatch):
    kept = torch.sigmoid

    def sigmoid(x):
        return kept(x) * 0 + (0.0 if forgotten == "low" else 1.0)

    monkeypatch.setattr(truncated_path.torch, "sigmoid", sigmoid)
    worst = errors("Laplace", (-1.0, 2.0), torch.float64)
    assert worst["gradient"] > 1e-2


@pytest.mark.parametrize("validate_args", [True, False])
@pytest.mark.parametrize(("low", "high"), [(2.0, 1.0), (1.0, 1.0), (1.0, math.nan)])
def test_bounds_out_of_order_are_an_error(low, high, validate_args):
    with pytest.raises(ValueError, match=r"low must be less than high|constraint"):
        D.Truncated(dist.Cauchy(0.0, 1.0), low, high, validate_args=validate_args)


@pytest.mark.parametrize(("low", "high"), [(-2.0, -1.0), (-1.0, 0.0)])
def test_an_interval_that_misses_the_support_is_an_error(low, high):
    with pytest.raises(ValueError, match="must contain points of the support of Exp"):
        D.Truncated(dist.Exponential(1.0), low, high)


@pytest.mark.parametrize(
    ("low", "high"), [(-INF, 1.0), (-3.0, 1.0), (0.5, INF), (0.5, 1e300)]
)
def test_bounds_that_cut_nothing_off_have_gradient_zero(low, high):
    rate, low, high = double(1.5, low, high)
    d = D.Truncated(dist.Exponential(rate), low, high)
    z = d.transport(torch.tensor(0.4, dtype=torch.float64))
    for output in (z, d.log_prob(z.detach()), d.cdf(z.detach())):
        first = torch.autograd.grad(output, (rate, low, high), create_graph=True)
        assert first[0] != 0
        assert first[1] == 0 or low > 0
        assert first[2] == 0 or high < 10
        second = torch.autograd.grad(first[0], (rate, low, high), allow_unused=True)
        assert all(g is None or g.isfinite() for g in second)


def test_a_bound_at_the_end_of_the_support_can_move_inwards():
    rate, low, high = double(1.5, 0.0, 2.0)
    eps = torch.tensor(0.4, dtype=torch.float64)
    z = D.Truncated(dist.Exponential(rate), low, high).transport(eps)
    found = torch.autograd.grad(z, (rate, low))
    z = z.detach()
    torch.testing.assert_close(found[1], 0.6 * (1.5 * z).exp())
    moved = D.Truncated(dist.Exponential(1.5), low.detach() + 1e-7, 2.0).transport(eps)
    assert (moved - z) / 1e-7 == pytest.approx(found[1].item(), rel=1e-5)


def test_ends_that_move_with_the_base():
    start, end = double(0.0, 3.0)
    d = D.Truncated(dist.Uniform(start, end), -1.0, 2.0)
    assert d.support.lower_bound == 0
    z = d.transport(torch.tensor(0.25, dtype=torch.float64))
    found = torch.stack(torch.autograd.grad(z, (start, end)))
    torch.testing.assert_close(found, torch.tensor([0.75, 0.0]).double())


NORMAL = [(-1.0, 2.0), (-INF, INF), (8.0, 9.0), (40.0, INF), (0.0, 1e-3)]


@pytest.mark.parametrize("interval", NORMAL)
def test_of_a_normal_is_the_truncated_normal(interval):
    parameters = double(0.3, 1.25, *interval)
    loc, scale, low, high = parameters
    same = D.TruncatedNormal(loc, scale, low, high)
    ours = D.Truncated(dist.Normal(loc, scale), low, high)
    results = []
    for d in (ours, same):
        torch.manual_seed(0)
        z = d.rsample((5,))
        kept = z.detach()
        outputs = [z, d.log_prob(kept), d.cdf(kept), d.mean, d.variance, d.entropy()]
        gradients = torch.autograd.grad(sum(o.sum() for o in outputs), parameters)
        results.append((outputs, gradients))
    torch.testing.assert_close(*results, rtol=0, atol=0)


class Unknown(dist.Normal):
    """A normal law of its own making."""

    def cdf(self, value):
        return super().cdf(value)

    def log_cdf(self, value):
        return log_tails(dist.Normal(self.loc, self.scale), value).lower

    def log_sf(self, value):
        return log_tails(dist.Normal(self.loc, self.scale), value).upper


@pytest.mark.parametrize("interval", [*NORMAL[:-1], (0.0, 0.1), (-INF, -500.0)])
def test_the_general_path_agrees_with_the_special_one(interval):
    """By the class's methods log_cdf and log_sf, and their numerical inverse."""
    results = []
    eps = torch.tensor([0.01, 0.3, 0.9], dtype=torch.float64)
    for base in (dist.Normal, Unknown):
        parameters = double(0.3, 1.25, *interval)
        d = D.Truncated(base(*parameters[:2]), *parameters[2:])
        z = d.transport(eps)
        gradients = [
            torch.stack(torch.autograd.grad(x, parameters, retain_graph=True))
            for x in z
        ]
        value = results[0][0] if results else z.detach()
        results.append((z.detach(), d.log_prob(value), d.cdf(value), gradients))
    torch.testing.assert_close(*results, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("Gamma", (2.0, 1.5)),
        ("Chi2", (3.0,)),
        ("InverseGamma", (2.0, 1.5)),
        ("Beta", (2.0, 1.5)),
        ("StudentT", (3.0, 0.2, 1.5)),
        ("Kumaraswamy", (2.0, 1.5)),
        ("GeneralizedPareto", (0.1, 1.5, 0.2)),
    ],
)
def test_stock_classes_and_ours_give_the_same(name, values):
    results = []
    for module in (D, torch.distributions):
        parameters = double(*values, 0.25, 0.75)
        d = D.Truncated(getattr(module, name)(*parameters[:-2]), *parameters[-2:])
        z = d.transport(torch.linspace(0.1, 0.9, 4, dtype=torch.float64))
        gradients = torch.autograd.grad(z.sum(), parameters)
        results.append((z, d.log_prob(z.detach()), gradients))
    torch.testing.assert_close(*results, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", FAMILIES)
def test_quantiles_undo_the_tails(name):
    family = FAMILIES[name]
    base = family.base(
        **{n: torch.tensor(v).double() for n, v in family.parameters.items()}
    )
    log_p = -torch.tensor([0.7, 1.0, 3.0, 20.0, 60.0], dtype=torch.float64)
    for upper in (True, False):
        side = torch.full(log_p.shape, upper)
        value = tail_quantile(base, log_p, side)
        tails = log_tails(base, value)
        found = tails.upper if upper else tails.lower
        # a tail below a rounding unit of an end of the support is not representable
        steep = torch.autograd.functional.jacobian(
            lambda x, u=upper: (
                log_tails(base, x).upper if u else log_tails(base, x).lower
            ).sum(),
            value,
        )
        rounding = 32 * 2.0**-52 * (1 + (steep * value).abs() + log_p.abs())
        resolved = rounding < 1e-3
        assert ((found - log_p).abs() <= rounding)[resolved].all()
        assert resolved[:3].all()


def test_numbers_take_the_dtype_of_the_base():
    base = dist.Cauchy(torch.zeros(3, dtype=torch.float64), 1.0)
    assert D.Truncated(base, 0, 1).rsample().dtype == torch.float64
    assert D.Truncated(dist.Cauchy(0.0, 1.0), 0.0).rsample().dtype == torch.float32


def test_base_and_bounds_broadcast():
    base = dist.Laplace(torch.zeros(3), torch.ones(4, 1))
    d = D.Truncated(base, torch.zeros(2, 1, 1), 5.0)
    assert d.batch_shape == d.base.batch_shape == (2, 4, 3)
    assert d.rsample((6,)).shape == (6, 2, 4, 3)
    assert d.to_event(2).event_shape == (4, 3)


def test_parameters_of_transforms_are_found():
    (shift,) = double(0.5)
    base = dist.TransformedDistribution(
        dist.Exponential(torch.ones((), dtype=torch.float64)),
        [transforms.AffineTransform(shift, -2.0)],
    )
    d = D.Truncated(base, -3.0, 5.0)
    assert d.support.upper_bound == 0.5
    z = d.transport(torch.tensor(0.3, dtype=torch.float64))
    same = D.Truncated(dist.Exponential(0.5), 0.0, shift + 3.0)
    expected = shift - same.transport(torch.tensor(0.7, dtype=torch.float64))
    torch.testing.assert_close(z, expected)
    torch.testing.assert_close(
        torch.autograd.grad(z, shift), torch.autograd.grad(expected, shift)
    )


def test_parameters_out_of_sight_are_refused():
    hidden = torch.tensor(1.0, requires_grad=True)

    class Hidden(Unknown):
        def __init__(self, *args):
            super().__init__(*args)
            self.shift = lambda: hidden

        def log_cdf(self, value):
            return super().log_cdf(value - self.shift())

    with pytest.raises(NotImplementedError, match=r"parameters of the base .* closure"):
        D.Truncated(Hidden(0.0, 1.0), 0.0, 1.0).rsample()


@pytest.mark.parametrize(
    ("base", "found"),
    [
        (dist.Poisson(2.0), "discrete"),
        (dist.MultivariateNormal(torch.zeros(2), torch.eye(2)), "do not factorize"),
        (D.WrappedNormal(0.0, 1.0), "from its cdf alone"),
    ],
    ids=lambda x: type(x).__name__ if not isinstance(x, str) else "",
)
def test_unsupported_bases_say_so(base, found):
    with pytest.raises(NotImplementedError, match=f"{found}.*register_log_tails"):
        D.Truncated(base, 0.5, 1.0)


def test_truncated_again():
    rate, low = double(1.5, 30.0)
    base = D.Truncated(dist.Exponential(rate), low)
    twice = D.Truncated(base, 400.0, 401.0)
    once = D.Truncated(dist.Exponential(rate), 400.0, 401.0)
    eps = torch.tensor([0.2, 0.7], dtype=torch.float64)
    values = [d.transport(eps) for d in (twice, once)]
    torch.testing.assert_close(*values)
    gradients = [torch.autograd.grad(z.sum(), rate)[0] for z in values]
    torch.testing.assert_close(*gradients, rtol=1e-6, atol=0)


def test_components_of_a_mixture():
    (loc,) = double([0.5, 1.0])
    components = D.Truncated(dist.Laplace(loc, 0.7), 0.0, 3.0)
    ours = D.MixtureSameFamily(dist.Categorical(torch.ones(2)), components)
    assert ours.has_rsample
    (gradient,) = torch.autograd.grad(ours.rsample((5,)).sum(), loc)
    assert (gradient > 0).all()


def test_numerical_inversion_under_vmap():
    def draw(loc):
        return D.Truncated(Unknown(loc, 1.0, validate_args=False), 0.0, 1.0).rsample()

    with dist.util.validation_enabled(False):
        draws = torch.func.vmap(draw, randomness="different")(torch.randn(50))
    assert draws.unique().numel() == 50
    assert ((draws > 0) & (draws < 1)).all()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # dynamo makes autograd functions of its own
@pytest.mark.parametrize("base", [dist.Cauchy, dist.Gumbel])  # one holds loc twice
def test_in_one_graph(base):
    def draw(loc):
        d = D.Truncated(base(loc, torch.ones(2)), 0.0, 5.0)
        return d.log_prob(d.rsample((4,))).sum()

    compiled = torch.compile(draw, fullgraph=True, backend="aot_eager")
    gradients = []
    with dist.util.validation_enabled(False):
        for function in (draw, compiled):
            loc = torch.zeros(2, requires_grad=True)
            torch.manual_seed(0)
            gradients.append(torch.autograd.grad(function(loc), loc)[0])
    torch.testing.assert_close(*gradients)
