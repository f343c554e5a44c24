# SPDX-License-Identifier: Apache-2.0
"""The inverse Gaussian distribution, with a closed-form pathwise gradient."""

import math
from typing import final

import torch
from torch import Tensor
from torch.distributions import constraints
from torch.distributions.kl import register_kl

from pyro_reparam_ext.distributions.base import Parameter
from pyro_reparam_ext.distributions.implicit import ImplicitDistribution
from pyro_reparam_ext.ops import (
    choose,
    gauss_legendre,
    in_parts,
    log1mexp,
    log_normal_cdf,
    log_normal_quantile,
    mills_ratio,
    mills_ratio_complement,
    quick_mills,
    solve_log_tail,
)

_LOG_2 = math.log(2)
_SMALLEST = 1e-17
_NODES = 12


@final
class InverseGaussian(ImplicitDistribution):
    r"""Inverse Gaussian (Wald) distribution: first passage times of a drifting walk.

    With :math:`\nu = \epsilon^2`, :math:`\epsilon \sim \mathrm{N}(0, 1)` and
    :math:`w = \mu\nu/2\lambda`, a draw is

    .. math:: z = \mu/q \;\text{with probability}\; q/(1 + q), \text{ else } \mu q,
        \qquad q = 1 + w + \sqrt{w(w + 2)}

    .. math:: p(z) = \sqrt{\frac{\lambda}{2\pi z^3}}\,
        \exp\left(-\frac{\lambda(z-\mu)^2}{2\mu^2 z}\right)

    Args:
        loc: the mean :math:`\mu > 0`.
        concentration: the shape :math:`\lambda > 0`; the variance is
            :math:`\mu^3/\lambda`.

    Shapes:
        The parameters broadcast to ``batch_shape``; events are scalars.

    Support: :math:`z > 0`; draws beyond the range of the dtype are set to its smallest
    or largest positive number.

    Gradient: exact pathwise in both parameters, from the cdf, never through the choice
    of root. With :math:`b = \sqrt{\lambda/z}\,(z/\mu + 1)` and Mills' ratio :math:`M`,

    .. math:: \frac{\partial z}{\partial\mu} =
        \frac{2 z\sqrt{\lambda z}}{\mu^2} M(b), \qquad
        \frac{\partial z}{\partial\lambda} = \frac{z}{\lambda}\left(
        \frac{\mu - z}{\mu + z} +
        \frac{2\sqrt{\lambda z}}{\mu b}\bigl(1 - b M(b)\bigr)\right).

    Relative error below 1e-12 in float64, and 1e-5 in float32, for
    :math:`\lambda/\mu \in [10^{-3}, 10^6]`, next to the zero of
    :math:`\partial z/\partial\lambda` too unless :math:`z` is within 1e-3 of it.
    Second derivatives are exact.

    Numerics: no power of :math:`e^{2\lambda/\mu}` is formed. ``log_cdf`` and ``log_sf``
    resolve both tails; ``icdf`` inverts them by Newton's method.

    Source: Michael, Schucany and Haas (1976), "Generating random variates using
    transformations with multiple roots"; Lin, Schmidt and Khan (2020),
    arXiv:2002.10060, appendix H, on the implicit gradient.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> mean = torch.tensor(1.5, requires_grad=True)
        >>> z = InverseGaussian(mean, 2.0).rsample((10_000,))
        >>> z.mean().backward()
        >>> round(mean.grad.item(), 1)
        1.0
    """

    arg_constraints = {  # noqa: RUF012 (torch's declaration)
        "loc": constraints.positive,
        "concentration": constraints.positive,
    }
    support = constraints.positive

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
        """The two roots of a chi-squared equation, chosen by their probabilities."""
        shape = sample_shape + self.batch_shape
        dtype, device = self.loc.dtype, self.loc.device
        normal = torch.randn(shape, dtype=dtype, device=device)
        # in float64: the larger root may be a rare one
        uniform = torch.rand(shape, dtype=torch.float64, device=device)
        (value,) = in_parts(_root, normal, uniform, self.loc, self.concentration)
        return value

    def inverse(self, value: Tensor) -> Tensor:
        """The cdf."""
        return self.cdf(value)

    def sample_gradient(self, value: Tensor) -> dict[str, Tensor]:
        """The closed forms, in Mills' ratio."""
        z = value.double()
        mean, shape = self.loc.double(), self.concentration.double()
        root = (shape * z).sqrt()
        b = (shape / z).sqrt() + root / mean
        by_loc = 2 * z * root / mean.square() * mills_ratio(b)
        by_concentration = (z / shape) * (
            (mean - z) / (mean + z) + 2 * root / mean * mills_ratio_complement(b) / b
        )
        return {
            "loc": by_loc.to(value.dtype),
            "concentration": by_concentration.to(value.dtype),
        }

    def quick_gradient(self, value: Tensor) -> dict[str, Tensor]:
        """The closed forms, in the dtype of the value."""
        mean, shape = self.loc, self.concentration
        root = shape.sqrt() * value.sqrt()
        twice = 2 * root / mean
        b = (shape / value).sqrt() + 0.5 * twice
        ratio, complement = quick_mills(b)
        distance = (mean - value) / (mean + value)
        return {
            "loc": twice * (value / mean) * ratio,
            "concentration": (value / shape) * (distance + twice * complement / b),
        }

    def log_density(self, value: Tensor) -> Tensor:
        r""":math:`\frac12\log(\lambda/2\pi z^3) - \lambda(z-\mu)^2/2\mu^2z`."""
        distance = (value - self.loc) / self.loc
        return (
            0.5 * self.concentration.log()
            - 0.5 * math.log(2 * math.pi)
            - 1.5 * value.log()
            - 0.5 * distance.square() * (self.concentration / value)
        )

    def cdf(self, value: Tensor) -> Tensor:
        r""":math:`\Phi(a) + \phi(a) M(b)`, :math:`a = \sqrt{\lambda/z}(z/\mu - 1)`."""
        a, b = self._ends(value)
        density = _log_normal_density(a).exp()
        cdf = 0.5 * torch.special.erfc(-a * math.sqrt(0.5)) + density * mills_ratio(b)
        return cdf.clamp(max=1).to(self.loc.dtype)

    def log_cdf(self, value: Tensor) -> Tensor:
        r""":math:`\log F(z)`, in float64; its small values are resolved."""
        a, b = self._ends(value)
        beyond = _log_normal_density(a) + mills_ratio(b).log()
        return torch.logaddexp(log_normal_cdf(a), beyond).clamp(max=-_SMALLEST)

    def log_sf(self, value: Tensor) -> Tensor:
        r""":math:`\log(1 - F(z)) = \log\phi(a) + \log(M(a) - M(b))`, in float64.

        As minus the integral of :math:`M'` where the two are close, and as the
        complement below the median.
        """
        a, b = self._ends(value)
        lower = self.log_cdf(value)
        below = lower < -_LOG_2
        # each formula sees only points of its own side: no NaN in the unused gradient
        start = torch.where(below, 0.0, a)
        end = torch.where(below, 1.0, b)
        near = end - start < 1
        integral = gauss_legendre(
            mills_ratio_complement, start, torch.where(near, end, start + 1), _NODES
        )
        apart = mills_ratio(start) - mills_ratio(torch.where(near, start + 1, end))
        upper = torch.where(near, integral, apart).log() + _log_normal_density(start)
        return torch.where(below, log1mexp(-lower), upper)

    def log_icdf(self, log_probability: Tensor) -> Tensor:
        r""":math:`z` from :math:`\log F(z)`, without gradient; see ``icdf``."""
        # the cdf is at most twice its normal term
        a = log_normal_quantile(log_probability - _LOG_2)
        return self._root(log_probability, a, False)

    def log_isf(self, log_probability: Tensor) -> Tensor:
        r""":math:`z` from :math:`\log(1 - F(z))`, without gradient."""
        return self._root(log_probability, -log_normal_quantile(log_probability), True)

    @property
    def mean(self) -> Tensor:
        r""":math:`\mu`."""
        return self.loc

    @property
    def variance(self) -> Tensor:
        r""":math:`\mu^3/\lambda`."""
        return self.loc.pow(3) / self.concentration

    @property
    def mode(self) -> Tensor:
        r""":math:`\mu/(\sqrt{1 + r^2} + r)` with :math:`r = 3\mu/2\lambda`."""
        r = 1.5 * self.loc / self.concentration
        return self.loc / (torch.hypot(torch.ones_like(r), r) + r)

    def _ends(self, value: Tensor) -> tuple[Tensor, Tensor]:
        r""":math:`\sqrt{\lambda/z}\,(z/\mu \mp 1)`, in float64."""
        info = torch.finfo(torch.float64)
        z = value.double().clamp(info.tiny, info.max)  # at 0 and inf it is 0 and 1
        mean, shape = self.loc.double(), self.concentration.double()
        root = (shape / z).sqrt()
        return root * ((z - mean) / mean), root * ((z + mean) / mean)

    def _root(self, log_probability: Tensor, a: Tensor, upper: bool) -> Tensor:
        """In log z, whose density is log-concave, from where the normal term says."""
        mean, shape = self.loc.double(), self.concentration.double()
        c = 0.5 * a * (mean / shape).sqrt()
        start = mean.log() + 2 * torch.asinh(c)
        root = solve_log_tail(
            lambda w, rough: (
                self.log_cdf(w.exp()),
                self.log_sf(w.exp()),
                self.log_density(w.exp()) + w,
            ),
            start,
            log_probability,
            torch.full_like(start, upper, dtype=torch.bool),
        )
        return root.exp()


def _log_normal_density(x: Tensor) -> Tensor:
    return -0.5 * x.square() - 0.5 * math.log(2 * math.pi)


def _root(
    normal: Tensor, uniform: Tensor, mean: Tensor, shape: Tensor
) -> tuple[Tensor]:
    info = torch.finfo(normal.dtype)
    w = (0.5 * normal.square() * (mean / shape)).clamp(max=info.max / 8)
    q = 1 + w + w.sqrt() * (w + 2).sqrt()
    is_larger = 1 - uniform.to(w.dtype) * (1 + q)
    return ((mean * choose(is_larger, q, 1 / q)).clamp(info.tiny, info.max),)


@register_kl(InverseGaussian, InverseGaussian)  # type: ignore[untyped-decorator]
def _kl_inverse_gaussian_inverse_gaussian(
    p: InverseGaussian, q: InverseGaussian
) -> Tensor:
    ratio = q.concentration / p.concentration
    distance = (p.loc - q.loc) / q.loc
    return (
        0.5 * (ratio - 1 - ratio.log())
        + 0.5 * q.concentration * distance.square() / p.loc
    )
