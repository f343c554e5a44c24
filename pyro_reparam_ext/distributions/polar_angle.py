# SPDX-License-Identifier: Apache-2.0
r"""The angle of a von Mises-Fisher draw from its mean direction.

Its density is :math:`f(\theta) \propto \sin^{d-2}\theta\,e^{\kappa\cos\theta}`. All of
this is in float64.
"""

import math
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from pyro_reparam_ext.ops import gauss_legendre, in_chunks

_SMALL = 1e-4  # a concentration below which differences cancel


class Rule(NamedTuple):
    """How many nodes there are, and how far the log-density falls along them."""

    nodes: int
    decay: float


FINE = Rule(32, 40.0)
COARSE = Rule(16, 18.0)  # five digits or more


class PolarIntegral(NamedTuple):
    r"""Of :math:`e^{-\kappa x}` over the sphere, :math:`x = 1 - \cos\theta`.

    Args:
        log_normalizer: The log of the integral.
        spread: :math:`E x = 1 - A(\kappa)`, to its own digits.
        square: :math:`E x^2`.
    """

    log_normalizer: Tensor
    spread: Tensor
    square: Tensor


def polar_integral(concentration: Tensor, dim: int) -> PolarIntegral:
    """The normalizer and the moments, by quadrature on both sides of the mode."""
    log_integral, *moments = in_chunks(partial(_integral, dim, FINE), concentration)
    return PolarIntegral(log_integral + log_area(dim - 1), *moments)


def polar_spread(concentration: Tensor, dim: int, rule: Rule) -> Tensor:
    r""":math:`1 - A(\kappa)` alone, and no graph of it until a derivative is asked."""
    return _Spread.apply(concentration, dim, rule)


