# SPDX-License-Identifier: Apache-2.0
"""Reductions over all elements but one, for each of them."""

import torch
from torch import Tensor


def logsumexp_of_others(value: Tensor) -> Tensor:
    r""":math:`\log\sum_{j \ne k} e^{x_j}` along the first dimension, for every k.

    In linear time, and without subtraction: exact where one element outweighs all
    others. Of a single element the others are none: :math:`-\infty`.

    Example:
        >>> logsumexp_of_others(torch.tensor([0.0, 0.0, 800.0])).tolist()
        [800.0, 800.0, 0.6931471824645996]
    """
    none = torch.full_like(value[:1], -torch.inf)
    before = torch.cat([none, value[:-1].logcumsumexp(0)])
    after = torch.cat([value[1:].flip(0).logcumsumexp(0).flip(0), none])
    return torch.logaddexp(before, after)
