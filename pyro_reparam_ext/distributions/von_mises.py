# SPDX-License-Identifier: Apache-2.0
"""The von Mises distribution on the circle, reparameterized in both parameters."""

import math
from typing import Any, NamedTuple, final

import torch
from torch import Tensor
from torch.distributions import constraints
from torch.distributions.kl import register_kl

from pyro_reparam_ext.distributions.base import Parameter
from pyro_reparam_ext.distributions.circle import circular_cdf, turns, wrap
from pyro_reparam_ext.distributions.implicit import ImplicitDistribution
from pyro_reparam_ext.ops import gauss_legendre, one_minus_bessel_ratio
from pyro_reparam_ext.ops.quick_von_mises import quick_von_mises_path


class _Rule(NamedTuple):
    """How an arc is integrated: nodes, and where the density is taken to have ended."""

    num_nodes: int
    decay: float


_EXACT = _Rule(32, 40.0)
_RULES = {torch.float64: _EXACT, torch.float32: _Rule(14, 20.0)}


@final
class VonMises(ImplicitDistribution):
    r"""Von Mises distribution: an angle, concentrated around a mean direction.

    .. math:: z = \mu + s \;\text{wrapped into}\; [-\pi, \pi), \qquad
        p(s) = \frac{e^{\kappa\cos s}}{2\pi I_0(\kappa)}

    .. math:: \frac{\partial z}{\partial\mu} = 1, \qquad
        \frac{\partial z}{\partial\kappa} =
        -\int_{-\pi}^{s} \bigl(\cos t - A(\kappa)\bigr)\,
        e^{\kappa(\cos t - \cos s)}\,dt, \qquad A = I_1/I_0 .

    Args:
        loc: :math:`\mu`, the mean direction in radians, any real number.
        concentration: :math:`\kappa > 0`.

    Shapes:
        The parameters broadcast to ``batch_shape``; events are scalars.

    Support: declared real as in torch, so that any angle is accepted and NUTS crosses
    :math:`\pm\pi` freely; ``log_prob`` has period :math:`2\pi`. Draws lie in
    :math:`[-\pi, \pi)`, where the density integrates to 1.

    Gradient: pathwise in both parameters, and right for **periodic**
    :math:`f(z) = f(z + 2\pi)`: the path carries mass through :math:`\pm\pi`, where a
    function of the raw angle jumps, and the jump is not in the gradient. Feed a
    network :math:`(\cos z, \sin z)`, not :math:`z`. In :math:`\kappa` the integral is
    computed by 26 Gauss-Legendre nodes (12 for float32), from whichever of 0 and the
    antipode keeps the integrand of one sign: relative error below 1e-12 (1e-5) for
    :math:`\kappa \in [10^{-3}, 10^4]` at any angle. Second derivatives are exact.

    Numerics: :math:`\log p` by ``torch.special.i0e`` and
    :math:`\cos s - 1 = -2\sin^2(s/2)`, where torch's polynomials err by 5e-7. ``cdf``
    and ``icdf`` are those of the law on :math:`[-\pi, \pi)`.

    Source: Best and Fisher (1979), "Efficient simulation of the von Mises
    distribution"; Figurnov, Mohamed and Mnih (2018), "Implicit reparameterization
    gradients". Arguments as in :class:`torch.distributions.VonMises`.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> kappa = torch.tensor(2.0, requires_grad=True)
        >>> VonMises(0.5, kappa).rsample((1000,)).sub(0.5).cos().mean().backward()
        >>> bool(kappa.grad > 0)
        True
    """

    arg_constraints = {  # noqa: RUF012 (torch's declaration)
        "loc": constraints.real,
        "concentration": constraints.positive,
    }
    support = constraints.real
    ends = (-math.pi, math.pi)  # of the law of draws

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
        """Best and Fisher's rejection sampler, in float64."""
        shape = sample_shape + self.batch_shape
        loc, kappa = self.loc.double(), self.concentration.double()
        uniforms = torch.rand((3, *shape), dtype=kappa.dtype, device=kappa.device)
        centered = best_fisher(uniforms, kappa.expand(shape).contiguous())
        return wrap(loc + centered, self.loc.dtype)

    def inverse(self, value: Tensor) -> Tensor:
        r"""Probability of the arc from the antipode of :math:`\mu` to :math:`z`."""
        return _centered_cdf(*self._centered(value)).to(value.dtype)

    def sample_gradient(self, value: Tensor) -> dict[str, Tensor]:
        """1, and the integral of the centered score over one side, over the density."""
        rule = _RULES.get(value.dtype, _EXACT)
        by_concentration = _by_concentration(*self._centered(value), rule)
        return {
            "loc": torch.ones_like(value),
            "concentration": by_concentration.to(value.dtype),
        }

    def quick_gradient(self, value: Tensor) -> dict[str, Tensor]:
        """The same integral, in the dtype of the parameters."""
        centered, _ = turns(value.double() - self.loc.double())
        by_concentration = quick_von_mises_path(centered, self.concentration)
        return {
            "loc": torch.ones_like(value),
            "concentration": by_concentration.to(value.dtype),
        }

    def quantile_gradient(self, value: Tensor) -> dict[str, Tensor]:
        r"""Less the mass that the path carries through :math:`-\pi`."""
        cut = torch.full_like(value, -math.pi)
        ratio = (self.log_density(cut) - self.log_density(value)).exp()
        there = self.sample_gradient(cut)
        here = self.sample_gradient(value)
        return {name: g - ratio * there[name] for name, g in here.items()}

    def log_density(self, value: Tensor) -> Tensor:
        r""":math:`-2\kappa\sin^2\frac{z-\mu}{2} - \log 2\pi e^{-\kappa}I_0(\kappa)`."""
        half = 0.5 * (value - self.loc)
        return (
            -2 * self.concentration * half.sin().square()
            - torch.special.i0e(self.concentration).log()
            - math.log(2 * math.pi)
        )

    def cdf(self, value: Tensor) -> Tensor:
        r""":math:`\int_{-\pi}^z p(t)\,dt`, for :math:`z \in [-\pi, \pi]`."""
        kappa = self.concentration.double()
        cdf = circular_cdf(lambda t: _centered_cdf(t, kappa), value, self.loc)
        return cdf.to(self.loc.dtype)

    def entropy(self) -> Tensor:
        r""":math:`\log 2\pi e^{-\kappa}I_0(\kappa) + \kappa(1 - A(\kappa))`."""
        kappa = self.concentration
        log_normalizer = math.log(2 * math.pi) + torch.special.i0e(kappa).log()
        return log_normalizer + kappa * one_minus_bessel_ratio(kappa)

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
        r"""The circular variance :math:`1 - A(\kappa)`."""
        return one_minus_bessel_ratio(self.concentration)

    def _centered(self, value: Tensor) -> tuple[Tensor, Tensor]:
        centered, _ = turns(value.double() - self.loc.double())
        return centered, self.concentration.double()


