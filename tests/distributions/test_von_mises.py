# SPDX-License-Identifier: Apache-2.0
"""What is special to an angle: wrapping, periodicity, the rejection sampler."""

import copy
import math
import pickle

import pyro
import pytest
import torch
from pyro import distributions as dist
from pyro.infer import MCMC, NUTS
from scipy import stats
from torch.distributions import kl_divergence

from pyro_reparam_ext import distributions as D
from pyro_reparam_ext.distributions.von_mises import best_fisher


def double(*values):
    return [torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in values]


def circle(n=4000):
    """Equidistant points: the trapezoid rule is exact for smooth periodic functions."""
    return torch.arange(n, dtype=torch.float64) * (2 * math.pi / n) - math.pi


@pytest.mark.parametrize("kappa", [1e-3, 0.7, 5.0, 200.0])
def test_samples_follow_the_density(kappa):
    torch.manual_seed(0)
    loc = 3.0
    draws = D.VonMises(loc, kappa).sample((50_000,)).double()
    centered = (draws - loc + math.pi) % (2 * math.pi) - math.pi
    # failure probability 1e-4
    assert stats.kstest(centered, stats.vonmises(kappa).cdf).pvalue > 1e-4


@pytest.mark.parametrize("kappa", [0.01, 2.0, 30.0, 500.0])
def test_gradient_of_a_periodic_expectation(kappa):
    loc, concentration = double(2.9, kappa)
    torch.manual_seed(1)

    def f(z):
        return torch.cos(z - 1.0) + 0.5 * torch.sin(2 * z)

    points = circle()
    density = D.VonMises(loc, concentration).log_prob(points).exp()
    exact = torch.autograd.grad(
        (f(points) * density).sum() * (2 * math.pi / len(points)), (loc, concentration)
    )
    means = []
    for _ in range(50):
        value = D.VonMises(loc, concentration).rsample((2000,))
        gradient = torch.autograd.grad(f(value).mean(), (loc, concentration))
        means.append(torch.stack(gradient))
    means = torch.stack(means)
    error = means.std(0) / len(means) ** 0.5
    # 5 sigma of a t law with 49 degrees of freedom: failure probability 7e-5
    assert ((means.mean(0) - torch.stack(exact)).abs() <= 5 * error + 1e-9).all()


def test_density_has_the_period_of_the_circle():
    law = D.VonMises(*double(2.9, 4.0))
    points = circle(100)
    torch.testing.assert_close(law.log_prob(points), law.log_prob(points + 2 * math.pi))
    mass = law.log_prob(circle()).exp().sum() * (2 * math.pi / 4000)
    torch.testing.assert_close(mass, torch.ones_like(mass))


@pytest.mark.parametrize("loc", [-10.0, -3.0, 0.0, 0.3, 3.0, 100.0])
@pytest.mark.parametrize("kappa", [1e-3, 3.0, 400.0])
def test_cdf_is_the_integral_from_minus_pi(loc, kappa):
    law = D.VonMises(*double(loc, kappa))
    points = circle(20_001)
    density = law.log_prob(points).exp()
    middle = 0.5 * (density[1:] + density[:-1]) * points.diff()
    torch.testing.assert_close(law.cdf(points[1:]), middle.cumsum(0), atol=1e-5, rtol=0)
    ends = torch.tensor([-4.0, -math.pi, math.pi, 4.0], dtype=torch.float64)
    expected = torch.tensor([0.0, 0.0, 1.0, 1.0], dtype=torch.float64)
    torch.testing.assert_close(law.cdf(ends), expected, atol=1e-14, rtol=0)
    (slope,) = torch.autograd.grad(
        law.cdf(points.requires_grad_()).sum(), points, retain_graph=True
    )
    torch.testing.assert_close(slope[1:-1], density[1:-1], atol=1e-12, rtol=1e-10)


def test_moments_and_entropy():
    loc, kappa = double(0.4, [1e-3, 1.0, 50.0])
    law = D.VonMises(loc, kappa)
    points = circle().unsqueeze(-1)
    density = law.log_prob(points).exp() * (2 * math.pi / len(points))
    torch.testing.assert_close(
        law.variance, 1 - (density * (points - loc).cos()).sum(0)
    )
    torch.testing.assert_close(
        law.entropy(), -(density * law.log_prob(points)).sum(0), rtol=1e-12, atol=1e-12
    )
    assert (law.mean == loc).all()
    assert (law.mode == loc).all()


