# SPDX-License-Identifier: Apache-2.0
"""log(1 - exp(-x)) without cancellation."""

import math

import torch
from torch import Tensor


def log1mexp(x: Tensor) -> Tensor:
    r""":math:`\log(1 - e^{-x})` for :math:`x > 0`, accurate at both ends.

    Near 0 the difference is taken by ``expm1``, elsewhere by ``log1p``; the switch
    is at :math:`\log 2`, where both lose at most one bit. The gradient
    :math:`1/(e^x - 1)` is that of the branch taken.

    Source: Mächler (2012), "Accurately computing log(1 - exp(-\|a\|))".

    Example:
        >>> log1mexp(torch.tensor([1e-20, 50.0], dtype=torch.float64))
        tensor([-4.6052e+01, -1.9287e-22], dtype=torch.float64)
    """
    small = x < math.log(2)
    # each branch sees only arguments of its own side: no NaN in the unused gradient
    near = torch.log(-torch.expm1(-torch.where(small, x, 1.0)))
    far = torch.log1p(-torch.exp(-torch.where(small, 1.0, x)))
    return torch.where(small, near, far)
