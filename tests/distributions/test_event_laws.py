# SPDX-License-Identifier: Apache-2.0
"""Planted mistakes in a law on vectors, each caught by the law that speaks of it."""

import math

import pytest
import torch
from torch import Tensor
from torch.distributions import Distribution, constraints
from torch.distributions.kl import register_kl

from pyro_reparam_ext.distributions import TransportDistribution
from pyro_reparam_ext.distributions.noise import StandardNormal
from pyro_reparam_ext.testing import DistributionCase, check_distribution


class Plane(TransportDistribution):
    """Without a mistake: two normals of one scale, turned by 45 degrees."""

    arg_constraints = {"scale": constraints.positive}  # noqa: RUF012
    support = constraints.real_vector

    def __init__(self, scale, validate_args=None):
        super().__init__(
            scale=scale, event_shape=torch.Size((2,)), validate_args=validate_args
        )

    def noise(self) -> Distribution:
        shape = (*self.batch_shape, 2)
        return StandardNormal(shape, dtype=self.scale.dtype).to_event(1)

    def transport(self, eps: Tensor) -> Tensor:
        return self._stretch() * turned(eps)

    def inverse(self, value: Tensor) -> Tensor:
        return turned(value / self._stretch())

    def log_abs_det_jacobian(self, eps: Tensor, value: Tensor) -> Tensor:
        return 1.5 * self.scale.log().expand(value.shape[:-1])

    @property
    def mean(self) -> Tensor:
        return torch.zeros_like(self._stretch())

    @property
    def variance(self) -> Tensor:
        return self._stretch().square()

    def entropy(self) -> Tensor:
        return 1 + math.log(2 * math.pi) + 1.5 * self.scale.log()

    def _stretch(self) -> Tensor:
        return torch.stack([self.scale, self.scale.sqrt()], -1)


def turned(x: Tensor) -> Tensor:
    """Reflected in a line, so that this is its own inverse."""
    one, two = x.unbind(-1)
    return torch.stack([one + two, one - two], -1) * math.sqrt(0.5)


@register_kl(Plane, Plane)
def _kl_plane(p: Plane, q: Plane) -> Tensor:
    ratio = (p._stretch() / q._stretch()).square()
    return 0.5 * (ratio - 1 - ratio.log()).sum(-1)


class WrongConstant(Plane):
    def log_abs_det_jacobian(self, eps, value):
        return super().log_abs_det_jacobian(eps, value) + 2e-2


class WrongPath(Plane):
    """The right law, but half of the gradient in one coordinate is lost."""

    def transport(self, eps):
        z = super().transport(eps)
        return torch.stack([z[..., 0], 0.5 * (z[..., 1] + z[..., 1].detach())], -1)


class WrongDraws(Plane):
    def rsample(self, sample_shape=()):
        return 1.05 * super().rsample(sample_shape)


class WrongCorrelation(Plane):
    """Right in each coordinate alone."""

    def rsample(self, sample_shape=()):
        one, two = super().rsample(sample_shape).unbind(-1)
        stretched, other = one / self.scale, two / self.scale.sqrt()
        mixed = 0.1 * stretched + math.sqrt(1 - 0.1**2) * other
        return torch.stack([one, mixed * self.scale.sqrt()], -1)


class WrongMean(Plane):
    @property
    def mean(self):
        return super().mean + 0.05


class WrongVariance(Plane):
    @property
    def variance(self):
        return 1.1 * super().variance


class WrongEntropy(Plane):
    def entropy(self):
        return super().entropy() + 0.05


class WrongKl(Plane):
    pass


@register_kl(WrongKl, WrongKl)
def _kl_wrong(p: WrongKl, q: WrongKl) -> Tensor:
    return 1.1 * _kl_plane(p, q)


EVENT_LAWS = ["continuity", "stein", "mass", "averages", "divergence"]
CAUGHT = [
    (WrongConstant, "mass"),
    (WrongPath, "continuity"),
    (WrongDraws, "stein"),
    (WrongCorrelation, "stein"),
    (WrongMean, "averages"),
    (WrongVariance, "averages"),
    (WrongEntropy, "averages"),
    (WrongKl, "divergence"),
]


def case_of(make) -> DistributionCase:
    points = {"one": {"scale": 0.7}, "batch": {"scale": [[0.4], [2.0]]}}
    return DistributionCase(name=make.__name__, make=make, points=points)


def test_a_right_class_breaks_no_law() -> None:
    check_distribution(case_of(Plane))


@pytest.mark.parametrize(
    ("make", "law"), CAUGHT, ids=[f"{m.__name__}-{law}" for m, law in CAUGHT]
)
def test_mistake_is_caught(make, law) -> None:
    with pytest.raises(AssertionError, match=f"breaks the law {law} at point"):
        check_distribution(case_of(make), only=[law])
