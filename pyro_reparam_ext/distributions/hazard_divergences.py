# SPDX-License-Identifier: Apache-2.0
"""Divergences of laws whose draws are functions of exponential noise."""

import torch
import torch.distributions as td
from torch import Tensor
from torch.distributions.kl import register_kl

from pyro_reparam_ext.distributions.beta import Beta
from pyro_reparam_ext.distributions.exponential_mean import exponential_mean
from pyro_reparam_ext.distributions.gamma import Gamma
from pyro_reparam_ext.distributions.kumaraswamy import Kumaraswamy
from pyro_reparam_ext.ops import beta_cross_entropy, log1mexp

_EULER_GAMMA = 0.5772156649015329
_AT_ONE = 40.0


@register_kl(Kumaraswamy, Beta)  # type: ignore[untyped-decorator]
@register_kl(Kumaraswamy, td.Beta)  # type: ignore[untyped-decorator]
@register_kl(td.Kumaraswamy, Beta)  # type: ignore[untyped-decorator]
def _kl_kumaraswamy_beta(p: Kumaraswamy | td.Kumaraswamy, q: Beta | td.Beta) -> Tensor:
    r""":math:`E\log(1 - z)` is the only mean without a closed form."""
    shape = torch.broadcast_shapes(p.batch_shape, q.batch_shape)
    a, b = (x.double().expand(shape) for x in (p.concentration1, p.concentration0))
    log_z = -(torch.digamma(b + 1) + _EULER_GAMMA) / a

    def log_rest(eps: Tensor) -> Tensor:
        power, hazard = a.unsqueeze(-1), eps / b.unsqueeze(-1)
        near = hazard > _AT_ONE  # where log z rounds to its first term, or to 0
        log_value = log1mexp(torch.where(near, 1.0, hazard)) / power
        return torch.where(near, -hazard - power.log(), log1mexp(-log_value))

    log_1mz = exponential_mean(log_rest, log_z)
    other = q.concentration1.double(), q.concentration0.double()
    # of logits, whose densities have another factor z (1 - z)
    cross = beta_cross_entropy(*other, log_z, log_1mz)
    negentropy = a.log() + b.log() + a * log_z + 1 / b - 1 + log_1mz
    return (negentropy + cross).to(p.concentration1.dtype)


@register_kl(td.Weibull, Gamma)  # type: ignore[untyped-decorator]
def _kl_weibull_gamma(p: td.Weibull, q: Gamma) -> Tensor:
    scale, power = p.scale.double(), p.concentration.double()
    alpha, rate = q.concentration.double(), q.rate.double()
    # of log z, the density of which has another factor z
    log_z = scale.log() - _EULER_GAMMA / power
    mean = rate * scale * torch.lgamma(1 + 1 / power).exp()
    negentropy = power.log() - _EULER_GAMMA - 1
    cross = torch.lgamma(alpha) - alpha * (rate.log() + log_z) + mean
    return (negentropy + cross).to(q.concentration.dtype)