def test_kl_divergence_equals_its_integral():
    p = D.VonMises(*double([0.4, -3.0, 1.0], [0.5, 20.0, 3.0]))
    q = D.VonMises(*double([2.0, 3.0, 1.0], [7.0, 1e-3, 3.0]))
    points = circle().unsqueeze(-1)
    log_p, log_q = p.log_prob(points), q.log_prob(points)
    exact = (log_p.exp() * (log_p - log_q)).sum(0) * (2 * math.pi / len(points))
    torch.testing.assert_close(kl_divergence(p, q), exact, rtol=1e-11, atol=1e-12)


def test_second_derivatives_at_a_fixed_quantile():
    # along the path z(kappa): d/dkappa of dz/dkappa includes the motion of z
    loc, kappa = double(0.5, [0.3, 1.7, 8.0, 29.0, 60.0, 3000.0])
    unit = kappa.detach().clamp(min=1).rsqrt()
    for offset in (-2.0, -0.4, 0.4, 2.0):
        start = 0.5 + offset * unit

        def velocity(z, k):
            return D.VonMises(loc, k).sample_gradient(z)["concentration"]

        attached = D.VonMises(loc, kappa).attach_gradient(start)
        (first,) = torch.autograd.grad(attached.sum(), kappa, create_graph=True)
        (second,) = torch.autograd.grad(first.sum(), kappa)
        k = kappa.detach()
        ends = []
        for sign in (-1, 1):
            # four Runge-Kutta steps of dz/dkappa = velocity
            z, step, at = start.clone(), sign * 1e-3 * k / 4, k.clone()
            for _ in range(4):
                k1 = velocity(z, at)
                k2 = velocity(z + 0.5 * step * k1, at + 0.5 * step)
                k3 = velocity(z + 0.5 * step * k2, at + 0.5 * step)
                k4 = velocity(z + step * k3, at + step)
                z = z + step * (k1 + 2 * k2 + 2 * k3 + k4) / 6
                at = at + step
            ends.append(velocity(z, at))
        expected = (ends[1] - ends[0]) / (2e-3 * k)
        torch.testing.assert_close(second, expected.detach(), rtol=1e-5, atol=1e-12)


def test_custom_operator_contract():
    uniforms = torch.rand(3, 5, 2, dtype=torch.float64)
    kappa = torch.rand(5, 2, dtype=torch.float64) + 0.1
    torch.library.opcheck(best_fisher, (uniforms, kappa))


def test_functional_transforms():
    loc, kappa = torch.randn(4), torch.rand(4) + 0.5

    def objective(loc, kappa):
        return D.VonMises(loc, kappa).rsample((3,)).cos().sum()

    gradient = torch.func.grad(objective, argnums=(0, 1))
    by_loc, by_kappa = torch.func.vmap(gradient, randomness="different")(loc, kappa)
    assert by_loc.isfinite().all()
    assert by_kappa.isfinite().all()
    draws = torch.func.vmap(
        lambda _: D.VonMises(0.0, 0.5).sample(), randomness="different"
    )(torch.zeros(200))
    assert draws.unique().numel() > 190
    same = torch.func.vmap(lambda _: D.VonMises(0.0, 0.5).sample(), randomness="same")(
        torch.zeros(20)
    )
    assert same.unique().numel() == 1
    with pytest.raises(RuntimeError, match="randomness='different'"):
        torch.func.vmap(
            lambda k: D.VonMises(0.0, k, validate_args=False).sample(),
            randomness="same",
        )(kappa)


def test_copies_expansion_and_dtype():
    law = D.VonMises(0.3, torch.tensor([1.0, 2.0]))
    for other in (copy.deepcopy(law), pickle.loads(pickle.dumps(law))):
        torch.manual_seed(0)
        first = law.rsample((3,))
        torch.manual_seed(0)
        torch.testing.assert_close(other.rsample((3,)), first, rtol=0, atol=0)
    assert type(law.expand((5, 2))) is D.VonMises
    assert law.expand((5, 2)).rsample((4,)).shape == (4, 5, 2)
    assert first.dtype == torch.float32
    assert D.VonMises(*double(0.0, 1.0)).sample().dtype == torch.float64


def test_nuts_crosses_the_cut():
    def model(data):
        loc = pyro.sample("loc", D.VonMises(0.0, 0.01))
        with pyro.plate("data", len(data)):
            pyro.sample("obs", D.VonMises(loc, 4.0), obs=data)

    pyro.set_rng_seed(0)
    data = dist.VonMises(3.1, 4.0).sample((30,))
    mcmc = MCMC(NUTS(model), num_samples=100, warmup_steps=50, disable_progbar=True)
    mcmc.run(data)
    draws = mcmc.get_samples()["loc"]
    direction = torch.atan2(draws.sin().mean(), draws.cos().mean())
    of_data = torch.atan2(data.sin().mean(), data.cos().mean())
    # posterior deviation about 0.1, of the mean of 100 draws 0.02: 5 sigma
    assert (direction - of_data).cos() > math.cos(0.1)
