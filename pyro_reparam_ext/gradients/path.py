# SPDX-License-Identifier: Apache-2.0
"""What all estimators that follow the sampling path share."""

from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.distributions import Distribution

from pyro_reparam_ext.distributions import as_transport
from pyro_reparam_ext.gradients.base import GradientEstimator, describe
from pyro_reparam_ext.gradients.coupling import NOISES, can_be_coupled, coupled


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


@dataclass(frozen=True, eq=False)
class CoupledPathEstimator(PathEstimator):
    r"""A path estimator that may couple the noise of the particles (abstract).

    Attributes:
        noise: How :math:`\epsilon` depends from particle to particle: ``"iid"``, not
            at all; ``"antithetic"``, half of the particles are the others reflected;
            ``"sobol"``, they fill the cube as evenly as points can (a scrambled Sobol
            set for each cell of the plates, best with a power of two).
    """

    noise: str = field(default="iid", kw_only=True)

    def __post_init__(self) -> None:
        if self.noise not in NOISES:
            raise ValueError(
                f"{type(self).__name__}: noise must be one of {NOISES}; "
                f"found {self.noise!r}."
            )

    @property
    def min_particles(self) -> int:
        """Two, to couple them."""
        return 1 if self.noise == "iid" else 2

    @property
    def self_contained(self) -> bool:
        """Not if noise is coupled: the loss must draw the particles in one run."""
        return self.noise == "iid"

    def supports(self, fn: Distribution) -> str | None:
        """Distributions with ``rsample``; with an explicit path, to couple noise."""
        reason = super().supports(fn)
        if self.noise == "iid" or reason is not None:
            return reason
        try:
            known = can_be_coupled(as_transport(fn).noise)
        except NotImplementedError:
            known = False
        if known:
            return None
        return (
            "needs a distribution that as_transport knows as a function of standard "
            f"noise, but not {describe(fn)}. Use noise='iid' for this site."
        )

    def draw(self, fn: Distribution, sample_shape: torch.Size) -> Tensor:
        """``fn.rsample``, or the same path from coupled noise."""
        if self.noise == "iid" or sample_shape:
            return super().draw(fn, sample_shape)
        view = as_transport(fn)
        return view.transport(coupled(self.noise, view.noise))
