# SPDX-License-Identifier: Apache-2.0
"""What all estimators share that ask what other values of a draw would have brought."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from pyro.distributions.score_parts import ScoreParts
from torch import Tensor
from torch.distributions import Distribution

from pyro_reparam_ext.gradients.base import GradientEstimator
from pyro_reparam_ext.gradients.score_function import ScoreFunction


@dataclass(frozen=True, eq=False)
class ReplayEstimator(GradientEstimator):
    r"""An estimator that replays the program with other values of a draw (abstract).

    The loss runs guide and model again from the site on, for all its alternatives at
    once, and tells the estimator by how much each changes the objective. What the site
    does not influence keeps the value it had.

    Attributes:
        elementwise: Whether alternatives replace one element of the draw at a time;
            else all of them at once. An element is one value of the innermost
            distribution; cells of a plate that the objective does not mix are not told
            apart.
    """

    elementwise: ClassVar[bool] = True

    @property
    def self_contained(self) -> bool:
        """Not: the loss must replay the program."""
        return False

    def reparameterized(self, fn: Distribution) -> bool:
        """Never."""
        return False

    def draw(self, fn: Distribution, sample_shape: torch.Size) -> Tensor:
        """A detached draw, the same as that of the score function."""
        return ScoreFunction().draw(fn, sample_shape)

    def score_parts(
        self, fn: Distribution, value: Tensor, *args: Any, **kwargs: Any
    ) -> ScoreParts:
        """No score; the entropy term's own derivative has mean zero."""
        return ScoreParts(fn.log_prob(value, *args, **kwargs), 0, 0)

    @abstractmethod
    def alternatives(self, base: Distribution, value: Tensor) -> Tensor:
        """Values to try, ``[number, *value.shape]``.

        Args:
            base: The innermost distribution of the site.
            value: The draw.
        """

    @abstractmethod
    def surrogate(
        self, base: Distribution, value: Tensor, alternatives: Tensor, change: Tensor
    ) -> Tensor:
        """A scalar whose gradient is the estimate.

        Args:
            base: The innermost distribution of the site.
            value: The draw.
            alternatives: What was tried.
            change: By how much each raises the objective, detached; broadcasts to
                ``[number, *base.batch_shape]``.
        """
