# SPDX-License-Identifier: Apache-2.0
"""Both tails of the Gamma law: in logs, and as probabilities."""

from functools import partial

import torch
from torch import Tensor

from pyro_reparam_ext.ops.gamma_path import Rule, stretched_rule, tail_moments
from pyro_reparam_ext.ops.in_chunks import differentiable_in_chunks
from pyro_reparam_ext.ops.log1mexp import log1mexp
from pyro_reparam_ext.ops.log_gamma_density import log_gamma_density, log_of_ratio

FINE = stretched_rule(32, 40.0)
ROUGH = stretched_rule(12, 20.0)
_LARGEST = 690.0  # of a logarithm, so that its exponential is a number
_SMALLEST = 1e-17


def log_gamma_tails(
    concentration: Tensor, log_ratio: Tensor, rough: bool = False
) -> tuple[Tensor, Tensor]:
    r""":math:`\log P(\alpha, x)` and :math:`\log Q(\alpha, x)`, however small.

    The lesser one is the density of :math:`\log x` times an integral over its own tail
    relative to that; the other is its complement.

    Args:
        concentration: :math:`\alpha > 0`, float64.
        log_ratio: :math:`u = \log(x/\alpha)`, any real number, float64, as for
            :func:`log_gamma_density`.
        rough: To some six digits, and faster, for a search.

    Gradient: in both arguments, to any order, of the quadrature itself.

    Numerics: 32 nodes of a stretched Gauss-Legendre rule. Error below 1e-12 relative to
    :math:`\max(1, |\log|)` for :math:`\alpha` from 1e-4 to 1e6.

    Example:
        >>> a, x = torch.tensor([2.0, 1e3], dtype=torch.float64)
        >>> log_gamma_tails(a, (x / a).log())[1]
        tensor(-993.0912, dtype=torch.float64)
    """
    rule = ROUGH if rough else FINE
    lower, upper, _ = differentiable_in_chunks(
        partial(gamma_tails_and_density, rule=rule), concentration, log_ratio
    )
    return lower, upper


def gammainc(a: Tensor, x: Tensor) -> Tensor:
    r""":math:`P(a, x) = \Gamma(a)^{-1}\int_0^x t^{a-1}e^{-t}\,dt`.

    The probability of a Gamma variate below :math:`x`, in the dtype of the arguments.

    Args:
        a: The concentration, positive.
        x: Nonnegative, infinity included.

    Gradient: in both arguments, to any order; 0 at :math:`x = 0` and at infinity.

    Numerics: as :func:`log_gamma_tails`, where ``torch.special.gammainc`` errs by
    1e-10 and has no derivative in :math:`a`.

    Example:
        >>> a = torch.tensor(2.0, requires_grad=True)
        >>> gammainc(a, torch.tensor(1.0)).backward()
        >>> a.grad
        tensor(-0.2762)
    """
    return _of_value(a, x, 0)


def gammaincc(a: Tensor, x: Tensor) -> Tensor:
    r""":math:`Q(a, x) = 1 - P(a, x)`, the other tail, without cancellation.

    Arguments and gradient as for :func:`gammainc`.

    Example:
        >>> gammaincc(torch.tensor(1.0), torch.tensor([0.0, 2.0]))
        tensor([1.0000, 0.1353])
    """
    return _of_value(a, x, 1)


def gamma_tails_and_density(
    a: Tensor, log_ratio: Tensor, rule: Rule
) -> tuple[Tensor, Tensor, Tensor]:
    """In logs, of the law of the logarithm; tensors of one dimension."""
    u = log_ratio.clamp(max=_LARGEST)
    # far up only the exponential is left of the tail
    log_x = (u + a.log()).clamp(max=0.5 * _LARGEST)
    # of a small concentration, the tail above is the lesser one from far below 1
    low = a + 0.2 > log_x.exp()
    # below: at a + 1, and the step to a, without its pole; above: at a itself
    beta = torch.where(low, a + 1, a)
    _, reach, (area,) = tail_moments(beta, log_x, rule, low, order=0)
    relative = reach.abs() * area
    below = torch.log1p(log_x.exp() * relative) - a.log()
    density = log_gamma_density(a, u)
    small = density + torch.where(low, below, relative.log())
    small = small.clamp(max=-_SMALLEST)
    other = log1mexp(-small)
    return torch.where(low, small, other), torch.where(low, other, small), density


def _of_value(a: Tensor, x: Tensor, which: int) -> Tensor:
    dtype = torch.promote_types(a.dtype, x.dtype)
    inside = ((x > 0) & x.isfinite()) | x.isnan()
    log_x = torch.where(inside, x, 1.0).double().log()
    alpha = a.double()
    tail = log_gamma_tails(alpha, log_of_ratio(log_x, alpha))[which].exp()
    at_end = (x > 0) if which == 0 else (x <= 0)
    return torch.where(inside, tail, at_end.to(tail.dtype)).to(dtype)
