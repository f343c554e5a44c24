# SPDX-License-Identifier: Apache-2.0
"""Where the biased estimators are right, and where they are not.

`tests/infer/test_relaxed.py` holds each choice to what is said of it here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pyro_reparam_ext.gradients import GumbelStraightThrough, ReinMax
from tests.model_case import ModelCase
from tests.programs import always
from tests.relaxed_programs import (
    guide,
    masked_guide,
    masked_model,
    mixed_guide,
    mixed_model,
    multilinear_model,
    quadratic_model,
)

Choices = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class RelaxedCase:
    """A model, the choices whose mean is its exact gradient, and those that are off."""

    case: ModelCase
    right: Choices
    wrong: Choices = field(default_factory=dict)


def everywhere(estimator: Any, **options: Any) -> dict[str, Any]:
    return {"estimator": estimator, "allow_biased": True, **options}


def beside(**others: Any) -> dict[str, Any]:
    """Relaxed sites beside others."""
    particles = {"num_particles": 2} if "rloo" in others.values() else {}
    relaxed = {"b": "straight_through", "h": "reinmax"}
    return {"sites": relaxed | {"z": "pathwise"} | others, **particles}


RELAXED_MODELS = [
    RelaxedCase(
        ModelCase("multilinear", multilinear_model, always(guide), {}, nesting=1),
        right={
            "straight_through": everywhere("straight_through"),
            "reinmax": everywhere("reinmax"),
            "reinmax 2": everywhere("reinmax", num_particles=2),
            "by plate": everywhere("reinmax", dependency="plate"),
            "b": {"sites": {"b": "reinmax", "h": "straight_through"}},
            "h": {"sites": {"b": "score", "h": "straight_through"}},
            "h, b mvd": {"sites": {"b": "mvd", "h": "reinmax"}},
        },
        wrong={
            "gumbel": everywhere("gumbel"),
            "gumbel .5": everywhere(GumbelStraightThrough(0.5)),
            "reinmax at 2": everywhere(ReinMax(2.0)),
        },
    ),
    RelaxedCase(
        ModelCase("quadratic", quadratic_model, always(guide), {}, nesting=1),
        right={"reinmax": everywhere("reinmax")},
        wrong={
            "straight_through": everywhere("straight_through"),
            "gumbel": everywhere("gumbel"),
        },
    ),
    RelaxedCase(
        ModelCase("relaxed beside", mixed_model, always(mixed_guide), {}),
        right={
            "beside scores": beside(e="score", c="score"),
            "beside rloo": beside(e="rloo", c="rloo"),
            "beside enum": beside(e="enum", c="enum"),
            "beside mvd": beside(e="mvd", c="mvd"),
            "beside stl": beside(e="enum", c="disarm", z="stl"),
            "beside adaptive": beside(e="mvd", c="enum", z="adaptive"),
        },
    ),
    RelaxedCase(
        ModelCase("one-hot masked", masked_model, always(masked_guide), {}, nesting=1),
        right={"straight_through": everywhere("straight_through")},
    ),
]
