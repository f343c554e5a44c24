# SPDX-License-Identifier: Apache-2.0
r"""Bartlett's factor: lower triangular, chi on the diagonal and normal below it.

Wishart matrices are :math:`(LA)(LA)^\top` for such an :math:`A`, inverse Wishart ones
:math:`(SB^{-1})(SB^{-1})^\top`; both classes and their Cholesky factors are written
on the functions here. ``degrees`` are those of the diagonal, of shape ``(..., p)``.
"""

import math

import torch
from torch import Tensor

from pyro_reparam_ext.distributions.provisional import attach_log_chi, log_chi
from pyro_reparam_ext.ops import clamp_value

_LOG_2 = math.log(2)


def degrees_down(df: Tensor, p: int) -> Tensor:
    r""":math:`\nu, \nu - 1, \dots, \nu - p + 1`."""
    return df.unsqueeze(-1) - torch.arange(p, dtype=df.dtype, device=df.device)


def degrees_up(df: Tensor, p: int) -> Tensor:
    r""":math:`\nu - p + 1, \dots, \nu`."""
    return degrees_down(df, p).flip(-1)


def draw(degrees: Tensor, sample_shape: torch.Size) -> Tensor:
    """A factor, its diagonal differentiable in the degrees."""
    log_end = log_chi(degrees, sample_shape)
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
    p = degrees.shape[-1]
    log_end = factor.diagonal(dim1=-2, dim2=-1).log()
    ends = (degrees - 1) * log_end - _log_normalizer(degrees)
    below = 0.25 * p * (p - 1) * math.log(2 * math.pi)
    return ends.sum(-1) - 0.5 * factor.tril().square().sum((-2, -1)) - below


def entropy(degrees: Tensor) -> Tensor:
    """Of the elements on and below the diagonal."""
    p = degrees.shape[-1]
    ends = _log_normalizer(degrees) + 0.5 * degrees
    ends = ends - (degrees - 1) * mean_log(degrees)
    below = 0.25 * p * (p - 1) * (1 + math.log(2 * math.pi))
    return ends.sum(-1) + below


def mean_log(degrees: Tensor) -> Tensor:
    """Expected logarithm of the diagonal."""
    return 0.5 * (torch.digamma(0.5 * degrees) + _LOG_2)


def log_moment(degrees: Tensor, power: float) -> Tensor:
    """Logarithm of the expected power of the diagonal."""
    half = 0.5 * degrees
    return 0.5 * power * _LOG_2 + torch.lgamma(half + 0.5 * power) - torch.lgamma(half)


def divergence(degrees: Tensor, other: Tensor, scale: Tensor, onto: Tensor) -> Tensor:
    """From one Wishart distribution to another, or between their factors.

    Args:
        degrees: Of the first, downwards.
        other: Of the second.
        scale: The factor of the scale matrix of the first.
        onto: That of the second.
    """
    shapes = (0.5 * (degrees - other)) * torch.digamma(0.5 * degrees)
    shapes = shapes + torch.lgamma(0.5 * other) - torch.lgamma(0.5 * degrees)
    ratio = quotient(onto, scale)
    log_ends = ratio.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    excess = 0.5 * (ratio.square().sum((-2, -1)) - scale.shape[-1])
    return shapes.sum(-1) - other[..., 0] * log_ends + degrees[..., 0] * excess


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


def _log_normalizer(degrees: Tensor) -> Tensor:
    return (0.5 * degrees - 1) * _LOG_2 + torch.lgamma(0.5 * degrees)
