# SPDX-License-Identifier: Apache-2.0
r"""Standard laws on the line as maps of exponential noise.

With :math:`\epsilon \sim \mathrm{Exponential}(1)`, :math:`e^{-\epsilon}` is the
probability above :math:`x` and :math:`1 - e^{-\epsilon}` the probability below:
:math:`\epsilon` is the cumulative hazard of :math:`x`. One float resolves both tails,
which a uniform does not. Each map has its inverse beside it and takes the branch, at
the median :math:`\epsilon = \log 2`, in which nothing cancels.
"""

import math

import torch
from torch import Tensor

from pyro_reparam_ext.ops import log1mexp

_LOG2 = math.log(2)


def _smaller_tail(eps: Tensor) -> tuple[Tensor, Tensor]:
    """Whether x is below the median, and the probability of the smaller tail."""
    below = eps < _LOG2
    return below, torch.where(below, -torch.expm1(-eps), torch.exp(-eps))


def logistic(eps: Tensor) -> Tensor:
    r""":math:`x = \log(e^\epsilon - 1)`."""
    return eps + log1mexp(eps)


def logistic_inverse(x: Tensor) -> Tensor:
    r""":math:`\epsilon = \log(1 + e^x)`."""
    # not softplus, which is the identity above its threshold of 20
    return torch.logaddexp(x, torch.zeros_like(x))


def laplace(eps: Tensor) -> Tensor:
    r""":math:`\epsilon - \log 2`, below the median :math:`\log(2 - 2e^{-\epsilon})`."""
    below = eps.clamp(max=_LOG2)
    return (_LOG2 + log1mexp(below)) + (eps - below)


def laplace_inverse(x: Tensor) -> Tensor:
    r""":math:`\epsilon = x + \log 2`, below the median :math:`-\log(1 - e^x/2)`."""
    below = -torch.log1p(-0.5 * torch.exp(x.clamp(max=0)))
    return torch.where(x < 0, below, x + _LOG2)


def cauchy(eps: Tensor) -> Tensor:
    r""":math:`x = \cot(\pi e^{-\epsilon})`."""
    below, tail = _smaller_tail(eps)
    x = 1 / torch.tan(math.pi * tail)
    return torch.where(below, -x, x)


def cauchy_inverse(x: Tensor) -> Tensor:
    r""":math:`\epsilon = -\log(\operatorname{arccot}(x) / \pi)`."""
    one = torch.ones_like(x)
    lower = torch.atan2(one, -x.clamp(max=0)) / math.pi
    upper = torch.atan2(one, x.clamp(min=0)) / math.pi
    return torch.where(x < 0, -torch.log1p(-lower), -torch.log(upper))


def half_cauchy(eps: Tensor) -> Tensor:
    r""":math:`x = \cot(\pi e^{-\epsilon} / 2)`."""
    below, tail = _smaller_tail(eps)
    x = torch.tan(0.5 * math.pi * tail)
    return torch.where(below, x, 1 / x)


def half_cauchy_inverse(x: Tensor) -> Tensor:
    r""":math:`\epsilon = -\log(2\operatorname{arccot}(x) / \pi)`."""
    lower = torch.atan(x.clamp(max=1)) * (2 / math.pi)
    upper = torch.atan(1 / x.clamp(min=1)) * (2 / math.pi)
    return torch.where(x < 1, -torch.log1p(-lower), -torch.log(upper))


def half_normal(eps: Tensor) -> Tensor:
    r""":math:`x = -\Phi^{-1}(e^{-\epsilon} / 2)`."""
    lower = math.sqrt(2) * torch.erfinv(-torch.expm1(-eps.clamp(max=_LOG2)))
    upper = -torch.special.ndtri(0.5 * torch.exp(-eps.clamp(min=_LOG2)))
    return torch.where(eps < _LOG2, lower, upper)


def half_normal_inverse(x: Tensor) -> Tensor:
    r""":math:`\epsilon = -\log(2\Phi(-x))`."""
    x = x * math.sqrt(0.5)
    lower = -torch.log1p(-torch.erf(x.clamp(max=0.5)))
    far = x.clamp(min=0.5)
    upper = far.square() - torch.log(torch.special.erfcx(far))
    return torch.where(x < 0.5, lower, upper)
