# SPDX-License-Identifier: Apache-2.0
"""Tails, caches, errors, the registry, and the page that documents it."""

import re
import runpy
from pathlib import Path

import matplotlib.pyplot as plt
import pyro.distributions as pd
import pytest
import torch
import torch.distributions as td
from scipy.stats import kstwo
from torch.distributions import transforms as tr

from pyro_reparam_ext.distributions import (
    Kumaraswamy,
    Transport,
    as_transport,
    register_transport,
)
from pyro_reparam_ext.distributions.as_transport import registered_transports
from pyro_reparam_ext.distributions.noise import StandardNormal
from tests.distributions.stock_cases import SCALAR
from tests.distributions.transport_laws import FIVE_SIGMA

ROOT = Path(__file__).resolve().parents[2]
KNOWN = registered_transports()  # before any test adds to it


def test_cached_transforms_keep_gradients():
    """pytorch#59822: a draw without gradient, then its log_prob, forgets the scale."""
    scale = torch.tensor(2.0, requires_grad=True)
    dist = td.TransformedDistribution(
        td.Normal(0.0, 1.0), [tr.AffineTransform(0.0, scale, cache_size=1)]
    )
    view = as_transport(dist)
    value = view.sample()
    dist.log_prob(value)  # leaves a pair in the cache
    (grad,) = torch.autograd.grad(view.log_prob(value), scale)
    expected = (value**2 / scale**3 - 1 / scale).detach()
    torch.testing.assert_close(grad, expected)


def test_far_tails():
    """Noise far beyond what is drawn, [6e-8, 17] in float32, maps to finite values
    and gradients, and back."""
    eps = torch.tensor([1e-18, 1e-10, 40.0], requires_grad=True)
    zero, one = torch.zeros(3), torch.ones(3)
    for dist in (
        pd.Logistic(zero, one),
        td.Laplace(zero, one),
        td.Gumbel(zero, one),
        td.Cauchy(zero, one),
        td.HalfCauchy(one),
        td.HalfNormal(one),
        td.Exponential(one),
        td.Pareto(one, 10 * one),
    ):
        view = as_transport(dist)
        value = view.transport(eps)
        (grad,) = torch.autograd.grad(value.sum(), eps)
        assert value.isfinite().all(), dist
        assert grad.isfinite().all(), dist
        if not isinstance(dist, td.Pareto):  # 1 + 1e-10 is 1 in float32
            torch.testing.assert_close(view.inverse(value), eps, rtol=2e-5, atol=0.0)


@pytest.mark.parametrize(
    ("make", "value"),
    [
        (pd.Logistic, [-80.0, 0.5, 200.0]),
        (td.Laplace, [-80.0, 0.5, 200.0]),
        (td.Cauchy, [-1e9, 0.0, 1e9]),
        (lambda loc, scale: td.HalfNormal(scale), [1e-9, 1.0, 20.0]),
        (lambda loc, scale: td.HalfCauchy(scale), [1e-9, 1.0, 1e9]),
    ],
    ids=["Logistic", "Laplace", "Cauchy", "HalfNormal", "HalfCauchy"],
)
def test_far_values(make, value):
    """Inverses of values in float32, where probabilities underflow or round to 1,
    agree with float64 and have finite gradients."""
    value = torch.tensor(value)
    parameters = [torch.zeros(3, requires_grad=True), torch.ones(3, requires_grad=True)]
    eps = as_transport(make(*parameters)).inverse(value)
    eps.sum().backward()
    assert parameters[1].grad.isfinite().all()
    exact = make(torch.zeros(3).double(), torch.ones(3).double())
    expected = as_transport(exact).inverse(value.double())
    torch.testing.assert_close(eps.double(), expected, rtol=1e-6, atol=0.0)


def test_draws_stay_in_the_support():
    torch.manual_seed(4)
    weibull = as_transport(td.Weibull(torch.tensor(1.0), torch.tensor(0.1)))
    draws = weibull.sample((100_000,))
    assert (draws > 0).all()
    assert weibull.log_prob(draws).isfinite().all()
    low = torch.tensor(1000.0, requires_grad=True)
    uniform = as_transport(td.Uniform(low, low.detach() + 1))
    top = uniform.transport(torch.tensor(1 - 2.0**-24))
    assert top < 1001
    assert torch.autograd.grad(top, low)[0] == pytest.approx(2.0**-24, rel=1e-3)


