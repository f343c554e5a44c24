# SPDX-License-Identifier: Apache-2.0
"""Names for estimators: a string is accepted wherever an estimator is."""

from pyro_reparam_ext.gradients.adaptive import Adaptive
from pyro_reparam_ext.gradients.analytic import Analytic
from pyro_reparam_ext.gradients.base import GradientEstimator
from pyro_reparam_ext.gradients.disarm import DisARM
from pyro_reparam_ext.gradients.doubly_reparameterized import (
    DoublyReparameterized,
)
from pyro_reparam_ext.gradients.enumeration import Enumerate
from pyro_reparam_ext.gradients.gumbel_straight_through import (
    GumbelStraightThrough,
)
from pyro_reparam_ext.gradients.measure_valued import MeasureValued
from pyro_reparam_ext.gradients.pathwise import Pathwise
from pyro_reparam_ext.gradients.reinmax import ReinMax
from pyro_reparam_ext.gradients.score_function import ScoreFunction
from pyro_reparam_ext.gradients.sticking_the_landing import StickingTheLanding
from pyro_reparam_ext.gradients.straight_through import StraightThrough
from pyro_reparam_ext.gradients.vimco import Vimco

NAMED_ESTIMATORS: dict[str, GradientEstimator] = {
    "pathwise": Pathwise(),
    "stl": StickingTheLanding(),
    "adaptive": Adaptive(),
    "analytic": Analytic(),
    "score": ScoreFunction(),
    "ema": ScoreFunction(baseline="ema"),
    "rloo": ScoreFunction(baseline="rloo"),
    "disarm": DisARM(),
    "mvd": MeasureValued(),
    "enum": Enumerate(),
    "straight_through": StraightThrough(),
    "gumbel": GumbelStraightThrough(),
    "reinmax": ReinMax(),
    "dreg": DoublyReparameterized(),
    "vimco": Vimco(),
}


def resolve(estimator: "str | GradientEstimator", where: str) -> GradientEstimator:
    """The estimator that ``estimator`` names, or itself.

    Raises:
        ValueError: an unknown name. ``where`` begins the message.
        TypeError: neither a name nor an estimator.
    """
    if isinstance(estimator, GradientEstimator):
        return estimator
    if isinstance(estimator, str):
        if estimator not in NAMED_ESTIMATORS:
            known = ", ".join(map(repr, NAMED_ESTIMATORS))
            raise ValueError(
                f"{where}: unknown estimator {estimator!r}. Known: {known}."
            )
        return NAMED_ESTIMATORS[estimator]
    hint = "; did you mean to call it?" if isinstance(estimator, type) else ""
    raise TypeError(
        f"{where}: expected an estimator or its name; found {estimator!r}{hint}"
    )


def name_of(estimator: GradientEstimator) -> str:
    """The short name of ``estimator`` if it has one, else its representation."""
    for name, named in NAMED_ESTIMATORS.items():
        if named == estimator:
            return name
    return repr(estimator)