class _Spread(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(concentration: Tensor, dim: int, rule: Rule) -> Tensor:
        return in_chunks(partial(_integral, dim, rule), concentration)[1]

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        concentration, ctx.dim, ctx.rule = inputs
        ctx.save_for_backward(concentration)

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:
        (concentration,) = ctx.saved_tensors
        _, first, second = in_chunks(
            partial(_integral, ctx.dim, ctx.rule), concentration
        )
        return grad_output * (first.square() - second), None, None


def polar_slope(
    angle: Tensor, concentration: Tensor, spread: Tensor, dim: int, rule: Rule
) -> Tensor:
    r""":math:`\partial\log\tan\frac\theta2/\partial\kappa` at a fixed quantile.

    Args:
        angle: :math:`\theta`.
        concentration: :math:`\kappa`.
        spread: :math:`1 - A(\kappa)`.
        dim: :math:`d`.
        rule: Of the quadrature.
    """
    return in_chunks(partial(_slope, dim, rule), angle, concentration, spread)[0]


def slope_in_space(spread: Tensor, rest: Tensor, concentration: Tensor) -> Tensor:
    r"""The same for :math:`d = 3`, where :math:`x = 1 - \cos\theta` is exponential.

    With :math:`h(t) = (e^t - 1)/t` and :math:`y = 2 - x`, it is

    .. math:: \frac{1}{\kappa y}\left(\frac{h(\kappa x)}{h(2\kappa)} - 1\right) =
        \frac{1}{\kappa x}\left(1 - \frac{h(-\kappa y)}{h(-2\kappa)}\right) .

    Args:
        spread: :math:`x`.
        rest: :math:`y`, to its own digits.
        concentration: :math:`\kappa`.
    """
    return in_chunks(_slope_in_space, spread, rest, concentration)[0]


def log_area(dim: int) -> float:
    """The log of the area of the sphere in ``dim`` dimensions."""
    return math.log(2) + 0.5 * dim * math.log(math.pi) - math.lgamma(0.5 * dim)


def _integral(dim: int, rule: Rule, kappa: Tensor) -> tuple[Tensor, ...]:
    fixed = kappa.detach()
    mode = _angle(_spread_of_mode(fixed, dim)).clamp(min=1e-100)

    def moments(t: Tensor) -> Tensor:
        ratio, spread = _ratio(t, mode, kappa, dim), _spread(t)
        return torch.stack([ratio, ratio * spread, ratio * spread.square()])

    start = _start(mode, fixed, dim, rule.decay)
    end = _end(mode, fixed, dim, rule.decay)
    below = gauss_legendre(moments, start, mode, rule.nodes)
    above = gauss_legendre(moments, mode, end, rule.nodes)
    zeroth, first, second = (below + above).unbind(0)
    top = (dim - 2) * mode.sin().log() - kappa * _spread(mode)
    return top + zeroth.log(), first / zeroth, second / zeroth


def _slope(
    dim: int, rule: Rule, angle: Tensor, kappa: Tensor, spread: Tensor
) -> tuple[Tensor]:
    at, fixed = angle.detach(), kappa.detach()
    # over all angles it integrates to 0: start where its sign does not change
    inner = _spread(at) < spread.detach()
    start = torch.where(
        inner, _start(at, fixed, dim, rule.decay), _end(at, fixed, dim, rule.decay)
    )

    def integrand(t: Tensor) -> Tensor:
        score = spread.unsqueeze(-1) - _spread(t)
        return score * _ratio(t, angle, kappa, dim)

    return (-gauss_legendre(integrand, start, angle, rule.nodes) / angle.sin(),)


def _slope_in_space(
    spread: Tensor, rest: Tensor, concentration: Tensor
) -> tuple[Tensor]:
    inner = spread < rest
    less = torch.where(inner, spread, rest)
    small = concentration < _SMALL
    kappa = torch.where(small, 1.0, concentration)
    ratio = 2 * torch.expm1(-kappa * less) / (less * torch.expm1(-2 * kappa))
    ratio = ratio * torch.exp(-kappa * torch.where(inner, rest, 0.0))
    direct = torch.where(inner, ratio - 1, 1 - ratio) / (kappa * (2 - less))
    # the quotient of differences of h, term by term
    kappa = torch.where(small, concentration, _SMALL)
    series: Any = 0.0
    factor: Any = 0.5
    term = torch.ones_like(spread)
    for n in range(1, 4):
        series = series + factor * term
        factor, term = factor * kappa / (n + 2), 2**n + spread * term
    series = -2 * kappa * series / torch.expm1(2 * kappa)
    return (torch.where(small, series, direct),)


def _ratio(t: Tensor, angle: Tensor, kappa: Tensor, dim: int) -> Tensor:
    """f(t) / f(angle), the nodes t on a dimension of their own."""
    angle, kappa = angle.unsqueeze(-1), kappa.unsqueeze(-1)
    half_sum, half_difference = 0.5 * (angle + t), 0.5 * (angle - t)
    log_ratio = 2 * kappa * half_sum.sin() * half_difference.sin()
    if dim > 2:
        log_ratio = log_ratio + (dim - 2) * (t.sin() / angle.sin()).log()
    return log_ratio.exp()


def _spread(angle: Tensor) -> Tensor:
    """1 - cos(angle)."""
    return 2 * (0.5 * angle).sin().square()


def _angle(spread: Tensor) -> Tensor:
    return 2 * (0.5 * spread).clamp(max=1).sqrt().asin()


def _spread_of_mode(kappa: Tensor, dim: int) -> Tensor:
    """1 - cosine of the angle of highest density."""
    half = torch.full_like(kappa, 0.5 * (dim - 2))
    root = torch.hypot(half, kappa)
    return (half + half * (half / (root + kappa))) / (half + root)


def _start(angle: Tensor, kappa: Tensor, dim: int, decay: float) -> Tensor:
    """An angle below which f is negligible; ``angle`` is at most a right one.

    Log f is concave there, by at least its curvature at ``angle``.
    """
    sine, cosine = angle.sin(), angle.cos()
    slope = (dim - 2) * cosine / sine - kappa * sine
    curvature = (dim - 2) / sine.square() + kappa * cosine
    return (angle - _drop(slope, curvature, decay)).clamp(min=0)


def _end(angle: Tensor, kappa: Tensor, dim: int, decay: float) -> Tensor:
    """An angle above which f is negligible; ``angle`` is at least the mode.

    Log f is concave in the cosine: below its tangent at any other point, and below the
    parabola of the least curvature.
    """
    spread = _spread(angle)
    cosine, square = 1 - spread, spread * (2 - spread)
    slope = kappa - (dim - 2) * cosine / square
    low = cosine.clamp(max=0)
    curvature = (dim - 2) * (1 + low.square()) / (1 - low.square()).square()
    by_parabola = spread + _drop(slope, curvature, decay)
    # where the slope is that of half of the concentration
    half = torch.maximum(spread, _spread_of_mode(0.5 * kappa, dim))
    by_tangent = half + decay / torch.maximum(slope, 0.5 * kappa)
    return _angle(torch.minimum(by_parabola, by_tangent))


def _drop(slope: Tensor, curvature: Tensor, decay: float) -> Tensor:
    """How far a concave parabola goes until it has fallen by the decay."""
    root = (slope.square() + 2 * decay * curvature).sqrt()
    return 2 * decay / (slope + root).clamp(min=1e-300)


@torch.library.custom_op(
    "pyro_reparam_ext::von_mises_fisher_wood",
    mutates_args=(),
    tags=(torch.Tag.nondeterministic_seeded,),
)
def wood(uniforms: Tensor, concentration: Tensor, dim: int) -> Tensor:
    r"""Draws of :math:`1 - \cos\theta`, in float64: opaque to compilers.

    The proposal is :math:`\tan^2\frac\theta2 = b\,G_1/G_2` with two gamma variables,
    and so a stereographic scaling of the uniform law.

    Args:
        uniforms: The noise of the first decision. It is an argument so that
            ``torch.func.vmap`` knows which draws are to differ; the rest is drawn
            inside.
        concentration: :math:`\kappa`, of the same shape.
        dim: :math:`d`.
    """
    kappa, u = concentration.reshape(-1), uniforms.reshape(-1)
    b = (dim - 1) / (2 * kappa + torch.hypot(2 * kappa, torch.full_like(u, dim - 1.0)))
    draws = torch.empty_like(kappa)
    pending = torch.arange(kappa.numel(), device=kappa.device)
    while True:
        one, two = torch._standard_gamma(
            torch.full((2, *kappa.shape), 0.5 * (dim - 1)).to(kappa)
        )
        spread = 2 * b * one / (two + b * one)
        log_ratio = kappa * (2 * b / (1 + b) - spread) + (dim - 1) * torch.log(
            0.5 * (1 + b) + 0.25 * (1 - b) * (1 + b) * (spread / b)
        )
        rejected = log_ratio < u.log()  # false for NaN, which is passed on
        draws[pending] = spread
        pending = pending[rejected]
        if pending.numel() == 0:
            return draws.reshape(concentration.shape)
        kappa, b = kappa[rejected], b[rejected]
        u = torch.rand_like(kappa)


@wood.register_fake
def _(uniforms: Tensor, concentration: Tensor, dim: int) -> Tensor:
    return torch.empty_like(concentration)


@wood.register_vmap
def _(
    info: Any,
    in_dims: tuple[int | None, ...],
    uniforms: Tensor,
    concentration: Tensor,
    dim: int,
) -> tuple[Tensor, int]:
    if info.randomness == "same":
        raise RuntimeError(
            "VonMisesFisher.sample under vmap: expected randomness='different'; found "
            "'same', which a rejection sampler cannot keep. Pass "
            "randomness='different', or draw outside of vmap."
        )
    wide = [
        x.expand(info.batch_size, *x.shape) if at is None else x.movedim(at, 0)
        for x, at in zip((uniforms, concentration), in_dims[:2], strict=True)
    ]
    return wood(wide[0].contiguous(), wide[1].contiguous(), dim), 0
