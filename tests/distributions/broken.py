# SPDX-License-Identifier: Apache-2.0
"""Distributions with one planted mistake each, for the negative controls."""

import math
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints
from torch.distributions.kl import register_kl

from pyro_reparam_ext.distributions import (
    ImplicitDistribution,
    InverseGaussian,
    ReparameterizedDistribution,
    TransportDistribution,
)
from pyro_reparam_ext.distributions.noise import StandardExponential


class Rayleigh(TransportDistribution):
    """Without a mistake: z = σ √(2ε)."""

    arg_constraints = {"scale": constraints.positive}  # noqa: RUF012
    support = constraints.positive

    def __init__(self, scale: Any, validate_args: bool | None = None) -> None:
        super().__init__(scale=scale, validate_args=validate_args)

    def noise(self) -> Distribution:
        return StandardExponential.like(self.scale)

    def transport(self, eps: Tensor) -> Tensor:
        return self.scale * (2 * eps).sqrt()

    def inverse(self, value: Tensor) -> Tensor:
        return 0.5 * (value / self.scale).square()

    def log_abs_det_jacobian(self, eps: Tensor, value: Tensor) -> Tensor:
        return 2 * self.scale.log() - value.log()

    def cdf(self, value: Tensor) -> Tensor:
        return -torch.expm1(-self.inverse(value.clamp(min=0)))

    def icdf(self, value: Tensor) -> Tensor:
        return self.transport(-torch.log1p(-value))

    @property
    def mean(self) -> Tensor:
        return self.scale * math.sqrt(math.pi / 2)

    @property
    def variance(self) -> Tensor:
        return self.scale.square() * (2 - math.pi / 2)

    @property
    def mode(self) -> Tensor:
        return self.scale

    def entropy(self) -> Tensor:
        return 1 + (self.scale / math.sqrt(2)).log() + 0.5 * 0.5772156649015329


class WrongSign(Rayleigh):
    def log_abs_det_jacobian(self, eps: Tensor, value: Tensor) -> Tensor:
        return -super().log_abs_det_jacobian(eps, value)


class WrongInverse(Rayleigh):
    def inverse(self, value: Tensor) -> Tensor:
        return 0.5 * value.square() / self.scale


class WrongCdf(Rayleigh):
    def cdf(self, value: Tensor) -> Tensor:
        return super().cdf(value) ** 1.001


class CdfBelowZero(Rayleigh):
    def cdf(self, value: Tensor) -> Tensor:
        return -torch.expm1(-self.inverse(value))


class WrongIcdf(Rayleigh):
    def icdf(self, value: Tensor) -> Tensor:
        return super().icdf(value) + 1e-6


class WrongMean(Rayleigh):
    @property
    def mean(self) -> Tensor:
        return self.scale * 1.2534


class WrongVariance(Rayleigh):
    @property
    def variance(self) -> Tensor:
        return self.scale * (2 - math.pi / 2)


class WrongEntropy(Rayleigh):
    def entropy(self) -> Tensor:
        return super().entropy() + 1e-4


class WrongMode(Rayleigh):
    @property
    def mode(self) -> Tensor:
        return 1.2 * self.scale


class UndeclaredDomain(Rayleigh):
    arg_constraints = {"scale": constraints.real}  # noqa: RUF012

    def __init__(self, scale: Any, validate_args: bool | None = None) -> None:
        super().__init__(scale, validate_args=False)


class LeavesTheSupport(Rayleigh):
    def transport(self, eps: Tensor) -> Tensor:
        return super().transport((eps - 1e-3).clamp(min=0))


class Promotes(Rayleigh):
    def transport(self, eps: Tensor) -> Tensor:
        return super().transport(eps.double())


class Attached(Rayleigh):
    def sample(self, sample_shape: Any = ()) -> Tensor:
        return self.rsample(sample_shape)


class Detached(Rayleigh):
    def transport(self, eps: Tensor) -> Tensor:
        return super().transport(eps).detach() + 0 * self.scale


class Unseeded(Rayleigh):
    def sample(self, sample_shape: Any = ()) -> Tensor:
        torch.rand(())
        return super().sample(sample_shape)


class DropsTheType(Rayleigh):
    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        return Rayleigh(self.scale.expand(batch_shape))


class SharesDraws(Rayleigh):
    def noise(self) -> Distribution:
        return StandardExponential(dtype=self.scale.dtype).expand(())

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        eps = self.noise().sample(torch.Size(sample_shape))
        return self.transport(eps.reshape(eps.shape + (1,) * len(self.batch_shape)))


