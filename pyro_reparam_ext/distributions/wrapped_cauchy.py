# SPDX-License-Identifier: Apache-2.0
"""The wrapped Cauchy distribution, reparameterized in both parameters."""

import math
from typing import final

import torch
from torch import Tensor
from torch.distributions import constraints
from torch.distributions.kl import register_kl

from pyro_reparam_ext.distributions.base import Parameter
from pyro_reparam_ext.distributions.circle import circular_cdf, turns, wrap
from pyro_reparam_ext.distributions.implicit import ImplicitDistribution


@final
class WrappedCauchy(ImplicitDistribution):
    r"""Wrapped Cauchy distribution: an angle with heavy tails around the circle.

    .. math:: z = \mu + 2\arctan\left(\frac{1-\rho}{1+\rho}\tan\frac\epsilon2\right)
        \;\text{wrapped into}\; [-\pi, \pi), \qquad
        \epsilon \sim \mathrm{Uniform}(-\pi, \pi)

    .. math:: p(z) = \frac{1 - \rho^2}{2\pi\,(1 + \rho^2 - 2\rho\cos(z - \mu))},
        \qquad \frac{\partial z}{\partial\mu} = 1, \quad
        \frac{\partial z}{\partial\rho} = -\frac{2\sin(z - \mu)}{1 - \rho^2} .

    Args:
        loc: :math:`\mu`, the mean direction in radians, any real number.
        concentration: :math:`\rho \in [0, 1)`, the mean resultant length.

    Shapes:
        The parameters broadcast to ``batch_shape``; events are scalars.

    Support: declared real, so that any angle is accepted and NUTS crosses
    :math:`\pm\pi` freely; ``log_prob`` has period :math:`2\pi`. Draws lie in
    :math:`[-\pi, \pi)`, where the density integrates to 1.

    Gradient: exact pathwise in both parameters, for **periodic** functions, as in
    :class:`VonMises`. Second derivatives are exact.

    Numerics: the denominator is :math:`(1 - \rho)^2 + 4\rho\sin^2\frac{z-\mu}{2}`.
    ``cdf`` is that of the law on :math:`[-\pi, \pi)`.

    Source: Mardia and Jupp (2000), "Directional Statistics", section 3.5.7.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> rho = torch.tensor(0.5, requires_grad=True)
        >>> WrappedCauchy(0.5, rho).rsample((10_000,)).sub(0.5).cos().mean().backward()
        >>> round(rho.grad.item(), 1)
        1.0
    """

    arg_constraints = {  # noqa: RUF012 (torch's declaration)
        "loc": constraints.real,
        "concentration": constraints.unit_interval,
    }
    support = constraints.real

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
        """A uniform angle, squeezed towards the mean direction, in float64."""
        loc, rho = self.loc.double(), self.concentration.double()
        shape = sample_shape + self.batch_shape
        uniform = torch.rand(shape, dtype=rho.dtype, device=rho.device)
        half = torch.tan(math.pi * (uniform - 0.5))
        centered = 2 * torch.atan((1 - rho) / (1 + rho) * half)
        return wrap(loc + centered, self.loc.dtype)

    def inverse(self, value: Tensor) -> Tensor:
        r"""Probability of the arc from the antipode of :math:`\mu` to :math:`z`."""
        centered, _ = turns(value.double() - self.loc.double())
        return self._centered_cdf(centered).to(value.dtype)

    def sample_gradient(self, value: Tensor) -> dict[str, Tensor]:
        r"""1, and :math:`-2\sin(z - \mu)/(1 - \rho^2)`."""
        rho = self.concentration
        sine = (value.double() - self.loc.double()).sin().to(value.dtype)
        return {
            "loc": torch.ones_like(value),
            "concentration": -2 * sine / ((1 - rho) * (1 + rho)),
        }

    def log_density(self, value: Tensor) -> Tensor:
        r""":math:`\log\frac{1-\rho^2}{2\pi}`, less the log of the denominator."""
        rho = self.concentration.double()
        half = 0.5 * (value.double() - self.loc.double())
        denominator = (1 - rho).square() + 4 * rho * half.sin().square()
        log_numerator = torch.log1p(-rho) + torch.log1p(rho) - math.log(2 * math.pi)
        return (log_numerator - denominator.log()).to(self.loc.dtype)

    def cdf(self, value: Tensor) -> Tensor:
        r""":math:`\int_{-\pi}^z p(t)\,dt`, for :math:`z \in [-\pi, \pi]`."""
        return circular_cdf(self._centered_cdf, value, self.loc).to(self.loc.dtype)

    def entropy(self) -> Tensor:
        r""":math:`\log 2\pi(1 - \rho^2)`."""
        rho = self.concentration
        return math.log(2 * math.pi) + torch.log1p(-rho) + torch.log1p(rho)

    @property
    def mean(self) -> Tensor:
        r"""The circular mean :math:`\mu`."""
        return self.loc

    @property
    def mode(self) -> Tensor:
        r""":math:`\mu`."""
        return self.loc

    @property
    def variance(self) -> Tensor:
        r"""The circular variance :math:`1 - \rho`."""
        return 1 - self.concentration

    def _centered_cdf(self, centered: Tensor) -> Tensor:
        rho = self.concentration.double()
        half = 0.5 * centered
        # atan(tan(half) / t), t = (1 - rho) / (1 + rho)
        angle = torch.atan2((1 + rho) * half.sin(), (1 - rho) * half.cos())
        return 0.5 + angle / math.pi


@register_kl(WrappedCauchy, WrappedCauchy)  # type: ignore[untyped-decorator]
def _kl_wrapped_cauchy_wrapped_cauchy(p: WrappedCauchy, q: WrappedCauchy) -> Tensor:
    one, other = p.concentration, q.concentration
    across = 4 * one * other * (0.5 * (p.loc - q.loc)).sin().square()
    room = (1 - one) * (1 + one) * (1 - other) * (1 + other)
    return torch.log1p(((one - other).square() + across) / room)
