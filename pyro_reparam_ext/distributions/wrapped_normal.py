# SPDX-License-Identifier: Apache-2.0
"""The wrapped normal distribution, reparameterized in both parameters."""

import math
from typing import final

import torch
from torch import Tensor
from torch.distributions import constraints

from pyro_reparam_ext.distributions.base import Parameter
from pyro_reparam_ext.distributions.circle import circular_cdf, turns, wrap
from pyro_reparam_ext.distributions.implicit import ImplicitDistribution
from pyro_reparam_ext.distributions.real_line import real_line

_SWITCH = 2.0  # the scale from which on the Fourier series is used
_TURNS = 4  # beyond them, normal draws of a scale below it are negligible
_HARMONICS = 5  # beyond them, harmonics of a scale above it are


@final
class WrappedNormal(ImplicitDistribution):
    r"""Wrapped normal distribution: a normal angle, on the circle.

    .. math:: z = \mu + \sigma\epsilon \;\text{wrapped into}\; [-\pi, \pi), \qquad
        p(z) = \sum_k N(z + 2\pi k;\, \mu, \sigma^2)

    .. math:: \frac{\partial z}{\partial\mu} = 1, \qquad
        \frac{\partial z}{\partial\sigma} = E[\epsilon \mid z] =
        \sum_k \frac{z + 2\pi k - \mu}{\sigma}\,
        \frac{N(z + 2\pi k;\, \mu, \sigma^2)}{p(z)} .

    Args:
        loc: :math:`\mu`, the mean direction in radians, any real number.
        scale: :math:`\sigma > 0`, that of the normal draw before wrapping.

    Shapes:
        The parameters broadcast to ``batch_shape``; events are scalars.

    Support: declared real, so that any angle is accepted and NUTS crosses
    :math:`\pm\pi` freely; ``log_prob`` has period :math:`2\pi`. Draws lie in
    :math:`[-\pi, \pi)`, where the density integrates to 1.

    Gradient: exact pathwise in both parameters, for **periodic** functions, as in
    :class:`VonMises`. In :math:`\sigma` it is the path of a fixed quantile, which is
    the mean over how often :math:`\epsilon` went around: of less variance than
    :math:`\epsilon` itself. Second derivatives are exact.

    Numerics: the sum over turns for :math:`\sigma < 2`, its Fourier series above, both
    cut off below 1e-16. ``cdf`` is that of the law on :math:`[-\pi, \pi)`.

    Source: Mardia and Jupp (2000), "Directional Statistics", section 3.5.7.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> scale = torch.tensor(1.0, requires_grad=True)
        >>> WrappedNormal(0.0, scale).rsample((10_000,)).cos().mean().backward()
        >>> round(scale.grad.item(), 1)  # exactly -exp(-1/2)
        -0.6
    """

    arg_constraints = {  # noqa: RUF012 (torch's declaration)
        "loc": constraints.real,
        "scale": constraints.positive,
    }
    support = real_line

    def __init__(
        self, loc: Parameter, scale: Parameter, validate_args: bool | None = None
    ) -> None:
        super().__init__(loc=loc, scale=scale, validate_args=validate_args)

    def simulate(self, sample_shape: torch.Size) -> Tensor:
        """A normal draw, wrapped, in float64."""
        loc, scale = self.loc.double(), self.scale.double()
        shape = sample_shape + self.batch_shape
        normal = torch.randn(shape, dtype=loc.dtype, device=loc.device)
        return wrap(loc + scale * normal, self.loc.dtype)

    def inverse(self, value: Tensor) -> Tensor:
        r"""Probability of the arc from the antipode of :math:`\mu` to :math:`z`."""
        return self._centered_cdf(self._centered(value)).to(value.dtype)

    def sample_gradient(self, value: Tensor) -> dict[str, Tensor]:
        r"""1, and :math:`E[\epsilon \mid z]`."""
        centered = self._centered(value)
        narrow, small, large = self._regimes()
        by_turn = _by_turn(centered, small)
        weight = torch.softmax(-0.5 * by_turn.square(), -1)
        by_turns = (weight * by_turn).sum(-1)
        n, damping = _harmonics(large)
        flow = (n * damping * (n * centered.unsqueeze(-1)).sin()).sum(-1)
        by_harmonics = large / math.pi * flow / _fourier_density(centered, large)
        by_scale = torch.where(narrow, by_turns, by_harmonics)
        return {"loc": torch.ones_like(value), "scale": by_scale.to(value.dtype)}

    def log_density(self, value: Tensor) -> Tensor:
        r""":math:`\log\sum_k N(z + 2\pi k; \mu, \sigma^2)`, or the Fourier series."""
        centered = self._centered(value)
        narrow, small, large = self._regimes()
        exponents = -0.5 * _by_turn(centered, small).square()
        by_turns = exponents.logsumexp(-1) - small.log() - 0.5 * math.log(2 * math.pi)
        by_harmonics = _fourier_density(centered, large).log()
        return torch.where(narrow, by_turns, by_harmonics).to(self.loc.dtype)

    def cdf(self, value: Tensor) -> Tensor:
        r""":math:`\int_{-\pi}^z p(t)\,dt`, for :math:`z \in [-\pi, \pi]`."""
        return circular_cdf(self._centered_cdf, value, self.loc).to(self.loc.dtype)

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
        r"""The circular variance :math:`1 - e^{-\sigma^2/2}`."""
        return -torch.expm1(-0.5 * self.scale.square())

    def _centered(self, value: Tensor) -> Tensor:
        return turns(value.double() - self.loc.double())[0]

    def _regimes(self) -> tuple[Tensor, Tensor, Tensor]:
        """Whether turns are summed, and the scale for either sum, safe in the other."""
        scale = self.scale.double()
        narrow = scale < _SWITCH
        return (
            narrow,
            torch.where(narrow, scale, 1.0),
            torch.where(narrow, _SWITCH, scale),
        )

    def _centered_cdf(self, centered: Tensor) -> Tensor:
        narrow, small, large = self._regimes()
        antipode = torch.full_like(centered, -math.pi)
        below = torch.special.ndtr(_by_turn(centered, small))
        start = torch.special.ndtr(_by_turn(antipode, small))
        by_turns = (below - start).sum(-1)
        n, damping = _harmonics(large)
        waves = (damping / n * (n * centered.unsqueeze(-1)).sin()).sum(-1) / math.pi
        by_harmonics = 0.5 + centered / (2 * math.pi) + waves
        return torch.where(narrow, by_turns, by_harmonics)


def _by_turn(centered: Tensor, scale: Tensor) -> Tensor:
    """The normal draws that an angle may have come from, in units of the scale."""
    k = torch.arange(-_TURNS, _TURNS + 1, dtype=centered.dtype, device=centered.device)
    return (centered.unsqueeze(-1) + 2 * math.pi * k) / scale.unsqueeze(-1)


def _harmonics(scale: Tensor) -> tuple[Tensor, Tensor]:
    """Their numbers, and what is left of each."""
    n = torch.arange(1, _HARMONICS + 1, dtype=scale.dtype, device=scale.device)
    return n, torch.exp(-0.5 * (n * scale.unsqueeze(-1)).square())


def _fourier_density(centered: Tensor, scale: Tensor) -> Tensor:
    n, damping = _harmonics(scale)
    waves = (damping * (n * centered.unsqueeze(-1)).cos()).sum(-1)
    return (0.5 + waves) / math.pi
