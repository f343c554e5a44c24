# SPDX-License-Identifier: Apache-2.0
"""The uniform law on the sphere, and how far others are from it."""

import math

import pytest
import torch
from torch.distributions import kl_divergence

from pyro_reparam_ext import distributions as D

AREAS = {2: 2 * math.pi, 3: 4 * math.pi, 4: 2 * math.pi**2}


@pytest.mark.parametrize("dim", AREAS)
def test_density_is_one_over_the_area(dim):
    d = D.SphericalUniform(dim, (2,), dtype=torch.float64)
    z = d.sample((3,))
    torch.testing.assert_close(
        d.log_prob(z), torch.full((3, 2), -math.log(AREAS[dim])).double()
    )
    assert d.entropy().tolist() == pytest.approx([math.log(AREAS[dim])] * 2)


@pytest.mark.parametrize("dim", [2, 3, 20])
def test_moments(dim):
    d = D.SphericalUniform(dim, dtype=torch.float64)
    z = d.sample((100_000,))
    error = (z.mean(0) - d.mean).abs() / (d.variance / 100_000).sqrt()
    assert (error < 5).all()
    square = z.square()
    error = (square.mean(0) - d.variance).abs() / (square.std(0) / 100_000**0.5)
    assert (error < 5).all()


@pytest.mark.parametrize("dim", [2, 3, 5])
@pytest.mark.parametrize("cls", [D.VonMisesFisher, D.PowerSpherical])
def test_divergence_from_it_is_that_of_draws(cls, dim):
    loc = torch.ones(dim, dtype=torch.float64) / dim**0.5
    p = cls(loc, torch.tensor([0.5, 4.0]).double())
    q = D.SphericalUniform(dim, dtype=torch.float64)
    z = p.sample((100_000,))
    sampled = p.log_prob(z) - q.log_prob(z)
    error = sampled.mean(0) - kl_divergence(p, q)
    assert (error.abs() < 5 * sampled.std(0) / 100_000**0.5).all()
    assert (kl_divergence(p, q) > 0.005).all()


def test_divergence_from_itself_is_zero_and_spheres_are_not_mixed():
    three, four = D.SphericalUniform(3), D.SphericalUniform(4)
    assert kl_divergence(three, D.SphericalUniform(3)) == 0
    with pytest.raises(ValueError, match=r"SphericalUniform of 3 elements .* of 4"):
        kl_divergence(three, four)


def test_bad_dimension_is_told():
    with pytest.raises(ValueError, match="dim must be an integer, 2 or more; found 1"):
        D.SphericalUniform(1)
