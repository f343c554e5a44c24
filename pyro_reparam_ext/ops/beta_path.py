# SPDX-License-Identifier: Apache-2.0
r"""How the logit of a Beta variate moves with its concentrations."""

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from pyro_reparam_ext.ops.gamma_path import Rule, stretched_rule
from pyro_reparam_ext.ops.in_chunks import in_chunks
from pyro_reparam_ext.ops.stirling import log_minus_digamma

_FINE = stretched_rule(24, 30.0)
_COARSE = stretched_rule(12, 18.0)


def beta_path(a: Tensor, b: Tensor, logit: Tensor) -> tuple[Tensor, Tensor]:
    r""":math:`\partial y/\partial a` and :math:`\partial y/\partial b` at a fixed
    quantile of :math:`\sigma(y) \sim \mathrm{Beta}(a, b)`.

    With :math:`x = \sigma(y)`, these are minus the integrals of the scores
    :math:`\log t + \psi(a+b) - \psi(a)` and :math:`\log(1-t) + \psi(a+b) - \psi(b)`
    over the tail below :math:`y`, or the integrals over the tail above where that is
    the lesser one, divided by the density of :math:`y`. They are computed at
    :math:`a + 1` and :math:`b + 1`, which takes the poles of small concentrations out
    of the integrals, by

    .. math:: \frac{\partial y}{\partial a}(a, b) =
        \frac{x(1-x)n(n+1)}{ab}\,\frac{\partial y}{\partial a}(a+1, b+1)
        + \frac{x}{b}\Bigl(u + \frac1a\Bigr) - \frac{1-x}{a}\,u, \qquad
        u = \log x + \psi(n) - \psi(a+1), \; n = a + b .

    Args:
        a: The power at 0, positive; its dtype is that of the result.
        b: The power at 1, positive.
        logit: :math:`y`, any real number: both ends to their own digits. Computed with
            in float64, and better given so.

    Gradient: in all arguments, to any order, of the quadrature itself.

    Numerics: 24 nodes of a stretched Gauss-Legendre rule, 12 for float32; relative
    error below 1e-8, and 5e-5 for float32, for :math:`a, b \in [10^{-4}, 10^6]` and
    all quantiles from 1e-12 to 1 - 1e-12. Next to the mean of a law with one
    concentration above :math:`10^5` times the other, two terms cancel: 1e-6 at
    :math:`10^{10}` times.

    Source: Figurnov, Mohamed and Mnih (2018), "Implicit reparameterization gradients".

    Example:
        >>> one = torch.ones((), dtype=torch.float64)
        >>> beta_path(one, one, 0 * one)
        (tensor(1.3863, dtype=torch.float64), tensor(-1.3863, dtype=torch.float64))
    """  # noqa: D205
    return _BetaPath.apply(*torch.broadcast_tensors(a, b, logit))


class _BetaPath(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(a: Tensor, b: Tensor, logit: Tensor) -> tuple[Tensor, ...]:
        return in_chunks(_paths, a, b, logit)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Any) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, by_a: Tensor, by_b: Tensor) -> tuple[Tensor, ...]:
        return in_chunks(_pull_back, *ctx.saved_tensors, by_a, by_b)


def _pull_back(
    a: Tensor, b: Tensor, logit: Tensor, by_a: Tensor, by_b: Tensor
) -> tuple[Tensor, ...]:
    return torch.func.vjp(_paths, a, b, logit)[1]((by_a, by_b))


def _paths(a: Tensor, b: Tensor, logit: Tensor) -> tuple[Tensor, Tensor]:
    rule = _FINE if a.dtype == torch.float64 else _COARSE
    path_a, path_b, _, _ = beta_tail(a.double(), b.double(), logit.double(), rule)
    return path_a.to(a.dtype), path_b.to(a.dtype)


def beta_tail(
    a: Tensor, b: Tensor, logit: Tensor, rule: Rule
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Both derivatives, one tail over the density of the logit, and if it is the lower.

    From tensors of one dimension.
    """
    x, rest = logit.sigmoid(), (-logit).sigmoid()
    log_x, log_rest = logsigmoid(logit), logsigmoid(-logit)
    n = a + b
    end = log_minus_digamma(n + 1)
    # digamma(n + 1) less digamma(a + 1) and digamma(b + 1)
    by_x = log_x + (b / (a + 1)).log1p() + log_minus_digamma(a + 1) - end
    by_rest = log_rest + (a / (b + 1)).log1p() + log_minus_digamma(b + 1) - end

    low = (a + 1) * rest > (b + 1) * x
    at_next = 1 / (n + 1)
    tail = _tail(
        torch.where(low, a, b) + 1,
        n + 2,
        torch.where(low, x, rest),
        torch.where(low, by_x, by_rest) + at_next,
        torch.where(low, by_rest, by_x) + at_next,
        rule,
    )
    next_a = torch.where(low, tail[0], -tail[1])
    next_b = torch.where(low, tail[1], -tail[0])

    # the step from a + 1, b + 1 to a, b
    factor = x * rest * (n / a) * ((n + 1) / b)
    u, v = by_x - 1 / n, by_rest - 1 / n
    path_a = factor * next_a + x / b * (by_x + b / (a * n)) - rest / a * u
    path_b = factor * next_b + x / b * v - rest / a * (by_rest + a / (b * n))
    step = rest / a - x / b
    mass = factor * tail[2] + torch.where(low, step, -step)
    return path_a, path_b, mass, low


def _tail(
    a: Tensor, n: Tensor, x: Tensor, score_a: Tensor, score_b: Tensor, rule: Rule
) -> tuple[Tensor, Tensor, Tensor]:
    """Minus the integrals of both scores over the tail below x, and that of 1.

    In units of the density of the logit at x.
    """
    reach = _reach(a.detach(), n.detach(), x.detach(), rule.depth)
    nodes, weights = a.new_tensor(rule.nodes), a.new_tensor(rule.weights[:2])
    back = -reach * nodes.unsqueeze(-1)
    log_rest = torch.log1p(x * torch.expm1(back))  # of t, less that of x, negated
    ratio = torch.exp(a * back - n * log_rest)
    zeroth, first = weights @ ratio
    by_logit, by_rest = reach * first, weights[0] @ (ratio * log_rest)
    return (
        reach * (by_logit + by_rest - score_a * zeroth),
        reach * (by_rest - score_b * zeroth),
        reach * zeroth,
    )


def _reach(a: Tensor, n: Tensor, x: Tensor, depth: float) -> Tensor:
    """Where the exponent is about ``depth``: a Padé approximant, then Newton's steps.

    The logarithm of the exponent is close to linear where the tail is that of a Gamma
    variate near 0, and the exponent itself where it is not.
    """
    slope, curvature = a - n * x, n * x * (1 - x)
    bend = (1 - x) / 3
    p, q = slope * bend + 0.5 * curvature, slope - depth * bend
    reach = 2 * depth / (q + (q.square() + 4 * depth * p).sqrt())
    for _ in range(3):
        log_rest = torch.log1p(x * torch.expm1(-reach))
        exponent = a * reach + n * log_rest
        steepness = a - n * x * torch.exp(-reach - log_rest)
        reach = reach - (exponent / depth).log() * exponent / steepness
    return reach