@torch.library.custom_op(
    "pyro_reparam_ext::von_mises_best_fisher",
    mutates_args=(),
    tags=(torch.Tag.nondeterministic_seeded,),
)
def best_fisher(uniforms: Tensor, concentration: Tensor) -> Tensor:
    r"""Draws of a von Mises law around 0, in float64: opaque to compilers.

    Args:
        uniforms: The noise of the first proposal, of shape ``(3,) + shape``. It is an
            argument so that ``torch.func.vmap`` knows which draws are to differ; what
            is rejected is drawn again inside.
        concentration: :math:`\kappa`, of shape ``shape``.
    """
    # r - 1 of Best and Fisher's envelope; neither end of κ cancels
    kappa = concentration.reshape(-1)
    root = torch.hypot(torch.ones_like(kappa), 2 * kappa)
    tau = 1 + root
    denominator = tau + (2 * tau).sqrt()
    rho = 2 * kappa / denominator
    one_minus_rho = (1 + 1 / (root + 2 * kappa) + (2 * tau).sqrt()) / denominator
    r_minus_1 = 0.5 * one_minus_rho.square() / rho

    u1, u2, u3 = uniforms.reshape(3, -1)
    draws = torch.empty_like(kappa)
    pending = torch.arange(kappa.numel(), device=kappa.device)
    while True:
        half_angle = 0.5 * math.pi * u1
        one_minus_f = (
            2
            * r_minus_1
            * half_angle.sin().square()
            / (r_minus_1 + 2 * half_angle.cos().square())
        )
        c = kappa * (r_minus_1 + one_minus_f)
        rejected = (c / u2).log() + 1 - c < 0  # false for NaN, which is passed on
        angle = 2 * (0.5 * one_minus_f).sqrt().clamp(max=1).asin()
        draws[pending] = torch.where(u3 < 0.5, -angle, angle)
        pending = pending[rejected]
        if pending.numel() == 0:
            return draws.reshape(concentration.shape)
        kappa, r_minus_1 = kappa[rejected], r_minus_1[rejected]
        u1, u2, u3 = torch.rand(
            (3, *kappa.shape), dtype=kappa.dtype, device=kappa.device
        )