def test_transport_distributions_pass_through():
    dist = Kumaraswamy(torch.tensor([2.0, 3.0]), 1.5).to_event(1)
    view = as_transport(dist)
    value = view.sample((4,))
    torch.testing.assert_close(view.log_prob(value), dist.log_prob(value))


def test_works_under_vmap():
    def draw(loc, scale):
        return as_transport(td.HalfNormal(scale)).rsample() + as_transport(
            td.Cauchy(loc, scale)
        ).rsample(())

    draws = torch.func.vmap(draw, randomness="different")(torch.zeros(9), torch.ones(9))
    assert draws.unique().numel() == 9


@pytest.mark.parametrize(
    ("dist", "found"),
    [
        (td.Gamma(1.0, 1.0), "found Gamma"),
        (td.StudentT(3.0), "found StudentT"),
        (pd.Beta(torch.ones(2), torch.ones(2)).to_event(1).mask(True), "found Beta"),
        (td.Categorical(logits=torch.zeros(3)), "found Categorical"),
        (pd.InverseGamma(torch.tensor(1.0), torch.tensor(1.0)), "found Gamma"),
        (pd.FoldedDistribution(pd.Normal(0.0, 1.0)), "found AbsTransform"),
        (
            pd.RelaxedBernoulliStraightThrough(
                torch.tensor(0.5), logits=torch.zeros(2)
            ),
            "found RelaxedBernoulliStraightThrough, which overrides rsample",
        ),
    ],
    ids=lambda x: type(x).__name__ if isinstance(x, td.Distribution) else "",
)
def test_errors_say_what_to_do(dist, found):
    with pytest.raises(NotImplementedError, match=r"as_transport: expected") as info:
        as_transport(dist)
    assert found in str(info.value)
    assert "register_transport" in str(info.value)


def test_register_a_family_of_your_own():
    class Negated(td.Exponential):
        def rsample(self, sample_shape=()):
            return -super().rsample(sample_shape)

    with pytest.raises(NotImplementedError, match="overrides rsample"):
        as_transport(Negated(torch.ones(3)))

    @register_transport(Negated)
    def negated(dist):
        return Transport(
            distribution=dist,
            noise=StandardNormal(()),
            transport=lambda eps: -(eps**2),
            inverse=lambda value: (-value).sqrt(),
            log_abs_det_jacobian=lambda eps, value: (2 * eps.abs()).log(),
        )

    with pytest.raises(ValueError, match=r"batch shape \(3,\) for Negated; found \(\)"):
        as_transport(Negated(torch.ones(3)))
    assert as_transport(Negated(1.0)).inverse(torch.tensor(-4.0)) == 2


def test_the_documented_table_is_the_registry():
    """docs/classic_transports.md has one row per registered class, with its noise."""
    page = (ROOT / "docs/classic_transports.md").read_text()
    rows = dict(re.findall(r"^\| `(\w+)` \| ([^|]+?) \|", page, flags=re.MULTILINE))
    assert set(rows) == {cls.__name__ for cls in KNOWN}
    symbol = {"StandardNormal": "N", "StandardUniform": "U", "StandardExponential": "E"}
    for case in SCALAR:
        dist = case.distribution(next(iter(case.points)))
        noise = type(as_transport(dist).noise).__name__
        assert rows[type(dist).__name__] == f"${symbol[noise]}$"


def test_the_picture_is_drawn(tmp_path):
    """The example runs; 500 draws are within 5 sigma of each cdf."""
    plt.switch_backend("Agg")
    main = runpy.run_path(str(ROOT / "examples/plot_transports.py"))["main"]
    distances = main(smoke=True, out=tmp_path)
    plt.close("all")
    assert (tmp_path / "classic_transports.png").stat().st_size > 10_000
    assert len(distances) == 9
    assert max(distances.values()) < kstwo(500).isf(FIVE_SIGMA / 9)
