# SPDX-License-Identifier: Apache-2.0
"""Draws of the logit of a Beta variate, and their path."""

from functools import partial

import torch
from torch import Tensor

from pyro_reparam_ext.distributions.attach_gradient import attach_gradient
from pyro_reparam_ext.distributions.log_gamma_draw import log_gamma_draw
from pyro_reparam_ext.ops import beta_path


def logit_beta_draw(a: Tensor, b: Tensor, shape: torch.Size) -> Tensor:
    r"""A draw of :math:`y`, :math:`\sigma(y) \sim \mathrm{Beta}(a, b)`, in float64.

    The difference of two draws of logarithms of Gamma variates: finite, and of the
    right law, where :math:`\sigma(y)` rounds to 0 or 1. There is no gradient.
    """
    return log_gamma_draw(a, shape) - log_gamma_draw(b, shape)


def attach_beta_path(
    logit: Tensor, a: Tensor, b: Tensor, careful: bool = False
) -> Tensor:
    """``logit``, made to depend on both concentrations at a fixed quantile.

    ``careful`` is that of :func:`~pyro_reparam_ext.ops.beta_path`.
    """
    a, b, logit = torch.broadcast_tensors(a, b, logit)
    return attach_gradient(logit, partial(_pull_back, careful), a, b)


def _pull_back(
    careful: bool,
    logit: Tensor,
    parameters: tuple[Tensor, ...],
    grad_output: Tensor,
) -> tuple[Tensor, ...]:
    a, b = parameters
    path_a, path_b = beta_path(a, b, logit, careful)
    return grad_output * path_a, grad_output * path_b
