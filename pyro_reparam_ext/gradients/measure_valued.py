# SPDX-License-Identifier: Apache-2.0
"""Measure-valued (weak) derivatives, for discrete sites the local expectation."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar, final

import torch
from pyro.distributions import (
    Bernoulli,
    Categorical,
    Normal,
    OneHotCategorical,
    Poisson,
)
from torch import Tensor
from torch.distributions import Distribution

from pyro_reparam_ext.gradients.base import describe, innermost
from pyro_reparam_ext.gradients.replay import ReplayEstimator

_FAMILIES = (Bernoulli, Categorical, OneHotCategorical, Normal, Poisson)


@final
@dataclass(frozen=True)
class MeasureValued(ReplayEstimator):
    r"""Compare draws from the two sides of the derivative of the density.

    *Estimates* the derivative in a parameter :math:`\theta` of each element by

    .. math:: \nabla_\theta q_\theta = c_\theta\,(q^+_\theta - q^-_\theta)
        \quad\Rightarrow\quad c_\theta\,\big(f(z^+) - f(z^-)\big),
        \qquad z^\pm \sim q^\pm_\theta,

    with, as :math:`z^+`, :math:`z^-` and :math:`c`:

    * Bernoulli probability: 1, 0 and 1;
    * Categorical and OneHotCategorical probability of a category: the category, the
      draw and 1;
    * Poisson rate: :math:`z + 1`, the draw and 1;
    * Normal location: :math:`\mu + \sigma w`, :math:`\mu - \sigma w` with a Rayleigh
      :math:`w`, and :math:`1/(\sigma\sqrt{2\pi})`;
    * Normal scale: :math:`\mu + \sigma m` with a double-sided Maxwell :math:`m` coupled
      with the draw, the draw, and :math:`1/\sigma`.

    For Bernoulli and Categorical elements this sums over all values of one element, the
    others as drawn (the local expectation gradient).

    *Requires* one of these families. :math:`f` need not be differentiable.

    *Cost* for every element of a draw as many evaluations as there are alternatives: 1
    for Bernoulli and Poisson, categories less 1, 3 for Normal; and the first. Plate
    cells that the objective does not mix are replayed together, and all of it in one
    run of the program.

    *Variance* the lowest of all score-free estimators for discrete sites; per
    evaluation the best where elements are few.

    *Source* Mohamed, Rosca, Figurnov and Mnih (2020), §6; Titsias and
    Lázaro-Gredilla (2015), "Local expectation gradients"; Heidergott, Vázquez-Abad,
    Pflug and Farenhorst-Yuan (2010).

    Example:
        >>> import pyro.distributions as dist
        >>> MeasureValued().extra_evals(dist.Categorical(torch.ones(4)))
        3
        >>> MeasureValued().extra_evals(dist.Bernoulli(0.5).expand([8]).to_event(1))
        8
    """

    objectives: ClassVar[frozenset[str]] = frozenset({"elbo", "iw"})

    def extra_evals(self, fn: Distribution) -> int:
        """The alternatives of an element, times the elements of an event."""
        base: Any = innermost(fn)
        elements = fn.event_shape[: len(fn.event_shape) - len(base.event_shape)]
        return _number(base) * math.prod(elements)

    def supports(self, fn: Distribution) -> str | None:
        """The families of the table."""
        if isinstance(innermost(fn), _FAMILIES):
            return None
        known = ", ".join(cls.__name__ for cls in _FAMILIES)
        return (
            f"is for {known} sites, but this one is {describe(fn)}. Use 'pathwise', "
            "'rloo' or 'score' for this site."
        )

    def alternatives(self, base: Any, value: Tensor) -> Tensor:
        """The other values, or draws from the two sides."""
        if isinstance(base, Bernoulli):
            return (1 - value)[None]
        if isinstance(base, Categorical):
            shift = torch.arange(1, _number(base) + 1, device=value.device)
            shift = shift.reshape(-1, *(1 for _ in value.shape)).to(value.dtype)
            return (value + shift) % (_number(base) + 1)
        if isinstance(base, OneHotCategorical):
            shifts = range(1, _number(base) + 1)
            return torch.stack([value.roll(shift, -1) for shift in shifts])
        if isinstance(base, Poisson):
            return (value + 1)[None]
        loc, scale = base.loc.detach(), base.scale.detach()
        eps = (value - loc) / scale
        rayleigh = torch.empty_like(eps).exponential_().mul(2).sqrt()
        # m | eps, such that eps is m times a uniform: m^2 - eps^2 is exponential
        maxwell = (eps.square() + 2 * torch.empty_like(eps).exponential_()).sqrt()
        sides = torch.stack([rayleigh, -rayleigh, torch.copysign(maxwell, eps)])
        return loc + scale * sides

    def surrogate(
        self, base: Any, value: Tensor, alternatives: Tensor, change: Tensor
    ) -> Tensor:
        """The differences, times the parameters."""
        if isinstance(base, Bernoulli):
            return ((1 - 2 * value) * change[0] * base.probs).sum()
        if isinstance(base, Categorical):
            # f less f(draw), at each value; 0 at the draw itself
            probs = base.probs.expand(*value.shape, -1)
            index = alternatives.long().movedim(0, -1)
            chance = probs.gather(-1, index)
            change = torch.where(chance > 0, change.movedim(0, -1), 0.0)
            return (change * chance).sum()
        if isinstance(base, OneHotCategorical):
            chance = (alternatives * base.probs).sum(-1)
            return (torch.where(chance > 0, change, 0.0) * chance).sum()
        if isinstance(base, Poisson):
            return (change[0] * base.rate).sum()
        loc, scale = base.loc, base.scale
        slope = (change[0] - change[1]) / (scale.detach() * math.sqrt(2 * math.pi))
        return (slope * loc).sum() + (change[2] / scale.detach() * scale).sum()


def _number(base: Any) -> int:
    """Alternatives of one element."""
    if isinstance(base, Categorical):
        return int(base.probs.shape[-1]) - 1
    if isinstance(base, OneHotCategorical):
        return int(base.event_shape[-1]) - 1
    return 3 if isinstance(base, Normal) else 1
