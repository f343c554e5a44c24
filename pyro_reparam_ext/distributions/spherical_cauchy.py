# SPDX-License-Identifier: Apache-2.0
"""The spherical Cauchy distribution, reparameterized in both parameters."""

from typing import final

import torch
from torch import Tensor
from torch.distributions import constraints

from pyro_reparam_ext.distributions.base import Parameter
from pyro_reparam_ext.distributions.logit_beta_draw import logit_beta_draw
from pyro_reparam_ext.distributions.polar_angle import log_area
from pyro_reparam_ext.distributions.rotationally_symmetric import RotationallySymmetric
from pyro_reparam_ext.distributions.sphere_support import unit_vectors


@final
class SphericalCauchy(RotationallySymmetric):
    r"""Spherical Cauchy distribution: a direction, with heavy tails around the sphere.

    .. math:: z = \cos\theta\,\mu + \sin\theta\,v, \qquad v \perp \mu
        \;\text{uniform}, \qquad
        \tan\tfrac\theta2 = \frac{1-\rho}{1+\rho}\,\tan\tfrac\epsilon2

    with :math:`\epsilon` the angle of a uniform point, a Möbius map of it:

    .. math:: p(z) = \frac{\Gamma(d/2)}{2\pi^{d/2}} \left(
        \frac{1 - \rho^2}{1 + \rho^2 - 2\rho\langle\mu, z\rangle}\right)^{d-1}, \qquad
        \frac{\partial}{\partial\rho}\log\tan\tfrac\theta2 = -\frac{2}{1 - \rho^2} .

    Args:
        loc: :math:`\mu`, the mean direction: unit vectors of any :math:`d \ge 2`
            elements. What is left of their length is divided out, so that gradients
            are tangential.
        concentration: :math:`\rho \in [0, 1)`; the law is uniform at 0.

    Shapes:
        ``loc`` is of shape ``batch_shape + (d,)``; events are vectors of :math:`d`
        elements.

    Support: unit vectors. ``log_prob`` is with respect to area on the sphere.

    Gradient: exact pathwise in both parameters, at every direction alike; draws turn
    with :math:`\mu`. On second derivatives in :math:`\mu` see
    :class:`RotationallySymmetric`.

    Numerics: every formula is closed, in any dimension; the denominator is
    :math:`(1 - \rho)^2 + \rho\,|z - \mu|^2`.

    Source: Kato and McCullagh (2020), "Some properties of a Cauchy family on the
    sphere derived from the Möbius transformations". Arguments as in
    :class:`VonMisesFisher`.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> rho = torch.tensor(0.5, requires_grad=True)
        >>> pole = torch.tensor([0.0, 1.0])
        >>> SphericalCauchy(pole, rho).rsample((10_000,))[:, 1].mean().backward()
        >>> round(rho.grad.item(), 1)  # exactly 1 on the circle
        1.0
    """

    arg_constraints = {  # noqa: RUF012 (torch's declaration)
        "loc": unit_vectors,
        "concentration": constraints.unit_interval,
    }

    def __init__(
        self,
        loc: Tensor,
        concentration: Parameter,
        validate_args: bool | None = None,
    ) -> None:
        super().__init__(loc, concentration, validate_args)

    def draw_spread(self, concentration: Tensor, shape: torch.Size) -> Tensor:
        """That of a uniform point, its stereographic image made smaller."""
        half = torch.full_like(concentration, 0.5 * (self.event_shape[0] - 1))
        squeeze = torch.log1p(-concentration) - torch.log1p(concentration)
        log_square = logit_beta_draw(half, half, shape) + 2 * squeeze
        return 2 * torch.sigmoid(log_square)

    def path_slope(
        self, spread: Tensor, rest: Tensor, concentration: Tensor, *constants: Tensor
    ) -> Tensor:
        r""":math:`-2/(1 - \rho^2)`, wherever the draw is."""
        return -2 / ((1 - concentration) * (1 + concentration))

    def log_density_at(
        self, spread: Tensor, rest: Tensor, concentration: Tensor
    ) -> Tensor:
        """The power of a ratio, over the area."""
        dim = self.event_shape[0]
        denominator = (1 - concentration).square() + 2 * concentration * spread
        log_numerator = torch.log1p(-concentration) + torch.log1p(concentration)
        return (dim - 1) * (log_numerator - denominator.log()) - log_area(dim)
