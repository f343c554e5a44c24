# SPDX-License-Identifier: Apache-2.0
"""The uniform distribution on the sphere."""

import math
from typing import Any, ClassVar, Self, final

import torch
from torch import Tensor
from torch.distributions.kl import register_kl

from pyro_reparam_ext.distributions.base import ReparameterizedDistribution
from pyro_reparam_ext.distributions.polar_angle import log_area
from pyro_reparam_ext.distributions.power_spherical import PowerSpherical
from pyro_reparam_ext.distributions.rotationally_symmetric import (
    require_same_sphere,
    unit,
)
from pyro_reparam_ext.distributions.sphere_support import unit_vectors
from pyro_reparam_ext.distributions.von_mises_fisher import VonMisesFisher


@final
class SphericalUniform(ReparameterizedDistribution):
    r"""Uniform distribution on the sphere: a direction of which nothing is known.

    .. math:: z = \epsilon/|\epsilon|, \quad \epsilon \sim N(0, I_d), \qquad
        p(z) = \frac{\Gamma(d/2)}{2\pi^{d/2}} .

    Use it as the prior of a direction: the laws around a mean direction have a
    divergence from it in closed form.

    Args:
        dim: :math:`d \ge 2`, the number of elements of a direction.
        batch_shape: Of independent directions.
        dtype: Of the draws; by default that of torch.
        device: Of the draws.

    Shapes:
        Events are vectors of :math:`d` elements.

    Support: unit vectors. ``log_prob`` is with respect to area on the sphere.

    Gradient: there is no parameter to differentiate in.

    Source: Muller (1959), "A note on a method for generating points uniformly on
    n-dimensional spheres". Arguments as in TensorFlow Probability.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> d = SphericalUniform(3)
        >>> z = d.sample((10_000,))
        >>> z.square().mean(0).mul(3).round()
        tensor([1., 1., 1.])
        >>> d.log_prob(z[0]).exp().mul(4 * torch.pi)
        tensor(1.0000)
    """

    arg_constraints: ClassVar[dict[str, Any]] = {}
    support = unit_vectors

    def __init__(
        self,
        dim: int,
        batch_shape: Any = torch.Size(),  # noqa: B008 (an immutable value)
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
        validate_args: bool | None = None,
    ) -> None:
        if not isinstance(dim, int) or dim < 2:
            raise ValueError(
                f"SphericalUniform: dim must be an integer, 2 or more; found {dim!r}."
            )
        super().__init__(event_shape=torch.Size((dim,)), validate_args=validate_args)
        if isinstance(batch_shape, int):
            raise TypeError(
                "SphericalUniform: batch_shape must be a tuple of integers; found "
                f"{batch_shape}. Give ({batch_shape},)."
            )
        self._batch_shape = torch.Size(batch_shape)
        like = torch.empty(0, dtype=dtype, device=device)
        self._dtype, self._device = like.dtype, like.device

    @property
    def dtype_of_draws(self) -> torch.dtype:
        """As given."""
        return self._dtype

    def in_dtype(self, dtype: torch.dtype) -> Self:
        """The same distribution with draws of another precision."""
        new = self.with_parameters({})
        new._dtype = dtype
        return new

    def expand(self, batch_shape: Any, _instance: Any = None) -> Self:
        """The same distribution for more independent directions."""
        new = super().expand(batch_shape, _instance)
        new._dtype, new._device = self._dtype, self._device
        torch.empty(self.batch_shape, device="meta").expand(new.batch_shape)  # checks
        return new

    def rsample(self, sample_shape: Any = torch.Size()) -> Tensor:  # noqa: B008
        """A draw; it depends on no parameter."""
        shape = self._extended_shape(torch.Size(sample_shape))
        normal = torch.randn(shape, dtype=torch.float64, device=self._device)
        return unit(normal).to(self._dtype)

    def log_density(self, value: Tensor) -> Tensor:
        """Minus the log of the area."""
        shape = torch.broadcast_shapes(value.shape[:-1], self.batch_shape)
        log_density = self._filled(-log_area(self.event_shape[0]), shape)
        return torch.where(value.isnan().any(-1), math.nan, log_density)

    def entropy(self) -> Tensor:
        """The log of the area."""
        return self._filled(log_area(self.event_shape[0]), self.batch_shape)

    @property
    def mean(self) -> Tensor:
        """The center of the sphere, which is no direction."""
        return self._filled(0.0, self.batch_shape + self.event_shape)

    @property
    def variance(self) -> Tensor:
        r""":math:`1/d` for each element."""
        each = 1 / self.event_shape[0]
        return self._filled(each, self.batch_shape + self.event_shape)

    def _filled(self, number: float, shape: torch.Size) -> Tensor:
        return torch.full(shape, number, dtype=self._dtype, device=self._device)


@register_kl(VonMisesFisher, SphericalUniform)  # type: ignore[untyped-decorator]
@register_kl(PowerSpherical, SphericalUniform)  # type: ignore[untyped-decorator]
def _kl_from_uniform(p: VonMisesFisher | PowerSpherical, q: SphericalUniform) -> Tensor:
    require_same_sphere(p, q)
    return q.entropy() - p.entropy()


@register_kl(SphericalUniform, SphericalUniform)  # type: ignore[untyped-decorator]
def _kl_uniform_uniform(p: SphericalUniform, q: SphericalUniform) -> Tensor:
    require_same_sphere(p, q)
    return torch.zeros_like(p.entropy() + q.entropy())
