# SPDX-License-Identifier: Apache-2.0
r"""The gradient of a mixture of independent normals, in closed form and in one pass.

With standard scores :math:`s_{k,i} = (z_i - \mu_{k,i})/\sigma_{k,i}`, responsibilities
:math:`\rho_{k,i} = w_{k,i}\,p_{k,i}/p_i` and the notation of
:mod:`pyro_reparam_ext.distributions.mixture_gradient`,

.. math:: dz_i = \sum_k \rho_{k,i}(d\mu_{k,i} + s_{k,i}\,d\sigma_{k,i}) +
    \sum_k c_{k,i}\, d\ell_{k,i} .

The tails are Mills' ratios: :math:`w\,\Phi(-|s|)/p = \rho\,\sigma M(|s|)`. Going
through the coordinates backwards solves the triangular system.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from pyro_reparam_ext.ops import positive_mills_ratio

_NUMBERS = 16_384  # at a time: they stay in a cache
_LARGEST = 700.0  # logarithm

Backward = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], tuple[Tensor, ...]]


def normal_mixture_backward(
    generic: Backward,
    value: Tensor,
    logits: Tensor,
    loc: Tensor,
    scale: Tensor,
    grad_output: Tensor,
) -> tuple[Tensor, ...]:
    """Gradients in the logits, locations and scales.

    Args:
        generic: The same function in differentiable operations, of the other arguments.
        value: Draws, of shape ``lead + event_shape``.
        logits: Of shape ``lead + (K,)``.
        loc: Broadcasting with ``lead + (K,) + event_shape``.
        scale: Likewise.
        grad_output: Of the shape of ``value``.
    """
    return _Backward.apply(generic, value, logits, loc, scale, grad_output)


class _Backward(torch.autograd.Function):
    """A function that is differentiated by way of another."""

    generate_vmap_rule = True

    @staticmethod
    def forward(generic: Backward, *given: Tensor) -> tuple[Tensor, ...]:
        return _backward(*given)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        ctx.generic, *given = inputs
        ctx.save_for_backward(*given)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        return None, *torch.func.vjp(ctx.generic, *ctx.saved_tensors)[1](grads)


def _backward(
    value: Tensor, logits: Tensor, loc: Tensor, scale: Tensor, grad_output: Tensor
) -> tuple[Tensor, ...]:
    lead, number = logits.shape[:-1], logits.shape[-1]
    event = value.shape[len(lead) :]
    size = event.numel()
    rows = max(1, _NUMBERS // (number * size))
    whole = (*lead, number, *event)
    columns = [
        # one draw a column: sums over components and coordinates go along the rows
        x.reshape(-1, *shape).split(rows)
        for x, shape in (
            (value, (1, size)),
            (logits, (number, 1)),
            (loc.expand(whole), (number, size)),
            (scale.expand(whole), (number, size)),
            (grad_output, (1, size)),
        )
    ]
    parts = [
        _of_columns(*(x.permute(2, 1, 0).double().contiguous() for x in part))
        for part in zip(*columns, strict=True)
    ]
    by_logits, by_loc, by_scale = (
        torch.cat(result, -1).permute(2, 1, 0).to(value.dtype)
        for result in zip(*parts, strict=True)
    )
    return (
        by_logits.reshape(logits.shape).to(logits.dtype),
        by_loc.reshape(whole).sum_to_size(loc.shape).to(loc.dtype),
        by_scale.reshape(whole).sum_to_size(scale.shape).to(scale.dtype),
    )


def _of_columns(
    value: Tensor, logits: Tensor, loc: Tensor, scale: Tensor, grad_output: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Of tensors of coordinates, components and draws."""
    inverse = scale.reciprocal()
    score = (value - loc) * inverse
    slope = -score * inverse
    # all densities lack the constant of the normal one
    log_density = -0.5 * score.square() - scale.log()
    log_weight = logits
    if len(value) > 1:
        before = log_density.cumsum(0) - log_density
        log_weight = logits + before
    log_weight, weight = _normalized(log_weight)
    log_joint, share = _normalized(log_weight + log_density)
    # of a weight over the density of the mixture
    over_density = (log_joint - log_density).clamp(max=_LARGEST).exp()

    below = score < 0
    tail = share * scale * positive_mills_ratio(score.abs())
    rest = math.sqrt(2 * math.pi) * over_density - tail
    lower, upper = torch.where(below, tail, rest), torch.where(below, rest, tail)
    left, right = lower.sum(1, keepdim=True), upper.sum(1, keepdim=True)
    c = torch.where(left < right, weight * left - lower, upper - weight * right)

    after = torch.zeros_like(c[0])
    by_loc, by_scale = [], []
    for i in reversed(range(len(c))):
        adjoint = grad_output[i] + (slope[i] * after).sum(0, keepdim=True)
        own = adjoint * share[i]
        by_loc.append(own - after * slope[i])
        by_scale.append(own * score[i] - after * (score[i] * slope[i] + inverse[i]))
        after = after + adjoint * c[i]
    return after.unsqueeze(0), torch.stack(by_loc[::-1]), torch.stack(by_scale[::-1])


def _normalized(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Logarithms of the probabilities of components, and these."""
    logits = logits - logits.amax(1, keepdim=True)
    odds = logits.exp()
    total = odds.sum(1, keepdim=True)
    return logits - total.log(), odds / total
