# SPDX-License-Identifier: Apache-2.0
"""The reciprocal of an inverse Gaussian draw."""

import math
from typing import final

import torch
from torch import Tensor
from torch.distributions import constraints
from torch.distributions.kl import kl_divergence, register_kl

from pyro_reparam_ext.distributions.base import Parameter
from pyro_reparam_ext.distributions.implicit import ImplicitDistribution
from pyro_reparam_ext.distributions.inverse_gaussian import InverseGaussian


@final
class ReciprocalInverseGaussian(ImplicitDistribution):
    r"""Reciprocal inverse Gaussian distribution: rates whose inverse is a passage time.

    .. math:: z = 1/x, \qquad x \sim \mathrm{InverseGaussian}(\mu, \lambda)

    .. math:: p(z) = \sqrt{\frac{\lambda}{2\pi z}}\,
        \exp\left(-\frac{\lambda(1 - \mu z)^2}{2\mu^2 z}\right)

    Args:
        loc: the mean :math:`\mu > 0` of the reciprocal :math:`1/z`, not of :math:`z`.
        concentration: the shape :math:`\lambda > 0`.

    Shapes:
        The parameters broadcast to ``batch_shape``; events are scalars.

    Support: :math:`z > 0`; draws beyond the range of the dtype are set to its smallest
    or largest positive number.

    Gradient: exact pathwise in both parameters, :math:`\partial z/\partial\theta =
    -z^2\,\partial x/\partial\theta` with that of
    :class:`~pyro_reparam_ext.distributions.InverseGaussian`, and its accuracy.

    Numerics: both tails are those of the inverse Gaussian, exchanged; ``log_cdf`` and
    ``log_sf`` resolve them where they are small.

    Source: Johnson, Kotz and Balakrishnan (1994), "Continuous univariate
    distributions", 15.10.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> shape = torch.tensor(1.0, requires_grad=True)
        >>> ReciprocalInverseGaussian(0.5, shape).rsample((100_000,)).mean().backward()
        >>> round(shape.grad.item(), 1)  # the derivative of 1/mu + 1/lambda
        -1.0
    """

    arg_constraints = {  # noqa: RUF012 (torch's declaration)
        "loc": constraints.positive,
        "concentration": constraints.positive,
    }
    support = constraints.positive

    def __init__(
        self,
        loc: Parameter,
        concentration: Parameter,
        validate_args: bool | None = None,
    ) -> None:
        super().__init__(
            loc=loc, concentration=concentration, validate_args=validate_args
        )

    def simulate(self, sample_shape: torch.Size) -> Tensor:
        """The reciprocal of a draw in float64."""
        value = self._reciprocal().simulate(sample_shape).reciprocal()
        info = torch.finfo(self.loc.dtype)
        return value.clamp(info.tiny, info.max).to(self.loc.dtype)

    def inverse(self, value: Tensor) -> Tensor:
        """The cdf."""
        return self.cdf(value)

    def sample_gradient(self, value: Tensor) -> dict[str, Tensor]:
        """That of the reciprocal, times minus the square."""
        z = value.double()
        gradient = self._reciprocal().sample_gradient(z.reciprocal())
        return {n: (-z * (z * g)).to(value.dtype) for n, g in gradient.items()}

    def log_density(self, value: Tensor) -> Tensor:
        r""":math:`\frac12\log(\lambda/2\pi z) - \lambda(z - 1/\mu)^2/2z`."""
        z, mean = value.double(), self.loc.double()
        shape = self.concentration.double()
        distance = z - 1 / mean
        result = 0.5 * (shape / z).log() - 0.5 * math.log(2 * math.pi)
        return (result - 0.5 * distance * (shape * distance / z)).to(self.loc.dtype)

    def cdf(self, value: Tensor) -> Tensor:
        """The upper tail of the reciprocal."""
        return self.log_cdf(value).exp().to(self.loc.dtype)

    def log_cdf(self, value: Tensor) -> Tensor:
        r""":math:`\log F(z)`, in float64; its small values are resolved."""
        return self._reciprocal().log_sf(value.double().clamp(min=0).reciprocal())

    def log_sf(self, value: Tensor) -> Tensor:
        r""":math:`\log(1 - F(z))`, in float64, likewise."""
        return self._reciprocal().log_cdf(value.double().clamp(min=0).reciprocal())

    def log_icdf(self, log_probability: Tensor) -> Tensor:
        r""":math:`z` from :math:`\log F(z)`, without gradient; see ``icdf``."""
        return self._reciprocal().log_isf(log_probability).reciprocal()

    def log_isf(self, log_probability: Tensor) -> Tensor:
        r""":math:`z` from :math:`\log(1 - F(z))`, without gradient."""
        return self._reciprocal().log_icdf(log_probability).reciprocal()

    @property
    def mean(self) -> Tensor:
        r""":math:`1/\mu + 1/\lambda`."""
        return 1 / self.loc + 1 / self.concentration

    @property
    def variance(self) -> Tensor:
        r""":math:`1/\mu\lambda + 2/\lambda^2`."""
        rest = 1 / self.concentration
        return rest * (1 / self.loc + 2 * rest)

    @property
    def mode(self) -> Tensor:
        r""":math:`2/\mu^2/(\sqrt{s^2 + 4/\mu^2} + s)` with :math:`s = 1/\lambda`."""
        s, inverse = 1 / self.concentration, 1 / self.loc
        return inverse * (2 * inverse / (torch.hypot(s, 2 * inverse) + s))

    def _reciprocal(self) -> InverseGaussian:
        return InverseGaussian(
            self.loc.double(), self.concentration.double(), validate_args=False
        )


@register_kl(  # type: ignore[untyped-decorator]
    ReciprocalInverseGaussian, ReciprocalInverseGaussian
)
def _kl_reciprocal_inverse_gaussian(
    p: ReciprocalInverseGaussian, q: ReciprocalInverseGaussian
) -> Tensor:
    # a bijection changes no divergence
    return kl_divergence(p._reciprocal(), q._reciprocal()).to(p.loc.dtype)
