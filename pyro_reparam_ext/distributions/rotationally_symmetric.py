# SPDX-License-Identifier: Apache-2.0
r"""Directions scattered around a mean direction, alike all around it."""

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor

from pyro_reparam_ext.distributions.attach_gradient import attach_gradient
from pyro_reparam_ext.distributions.base import (
    Parameter,
    ReparameterizedDistribution,
    constraints,
)
from pyro_reparam_ext.distributions.sphere_support import unit_vectors


class RotationallySymmetric(ReparameterizedDistribution):
    r"""A law on the sphere that depends on :math:`\langle\mu, z\rangle` (abstract).

    .. math:: z = \cos\theta\,\mu + \sin\theta\,v, \qquad
        v \perp \mu \;\text{uniform}, \qquad
        \theta = \theta_\kappa(\epsilon) \in [0, \pi]

    .. math:: dz = \langle\mu, z\rangle\,d\mu - \langle d\mu, z\rangle\,\mu +
        \bigl(\cos\theta\,z - \mu\bigr)\,
        \frac{\partial\log\tan\frac\theta2}{\partial\kappa}\,d\kappa .

    As :math:`\mu` turns, draws turn with it in the plane of :math:`\mu` and
    :math:`d\mu`: the same formula at every direction, with no axis from which to
    measure. Moved around a closed curve, a draw comes back turned about :math:`\mu`,
    which the law does not notice: second derivatives in :math:`\mu` are exact in
    expectation, and symmetric in expectation only.

    Writing your own: three methods, all of numbers in float64.

    * ``draw_spread(concentration, shape)``: :math:`1 - \cos\theta`.
    * ``path_slope(spread, rest, concentration, *constants)``:
      :math:`\partial\log\tan\frac\theta2/\partial\kappa` at a fixed quantile.
    * ``log_density_at(spread, rest, concentration)``.

    What the slope needs besides, and depends on :math:`\kappa` alone, is computed once
    a batch element by ``constants``.
    """

    def __init__(
        self,
        loc: Tensor,
        concentration: Parameter,
        validate_args: bool | None = None,
    ) -> None:
        super().__init__(
            event_shape=direction_shape(type(self).__name__, loc),
            validate_args=validate_args,
            loc=loc,
            concentration=concentration,
        )

    arg_constraints = {  # noqa: RUF012 (torch's declaration)
        "loc": unit_vectors,
        "concentration": constraints.positive,
    }
    support = unit_vectors

    @abstractmethod
    def draw_spread(self, concentration: Tensor, shape: torch.Size) -> Tensor:
        r"""Draws of :math:`1 - \cos\theta`, without gradient."""

    @abstractmethod
    def path_slope(
        self, spread: Tensor, rest: Tensor, concentration: Tensor, *constants: Tensor
    ) -> Tensor:
        r""":math:`\partial\log\tan\frac\theta2/\partial\kappa`, elementwise.

        From :math:`1 - \cos\theta` and :math:`1 + \cos\theta`.
        """

    @abstractmethod
    def log_density_at(
        self, spread: Tensor, rest: Tensor, concentration: Tensor
    ) -> Tensor:
        r""":math:`\log p`, from :math:`1 - \cos\theta` and :math:`1 + \cos\theta`."""

    def constants(self, concentration: Tensor) -> tuple[Tensor, ...]:
        r"""Functions of :math:`\kappa` that ``path_slope`` needs."""
        return ()

    def sample(self, sample_shape: Any = torch.Size()) -> Tensor:  # noqa: B008
        """A draw without gradient; the same as ``rsample`` under the same seed."""
        with torch.no_grad():
            shape = torch.Size(sample_shape) + self.batch_shape
            dtype = self.loc.dtype
            spread = self.draw_spread(self.concentration.double(), shape)
            sine = (spread * (2 - spread)).clamp(min=0).sqrt()
            loc = self.direction.to(dtype)
            normal = torch.randn(
                (*shape, *self.event_shape), dtype=dtype, device=loc.device
            )
            # twice, for what is left of a normal that was nearly parallel
            across = _across(unit(_across(normal, loc)), loc)
            sine = sine / across.norm(dim=-1)
            value = (1 - spread).to(dtype).unsqueeze(-1) * loc
            return value + sine.to(dtype).unsqueeze(-1) * across

    def rsample(self, sample_shape: Any = torch.Size()) -> Tensor:  # noqa: B008
        """A draw, differentiable in the parameters."""
        return self.attach_gradient(self.sample(sample_shape))

    def attach_gradient(self, value: Tensor) -> Tensor:
        r"""``value``, made to depend on the parameters along the path through it.

        ``value`` has the shape ``sample_shape + batch_shape + (d,)``.
        """
        concentration = self.concentration.double()
        numbers = (concentration, *self.constants(concentration))
        return attach_gradient(
            value,
            self._pull_back,
            self.loc.expand(value.shape),
            *(x.expand(value.shape[:-1]) for x in numbers),
        )

    def _pull_back(
        self, value: Tensor, parameters: tuple[Tensor, ...], grad_output: Tensor
    ) -> tuple[Tensor | None, ...]:
        given, concentration, *constants = parameters
        z, by_z, loc = value.double(), grad_output.double(), given.double()
        length = loc.norm(dim=-1, keepdim=True)
        loc = loc / length
        cosine, by_loc = _dot(loc, z), _dot(loc, by_z)
        away = z - cosine.unsqueeze(-1) * loc
        square = _dot(away, away).clamp(min=1e-32)
        near = 1 + cosine.abs()
        far, ahead = square / near, cosine > 0
        spread, rest = torch.where(ahead, far, near), torch.where(ahead, near, far)
        slope = self.path_slope(spread, rest, concentration, *constants)
        # along cos(angle) z - loc, which cancels where the angle is small
        outwards = cosine * _dot(away, by_z) - square * by_loc
        turned = cosine.unsqueeze(-1) * by_z - by_loc.unsqueeze(-1) * z
        return (
            (turned / length).to(given.dtype),
            slope * outwards,
            # they lead back to the concentration, in second derivatives only
            *(None for _ in constants),
        )

    def log_density(self, value: Tensor) -> Tensor:
        r""":math:`\log p`, of the direction of ``value``."""
        z, loc = unit(value.double()), self.direction
        spread, rest = half_square_distance(z, loc), half_square_distance(z, -loc)
        log_density = self.log_density_at(spread, rest, self.concentration.double())
        return log_density.to(self.loc.dtype)

    def moments_of_spread(self) -> tuple[Tensor, Tensor]:
        r""":math:`E[1 - \cos\theta]` and :math:`E(1 - \cos\theta)^2`, in float64."""
        self._lack("moments_of_spread", "Average over draws instead.")

    @property
    def mean(self) -> Tensor:
        r""":math:`E[\cos\theta]\,\mu`, inside the sphere."""
        if not self._has_moments():
            return super().mean
        spread, _ = self.moments_of_spread()
        return ((1 - spread).unsqueeze(-1) * self.direction).to(self.loc.dtype)

    @property
    def variance(self) -> Tensor:
        r"""Of each element, out of that along :math:`\mu` and that across."""
        if not self._has_moments():
            return super().variance
        spread, square = self.moments_of_spread()
        along = (square - spread.square()).unsqueeze(-1)
        across = ((2 * spread - square) / (self.event_shape[0] - 1)).unsqueeze(-1)
        toward = self.direction.square()
        return (along * toward + across * (1 - toward)).to(self.loc.dtype)

    def _has_moments(self) -> bool:
        none: Any = RotationallySymmetric.moments_of_spread
        return type(self).moments_of_spread is not none

    @property
    def direction(self) -> Tensor:
        r""":math:`\mu` in float64, of length 1 to the last digit."""
        return unit(self.loc.double())

    @property
    def mode(self) -> Tensor:
        r""":math:`\mu`."""
        return self.direction.to(self.loc.dtype)


