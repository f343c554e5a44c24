# SPDX-License-Identifier: Apache-2.0
"""Integrals over a tail, of any scale and at many scales at once."""

from collections.abc import Callable

import torch
from torch import Tensor

_FINE = 80
_FROM, _TO = -4.0, 4.3
_AT_A_TIME = 80_000  # numbers that fit into a processor's cache


def log_tail_integral(
    exponent: Callable[..., Tensor],
    scale: Tensor,
    *parameters: Tensor,
    nodes: int = _FINE,
) -> Tensor:
    r""":math:`\log\int_0^\infty e^{g(s)}\,ds` for :math:`g` that falls about linearly.

    By the double-exponential rule :math:`s = L\,e^{k - e^{-k}}`, whose nodes crowd at
    0, where :math:`g` may have features of any scale below :math:`L`.

    Args:
        exponent: :math:`g`, a function of :math:`s` and the parameters, elementwise,
            with :math:`g(0) = 0` and :math:`g \le 0`.
        scale: :math:`L`, over which :math:`g` falls by about 1; a factor of 3 is no
            matter. No gradient is taken in it.
        parameters: Tensors of the shape of ``scale``.
        nodes: Their number; 80 give all digits, 24 about six.

    Gradient: in the parameters.

    Source: Takahasi and Mori (1974), "Double exponential formulas for numerical
    integration".

    Example:
        >>> rate = torch.tensor([0.5, 20.0], dtype=torch.float64)
        >>> log_tail_integral(lambda s, r: -r * s, 1 / rate, rate).exp()
        tensor([2.0000, 0.0500], dtype=torch.float64)
    """
    step = (_TO - _FROM) / (nodes - 1)
    k = torch.linspace(_FROM, _TO, nodes, dtype=scale.dtype, device=scale.device)
    s = torch.exp(k - torch.exp(-k))
    weight = step * s * (1 + torch.exp(-k))
    rows = [t.reshape(-1) for t in (scale.detach(), *parameters)]
    sums = []
    for length, *others in zip(
        *(t.split(_AT_A_TIME // nodes) for t in rows), strict=True
    ):
        at = length.unsqueeze(-1) * s
        sums.append(exponent(at, *(t.unsqueeze(-1) for t in others)).exp() @ weight)
    return scale.detach().log() + torch.cat(sums).log().reshape(scale.shape)


def drop_length(rate: Tensor, curvature: Tensor) -> Tensor:
    r"""Where :math:`rs + cs^2/2` is 1, for :math:`r, c \ge 0`."""
    return 2 / (rate + torch.sqrt(rate.square() + 2 * curvature))
