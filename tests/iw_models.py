# SPDX-License-Identifier: Apache-2.0
"""Small programs with exact importance-weighted gradients, and estimators to try.

`tests/infer/test_iw_unbiased.py` checks every choice on every one of them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from pyro.infer.autoguide import AutoDiagonalNormal, AutoNormal, AutoNormalMessenger

from pyro_reparam_ext.gradients import Vimco
from tests.iw_programs import (
    coin_guide,
    coin_model,
    extended_guide,
    extended_model,
    local_guide,
    local_model,
    mixture_guide,
    objects_guide,
    objects_model,
    scaled_guide,
    scaled_model,
    steps_guide,
    steps_model,
    switching_guide,
)
from tests.programs import (
    always,
    auto,
    auto_model,
    auxiliary_guide,
    branching_guide,
    branching_model,
    flow_guide,
    masked_guide,
    masked_model,
    mixed_guide,
    mixed_model,
    normal_guide,
    normal_model,
)

Program = Callable[..., Any]


@dataclass(frozen=True)
class IWCase:
    """A model, how to make its guide, and the losses to try.

    Args:
        model: The model.
        guide: Makes the guide; called with the model, after parameters are cleared.
        choices: From a label to keyword arguments of ``TraceIW_ELBO``.
        exact: Programs whose exact losses add up to that of the case, for a choice;
            by default the case itself.
        static: Whether the program may run once for many particles.
        steps_vary: Whether there is randomness that copies of the program share.
        nesting: Number of nested plates.
        nodes: Quadrature nodes a dimension.
    """

    name: str
    model: Program
    guide: Callable[..., Any]
    choices: Mapping[str, Mapping[str, Any]]
    exact: Callable[[Mapping[str, Any]], Sequence[tuple[Program, Program]]] | None = (
        None
    )
    static: bool = True
    steps_vary: bool = False
    nesting: int = 0
    nodes: int = 24


PATH = {
    "dreg": {"estimator": "dreg", "num_particles": 2},
    "pathwise": {"estimator": "pathwise", "num_particles": 2},
}
SCORE = {
    "score": {"estimator": "score", "num_particles": 2},
    "ema": {"estimator": "ema", "num_particles": 2},
    "vimco": {"estimator": "vimco", "num_particles": 2},
}
REPLAY = {
    "mvd": {"estimator": "mvd", "num_particles": 2},
    "disarm": {"estimator": "disarm", "num_particles": 2},
}
DEFAULT = {"default": {"num_particles": 2}}
RENYI = {
    "default .5": {"num_particles": 2, "alpha": 0.5},
    "default -1": {"num_particles": 2, "alpha": -1.0},
}


def one_by_one(choice: Mapping[str, Any]) -> list[tuple[Program, Program]]:
    """Each data point is a program of its own."""
    return [(partial(local_model, (i,)), partial(local_guide, (i,))) for i in range(3)]


def extended(discrete: bool) -> Callable[..., list[tuple[Program, Program]]]:
    """All auxiliary draws are latents; the model says what they weigh."""
    return lambda choice: [
        tuple(
            partial(program, discrete, choice.get("num_aux", 1))
            for program in (extended_model, extended_guide)
        )
    ]


IW_MODELS = [
    IWCase(
        "coin",
        coin_model,
        always(coin_guide),
        DEFAULT
        | RENYI
        | SCORE
        | REPLAY
        | {
            "one": {"num_particles": 1},
            "five": {"num_particles": 5},
            "arithmetic": {"estimator": Vimco("arithmetic"), "num_particles": 3},
            "arithmetic 2": {
                "estimator": Vimco("arithmetic"),
                "num_particles": 3,
                "alpha": 2.0,
            },
        },
    ),
    IWCase(
        "normal",
        normal_model,
        always(normal_guide),
        PATH | SCORE | RENYI | {"three": {"num_particles": 3}},
    ),
    IWCase("flow", normal_model, always(flow_guide), PATH | SCORE, nodes=60),
    IWCase("auxiliary", normal_model, always(auxiliary_guide), PATH | SCORE),
    IWCase(
        "steps",
        steps_model,
        always(steps_guide),
        PATH
        | SCORE
        | RENYI
        | {
            "a pathwise": {"sites": {"a": "pathwise"}, "num_particles": 2},
            "b pathwise": {"sites": {"b": "pathwise"}, "num_particles": 2},
            "b score": {"sites": {"b": "vimco"}, "num_particles": 2},
            "a score": {"sites": {"a": "vimco"}, "num_particles": 2},
        },
        nodes=48,
    ),
    IWCase(
        "mixed",
        mixed_model,
        always(mixed_guide),
        DEFAULT
        | RENYI
        | SCORE
        | {
            "z3": {"sites": {"z3": "dreg"}, "num_particles": 2},
            "mvd": {"sites": {"z2": "mvd"}, "num_particles": 2},
            "disarm": {"sites": {"z2": "disarm"}, "num_particles": 2, "alpha": 0.5},
        },
        nodes=18,
    ),
    IWCase(
        "local",
        local_model,
        always(local_guide),
        DEFAULT
        | RENYI
        | SCORE
        | {
            "mvd": {"sites": {"c": "mvd"}, "num_particles": 2},
            "disarm": {"sites": {"c": "disarm"}, "num_particles": 2},
        },
        exact=one_by_one,
        nesting=1,
    ),
    IWCase(
        "subsampled",
        partial(local_model, size=2),
        always(partial(local_guide, size=2)),
        DEFAULT | RENYI | SCORE | {"mvd": {"sites": {"c": "mvd"}, "num_particles": 2}},
        exact=one_by_one,
        steps_vary=True,
        nesting=1,
    ),
    IWCase(
        "scaled",
        scaled_model,
        always(scaled_guide),
        DEFAULT | RENYI | SCORE | REPLAY,
        nesting=2,
    ),
    IWCase(
        "masked",
        masked_model,
        always(masked_guide),
        PATH | SCORE | RENYI,
        nesting=1,
        nodes=36,
    ),
    IWCase(
        "objects",
        objects_model,
        always(objects_guide),
        DEFAULT
        | RENYI
        | SCORE
        | {
            "last": {"sites": {"where_2": "dreg"}, "num_particles": 2},
            "mvd": {"sites": {"pres_*": "mvd"}, "num_particles": 2},
            "hybrid": {
                "sites": {"pres_1": "mvd", "pres_2": "vimco"},
                "num_particles": 2,
            },
        },
        nodes=16,
    ),
    IWCase(
        "branching",
        branching_model,
        always(branching_guide),
        DEFAULT,
        nodes=60,
        static=False,
    ),
    IWCase(
        "AutoNormal", auto_model, partial(auto, AutoNormal), PATH | SCORE, nesting=1
    ),
    IWCase(
        "AutoDiagonalNormal",
        auto_model,
        partial(auto, AutoDiagonalNormal),
        PATH | SCORE,
        nesting=1,
    ),
    IWCase(
        "AutoNormalMessenger",
        auto_model,
        partial(auto, AutoNormalMessenger),
        PATH | SCORE,
        nesting=1,
    ),
    IWCase(
        "mixture",
        normal_model,
        always(mixture_guide),
        {
            "HVI": {"num_particles": 1},
            "IWHVI": {"num_particles": 1, "num_aux": 2},
            "DIWHVI": {"num_particles": 2, "num_aux": 1, "alpha": 0.5},
            "z score": {
                "sites": {"z": "score"},
                "num_particles": 1,
                "num_aux": 2,
            },
            "score": {"estimator": "score", "num_particles": 1, "num_aux": 2},
        },
        exact=extended(False),
        nodes=20,
    ),
    IWCase(
        "switching",
        normal_model,
        always(switching_guide),
        {
            "HVI": {"num_particles": 1},
            "IWHVI": {"num_particles": 1, "num_aux": 3},
            "DIWHVI": {"num_particles": 2, "num_aux": 3},
            "vimco": {"estimator": "vimco", "num_particles": 2, "num_aux": 2},
        },
        exact=extended(True),
    ),
]
