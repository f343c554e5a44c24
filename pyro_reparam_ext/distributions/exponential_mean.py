# SPDX-License-Identifier: Apache-2.0
"""Expectations over exponential noise, for divergences without a closed form."""

from collections.abc import Callable

import torch
from torch import Tensor

# log(noise): below the first the mass is 1e-17, above the last 1e-39
_FROM, _TO, _STEP = -39.0, 4.5, 0.05


def exponential_mean(function: Callable[[Tensor], Tensor], like: Tensor) -> Tensor:
    r""":math:`E f(\epsilon)` for :math:`\epsilon \sim \mathrm{Exponential}(1)`.

    By the trapezoidal rule in :math:`\log\epsilon`, which resolves features of any
    scale and converges geometrically where :math:`f` is analytic around the positive
    numbers.

    Args:
        function: Elementwise, of noise with one more dimension on the right than
            ``like``; of no more than logarithmic growth at 0.
        like: Of the shape, dtype and device of the result.

    Gradient: in whatever tensors the function uses.

    Example:
        >>> half = torch.tensor(0.5, dtype=torch.float64)
        >>> exponential_mean(lambda eps: eps ** half.unsqueeze(-1), half).square() * 4
        tensor(3.1416, dtype=torch.float64)
    """
    k = torch.arange(_FROM, _TO, _STEP, dtype=like.dtype, device=like.device)
    eps = k.exp().expand((*like.shape, -1))
    return function(eps) @ (_STEP * torch.exp(k - k.exp()))
