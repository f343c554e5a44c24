# SPDX-License-Identifier: Apache-2.0
"""The logarithm of the normal cdf."""

import math

import torch
from torch import Tensor

from pyro_reparam_ext.ops.mills_ratio import mills_ratio


def log_normal_cdf(x: Tensor) -> Tensor:
    r""":math:`\log\Phi(x)`, accurate in both tails.

    As :func:`torch.special.log_ndtr`, which has no batching rule for
    ``torch.func.vmap`` and warns there.

    Example:
        >>> log_normal_cdf(torch.tensor([-40.0, 40.0], dtype=torch.float64))
        tensor([-804.6084,   -0.0000], dtype=torch.float64)
    """
    left = x < -1
    tail = torch.where(left, -x, 1.0)
    rest = torch.where(left, -1.0, x)
    log_density = -0.5 * tail.square() - 0.5 * math.log(2 * math.pi)
    far = log_density + mills_ratio(tail).log()
    near = torch.log1p(-0.5 * torch.special.erfc(rest * math.sqrt(0.5)))
    return torch.where(left, far, near)
