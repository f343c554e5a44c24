# SPDX-License-Identifier: Apache-2.0
"""The exact sum over the values of a site."""

from dataclasses import dataclass
from typing import Any, ClassVar, final

import torch
from pyro.distributions.score_parts import ScoreParts
from torch import Tensor
from torch.distributions import Distribution

from pyro_reparam_ext.gradients.base import GradientEstimator, describe, innermost
from pyro_reparam_ext.gradients.score_function import ScoreFunction


@final
@dataclass(frozen=True)
class Enumerate(GradientEstimator):
    r"""Sum over all values of a discrete site, whatever was drawn.

    *Estimates* :math:`\nabla_\theta\mathrm{E}_{q_\theta}[f(z)]` by
    :math:`\nabla_\theta\sum_z q_\theta(z)\,f(z)`, everything that depends on the site
    replayed with each of its values. Several such sites are summed over jointly;
    the draws of other sites are drawn again for each combination, and have their own
    estimators.

    *Requires* a finite support.

    *Cost* as many evaluations as there are combinations of values: support size to the
    power of the number of elements, times that of the other enumerated sites. Plate
    cells that the objective does not mix are enumerated in parallel.

    *Variance* none from this site.

    *Source* Rao and Blackwell; in Pyro ``TraceEnum_ELBO``, whose enumerated sites go
    with score-function ones only.

    Example:
        >>> from pyro_reparam_ext import TraceSwitch_ELBO
        >>> elbo = TraceSwitch_ELBO("pathwise", sites={"c": "enum"})

    Args:
        max_evals: Most combinations to try; more raise an error.
    """

    max_evals: int = 4096

    @property
    def self_contained(self) -> bool:
        """Not: the loss must replay the program."""
        return False

    instead: ClassVar[str] = "'mvd' or 'vimco'"

    def extra_evals(self, fn: Distribution) -> int:
        """One for each value of one element; more if elements are mixed."""
        base: Any = innermost(fn)
        return len(base.enumerate_support(expand=False))

    def reparameterized(self, fn: Distribution) -> bool:
        """Never."""
        return False

    def supports(self, fn: Distribution) -> str | None:
        """Distributions with a finite support."""
        base: Any = innermost(fn)
        if not getattr(base, "has_enumerate_support", False):
            return (
                f"needs a finite support to sum over, but {describe(fn)} has none. "
                "Use 'rloo' or 'score' for this site."
            )
        return None

    def draw(self, fn: Distribution, sample_shape: torch.Size) -> Tensor:
        """A detached draw, for the value of the loss and for later sites."""
        return ScoreFunction().draw(fn, sample_shape)

    def score_parts(
        self, fn: Distribution, value: Tensor, *args: Any, **kwargs: Any
    ) -> ScoreParts:
        """Neither score nor entropy term: both are in the sum."""
        return ScoreParts(fn.log_prob(value, *args, **kwargs), 0, 0)
