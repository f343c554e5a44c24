# SPDX-License-Identifier: Apache-2.0
"""Noise that depends from particle to particle: each has its own law all the same."""

import pyro
import pyro.distributions as dist
import pytest
import torch
from scipy import stats
from torch.quasirandom import SobolEngine

from pyro_reparam_ext import distributions
from pyro_reparam_ext.distributions.noise import (
    StandardExponential,
    StandardNormal,
    StandardUniform,
)
from pyro_reparam_ext.gradients import Adaptive, Pathwise, StickingTheLanding
from pyro_reparam_ext.gradients.coupling import scrambled_sobol

T = torch.tensor
COUPLED = ["antithetic", "sobol"]
LAWS = [StandardNormal, StandardUniform, StandardExponential]
FAMILIES = {
    "Normal": dist.Normal(0.5, 2.0),
    "Exponential": dist.Exponential(3.0),
    "Uniform": dist.Uniform(-1.0, 2.0),
    "Gumbel": dist.Gumbel(0.5, 2.0),
    "LogNormal": dist.LogNormal(0.1, 0.6),
    "TruncatedNormal": distributions.TruncatedNormal(0.0, 1.0, 0.5, 3.0),
    "Kumaraswamy": dist.Kumaraswamy(2.0, 3.0),
    "transformed": dist.TransformedDistribution(
        dist.Normal(0.0, 1.0), [dist.transforms.TanhTransform()]
    ),
}


@pytest.fixture(autouse=True)
def _double_precision(clean_state):
    torch.set_default_dtype(torch.float64)


def draws(fn, noise, particles, copies):
    """``[particles, copies]``: independent copies."""
    return Pathwise(noise=noise).draw(fn.expand([particles, copies]), torch.Size())


@pytest.mark.parametrize("noise", COUPLED)
@pytest.mark.parametrize("family", FAMILIES)
def test_every_particle_has_the_law_of_the_site(family, noise):
    fn = FAMILIES[family]
    value = draws(fn, noise, 4, 4000)
    for particle in value:
        u = fn.cdf(particle).numpy()
        assert stats.kstest(u, "uniform").pvalue > 1e-5
    assert not torch.equal(value[0], value[1])


