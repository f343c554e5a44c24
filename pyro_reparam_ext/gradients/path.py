# SPDX-License-Identifier: Apache-2.0
"""What all estimators that follow the sampling path share."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.distributions import Distribution

from pyro_reparam_ext.gradients.base import GradientEstimator, describe


@dataclass(frozen=True, eq=False)
class PathEstimator(GradientEstimator):
    r"""An estimator whose draw is differentiable in the parameters (abstract).

    Subclasses say in ``score_parts`` what is differentiated in place of
    :math:`\log q`.
    """

    def reparameterized(self, fn: Distribution) -> bool:
        """Always."""
        return True

    def supports(self, fn: Distribution) -> str | None:
        """Distributions with ``rsample``."""
        if fn.has_rsample:
            return None
        return (
            f"needs a distribution with rsample, but {describe(fn)} has none. "
            "Use 'score' or 'rloo' for this site."
        )

    def draw(self, fn: Distribution, sample_shape: torch.Size) -> Tensor:
        """``fn.rsample``."""
        return fn.rsample(sample_shape)
