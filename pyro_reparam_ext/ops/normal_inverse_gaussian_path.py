# SPDX-License-Identifier: Apache-2.0
"""How a normal inverse Gaussian variate moves with its parameters."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from pyro_reparam_ext.ops.by_regime import by_regime
from pyro_reparam_ext.ops.in_chunks import in_chunks
from pyro_reparam_ext.ops.mills_ratio import mills_ratio
from pyro_reparam_ext.ops.positive_mills_ratio import positive_mills_ratio

Rule = dict[torch.dtype, tuple[int, float]]

_SWITCH = 0.7
# pairs of nodes, and by how much the exponent falls over them, on either side of it
_NARROW = {torch.float32: (5, 8.5), torch.float64: (11, 22.0)}
_WIDE = {torch.float32: (16, 7.0), torch.float64: (30, 16.0)}


def normal_inverse_gaussian_path(
    value: Tensor, skewness: Tensor, drift: Tensor
) -> tuple[Tensor, Tensor]:
    r""":math:`\partial x/\partial b` and :math:`\partial x/\partial g` at a fixed
    quantile of :math:`x = bv + \sqrt v\,\epsilon`, :math:`v \sim
    \mathrm{InverseGaussian}(1/g, 1)`.

    The path of :math:`(v, \epsilon)`, averaged over the :math:`v` that could have led
    to :math:`x`: with Mills' ratio :math:`M`,

    .. math:: \frac{\partial x}{\partial b} = E[v \mid x], \qquad
        \frac{\partial x}{\partial g} = -E\left[(bv + x)\sqrt v\,
        M\Bigl(\frac{1}{\sqrt v} + g\sqrt v\Bigr) \Bigm| x\right] .

    With :math:`r^2 = 1 + x^2`, :math:`a^2 = b^2 + g^2` and :math:`v = \frac ra e^s`,
    the law of :math:`s` has density :math:`\propto e^{-s - ar\cosh s}`, for which the
    trapezoidal rule converges exponentially.

    Args:
        value: :math:`x`.
        skewness: :math:`b`, any real number.
        drift: :math:`g > 0`.

    Gradient: in all arguments, to any order, of the quadrature itself.

    Numerics: 23 nodes where :math:`ar > 0.7` and 61 elsewhere; 11 and 33 in float32.
    Relative error below 1e-9 and 1e-5 for :math:`ar > 10^{-3}`, away from the zeros of
    the derivatives.

    Example:
        >>> one = torch.ones((), dtype=torch.float64)
        >>> normal_inverse_gaussian_path(0 * one, 0 * one, one)
        (tensor(0.6995, dtype=torch.float64), tensor(-0., dtype=torch.float64))
    """  # noqa: D205
    return _Path.apply(*torch.broadcast_tensors(value, skewness, drift))


class _Path(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, b: Tensor, g: Tensor) -> tuple[Tensor, ...]:
        return tuple(_paths(x, b, g).unbind(0))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Any) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, by_b: Tensor, by_g: Tensor) -> tuple[Tensor, ...]:
        return in_chunks(_pull_back, *ctx.saved_tensors, by_b, by_g)


def _pull_back(
    x: Tensor, b: Tensor, g: Tensor, by_b: Tensor, by_g: Tensor
) -> tuple[Tensor, ...]:
    paths = partial(_averages, _WIDE, mills_ratio)
    return torch.func.vjp(paths, x, b, g)[1]((by_b, by_g))


def _is_narrow(x: Tensor, b: Tensor, g: Tensor) -> Tensor:
    return torch.hypot(b, g) * torch.hypot(torch.ones_like(x), x) > _SWITCH


def _with_rule(rule: Rule) -> Callable[..., Tensor]:
    averages = partial(_averages, rule, positive_mills_ratio)
    return lambda *given: torch.stack(in_chunks(averages, *given))


def _averages(
    rule: Rule, mills: Callable[[Tensor], Tensor], x: Tensor, b: Tensor, g: Tensor
) -> tuple[Tensor, Tensor]:
    """From tensors of one dimension; the nodes of the rule are on another."""
    pairs, depth = rule[x.dtype]
    r, a = torch.hypot(torch.ones_like(x), x), torch.hypot(b, g)
    product, middle = a * r, r / a
    # of s / 2, where the exponent has fallen by the depth
    fixed = product.detach()
    fall = 0.5 * (depth + torch.log1p(2 * depth / fixed)) / fixed
    step = torch.log(fall.sqrt() + (1 + fall).sqrt()) / pairs
    k = torch.arange(pairs + 1, dtype=x.dtype, device=x.device).unsqueeze(-1)
    rise = torch.expm1(step * k)
    up = rise + 1
    down = up.reciprocal()
    twice_sine = rise + rise * down
    square = twice_sine.square()
    weight = torch.exp(-0.5 * product * square)
    weight = torch.cat([0.5 * weight[:1], weight[1:]])

    # nodes above the middle, and as far below
    root = middle.sqrt()
    inner, outer = root.reciprocal(), g * root
    above, below = mills(inner * down + outer * up), mills(inner * up + outer * down)
    even = (weight * (above + below) * (up + down)).sum(0)
    odd = (weight * (above - below) * twice_sine).sum(0)
    mass = weight.sum(0)
    total = 2 * mass + (weight * square).sum(0)
    drift = x * (even - odd) + b * middle * (even + odd)
    return 2 * middle * mass / total, -0.5 * root * drift / total


_paths = by_regime(
    "normal_inverse_gaussian_path",
    _is_narrow,
    _with_rule(_NARROW),
    _with_rule(_WIDE),
    outputs=2,
)