@pytest.mark.parametrize("noise", COUPLED)
def test_elements_of_one_particle_are_independent(noise):
    fn = dist.Normal(torch.zeros(3), 1.0).to_event(1)
    value = draws(fn, noise, 4, 20_000)
    for particle in value:
        correlation = torch.corrcoef(particle.T) - torch.eye(3)
        squares = torch.corrcoef(particle.square().T) - torch.eye(3)
        assert max(correlation.abs().max(), squares.abs().max()) < 5 / 20_000**0.5


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_reflection_leaves_as_much_above_as_was_below(law, dtype):
    noise = law(dtype=dtype)
    value = noise.expand([1000]).sample()
    mirrored = noise.reflected(value)
    torch.testing.assert_close(noise.cdf(mirrored), 1 - noise.cdf(value))
    torch.testing.assert_close(noise.reflected(mirrored), value, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("law", LAWS)
def test_reflection_stays_inside_in_the_tails(law):
    noise = law(dtype=torch.float32)
    ends = {
        StandardNormal: [-9.0, 9.0],
        StandardUniform: [2.0**-25, 1 - 2.0**-24],
        StandardExponential: [2.0**-24, 17.3],
    }[law]
    mirrored = noise.reflected(T(ends, dtype=torch.float32))
    assert mirrored.isfinite().all()
    if law is not StandardNormal:
        assert (mirrored > 0).all()
    if law is StandardUniform:
        assert (mirrored < 1).all()
    if law is StandardExponential:
        assert mirrored[0] == pytest.approx(24 * torch.log(T(2.0)).item(), rel=1e-6)
        assert mirrored[1] == pytest.approx(torch.exp(T(-17.3)).item(), rel=1e-4)


def test_antithetic_particles_come_in_pairs():
    fn = dist.Normal(T([[0.3], [-1.0]]), 2.0).to_event(1)
    value = Pathwise(noise="antithetic").draw(fn.expand([6, 2]), torch.Size())
    torch.testing.assert_close(
        value[:3] + value[3:], 2 * fn.mean.expand(3, 2, 1), rtol=1e-12, atol=1e-12
    )
    assert len(value.unique()) == value.numel()


@pytest.mark.parametrize("number", [2, 4, 16, 64])
def test_sobol_points_fill_every_stratum_of_every_dimension(number):
    u = scrambled_sobol(number, cells=5, dimension=7)
    strata = (u * number).long().sort(0).values
    expected = torch.arange(number)[:, None, None].expand_as(strata)
    assert torch.equal(strata, expected)


def test_sobol_points_of_two_dimensions_fill_every_square():
    u = scrambled_sobol(64, cells=20, dimension=2)
    square = (u * 8).long()
    counts = [c.unique(dim=0).shape[0] for c in square.unbind(1)]
    assert counts == [64] * 20


@pytest.mark.parametrize("number", [3, 5, 12])
def test_sobol_points_of_any_number_are_uniform(number):
    u = scrambled_sobol(number, cells=4000, dimension=2)
    assert stats.kstest(u[0, :, 1].numpy(), "uniform").pvalue > 1e-5
    assert stats.kstest(u[-1, :, 0].numpy(), "uniform").pvalue > 1e-5
    assert len(u.unique()) == u.numel()


def test_sets_of_different_cells_are_not_aligned():
    """A product of two sites has no more variance than with independent points."""
    u = scrambled_sobol(4, cells=20_000, dimension=1)[..., 0]
    product = (u[:, ::2] - 0.5).sign() * (u[:, 1::2] - 0.5).sign()
    assert product.mean(0).var() < 1.4 / 4  # of points in the same order it is 1


def test_more_dimensions_than_the_sequence_has():
    u = scrambled_sobol(2, cells=1, dimension=SobolEngine.MAXDIM + 3)
    assert u.shape == (2, 1, SobolEngine.MAXDIM + 3)
    assert ((u * 2).long().sum(0) == 1).all()


@pytest.mark.parametrize("noise", COUPLED)
def test_seeds_reproduce(noise):
    first, second, third = (
        (pyro.set_rng_seed(seed), draws(dist.Normal(0.0, 1.0), noise, 4, 3))[1]
        for seed in (1, 1, 2)
    )
    assert torch.equal(first, second)
    assert not torch.equal(first, third)


@pytest.mark.parametrize("noise", COUPLED)
def test_dtypes_are_kept(noise):
    fn = dist.Normal(T([0.0], dtype=torch.float32), 1.0)
    assert draws(fn, noise, 4, 1).dtype == torch.float32


def test_independent_noise_is_that_of_rsample():
    fn = dist.Normal(0.0, 1.0).expand([4])
    pyro.set_rng_seed(3)
    expected = fn.rsample()
    pyro.set_rng_seed(3)
    assert torch.equal(Pathwise(noise="iid").draw(fn, torch.Size()), expected)


@pytest.mark.parametrize("cls", [Pathwise, StickingTheLanding, Adaptive])
def test_refused_where_there_is_no_explicit_path(cls):
    coupled = cls(noise="antithetic")
    assert "Gamma" in coupled.supports(dist.Gamma(2.0, 1.0).to_event(0))
    assert "Use noise='iid'" in coupled.supports(dist.Gamma(2.0, 1.0))
    assert "rsample" in coupled.supports(dist.Bernoulli(0.5))
    assert cls().supports(dist.Gamma(2.0, 1.0)) is None
    wrapped = dist.Normal(torch.zeros(3), 1.0).to_event(1).mask(False)
    assert coupled.supports(wrapped) is None
    with pytest.raises(ValueError, match="noise must be one of"):
        cls(noise="quasi")
