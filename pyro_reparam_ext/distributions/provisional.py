# SPDX-License-Identifier: Apache-2.0
"""Stand-ins for the log-space Gamma core, until it is merged."""

import math

import torch
from torch import Tensor

from pyro_reparam_ext.distributions.attach_gradient import attach_gradient


def _nodes(like: Tensor, m: int = 101, tmax: float = 3.2) -> tuple[Tensor, Tensor]:
    t = torch.linspace(-tmax, tmax, m, dtype=like.dtype)
    v = torch.exp(math.pi / 2 * torch.sinh(t))
    return v, v * math.pi / 2 * torch.cosh(t) * (t[1] - t[0])


def _log_gamma_slope(log_z: Tensor, a: Tensor) -> Tensor:
    lz, a = log_z.double().unsqueeze(-1), a.double().unsqueeze(-1)
    z = lz.exp()
    v, w = _nodes(lz)
    left = z < a
    s = 1 / torch.maximum(torch.maximum(a, z).sqrt(), (a - z).abs())
    s = torch.where(left, 1 / torch.maximum(a.sqrt(), (a - z).abs()), s)
    vv = v * s
    c = lz - torch.digamma(a)
    lf = (c - vv) * torch.exp(-a * vv - z * torch.expm1(-vv))
    r = -(c + vv) * torch.exp(a * vv - z * torch.expm1(vv.clamp(max=200.0)))
    f = torch.where(left, lf, r).nan_to_num(0, 0, 0)
    return -(f * w * s).sum(-1)


def attach_log_gamma(log_z: Tensor, a: Tensor) -> Tensor:
    """Provisional."""

    def pull_back(
        value: Tensor, parameters: tuple[Tensor, ...], g: Tensor
    ) -> tuple[Tensor, ...]:
        return (g * _log_gamma_slope(value, parameters[0]).to(value.dtype),)

    return attach_gradient(log_z, pull_back, a.expand(log_z.shape))


def _draw_log_gamma(a: Tensor, sample_shape: torch.Size) -> Tensor:
    a = a.detach().double().expand(sample_shape + a.shape)
    return torch._standard_gamma(a + 1).log() + torch.rand_like(a).log() / a


def log_chi(df: Tensor, sample_shape: torch.Size) -> Tensor:
    """Provisional."""
    log_z = _draw_log_gamma(df / 2, sample_shape)
    return 0.5 * (math.log(2) + attach_log_gamma(log_z, df.double() / 2)).to(df.dtype)


def attach_log_chi(log_x: Tensor, df: Tensor) -> Tensor:
    """Provisional."""
    log_z = 2 * log_x.double() - math.log(2)
    out = 0.5 * (math.log(2) + attach_log_gamma(log_z, df.double() / 2))
    return out.to(log_x.dtype)


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
        logit = _draw_log_gamma(a, sample_shape) - _draw_log_gamma(b, sample_shape)
    return attach_beta_logit(logit.to(a.dtype), a, b)
