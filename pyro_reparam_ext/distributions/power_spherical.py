# SPDX-License-Identifier: Apache-2.0
"""The power spherical distribution, reparameterized in both parameters."""

import math
from typing import final

import torch
from torch import Tensor
from torch.distributions.kl import register_kl

from pyro_reparam_ext.distributions.base import Parameter
from pyro_reparam_ext.distributions.logit_beta_draw import logit_beta_draw
from pyro_reparam_ext.distributions.polar_angle import log_area, polar_integral
from pyro_reparam_ext.distributions.rotationally_symmetric import (
    RotationallySymmetric,
    half_square_distance,
    require_same_sphere,
)
from pyro_reparam_ext.distributions.von_mises_fisher import VonMisesFisher
from pyro_reparam_ext.ops import (
    beta_path_of_first,
    log_gamma_ratio,
    log_minus_digamma,
)


@final
class PowerSpherical(RotationallySymmetric):
    r"""Power spherical distribution: von Mises-Fisher's shape, drawn without rejection.

    .. math:: z = \cos\theta\,\mu + \sin\theta\,v, \qquad v \perp \mu
        \;\text{uniform}, \qquad \cos^2\tfrac\theta2 \sim
        \mathrm{Beta}\left(\tfrac{d-1}{2} + \kappa, \tfrac{d-1}{2}\right)

    .. math:: p(z) = \frac{(1 + \langle\mu, z\rangle)^\kappa}{Z}, \qquad
        Z = 2^{d-1+\kappa}\,\pi^{\frac{d-1}{2}}\,
        \frac{\Gamma(\frac{d-1}{2} + \kappa)}{\Gamma(d - 1 + \kappa)} .

    Args:
        loc: :math:`\mu`, the mean direction: unit vectors of any :math:`d \ge 2`
            elements. What is left of their length is divided out, so that gradients
            are tangential.
        concentration: :math:`\kappa > 0`.

    Shapes:
        ``loc`` is of shape ``batch_shape + (d,)``; events are vectors of :math:`d`
        elements.

    Support: unit vectors. ``log_prob`` is with respect to area on the sphere, and
    :math:`-\infty` at :math:`-\mu`.

    Gradient: exact pathwise in both parameters, at every direction alike; draws turn
    with :math:`\mu`, and :math:`\theta` follows its quantile. On second derivatives in
    :math:`\mu` see :class:`RotationallySymmetric`.

    Numerics: :math:`\tan^2\frac\theta2` is the odds of a Beta variate, carried in
    logs, so that neither end is lost.

    Source: De Cao and Aziz (2020), "The power spherical distribution". Arguments as in
    :class:`VonMisesFisher`.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> kappa = torch.tensor(2.0, requires_grad=True)
        >>> pole = torch.tensor([0.0, 0.0, 1.0])
        >>> PowerSpherical(pole, kappa).rsample((10_000,))[:, 2].mean().backward()
        >>> round(kappa.grad.item(), 2)  # exactly 1 / 8
        0.13
    """

    def __init__(
        self,
        loc: Tensor,
        concentration: Parameter,
        validate_args: bool | None = None,
    ) -> None:
        super().__init__(loc, concentration, validate_args)

    def draw_spread(self, concentration: Tensor, shape: torch.Size) -> Tensor:
        """Twice a Beta variate, by its log odds."""
        a, b = self._powers(concentration)
        return 2 * torch.sigmoid(-logit_beta_draw(a, b, shape))

    def path_slope(
        self, spread: Tensor, rest: Tensor, concentration: Tensor, *constants: Tensor
    ) -> Tensor:
        """Minus half of the path of the log odds."""
        logit = (rest / spread).log()
        # in the dtype of the parameters, for as many digits
        powers = self._powers(concentration.to(self.loc.dtype))
        return -0.5 * beta_path_of_first(*powers, logit).double()

    def log_density_at(
        self, spread: Tensor, rest: Tensor, concentration: Tensor
    ) -> Tensor:
        r""":math:`\kappa\log\frac{1 + \cos\theta}{2}`, less the normalizer."""
        near = spread < 1
        small = torch.log1p(-0.5 * torch.where(near, spread, 0.0))
        large = (0.5 * torch.where(near, 2.0, rest)).log()
        log_cosine = torch.where(near, small, large)
        return concentration * log_cosine - self._log_normalizer(concentration)

    def moments_of_spread(self) -> tuple[Tensor, Tensor]:
        r""":math:`2b/(a+b)` and :math:`4b(b+1)/((a+b)(a+b+1))`."""
        a, b = self._powers(self.concentration.double())
        first = 2 * b / (a + b)
        return first, first * 2 * (b + 1) / (a + b + 1)

    def entropy(self) -> Tensor:
        r""":math:`\log Z - \kappa\,E\log(1 + \cos\theta)`."""
        return self._entropy().to(self.loc.dtype)

    def _entropy(self) -> Tensor:
        kappa = self.concentration.double()
        a, b = self._powers(kappa)
        # digamma(a + b) - digamma(a), without its two large parts
        rise = torch.log1p(b / a) - log_minus_digamma(a + b) + log_minus_digamma(a)
        return self._log_normalizer(kappa) + kappa * rise

    def _powers(self, concentration: Tensor) -> tuple[Tensor, Tensor]:
        half = torch.full_like(concentration, 0.5 * (self.event_shape[0] - 1))
        return half + concentration, half

    def _log_normalizer(self, concentration: Tensor) -> Tensor:
        r"""Of :math:`\cos^{2\kappa}\frac\theta2`."""
        n = self.event_shape[0] - 1
        a, b = self._powers(concentration)
        constant = log_area(n) + (n - 1) * math.log(2) + math.lgamma(n / 2)
        return constant - log_gamma_ratio(a, b)


@register_kl(PowerSpherical, VonMisesFisher)  # type: ignore[untyped-decorator]
def _kl_power_spherical_von_mises_fisher(
    p: PowerSpherical, q: VonMisesFisher
) -> Tensor:
    require_same_sphere(p, q)
    kappa = q.concentration.double()
    spread, _ = p.moments_of_spread()
    # E_p[1 - <q.loc, z>]
    away = spread + (1 - spread) * half_square_distance(p.direction, q.direction)
    log_normalizer = polar_integral(kappa, q.event_shape[0]).log_normalizer
    return (log_normalizer + kappa * away - p._entropy()).to(p.loc.dtype)
