# SPDX-License-Identifier: Apache-2.0
"""The normal inverse Gaussian distribution, reparameterized by quadrature."""

import math
from typing import NamedTuple, final

import torch
from torch import Tensor
from torch.distributions import constraints

from pyro_reparam_ext.distributions.base import Parameter
from pyro_reparam_ext.distributions.implicit import ImplicitDistribution
from pyro_reparam_ext.distributions.inverse_gaussian import InverseGaussian
from pyro_reparam_ext.distributions.real_line import real_line
from pyro_reparam_ext.ops import gauss_legendre, log_bessel_k1e

_NODES = 32  # of each of two panels
_DEPTH = 40.0  # log of how far below its largest value a density is cut off


@final
class NormalInverseGaussian(ImplicitDistribution):
    r"""Normal inverse Gaussian distribution: skewed, with tails heavier than normal.

    For returns and turbulence: a normal whose variance is the first passage time of a
    walk. With :math:`\gamma = \sqrt{\alpha^2 - \beta^2}`,

    .. math:: z = \mu + \beta v + \sqrt v\,\epsilon, \qquad
        v \sim \mathrm{InverseGaussian}(\delta/\gamma, \delta^2),
        \quad \epsilon \sim \mathrm{N}(0, 1)

    .. math:: p(z) = \frac{\alpha\delta\,K_1(\alpha r)}{\pi r}\,
        e^{\delta\gamma + \beta(z - \mu)}, \qquad r = \sqrt{\delta^2 + (z - \mu)^2}

    Args:
        loc: :math:`\mu`, any real number.
        scale: :math:`\delta > 0`.
        tailweight: :math:`\alpha > 0`; the smaller, the heavier the tails.
        skewness: :math:`\beta` with :math:`|\beta| < \alpha`.

    Shapes:
        The parameters broadcast to ``batch_shape``; events are scalars.

    Support: the real line.

    Gradient: exact pathwise in all parameters, along the quantile of :math:`z` itself
    rather than through :math:`v` and :math:`\epsilon`: its variance is the smallest of
    any path. In :math:`t = \mathrm{arsinh}((z - \mu)/\delta)` the density is

    .. math:: q(t) = \frac{a}{\pi}\,e^{a\cosh t} K_1(a\cosh t)\,
        \exp\left(-2\delta\gamma\sinh^2\frac{t - t_0}{2}\right), \qquad
        a = \alpha\delta,\quad \tanh t_0 = \beta/\alpha,

    whose smaller tail is integrated by two Gauss-Legendre rules of 32 nodes. Relative
    error below 2e-9 for :math:`\delta\gamma \in [10^{-2}, 10^4]`; second derivatives
    are as exact.

    Numerics: computed in float64. A draw and its gradient cost 64 Bessel functions.

    Source: Barndorff-Nielsen (1997), "Normal inverse Gaussian distributions and
    stochastic volatility modelling". Arguments as in TFP's class.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> skewness = torch.tensor(0.5, requires_grad=True)
        >>> law = NormalInverseGaussian(0.0, 1.0, 2.0, skewness)
        >>> law.rsample((10_000,)).mean().backward()
        >>> round(skewness.grad.item(), 1)  # the derivative of beta / gamma
        0.6
    """

    arg_constraints = {  # noqa: RUF012 (torch's declaration)
        "loc": constraints.real,
        "scale": constraints.positive,
        "tailweight": constraints.positive,
        "skewness": constraints.real,
    }
    support = real_line

    def __init__(
        self,
        loc: Parameter,
        scale: Parameter,
        tailweight: Parameter,
        skewness: Parameter,
        validate_args: bool | None = None,
    ) -> None:
        super().__init__(
            loc=loc,
            scale=scale,
            tailweight=tailweight,
            skewness=skewness,
            validate_args=validate_args,
        )
        if self._validate_args and (self.skewness.abs() >= self.tailweight).any():
            raise ValueError(
                "NormalInverseGaussian: expected abs(skewness) < tailweight; found "
                f"skewness {self.skewness} and tailweight {self.tailweight}. Give "
                "skewness as a fraction of tailweight, by tanh, say."
            )

    def simulate(self, sample_shape: torch.Size) -> Tensor:
        """The normal with a random variance."""
        frame = _frame(self)
        variance = InverseGaussian(
            1 / frame.g, torch.ones_like(frame.g), validate_args=False
        ).simulate(sample_shape)
        eps = torch.randn(variance.shape, dtype=variance.dtype, device=variance.device)
        value = self.loc + self.scale * (frame.b * variance + variance.sqrt() * eps)
        largest = torch.finfo(self.loc.dtype).max
        return value.clamp(-largest, largest).to(self.loc.dtype)

    def inverse(self, value: Tensor) -> Tensor:
        """The cdf."""
        return self.cdf(value)

    def sample_gradient(self, value: Tensor) -> dict[str, Tensor]:
        """From the derivative of the smaller tail, relative to the density."""
        names = list(self.arg_constraints)

        def tail(*parameters: Tensor) -> Tensor:
            new = self.with_parameters(dict(zip(names, parameters, strict=True)))
            return _relative_tail(new, z, is_lower, top)

        z = value.double()
        frame = _frame(self)
        t = frame.position(z)
        is_lower, top = t < frame.center, frame.log_density(t)
        vjp = torch.func.vjp(tail, *self.parameters.values())[1]
        slope = frame.scale * torch.cosh(t)
        by_parameter = vjp(torch.where(is_lower, -slope, slope))
        return dict(zip(names, by_parameter, strict=True))

    def log_density(self, value: Tensor) -> Tensor:
        """In the coordinate t, in which nothing cancels."""
        frame = _frame(self)
        t = frame.position(value.double())
        log_slope = frame.scale.log() + torch.cosh(t).log()
        return (frame.log_density(t) - log_slope).to(self.loc.dtype)

    def cdf(self, value: Tensor) -> Tensor:
        """The integral of the density over the smaller tail."""
        frame = _frame(self)
        t = frame.position(value.double())
        is_lower, top = t < frame.center, frame.log_density(t)
        tail = _relative_tail(self, value.double(), is_lower, top) * top.exp()
        return torch.where(is_lower, tail, 1 - tail).to(self.loc.dtype)

    @property
    def mean(self) -> Tensor:
        r""":math:`\mu + \delta\beta/\gamma`."""
        frame = _frame(self)
        return (self.loc + self.scale * frame.b / frame.g).to(self.loc.dtype)

    @property
    def variance(self) -> Tensor:
        r""":math:`\delta\alpha^2/\gamma^3`."""
        frame = _frame(self)
        ratio = frame.a / frame.g
        return (frame.scale.square() * ratio.square() / frame.g).to(self.loc.dtype)