@best_fisher.register_fake
def _(uniforms: Tensor, concentration: Tensor) -> Tensor:
    return torch.empty_like(concentration)


@best_fisher.register_vmap
def _(
    info: Any, in_dims: tuple[int | None, ...], uniforms: Tensor, concentration: Tensor
) -> tuple[Tensor, int]:
    if info.randomness == "same":
        raise RuntimeError(
            "VonMises.sample under vmap: expected randomness='different'; found "
            "'same', which a rejection sampler cannot keep. Pass "
            "randomness='different', or draw outside of vmap."
        )
    at_uniforms, at_concentration = in_dims
    if at_uniforms is None:
        uniforms = uniforms.unsqueeze(1).expand(3, info.batch_size, *uniforms.shape[1:])
    else:
        uniforms = uniforms.movedim(at_uniforms, 1)
    if at_concentration is None:
        concentration = concentration.expand(info.batch_size, *concentration.shape)
    else:
        concentration = concentration.movedim(at_concentration, 0)
    return best_fisher(uniforms.contiguous(), concentration.contiguous()), 0


def _arc_start(end: Tensor, kappa: Tensor, rule: _Rule) -> Tensor:
    """Where the density has fallen to that at ``end`` times exp(-decay)."""
    cosine = end.detach().cos() - rule.decay / kappa.detach()
    return -torch.acos(cosine.clamp(min=-1))


def _relative_density(t: Tensor, end: Tensor, kappa: Tensor) -> Tensor:
    """p(t) / p(end), the nodes t on a dimension of their own."""
    end, kappa = end.unsqueeze(-1), kappa.unsqueeze(-1)
    # cos t - cos s as a product
    return torch.exp(-2 * kappa * (0.5 * (t + end)).sin() * (0.5 * (t - end)).sin())


def _centered_cdf(centered: Tensor, kappa: Tensor) -> Tensor:
    """The cdf around 0 from the antipode, by the integral over the shorter tail."""
    centered, kappa = torch.broadcast_tensors(centered, kappa)
    end = torch.where(centered < 0, centered, -centered)
    ratio = gauss_legendre(
        lambda t: _relative_density(t, end, kappa),
        _arc_start(end, kappa, _EXACT),
        end,
        _EXACT.num_nodes,
    )
    density = torch.exp(-2 * kappa * (0.5 * end).sin().square()) / (
        2 * math.pi * torch.special.i0e(kappa)
    )
    tail = ratio * density
    return torch.where(centered < 0, tail, 1 - tail)


def _by_concentration(centered: Tensor, kappa: Tensor, rule: _Rule) -> Tensor:
    """ds/dκ at a fixed quantile."""
    centered, kappa = torch.broadcast_tensors(centered, kappa)
    sign = torch.where(centered < 0, -1.0, 1.0).to(centered.dtype)
    end = -sign * centered
    spread = one_minus_bessel_ratio(kappa)

    def integrand(t: Tensor) -> Tensor:
        score = spread.unsqueeze(-1) - 2 * (0.5 * t).sin().square()
        return score * _relative_density(t, end, kappa)

    # over the half circle it integrates to 0: start where its sign does not change
    inner = 2 * (0.5 * end).sin().square() < spread
    start = torch.where(inner, 0.0, _arc_start(end, kappa, rule))
    return sign * gauss_legendre(integrand, start, end, rule.num_nodes)


@register_kl(VonMises, VonMises)  # type: ignore[untyped-decorator]
def _kl_von_mises_von_mises(p: VonMises, q: VonMises) -> Tensor:
    spread = one_minus_bessel_ratio(p.concentration)
    # E_p[1 - cos(z - q.loc)]
    away = spread + 2 * (1 - spread) * (0.5 * (p.loc - q.loc)).sin().square()
    log_ratio = (
        torch.special.i0e(q.concentration).log()
        - torch.special.i0e(p.concentration).log()
    )
    return log_ratio + q.concentration * away - p.concentration * spread
