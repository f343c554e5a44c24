# SPDX-License-Identifier: Apache-2.0
"""Differences of logarithms of Gamma functions, to their own digits."""

from torch import Tensor

from pyro_reparam_ext.ops.stirling import stirling_remainder


def log_gamma_ratio(x: Tensor, step: Tensor | float) -> Tensor:
    r""":math:`\log\Gamma(x + h) - \log\Gamma(x)` for :math:`x, x + h > 0`.

    .. math:: (x - \tfrac12)\log(1 + h/x) + h\log(x + h) - h + R(x + h) - R(x)

    with the remainder :math:`R` of Stirling's formula: about :math:`h\log x` for large
    :math:`x`, where the two logarithms are much larger.

    Args:
        x: Of any size.
        step: :math:`h`, of either sign.

    Example:
        >>> import torch
        >>> log_gamma_ratio(torch.tensor([0.5, 1e8], dtype=torch.float64), 0.5)
        tensor([-0.5724,  9.2103], dtype=torch.float64)
    """
    end = x + step
    size = (x - 0.5) * (step / x).log1p() + step * end.log() - step
    return size + stirling_remainder(end) - stirling_remainder(x)
