# SPDX-License-Identifier: Apache-2.0
"""The score function with a leave-one-out baseline for importance-weighted bounds."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar, final

import torch
from pyro.distributions.score_parts import ScoreParts
from torch import Tensor
from torch.distributions import Distribution

from pyro_reparam_ext.gradients.base import GradientEstimator
from pyro_reparam_ext.gradients.score_function import ScoreFunction
from pyro_reparam_ext.ops import logsumexp_of_others

_MEANS = ("geometric", "arithmetic")


@final
@dataclass(frozen=True)
class Vimco(GradientEstimator):
    r"""Weigh the score of a draw by what its particle adds to the bound.

    *Estimates* the gradient of :math:`\mathrm{E}[F(w_1, \dots, w_K)]` in the law of
    :math:`z_k` by

    .. math:: \big(F(w) - F(w_{-k}, \hat w_k)\big)\,\nabla_\theta\log q_\theta(z_k),

    where :math:`\hat w_k` is a mean of the other weights; beside it the loss follows
    :math:`-\log q_\theta` inside of :math:`F`, whose mean is not zero here.

    *Requires* a density that can be evaluated at the draw, an importance-weighted
    objective, and two particles.

    *Cost* one evaluation a particle.

    *Variance* far below that of the plain score function, whose weight is the bound
    itself; the geometric mean is usually the better one by a little.

    *Source* Mnih and Rezende (2016), "Variational inference for Monte Carlo
    objectives".

    Args:
        mean: ``"geometric"`` or ``"arithmetic"`` (for the bound of order
            :math:`\alpha`, the mean of :math:`w^{1-\alpha}`).

    Example:
        >>> from pyro_reparam_ext import TraceIW_ELBO
        >>> elbo = TraceIW_ELBO(sites={"c": Vimco(mean="arithmetic")})
    """

    objectives: ClassVar[frozenset[str]] = frozenset({"iw"})
    instead: ClassVar[str] = "'rloo'"

    mean: str = "geometric"

    def __post_init__(self) -> None:
        if self.mean not in _MEANS:
            raise ValueError(
                f"Vimco: mean must be one of {_MEANS}; found {self.mean!r}."
            )

    @property
    def min_particles(self) -> int:
        """Two: there must be another particle."""
        return 2

    @property
    def self_contained(self) -> bool:
        """Not: the loss must compare the particles."""
        return False

    def reparameterized(self, fn: Distribution) -> bool:
        """Never."""
        return False

    def supports(self, fn: Distribution) -> str | None:
        """What the score function supports."""
        return ScoreFunction().supports(fn)

    def draw(self, fn: Distribution, sample_shape: torch.Size) -> Tensor:
        """A detached draw, the same as that of the score function."""
        return ScoreFunction().draw(fn, sample_shape)

    def score_parts(
        self, fn: Distribution, value: Tensor, *args: Any, **kwargs: Any
    ) -> ScoreParts:
        """Those of the score function."""
        return ScoreFunction().score_parts(fn, value, *args, **kwargs)

    def stand_in(self, log_weight: Tensor, alpha: float) -> Tensor:
        r"""For each particle :math:`\log\hat w_k`, of the others alone.

        Args:
            log_weight: ``[particles, *plates]``.
            alpha: The order of the bound.
        """
        others = len(log_weight) - 1
        if self.mean == "geometric":
            none = torch.zeros_like(log_weight[:1])
            before = torch.cat([none, log_weight[:-1].cumsum(0)])
            after = torch.cat([log_weight[1:].flip(0).cumsum(0).flip(0), none])
            return (before + after) / others
        power = (1 - alpha) * log_weight
        mean = logsumexp_of_others(power) - math.log(others)
        return mean / (1 - alpha)
