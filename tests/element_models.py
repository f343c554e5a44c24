# SPDX-License-Identifier: Apache-2.0
"""Registered models that estimators with replays and closed forms meet."""

from tests.element_programs import (
    annealed_guide,
    annealed_model,
    elements_guide,
    elements_model,
    integers_guide,
    integers_model,
    masked_discrete_guide,
    masked_discrete_model,
    reversed_guide,
    reversed_model,
)
from tests.model_case import DEFAULT, EVERYWHERE, LOCAL, MVD, NO_PATH, ModelCase
from tests.programs import always

ELEMENT_MODELS = [
    ModelCase(
        "elements",
        elements_model,
        always(elements_guide),
        DEFAULT
        | NO_PATH
        | MVD
        | {
            "enum": {"estimator": "enum"},
            "b disarm": {"sites": {"b": "disarm", "h": "enum"}},
            "b enum": {"sites": {"b": "enum", "h": "mvd"}, "num_particles": 2},
        },
        nesting=1,
        reparameterized=False,
    ),
    ModelCase(
        "integers",
        integers_model,
        always(integers_guide),
        DEFAULT | NO_PATH | MVD | {"enum": {"estimator": "enum"}},
        reparameterized=False,
    ),
    ModelCase(
        "reversed",
        reversed_model,
        always(reversed_guide),
        EVERYWHERE
        | MVD
        | {
            "stl by replay": {"estimator": "stl", "stl": "replay"},
            "adaptive by replay": {"estimator": "adaptive", "stl": "replay"},
        },
    ),
    ModelCase(
        "annealed",
        annealed_model,
        always(annealed_guide),
        DEFAULT | NO_PATH | MVD | LOCAL,
        reparameterized=False,
    ),
    ModelCase(
        "masked discrete",
        masked_discrete_model,
        always(masked_discrete_guide),
        DEFAULT
        | NO_PATH
        | MVD
        | {
            "disarm": {"estimator": "disarm"},
            "enum": {"estimator": "enum"},
        },
        nesting=1,
        reparameterized=False,
        stock_is_wrong=True,
    ),
]
