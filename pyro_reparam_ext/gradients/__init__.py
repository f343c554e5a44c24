# SPDX-License-Identifier: Apache-2.0
r"""How :math:`\nabla_\theta` is estimated at one sample site: one method per file."""

from pyro_reparam_ext.gradients.base import GradientEstimator
from pyro_reparam_ext.gradients.baselines import (
    Baseline,
    LeaveOneOut,
    MovingAverage,
    SiteState,
)
from pyro_reparam_ext.gradients.names import NAMED_ESTIMATORS, name_of, resolve
from pyro_reparam_ext.gradients.pathwise import Pathwise
from pyro_reparam_ext.gradients.score_function import ScoreFunction

__all__ = [
    "NAMED_ESTIMATORS",
    "Baseline",
    "GradientEstimator",
    "LeaveOneOut",
    "MovingAverage",
    "Pathwise",
    "ScoreFunction",
    "SiteState",
    "name_of",
    "resolve",
]
