# SPDX-License-Identifier: Apache-2.0
"""Draws of the logarithm of a Gamma variate."""

import torch
from torch import Tensor

from pyro_reparam_ext.distributions.noise import inside_unit_interval


def log_gamma_draw(concentration: Tensor, shape: torch.Size) -> Tensor:
    r"""A draw of :math:`\log z`, :math:`z \sim \mathrm{Gamma}(\alpha, 1)`, in float64.

    .. math:: \log z = \log z' + \tfrac1\alpha \log u, \qquad
        z' \sim \mathrm{Gamma}(\alpha + 1, 1), \; u \sim \mathrm{Uniform}(0, 1)

    so that a small concentration, for which :math:`z` itself is below every number,
    gives finite draws of the right law. There is no gradient; attach one.

    Args:
        concentration: :math:`\alpha > 0`.
        shape: The shape of the draw, to which the concentration broadcasts.

    Source: Marsaglia and Tsang (2000), "A simple method for generating Gamma
    variables", §6, for :math:`u`; torch's sampler for :math:`z'`.
    """
    alpha = concentration.detach().double().expand(shape)
    above = torch._standard_gamma(alpha + 1)
    u = inside_unit_interval(torch.rand(shape, dtype=alpha.dtype, device=alpha.device))
    return above.log() + u.log() / alpha
