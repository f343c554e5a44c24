# SPDX-License-Identifier: Apache-2.0
"""The score-function (REINFORCE, likelihood-ratio) estimator."""

import copy
from dataclasses import dataclass
from typing import Any, ClassVar, final

import torch
from pyro.distributions import (
    Delta,
    MaskedDistribution,
    RelaxedBernoulliStraightThrough,
    RelaxedOneHotCategoricalStraightThrough,
)
from pyro.distributions.score_parts import ScoreParts
from torch import Tensor, nn
from torch.distributions import Distribution

from pyro_reparam_ext.distributions.base import is_discrete
from pyro_reparam_ext.gradients.base import (
    GradientEstimator,
    density_at,
    describe,
    innermost,
    why_no_score,
)
from pyro_reparam_ext.gradients.baselines import (
    Baseline,
    LeaveOneOut,
    MovingAverage,
)
from pyro_reparam_ext.gradients.neural_baseline import NeuralBaseline

_STRAIGHT_THROUGH = (
    RelaxedBernoulliStraightThrough,
    RelaxedOneHotCategoricalStraightThrough,
)
BASELINES: dict[str, Baseline] = {"ema": MovingAverage(), "rloo": LeaveOneOut()}


@final
@dataclass(frozen=True)
class ScoreFunction(GradientEstimator):
    r"""Weigh the score of the draw by its cost.

    *Estimates* :math:`\nabla_\theta \mathrm{E}_{q_\theta}[f(z)]` by
    :math:`(f(z) - b)\,\nabla_\theta \log q_\theta(z)`, :math:`z \sim q_\theta`.

    *Requires* a density that can be evaluated at the draw; neither ``rsample`` nor a
    differentiable :math:`f`.

    *Cost* one evaluation a particle.

    *Variance* grows with the square of the cost and with the number of dimensions;
    a baseline takes off what all draws have in common.

    *Source* Williams (1992); Ranganath, Gerrish and Blei (2014), "Black box
    variational inference".

    Args:
        baseline: What to subtract from the cost: None, ``"ema"``, ``"rloo"``, a
            :class:`~pyro_reparam_ext.gradients.Baseline`, or a network for a
            :class:`~pyro_reparam_ext.gradients.NeuralBaseline`.

    Example:
        >>> ScoreFunction(baseline="rloo").min_particles
        2
    """

    instead: ClassVar[str] = "'vimco'"

    baseline: Baseline | str | nn.Module | None = None

    def __post_init__(self) -> None:
        given = self.baseline
        if isinstance(given, str) and given in BASELINES:
            object.__setattr__(self, "baseline", BASELINES[given])
        elif isinstance(given, nn.Module):
            object.__setattr__(self, "baseline", NeuralBaseline(given))
        elif given is not None and not isinstance(given, Baseline):
            raise ValueError(
                f"ScoreFunction: baseline must be one of {sorted(BASELINES)}, a "
                f"Baseline, a network or None; found {given!r}."
            )

    @property
    def objectives(self) -> frozenset[str]:
        """Those of the baseline."""
        if isinstance(self.baseline, Baseline):
            return self.baseline.objectives
        return frozenset({"elbo", "iw"})

    @property
    def min_particles(self) -> int:
        """As many as the baseline needs."""
        return self.baseline.min_particles if isinstance(self.baseline, Baseline) else 1

    @property
    def self_contained(self) -> bool:
        """Not with a baseline: somebody must keep the costs it is made of."""
        return self.baseline is None

    def reparameterized(self, fn: Distribution) -> bool:
        """Never."""
        return False

    def supports(self, fn: Distribution) -> str | None:
        """Everything with a density at the draw: not point masses."""
        if isinstance(innermost(fn), Delta):
            return (
                "needs a density to score, but Delta is a point mass. Leave this site "
                "out of sites=."
            )
        if isinstance(innermost(fn), _STRAIGHT_THROUGH):
            return (
                f"needs the density of the draw, but a draw of {describe(fn)} is a "
                "rounded one that carries the relaxed one along. Use 'pathwise' (the "
                "biased straight-through estimator), or the discrete distribution."
            )
        return why_no_score(fn)

    def draw(self, fn: Distribution, sample_shape: torch.Size) -> Tensor:
        """A detached draw: the same as the pathwise one under the same seed."""
        with torch.no_grad():
            if fn.has_rsample and not is_discrete(fn):
                return fn.rsample(sample_shape).detach()
            return fn.sample(sample_shape)

    def score_parts(
        self, fn: Distribution, value: Tensor, *args: Any, **kwargs: Any
    ) -> ScoreParts:
        """The score of the law drawn from; no entropy term, whose mean is zero."""
        log_prob = density_at(fn, value, *args, **kwargs)
        drawn_from = unmasked(fn)
        score = (
            log_prob
            if drawn_from is fn
            else density_at(drawn_from, value, *args, **kwargs)
        )
        return ScoreParts(log_prob=log_prob, score_function=score, entropy_term=0)


def unmasked(fn: Distribution) -> Distribution:
    """The law that ``fn`` draws from: ``mask`` hides log_prob, not the draw.

    A masked value may still matter downstream, so its score counts in full.
    """
    if isinstance(fn, MaskedDistribution):
        return unmasked(fn.base_dist)
    base = getattr(fn, "base_dist", None)
    if base is None or hasattr(fn, "transforms"):
        return fn
    new_base = unmasked(base)
    if new_base is base:
        return fn
    new: Any = copy.copy(fn)
    new.base_dist = new_base
    return new
