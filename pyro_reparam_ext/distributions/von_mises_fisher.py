# SPDX-License-Identifier: Apache-2.0
"""The von Mises-Fisher distribution on the sphere, in both parameters."""

from typing import final

import torch
from torch import Tensor
from torch.distributions.kl import register_kl

from pyro_reparam_ext.distributions.base import Parameter
from pyro_reparam_ext.distributions.polar_angle import (
    COARSE,
    FINE,
    PolarIntegral,
    Rule,
    polar_integral,
    polar_slope,
    polar_spread,
    slope_in_space,
    wood,
)
from pyro_reparam_ext.distributions.rotationally_symmetric import (
    RotationallySymmetric,
    half_square_distance,
    require_same_sphere,
)


@final
class VonMisesFisher(RotationallySymmetric):
    r"""Von Mises-Fisher distribution: a direction, concentrated around a mean one.

    .. math:: z = \cos\theta\,\mu + \sin\theta\,v, \qquad v \perp \mu
        \;\text{uniform}, \qquad
        p(\theta) \propto \sin^{d-2}\theta\; e^{\kappa\cos\theta}

    .. math:: \frac{\partial\theta}{\partial\kappa} = -\int_0^\theta
        \bigl(\cos t - A(\kappa)\bigr) \frac{\sin^{d-2}t}{\sin^{d-2}\theta}
        e^{\kappa(\cos t - \cos\theta)}\,dt, \qquad
        p(z) = \frac{\kappa^{d/2-1}\,e^{\kappa\langle\mu, z\rangle}}
        {(2\pi)^{d/2} I_{d/2-1}(\kappa)},

    :math:`A = I_{d/2}/I_{d/2-1}`, and draws turn with :math:`\mu`.

    Args:
        loc: :math:`\mu`, the mean direction: unit vectors of any :math:`d \ge 2`
            elements. What is left of their length is divided out, so that gradients
            are tangential.
        concentration: :math:`\kappa > 0`.

    Shapes:
        ``loc`` is of shape ``batch_shape + (d,)``; events are vectors of :math:`d`
        elements.

    Support: unit vectors. ``log_prob`` is with respect to area on the sphere; NUTS and
    autoguides move in stereographic coordinates.

    Gradient: pathwise in both parameters, at every direction alike. In :math:`\kappa`
    it is a closed form for :math:`d = 3`; else the integral is computed in float64 by
    32 Gauss-Legendre nodes (16 for float32), from whichever of :math:`\mu` and
    :math:`-\mu` keeps the integrand of one sign. Second derivatives are exact: see
    :class:`RotationallySymmetric` on those in :math:`\mu`.

    Numerics: the normalizer and :math:`1 - A` are integrals of the same density, with
    no Bessel function. :math:`1 - \langle\mu, z\rangle` is taken as
    :math:`|z - \mu|^2/2`, in float64. For :math:`d = 3` it is drawn by its quantile,
    else by rejection.

    Source: Wood (1994), "Simulation of the von Mises Fisher distribution"; Figurnov,
    Mohamed and Mnih (2018), "Implicit reparameterization gradients". Arguments as in
    :class:`torch.distributions.VonMises`.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> kappa = torch.tensor(2.0, requires_grad=True)
        >>> pole = torch.tensor([0.0, 0.0, 1.0])
        >>> VonMisesFisher(pole, kappa).rsample((10_000,))[:, 2].mean().backward()
        >>> round(kappa.grad.item(), 2)
        0.18
    """

    def __init__(
        self,
        loc: Tensor,
        concentration: Parameter,
        validate_args: bool | None = None,
    ) -> None:
        super().__init__(loc, concentration, validate_args)

    def draw_spread(self, concentration: Tensor, shape: torch.Size) -> Tensor:
        """The quantile of an exponential on (0, 2), or Wood's rejection sampler."""
        uniforms = torch.rand(
            shape, dtype=concentration.dtype, device=concentration.device
        )
        if self.event_shape[0] == 3:
            mass = torch.expm1(-2 * concentration)
            return (-torch.log1p(uniforms * mass) / concentration).clamp(max=2)
        wide = concentration.expand(shape).contiguous()
        return wood(uniforms, wide, self.event_shape[0])

    def path_slope(
        self, spread: Tensor, rest: Tensor, concentration: Tensor, *constants: Tensor
    ) -> Tensor:
        """The integral of the centered score, over the density and the sine."""
        if self.event_shape[0] == 3:
            return slope_in_space(spread, rest, concentration)
        angle = 2 * torch.atan2(spread.sqrt(), rest.sqrt())
        dim, rule = self.event_shape[0], self._rule()
        return polar_slope(angle, concentration, constants[0], dim, rule)

    def constants(self, concentration: Tensor) -> tuple[Tensor, ...]:
        r""":math:`1 - A(\kappa)`."""
        if self.event_shape[0] == 3:
            return ()
        return (polar_spread(concentration, self.event_shape[0], self._rule()),)

    def log_density_at(
        self, spread: Tensor, rest: Tensor, concentration: Tensor
    ) -> Tensor:
        r""":math:`-\kappa(1 - \cos\theta)`, less the normalizer."""
        integral = polar_integral(concentration, self.event_shape[0])
        return -concentration * spread - integral.log_normalizer

    def moments_of_spread(self) -> tuple[Tensor, Tensor]:
        r""":math:`1 - A(\kappa)`, and :math:`E(1 - \cos\theta)^2`."""
        integral = self._integral()
        return integral.spread, integral.square

    def entropy(self) -> Tensor:
        r""":math:`\log\int e^{-\kappa(1-\cos\theta)} + \kappa(1 - A)`."""
        integral = self._integral()
        away = self.concentration.double() * integral.spread
        return (integral.log_normalizer + away).to(self.loc.dtype)

    def _rule(self) -> Rule:
        return FINE if self.loc.dtype == torch.float64 else COARSE

    def _integral(self) -> PolarIntegral:
        return polar_integral(self.concentration.double(), self.event_shape[0])


@register_kl(VonMisesFisher, VonMisesFisher)  # type: ignore[untyped-decorator]
def _kl_von_mises_fisher_von_mises_fisher(
    p: VonMisesFisher, q: VonMisesFisher
) -> Tensor:
    require_same_sphere(p, q)
    spread = p._integral().spread
    # E_p[1 - <q.loc, z>]
    apart = half_square_distance(p.direction, q.direction)
    away = spread + (1 - spread) * apart
    log_ratio = q._integral().log_normalizer - p._integral().log_normalizer
    kappa, other = p.concentration.double(), q.concentration.double()
    return (log_ratio + other * away - kappa * spread).to(p.loc.dtype)
