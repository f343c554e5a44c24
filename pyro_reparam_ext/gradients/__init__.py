# SPDX-License-Identifier: Apache-2.0
r"""How :math:`\nabla_\theta` is estimated at one sample site: one method per file."""

from pyro_reparam_ext.gradients.adaptive import Adaptive
from pyro_reparam_ext.gradients.analytic import Analytic
from pyro_reparam_ext.gradients.base import GradientEstimator
from pyro_reparam_ext.gradients.baselines import (
    Baseline,
    LeaveOneOut,
    MovingAverage,
    SiteState,
)
from pyro_reparam_ext.gradients.disarm import DisARM
from pyro_reparam_ext.gradients.doubly_reparameterized import (
    DoublyReparameterized,
)
from pyro_reparam_ext.gradients.enumeration import Enumerate
from pyro_reparam_ext.gradients.gumbel_straight_through import (
    GumbelStraightThrough,
)
from pyro_reparam_ext.gradients.measure_valued import MeasureValued
from pyro_reparam_ext.gradients.names import NAMED_ESTIMATORS, name_of, resolve
from pyro_reparam_ext.gradients.neural_baseline import NeuralBaseline
from pyro_reparam_ext.gradients.pathwise import Pathwise
from pyro_reparam_ext.gradients.reinmax import ReinMax
from pyro_reparam_ext.gradients.relaxed import RelaxedEstimator
from pyro_reparam_ext.gradients.replay import ReplayEstimator
from pyro_reparam_ext.gradients.score_function import ScoreFunction
from pyro_reparam_ext.gradients.sticking_the_landing import StickingTheLanding
from pyro_reparam_ext.gradients.straight_through import StraightThrough
from pyro_reparam_ext.gradients.vimco import Vimco

__all__ = [
    "NAMED_ESTIMATORS",
    "Adaptive",
    "Analytic",
    "Baseline",
    "DisARM",
    "DoublyReparameterized",
    "Enumerate",
    "GradientEstimator",
    "GumbelStraightThrough",
    "LeaveOneOut",
    "MeasureValued",
    "MovingAverage",
    "NeuralBaseline",
    "Pathwise",
    "ReinMax",
    "RelaxedEstimator",
    "ReplayEstimator",
    "ScoreFunction",
    "SiteState",
    "StickingTheLanding",
    "StraightThrough",
    "Vimco",
    "name_of",
    "resolve",
]
