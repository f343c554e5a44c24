# SPDX-License-Identifier: Apache-2.0
"""The density of the logarithm of a Gamma variate."""

import math

import torch
from torch import Tensor

from pyro_reparam_ext.ops.ratios_at_zero import expm1_remainder
from pyro_reparam_ext.ops.stirling import stirling_remainder


def log_gamma_density(concentration: Tensor, log_ratio: Tensor) -> Tensor:
    r""":math:`\log p(w) = \alpha w - e^w - \log\Gamma(\alpha)`, from the logarithm
    :math:`u = w - \log\alpha`.

    .. math:: \log p = -\alpha(e^u - 1 - u) + \tfrac12\log\frac{\alpha}{2\pi} - R

    with the remainder :math:`R` of Stirling's formula, so that no large numbers
    cancel; :math:`u` is the argument because a caller knows its digits, by
    :math:`\log(z/\alpha)` say.

    Args:
        concentration: :math:`\alpha > 0`.
        log_ratio: :math:`u`, any real number.

    Example:
        >>> u = torch.tensor([-2.0, 0.0], dtype=torch.float64)
        >>> log_gamma_density(torch.tensor(1e6, dtype=torch.float64), u)
        tensor([-1.1353e+06,  5.9888e+00], dtype=torch.float64)
    """  # noqa: D205
    return (
        0.5 * (concentration / (2 * math.pi)).log()
        - concentration * expm1_remainder(log_ratio)
        - stirling_remainder(concentration)
    )


def log_of_ratio(log_value: Tensor, concentration: Tensor) -> Tensor:
    r""":math:`w - \log\alpha`, from :math:`e^w/\alpha` where that is in range.

    The difference of two logarithms loses what is near 0 to their size.

    Example:
        >>> w, alpha = torch.tensor([-2e5, 3.0]), torch.tensor([1e-4, 20.0])
        >>> log_of_ratio(w, alpha)
        tensor([-1.9999e+05,  4.2678e-03])
    """
    near = (log_value.abs() < 50) & (concentration.log().abs() < 30)
    ratio = torch.where(near, log_value, 0.0).exp() / torch.where(
        near, concentration, 1.0
    )
    far = (
        torch.where(near, 0.0, log_value) - torch.where(near, 1.0, concentration).log()
    )
    return torch.where(near, ratio.log(), far)
