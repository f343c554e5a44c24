# SPDX-License-Identifier: Apache-2.0
r"""Bartlett's factor: lower triangular, chi on the diagonal and normal below it.

Wishart matrices are :math:`(LA)(LA)^\top` for such an :math:`A`, inverse Wishart ones
:math:`(SB^{-1})(SB^{-1})^\top`; both classes and their Cholesky factors are written
on the functions here. ``degrees`` are those of the diagonal, of shape ``(..., p)``.
"""

import math

import torch
from torch import Tensor

from pyro_reparam_ext.distributions.log_chi import attach_log_chi, log_chi_draw
from pyro_reparam_ext.distributions.log_gamma import (
    gamma_divergence,
    log_gamma_entropy,
)
from pyro_reparam_ext.ops import (
    clamp_value,
    expm1_remainder,
    log_gamma_density,
    log_gamma_ratio,
    log_of_ratio,
)

_LOG_2 = math.log(2)


def degrees_down(df: Tensor, p: int) -> Tensor:
    r""":math:`\nu, \nu - 1, \dots, \nu - p + 1`."""
    return df.unsqueeze(-1) - torch.arange(p, dtype=df.dtype, device=df.device)


def degrees_up(df: Tensor, p: int) -> Tensor:
    r""":math:`\nu - p + 1, \dots, \nu`."""
    return degrees_down(df, p).flip(-1)


def draw(degrees: Tensor, sample_shape: torch.Size) -> Tensor:
    """A factor, its diagonal differentiable in the degrees."""
    log_end = log_chi_draw(degrees, sample_shape)
    p = degrees.shape[-1]
    shape = (*log_end.shape, p)
    normal = torch.randn(shape, dtype=log_end.dtype, device=log_end.device)
    return _assembled(normal, log_end)


def attach(factor: Tensor, degrees: Tensor) -> Tensor:
    """A factor drawn before, its diagonal made differentiable in the degrees."""
    log_end = factor.diagonal(dim1=-2, dim2=-1).log()
    return _assembled(factor, attach_log_chi(log_end, degrees))


def _assembled(below: Tensor, log_end: Tensor) -> Tensor:
    # the square of an inverse must not overflow
    smallest = 0.45 * math.log(torch.finfo(log_end.dtype).tiny)
    end = clamp_value(log_end, smallest, math.inf).exp()
    return below.tril(-1) + end.diag_embed()


def log_density(factor: Tensor, degrees: Tensor) -> Tensor:
    """Of the elements on and below the diagonal."""
    log_end = factor.diagonal(dim1=-2, dim2=-1).log()
    half = 0.5 * degrees
    # half of the square is Gamma, and log x has twice the density of log x^2/2
    log_ratio = log_of_ratio(2 * log_end - _LOG_2, half)
    ends = log_gamma_density(half, log_ratio) + _LOG_2 - log_end
    below = 0.5 * factor.tril(-1).square().sum((-2, -1))
    return ends.sum(-1) - below - 0.5 * _pairs(degrees) * math.log(2 * math.pi)


def entropy(degrees: Tensor) -> Tensor:
    """Of the elements on and below the diagonal."""
    ends = log_gamma_entropy(0.5 * degrees) - _LOG_2 + mean_log(degrees)
    return ends.sum(-1) + 0.5 * _pairs(degrees) * (1 + math.log(2 * math.pi))


def mean_log(degrees: Tensor) -> Tensor:
    """Expected logarithm of the diagonal."""
    return 0.5 * (torch.digamma(0.5 * degrees) + _LOG_2)


def log_moment(degrees: Tensor, power: float) -> Tensor:
    """Logarithm of the expected power of the diagonal."""
    return 0.5 * power * _LOG_2 + log_gamma_ratio(0.5 * degrees, 0.5 * power)


def divergence(degrees: Tensor, other: Tensor, scale: Tensor, onto: Tensor) -> Tensor:
    """From one Wishart distribution to another, or between their factors.

    A sum of divergences of Gamma and normal laws, none of them negative.

    Args:
        degrees: Of the first, downwards.
        other: Of the second.
        scale: The factor of the scale matrix of the first.
        onto: That of the second.
    """
    ratio = quotient(onto, scale)
    ends = ratio.diagonal(dim1=-2, dim2=-1)
    one = torch.ones_like(ends)
    gammas = gamma_divergence(0.5 * degrees, one, 0.5 * other, ends.square())
    before = torch.arange(ends.shape[-1], dtype=ends.dtype, device=ends.device)
    stretched = 0.5 * before * expm1_remainder(2 * ends.log())
    turned = 0.5 * degrees[..., 0] * ratio.tril(-1).square().sum((-2, -1))
    return (gammas + stretched).sum(-1) + turned


def quotient(left: Tensor, right: Tensor) -> Tensor:
    r""":math:`L^{-1}R` of lower triangular matrices."""
    shape = torch.broadcast_shapes(left.shape, right.shape)
    return torch.linalg.solve_triangular(
        left.expand(shape), right.tril().expand(shape), upper=False
    ).tril()


def log_det_of_square(factor: Tensor) -> Tensor:
    """Log-det of the map from a factor to its product with its transpose."""
    p = factor.shape[-1]
    powers = p - torch.arange(p, dtype=factor.dtype, device=factor.device)
    ends = factor.diagonal(dim1=-2, dim2=-1).log()
    return p * _LOG_2 + (powers * ends).sum(-1)


def log_det_of_product(left: Tensor) -> Tensor:
    """Log-det of multiplication by a lower triangular matrix from the left."""
    p = left.shape[-1]
    powers = 1 + torch.arange(p, dtype=left.dtype, device=left.device)
    return (powers * left.diagonal(dim1=-2, dim2=-1).log()).sum(-1)


def squared(factor: Tensor) -> Tensor:
    """The product with its transpose, its elements resolving the diagonal.

    A diagonal element below about a rounding unit of its row is raised to that, so
    that the product is numerically positive-definite.
    """
    p, eps = factor.shape[-1], torch.finfo(factor.dtype).eps
    end = factor.diagonal(dim1=-2, dim2=-1)
    smallest = math.sqrt(8 * p * eps) * factor.detach().norm(dim=-1)
    end = clamp_value(end, smallest, math.inf)
    factor = factor.tril(-1) + end.diag_embed()
    return factor @ factor.mT


def _pairs(degrees: Tensor) -> int:
    """How many elements there are below the diagonal."""
    p = degrees.shape[-1]
    return p * (p - 1) // 2
