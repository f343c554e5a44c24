# SPDX-License-Identifier: Apache-2.0
r"""The noise :math:`\epsilon \sim p(\epsilon)` that transports start from.

Three laws without parameters. They differ from torch's in two ways that matter here:
they draw with functional calls (``torch.randn``, ``torch.rand``), so that
``torch.func.vmap`` accepts them, and they never return an endpoint.
"""

import math
from typing import Any, Self, final

import torch
from pyro.distributions import TorchDistribution
from torch import Tensor
from torch.distributions import Distribution, constraints

from pyro_reparam_ext.ops import log1mexp


class Noise(TorchDistribution):
    """A law without parameters on scalars, of a given batch shape, dtype and device."""

    arg_constraints: dict[str, Any] = {}  # noqa: RUF012 (torch's declaration)
    has_rsample = True

    def __init__(
        self,
        batch_shape: Any = (),
        *,
        dtype: torch.dtype | None = None,
        device: torch.device | None = None,
    ) -> None:
        self.dtype = torch.get_default_dtype() if dtype is None else dtype
        self.device = device
        super().__init__(torch.Size(batch_shape), validate_args=False)

    @classmethod
    def like(cls, tensor: Tensor) -> Self:
        """Noise of the shape, dtype and device of ``tensor``."""
        return cls(tensor.shape, dtype=tensor.dtype, device=tensor.device)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Self:
        """The same noise with another batch shape."""
        new = type(self).__new__(type(self)) if _instance is None else _instance
        new.dtype, new.device = self.dtype, self.device
        Distribution.__init__(new, torch.Size(batch_shape), validate_args=False)
        return new

    def rsample(self, sample_shape: Any = torch.Size()) -> Tensor:  # noqa: B008
        """A draw; there is no parameter for a gradient to flow to."""
        return self._draw(self._extended_shape(torch.Size(sample_shape)))

    def sample(self, sample_shape: Any = torch.Size()) -> Tensor:  # noqa: B008
        """A draw."""
        return self._draw(self._extended_shape(torch.Size(sample_shape)))

    def _draw(self, shape: torch.Size) -> Tensor:
        raise NotImplementedError

    def reflected(self, value: Tensor) -> Tensor:
        """The point that leaves as much probability above it as ``value`` below."""
        raise NotImplementedError


@final
class StandardNormal(Noise):
    r""":math:`\epsilon \sim \mathrm{N}(0, 1)`."""

    support = constraints.real

    def _draw(self, shape: torch.Size) -> Tensor:
        return torch.randn(shape, dtype=self.dtype, device=self.device)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-density."""
        return -0.5 * value.square() - 0.5 * math.log(2 * math.pi)

    def reflected(self, value: Tensor) -> Tensor:
        """The other side of 0."""
        return -value

    def cdf(self, value: Tensor) -> Tensor:
        """Cumulative probability."""
        # torch.special.ndtr is 0 below -6 in float32; erfc keeps the tail
        return 0.5 * torch.special.erfc(-value * math.sqrt(0.5))

    def icdf(self, value: Tensor) -> Tensor:
        """Quantile."""
        return torch.special.ndtri(value)


@final
class StandardUniform(Noise):
    r""":math:`\epsilon \sim \mathrm{Uniform}(0, 1)`, never 0 or 1."""

    support = constraints.unit_interval

    def _draw(self, shape: torch.Size) -> Tensor:
        u = torch.rand(shape, dtype=self.dtype, device=self.device)
        # a multiple of eps / 2 in [0, 1): move 0 to the middle of its cell
        return inside_unit_interval(u)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-density."""
        return torch.zeros_like(value)

    def reflected(self, value: Tensor) -> Tensor:
        """The other side of 1/2."""
        return inside_unit_interval(1 - value)

    def cdf(self, value: Tensor) -> Tensor:
        """Cumulative probability."""
        return value.clamp(0, 1)

    def icdf(self, value: Tensor) -> Tensor:
        """Quantile."""
        return value


@final
class StandardExponential(Noise):
    r""":math:`\epsilon \sim \mathrm{Exponential}(1)`, never 0."""

    support = constraints.positive

    def _draw(self, shape: torch.Size) -> Tensor:
        u = torch.rand(shape, dtype=self.dtype, device=self.device)
        return inside_unit_interval(u).log_().neg_()  # of a fresh tensor

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-density."""
        return -value

    def reflected(self, value: Tensor) -> Tensor:
        """Of two, one is long where the other is short."""
        return -log1mexp(value)

    def cdf(self, value: Tensor) -> Tensor:
        """Cumulative probability."""
        return -torch.expm1(-value)

    def icdf(self, value: Tensor) -> Tensor:
        """Quantile."""
        return -torch.log1p(-value)


def inside_unit_interval(u: Tensor) -> Tensor:
    """``u`` kept off 0 and 1, to which rounding may have taken it."""
    eps = torch.finfo(u.dtype).eps
    return u.clamp(eps / 4, 1 - eps / 2)
