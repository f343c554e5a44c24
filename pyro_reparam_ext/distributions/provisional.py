# SPDX-License-Identifier: Apache-2.0
"""Stand-ins for the log-space Gamma core, until it is merged."""

import math

import torch
from torch import Tensor

from pyro_reparam_ext.distributions.attach_gradient import attach_gradient
from pyro_reparam_ext.distributions.log_gamma_draw import log_gamma_draw


def _nodes(like: Tensor, m: int = 101, tmax: float = 3.2) -> tuple[Tensor, Tensor]:
    t = torch.linspace(-tmax, tmax, m, dtype=like.dtype)
    v = torch.exp(math.pi / 2 * torch.sinh(t))
    return v, v * math.pi / 2 * torch.cosh(t) * (t[1] - t[0])


def _logit_slope(a: Tensor, b: Tensor, y: Tensor) -> Tensor:
    a, b, y = (t.double().unsqueeze(-1) for t in (a, b, y))
    v, w = _nodes(y)
    ls = torch.nn.functional.logsigmoid
    lx, l1x = ls(y), ls(-y)
    c = torch.digamma(a) - torch.digamma(a + b)
    x = torch.sigmoid(y)
    slope = a * torch.sigmoid(-y) - b * x
    left = slope > 0
    s = 1 / torch.maximum(
        torch.sqrt((a + b) * x * torch.sigmoid(-y)).clamp(min=1e-300), slope.abs()
    )
    vv = v * s

    def term(sgn: float) -> Tensor:
        t = y - sgn * vv
        lt, l1t = ls(t), ls(-t)
        return (lt - c) * torch.exp(a * (lt - lx) + b * (l1t - l1x))

    f = torch.where(left, term(1.0), -term(-1.0)).nan_to_num(0, 0, 0)
    return -(f * w * s).sum(-1)


def attach_beta_logit(logit: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Provisional."""

    def pull_back(
        value: Tensor, parameters: tuple[Tensor, ...], g: Tensor
    ) -> tuple[Tensor, ...]:
        a, b = parameters
        return (
            g * _logit_slope(a, b, value).to(value.dtype),
            -g * _logit_slope(b, a, -value).to(value.dtype),
        )

    return attach_gradient(
        logit, pull_back, a.expand(logit.shape), b.expand(logit.shape)
    )


def beta_logit(a: Tensor, b: Tensor, sample_shape: torch.Size) -> Tensor:
    """Provisional."""
    with torch.no_grad():
        logit = log_gamma_draw(a, sample_shape + a.shape) - log_gamma_draw(
            b, sample_shape + b.shape
        )
    return attach_beta_logit(logit.to(a.dtype), a, b)
