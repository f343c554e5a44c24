# SPDX-License-Identifier: Apache-2.0
r"""Distributions with an explicit sampling path :math:`z = g_\theta(\epsilon)`."""

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution

from pyro_reparam_ext.distributions.base import ReparameterizedDistribution


class TransportDistribution(ReparameterizedDistribution):
    r"""A distribution given by noise and an explicit transport (abstract).

    .. math:: z = g_\theta(\epsilon), \quad \epsilon \sim p(\epsilon), \qquad
        \log p_\theta(z) = \log p(\epsilon) -
        \log\left|\partial g_\theta(\epsilon)/\partial\epsilon\right|,
        \quad \epsilon = g_\theta^{-1}(z).

    Writing your own: four methods, each one formula.

    * ``noise()``: the law of :math:`\epsilon`, free of :math:`\theta`, with this
      distribution's batch shape.
    * ``transport(eps)``: :math:`g_\theta(\epsilon)`, in torch operations.
    * ``inverse(value)``: :math:`g_\theta^{-1}(z)`.
    * ``log_abs_det_jacobian(eps, value)``.

    ``rsample``, ``sample`` and ``log_prob`` follow. Override ``log_density`` where a
    direct formula is more accurate than going through the inverse.

    Gradient: by automatic differentiation of ``transport``, so exact in every
    parameter if every branch of ``transport`` contains every parameter.

    Source: Kingma and Welling (2014), "Auto-encoding variational Bayes";
    Mohamed et al. (2020), "Monte Carlo gradient estimation in machine learning", §5.

    Example:
        >>> from torch.distributions import constraints
        >>> from pyro_reparam_ext.distributions import TransportDistribution
        >>> from pyro_reparam_ext.distributions.noise import StandardExponential
        >>> class Rayleigh(TransportDistribution):
        ...     arg_constraints = {"scale": constraints.positive}
        ...     support = constraints.positive
        ...     def __init__(self, scale, validate_args=None):
        ...         super().__init__(scale=scale, validate_args=validate_args)
        ...     def noise(self):
        ...         return StandardExponential.like(self.scale)
        ...     def transport(self, eps):
        ...         return self.scale * (2 * eps).sqrt()
        ...     def inverse(self, value):
        ...         return 0.5 * (value / self.scale) ** 2
        ...     def log_abs_det_jacobian(self, eps, value):
        ...         return 2 * self.scale.log() - value.log()
        >>> rayleigh = Rayleigh(torch.tensor([1.0, 2.0]))
        >>> rayleigh.rsample((3,)).shape
        torch.Size([3, 2])
    """

    @abstractmethod
    def noise(self) -> Distribution:
        r"""The law of :math:`\epsilon`, free of the parameters."""

    @abstractmethod
    def transport(self, eps: Tensor) -> Tensor:
        r""":math:`z = g_\theta(\epsilon)`."""

    @abstractmethod
    def inverse(self, value: Tensor) -> Tensor:
        r""":math:`\epsilon = g_\theta^{-1}(z)`."""

    @abstractmethod
    def log_abs_det_jacobian(self, eps: Tensor, value: Tensor) -> Tensor:
        r""":math:`\log|\partial g_\theta(\epsilon)/\partial\epsilon|`."""

    def rsample(self, sample_shape: Any = torch.Size()) -> Tensor:  # noqa: B008
        r"""A draw :math:`g_\theta(\epsilon)`, differentiable in the parameters."""
        return self.transport(self.noise().sample(torch.Size(sample_shape)))

    def log_density(self, value: Tensor) -> Tensor:
        """Noise density at the inverse, less the log-det."""
        eps = self.inverse(value)
        return self.noise().log_prob(eps) - self.log_abs_det_jacobian(eps, value)
