# SPDX-License-Identifier: Apache-2.0
"""Draws of a mixture: a component is chosen, then a value of it."""

from itertools import accumulate
from typing import Any

import torch
from pyro.distributions import MultivariateStudentT
from torch import Tensor
from torch.distributions import (
    Categorical,
    Distribution,
    LowRankMultivariateNormal,
    MultivariateNormal,
)

from pyro_reparam_ext.distributions.as_transport import as_transport
from pyro_reparam_ext.distributions.log_gamma_draw import log_gamma_draw
from pyro_reparam_ext.distributions.mixture_components import (
    has_normal_factors,
    scalar_factor,
)

_FEW = 16


def choose(categories: Categorical, sample_shape: torch.Size) -> Tensor:
    """A category of each batch element, by its quantile: resolved to 1e-16."""
    given = vars(categories).get("probs")
    # its logits are normalized: no need of the softmax that torch would take
    probs = (categories.logits.exp() if given is None else given).detach()
    level = torch.rand(
        sample_shape + probs.shape[:-1], dtype=torch.float64, device=probs.device
    )
    if probs.shape[-1] > _FEW:
        reached = probs.double().cumsum(-1)
        level = (level * reached[..., -1]).unsqueeze(-1)
        return (reached[..., :-1] <= level).sum(-1)
    # a sum along a short last dimension takes longer
    *before, total = accumulate(p.double() for p in probs.unbind(-1))
    level = level * total
    chosen = torch.zeros_like(level, dtype=torch.long)
    for reached in before:
        chosen = chosen + (reached <= level)
    return chosen


def draw_chosen(
    component: Distribution, chosen: Tensor, sample_shape: torch.Size
) -> Tensor:
    """A draw of the chosen component of each batch element."""
    dim, event_shape = chosen.dim(), component.event_shape
    index = chosen.reshape(*chosen.shape, 1, *(1 for _ in event_shape))
    index = index.expand(*chosen.shape, 1, *event_shape)

    def of_chosen(each: Tensor) -> Tensor:
        each = each.expand(sample_shape + component.batch_shape + event_shape)
        return each.gather(dim, index).squeeze(dim)

    if has_normal_factors(component):
        factor: Any = scalar_factor(component)
        loc, scale = of_chosen(factor.loc), of_chosen(factor.scale)
        eps = torch.randn(loc.shape, dtype=loc.dtype, device=loc.device)
        return loc + scale * eps
    return of_chosen(_draw_components(component, sample_shape))


def _draw_components(component: Distribution, sample_shape: torch.Size) -> Tensor:
    """A draw of each; torch's normal vectors have noise that ``vmap`` refuses."""
    if isinstance(component, MultivariateNormal | LowRankMultivariateNormal):
        return as_transport(component).sample(sample_shape)
    if isinstance(component, MultivariateStudentT):
        shape = component._extended_shape(sample_shape)
        df, loc = component.df.detach(), component.loc.detach()
        eps = torch.randn(shape, dtype=loc.dtype, device=loc.device)
        log_half_chi2 = log_gamma_draw(0.5 * df, shape[:-1])
        spread = torch.exp(0.5 * ((0.5 * df.double()).log() - log_half_chi2))
        eps = eps * spread.to(loc.dtype).unsqueeze(-1)
        scale_tril = component.scale_tril.detach()
        return loc + (scale_tril @ eps.unsqueeze(-1)).squeeze(-1)
    draws: Tensor = component.sample(sample_shape)
    return draws
