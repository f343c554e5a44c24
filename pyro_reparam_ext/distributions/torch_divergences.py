# SPDX-License-Identifier: Apache-2.0
"""Divergences between a class here and a torch one, of the same law or another."""

from collections.abc import Callable
from typing import Any

import pyro.distributions as dist
import torch
import torch.distributions as td
from torch import Tensor
from torch.distributions.kl import kl_divergence, register_kl

from pyro_reparam_ext.distributions.beta import Beta
from pyro_reparam_ext.distributions.dirichlet import Dirichlet
from pyro_reparam_ext.distributions.gamma import Gamma
from pyro_reparam_ext.distributions.inverse_gamma import InverseGamma
from pyro_reparam_ext.distributions.lkj import LKJ
from pyro_reparam_ext.distributions.lkj_cholesky import LKJCholesky
from pyro_reparam_ext.distributions.truncated_normal import TruncatedNormal
from pyro_reparam_ext.distributions.von_mises import VonMises
from pyro_reparam_ext.distributions.wishart import Wishart

_TO_EITHER: tuple[type, ...] = (
    td.Exponential,
    td.Gumbel,
    td.Laplace,
    td.Normal,
    td.Pareto,
    td.Uniform,
)
_FROM_BETA: tuple[type, ...] = (
    td.Beta,
    td.ContinuousBernoulli,
    td.Exponential,
    td.Gamma,
    td.Normal,
    td.Pareto,
    td.Uniform,
)
_FROM_GAMMA: tuple[type, ...] = (
    td.Gamma,
    td.Beta,
    td.ContinuousBernoulli,
    td.Exponential,
    td.Gumbel,
    td.Normal,
    td.Pareto,
    td.Uniform,
)


def _stock(d: Any) -> Any:
    """The same law by torch's class."""
    if isinstance(d, Gamma):
        return td.Gamma(d.concentration, d.rate, validate_args=False)
    if isinstance(d, Beta):
        return td.Beta(d.concentration1, d.concentration0, validate_args=False)
    if isinstance(d, Dirichlet):
        return td.Dirichlet(d.concentration, validate_args=False)
    return d


def _by_stock(p: Any, q: Any) -> Tensor:
    return kl_divergence(_stock(p), _stock(q))


def _ours(d: Any) -> Any:
    """The same law by our class."""
    for stock, ours in _OURS.items():
        if isinstance(d, stock):
            return ours(d)
    return d


def _by_ours(p: Any, q: Any) -> Tensor:
    return kl_divergence(_ours(p), _ours(q))


def _normal(d: Any) -> TruncatedNormal:
    return TruncatedNormal(d.loc, d.scale, validate_args=False)


def _half_normal(d: Any) -> TruncatedNormal:
    zero = torch.zeros_like(d.scale)
    return TruncatedNormal(zero, d.scale, low=0.0, validate_args=False)


_OURS: dict[Any, Callable[[Any], Any]] = {
    td.InverseGamma: lambda d: InverseGamma(
        d.concentration, d.rate, validate_args=False
    ),
    td.VonMises: lambda d: VonMises(d.loc, d.concentration, validate_args=False),
    td.Wishart: lambda d: Wishart(d.df, scale_tril=d.scale_tril, validate_args=False),
    td.LKJCholesky: lambda d: LKJCholesky(d.dim, d.concentration, validate_args=False),
    dist.LKJ: lambda d: LKJ(
        d.base_dist.dim, d.base_dist.concentration, validate_args=False
    ),
    td.HalfNormal: _half_normal,
    td.Normal: _normal,
}


def _register(p: type, q: type, by: Callable[[Any, Any], Tensor] = _by_stock) -> None:
    register: Callable[[Any], Any] = register_kl(p, q)
    register(by)


for _q in _FROM_BETA:
    _register(Beta, _q)
for _q in _FROM_GAMMA:
    _register(Gamma, _q)
for _p in (*_TO_EITHER, td.Beta, td.Gamma):
    _register(_p, Beta)
    _register(_p, Gamma)
_register(Beta, Gamma)
_register(Gamma, Beta)
_register(Dirichlet, td.Dirichlet)
_register(td.Dirichlet, Dirichlet)
for _our_class, _stock_class in (
    (InverseGamma, td.InverseGamma),
    (VonMises, td.VonMises),
    (Wishart, td.Wishart),
    (LKJCholesky, td.LKJCholesky),
    (LKJ, dist.LKJ),
    (TruncatedNormal, td.Normal),
    (TruncatedNormal, td.HalfNormal),
):
    _register(_our_class, _stock_class, _by_ours)
    _register(_stock_class, _our_class, _by_ours)
