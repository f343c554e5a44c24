# SPDX-License-Identifier: Apache-2.0
"""Divergences that torch registers for its own Gamma, Beta, Dirichlet: for ours too."""

from collections.abc import Callable
from typing import Any

import torch.distributions as td
from torch import Tensor
from torch.distributions.kl import kl_divergence, register_kl

from pyro_reparam_ext.distributions.beta import Beta
from pyro_reparam_ext.distributions.dirichlet import Dirichlet
from pyro_reparam_ext.distributions.gamma import Gamma

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


def _register(p: type, q: type) -> None:
    register: Callable[[Any], Any] = register_kl(p, q)
    register(_by_stock)


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
