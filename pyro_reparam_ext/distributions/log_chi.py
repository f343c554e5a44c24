# SPDX-License-Identifier: Apache-2.0
"""Draws of the logarithm of a chi variate, with their gradient."""

import math

import torch
from torch import Tensor

from pyro_reparam_ext.distributions.attach_gradient import attach_gradient
from pyro_reparam_ext.distributions.log_gamma_draw import log_gamma_draw
from pyro_reparam_ext.ops import gamma_path

_LOG_2 = math.log(2)


def log_chi_draw(degrees: Tensor, sample_shape: torch.Size) -> Tensor:
    r"""A draw of :math:`\log x`, :math:`x \sim \chi_k`, differentiable in :math:`k`."""
    with torch.no_grad():
        w = log_gamma_draw(0.5 * degrees, sample_shape + degrees.shape)
        log_value = (0.5 * (w + _LOG_2)).to(degrees.dtype)
    return attach_log_chi(log_value, degrees)


def attach_log_chi(log_value: Tensor, degrees: Tensor) -> Tensor:
    r""":math:`\log x`, made to depend on :math:`k` at a fixed quantile."""
    return attach_gradient(log_value, _pull_back, degrees.expand(log_value.shape))


def _pull_back(
    log_value: Tensor, parameters: tuple[Tensor, ...], grad_output: Tensor
) -> tuple[Tensor, ...]:
    (degrees,) = parameters
    path = gamma_path(0.5 * degrees, 2 * log_value.double() - _LOG_2)
    return (0.25 * grad_output * path,)