class ZeroAtZero(TransportDistribution):
    """A generalized Pareto law whose branch at 0 lacks the parameter, as torch's."""

    arg_constraints = {"concentration": constraints.real}  # noqa: RUF012
    support = constraints.nonnegative

    def __init__(self, concentration: Any, validate_args: bool | None = None) -> None:
        super().__init__(concentration=concentration, validate_args=validate_args)

    def noise(self) -> Distribution:
        return StandardExponential.like(self.concentration)

    def transport(self, eps: Tensor) -> Tensor:
        shape = self.concentration
        safe = torch.where(shape == 0, 1.0, shape)
        return torch.where(shape == 0, eps, torch.expm1(safe * eps) / safe)

    def inverse(self, value: Tensor) -> Tensor:
        shape = self.concentration
        safe = torch.where(shape == 0, 1.0, shape)
        return torch.where(shape == 0, value, torch.log1p(safe * value) / safe)

    def log_abs_det_jacobian(self, eps: Tensor, value: Tensor) -> Tensor:
        return self.concentration * eps


class BiasedSampler(ImplicitDistribution):
    """A normal law whose sampler has 4 % too large a scale."""

    arg_constraints = {"scale": constraints.positive}  # noqa: RUF012
    support = constraints.real

    def __init__(self, scale: Any, validate_args: bool | None = None) -> None:
        super().__init__(scale=scale, validate_args=validate_args)

    def simulate(self, sample_shape: torch.Size) -> Tensor:
        eps = torch.randn(sample_shape + self.batch_shape, dtype=self.scale.dtype)
        return 1.04 * self.scale * eps

    def inverse(self, value: Tensor) -> Tensor:
        return 0.5 * torch.special.erfc(-value / self.scale * math.sqrt(0.5))

    def log_density(self, value: Tensor) -> Tensor:
        z = value / self.scale
        return -0.5 * z.square() - self.scale.log() - 0.5 * math.log(2 * math.pi)


class LiesTwice(ImplicitDistribution):
    """A logistic law whose second derivative leaves out that z moves."""

    arg_constraints = {"scale": constraints.positive}  # noqa: RUF012
    support = constraints.real

    def __init__(self, scale: Any, validate_args: bool | None = None) -> None:
        super().__init__(scale=scale, validate_args=validate_args)

    def simulate(self, sample_shape: torch.Size) -> Tensor:
        u = torch.rand(sample_shape + self.batch_shape, dtype=self.scale.dtype)
        return self.scale * u.clamp(min=1e-7).logit()

    def inverse(self, value: Tensor) -> Tensor:
        return torch.sigmoid(value / self.scale)

    def log_density(self, value: Tensor) -> Tensor:
        z = value / self.scale
        softplus = torch.nn.functional.softplus
        return -softplus(z) - softplus(-z) - self.scale.log()

    def sample_gradient(self, value: Tensor) -> dict[str, Tensor]:
        return {"scale": value.detach() / self.scale}


class NaiveInverseGaussian(ReparameterizedDistribution):
    """Differentiates through the choice of root of Michael, Schucany and Haas."""

    arg_constraints = InverseGaussian.arg_constraints
    support = constraints.positive

    def __init__(
        self, loc: Any, concentration: Any, validate_args: bool | None = None
    ) -> None:
        super().__init__(
            loc=loc, concentration=concentration, validate_args=validate_args
        )

    def log_density(self, value: Tensor) -> Tensor:
        return InverseGaussian(self.loc, self.concentration).log_density(value)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        shape = torch.Size(sample_shape) + self.batch_shape
        chi2 = torch.randn(shape, dtype=self.loc.dtype).square()
        u = torch.rand(shape, dtype=self.loc.dtype)
        w = 0.5 * self.loc * chi2 / self.concentration
        q = 1 + w + (w * (w + 2)).sqrt()
        return torch.where(u * (1 + q) < 1, self.loc * q, self.loc / q)


class AcceptsAnything(Rayleigh):
    def log_prob(self, value: Tensor) -> Tensor:
        return self.log_density(value.abs())


class LosesPrecision(Rayleigh):
    def log_density(self, value: Tensor) -> Tensor:
        error = 1e-3 if value.dtype == torch.float32 else 0.0
        return super().log_density(value) + error


class WrongKl(Rayleigh):
    pass


@register_kl(WrongKl, WrongKl)
def _wrong_kl(p: WrongKl, q: WrongKl) -> Tensor:
    ratio = (p.scale / q.scale).square()
    return ratio - 1 - 1.001 * ratio.log()