def _dot(one: Tensor, other: Tensor) -> Tensor:
    return torch.einsum("...i,...i->...", one, other)


def _across(vector: Tensor, loc: Tensor) -> Tensor:
    """The part of a vector perpendicular to a direction."""
    return vector - _dot(vector, loc).unsqueeze(-1) * loc


def unit(vector: Tensor) -> Tensor:
    """A vector's direction."""
    return vector / vector.norm(dim=-1, keepdim=True)


def half_square_distance(one: Tensor, other: Tensor) -> Tensor:
    """1 - cosine of the angle between unit vectors, without cancellation."""
    return 0.5 * (one - other).square().sum(-1)


def direction_shape(owner: str, loc: Any) -> torch.Size:
    """The event shape of a law around ``loc``, which must be a direction."""
    if not isinstance(loc, Tensor) or loc.dim() < 1 or loc.shape[-1] < 2:
        found = tuple(loc.shape) if isinstance(loc, Tensor) else type(loc).__name__
        raise ValueError(
            f"{owner}: loc must be a tensor of unit vectors with at least 2 elements; "
            f"found {found}. Give one direction, such as torch.tensor([1.0, 0.0])."
        )
    return loc.shape[-1:]


def require_same_sphere(p: Any, q: Any) -> None:
    """Raise unless two laws are on the same sphere."""
    if p.event_shape != q.event_shape:
        raise ValueError(
            f"kl_divergence: expected laws on one sphere; found {type(p).__name__} of "
            f"{p.event_shape[0]} elements and {type(q).__name__} of "
            f"{q.event_shape[0]}. Use directions of equal length."
        )