class _Frame(NamedTuple):
    """The parameters without dimension: alpha, beta and gamma times delta."""

    loc: Tensor
    scale: Tensor
    a: Tensor
    b: Tensor
    g: Tensor
    center: Tensor

    def position(self, value: Tensor) -> Tensor:
        return torch.asinh((value - self.loc) / self.scale)

    def log_density(self, t: Tensor) -> Tensor:
        """Of t."""
        bessel = log_bessel_k1e(self.a * torch.cosh(t))
        far = torch.sinh(0.5 * (t - self.center)).square()
        return self.a.log() - math.log(math.pi) + bessel - 2 * self.g * far

    def unsqueezed(self) -> "_Frame":
        return _Frame(*(x.unsqueeze(-1) for x in self))


def _frame(d: NormalInverseGaussian) -> _Frame:
    scale = d.scale.double()
    up = d.tailweight.double() + d.skewness.double()
    down = d.tailweight.double() - d.skewness.double()
    return _Frame(
        loc=d.loc.double(),
        scale=scale,
        a=scale * d.tailweight.double(),
        b=scale * d.skewness.double(),
        g=scale * up.sqrt() * down.sqrt(),
        center=0.5 * (up.log() - down.log()),
    )


def _relative_tail(
    d: NormalInverseGaussian, value: Tensor, is_lower: Tensor, top: Tensor
) -> Tensor:
    """The tail on one side of a value, over the density of t at ``exp(top)``."""
    frame = _frame(d)
    t = frame.position(value)
    # the exponent falls by _DEPTH within this distance of the center
    away = (t - frame.center).abs()
    reach = torch.acosh(torch.cosh(away) + _DEPTH / frame.g)
    side = torch.where(is_lower, -1.0, 1.0)
    end = (frame.center + side * reach).detach()
    # K1 changes its behaviour at 0: a panel on either side
    inside = (torch.minimum(t, end) < 0) & (torch.maximum(t, end) > 0)
    middle = torch.where(inside, 0.0, 0.5 * (t + end)).detach()
    wide, top = frame.unsqueezed(), top.unsqueeze(-1)

    def relative(u: Tensor) -> Tensor:
        return torch.exp(wide.log_density(u) - top)

    near = gauss_legendre(relative, t, middle, _NODES)
    far = gauss_legendre(relative, middle, end, _NODES)
    return side * (near + far)
