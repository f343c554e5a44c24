# SPDX-License-Identifier: Apache-2.0
"""Distributions that are wrong at the edges, for the negative controls."""

import math
from typing import Any

import torch
from torch import Tensor
from torch.distributions import constraints

from pyro_reparam_ext.distributions import ImplicitDistribution
from tests.distributions.broken import Rayleigh


class KeepsItsPrecision(Rayleigh):
    def log_prob(self, value: Tensor) -> Tensor:
        return super().log_prob(value).to(self.scale.dtype)


class CountsIntegers(Rayleigh):
    def log_prob(self, value: Tensor) -> Tensor:
        return super().log_prob(value).to(value.dtype)


class TakesNumbers(Rayleigh):
    def log_prob(self, value: Any) -> Tensor:
        return super().log_prob(torch.as_tensor(value))


class DrawsSome(Rayleigh):
    def rsample(self, sample_shape: Any = ()) -> Tensor:
        return super().rsample(tuple(max(n, 1) for n in sample_shape))


class NeedsABatch(Rayleigh):
    def __init__(self, scale: Any, validate_args: bool | None = None) -> None:
        super().__init__(scale, validate_args)
        scale.max()


class NanIsNothing(Rayleigh):
    def cdf(self, value: Tensor) -> Tensor:
        return torch.where(value > 0, super().cdf(value), 0.0)


class NanAtTheEnd(Rayleigh):
    support = constraints.nonnegative

    def log_density(self, value: Tensor) -> Tensor:
        return super().log_density(value) + 0 * value.log()


class QuantilesInside(Rayleigh):
    def icdf(self, value: Tensor) -> Tensor:
        return super().icdf(value.clamp(1e-6, 1 - 1e-6))


class LacksWords(Rayleigh):
    def entropy(self) -> Tensor:
        raise NotImplementedError


class LooksLikeAWrapper(Rayleigh):
    @property
    def base_dist(self) -> Rayleigh:
        return Rayleigh(self.scale)


class NotALocationScale(ImplicitDistribution):
    """sinh(N(μ, σ)), with the names of a location-scale family."""

    arg_constraints = {  # noqa: RUF012
        "loc": constraints.real,
        "scale": constraints.positive,
    }
    support = constraints.real

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None) -> None:
        super().__init__(loc=loc, scale=scale, validate_args=validate_args)

    def simulate(self, sample_shape: torch.Size) -> Tensor:
        eps = torch.randn(sample_shape + self.batch_shape, dtype=self.loc.dtype)
        return (self.loc + self.scale * eps).sinh()

    def inverse(self, value: Tensor) -> Tensor:
        return torch.special.ndtr((value.asinh() - self.loc) / self.scale)

    def log_density(self, value: Tensor) -> Tensor:
        z = (value.asinh() - self.loc) / self.scale
        jacobian = self.scale.log() + 0.5 * torch.log1p(value.square())
        return -0.5 * z.square() - 0.5 * math.log(2 * math.pi) - jacobian
