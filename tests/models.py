# SPDX-License-Identifier: Apache-2.0
"""Small programs with exact ELBO gradients, one for each feature the switch meets.

Each is small enough to enumerate and integrate: `tests/infer/test_unbiased.py` checks
every estimator on every one of them. Their gradients have finite fourth moments.
"""

from functools import partial

from pyro.infer.autoguide import (
    AutoDiagonalNormal,
    AutoMultivariateNormal,
    AutoNormal,
    AutoNormalMessenger,
)

from pyro_reparam_ext.gradients import Adaptive, Pathwise
from tests.element_models import ELEMENT_MODELS
from tests.model_case import (
    COUPLED,
    DEFAULT,
    EVERYWHERE,
    LOCAL,
    MVD,
    NO_PATH,
    ModelCase,
)
from tests.programs import (
    Regression,
    always,
    amortized_guide,
    amortized_model,
    auto,
    auto_model,
    auxiliary_guide,
    branching_guide,
    branching_model,
    chain_guide,
    chain_model,
    downstream_guide,
    downstream_model,
    flow_guide,
    masked_guide,
    masked_model,
    mixed_guide,
    mixed_model,
    nested_guide,
    nested_model,
    normal_guide,
    normal_model,
    plated_guide,
    plated_model,
    regression_guide,
    subsampled_guide,
    subsampled_model,
    two_plates_guide,
    two_plates_model,
)

MODELS = [
    ModelCase("normal", normal_model, always(normal_guide), EVERYWHERE | MVD | COUPLED),
    ModelCase(
        "auxiliary",
        normal_model,
        always(auxiliary_guide),
        EVERYWHERE | MVD | {"named": {"sites": {"u": "score"}}},
        stock_is_wrong=True,
    ),
    ModelCase(
        "flow",
        normal_model,
        always(flow_guide),
        EVERYWHERE | COUPLED,
        stock_is_wrong=True,
    ),
    ModelCase(
        "mixed",
        mixed_model,
        always(mixed_guide),
        DEFAULT
        | NO_PATH
        | MVD
        | {
            "z2 disarm": {"sites": {"z2": "disarm", "z*": "stl"}},
            "z2 disarm 3": {"sites": {"z2": "disarm"}, "num_particles": 3},
            "z2 enum": {"sites": {"z2": "enum", "z*": "adaptive"}},
            "z2 enum, z1 score": {"sites": {"z2": "enum", "z1": "score"}},
            "z2 enum, z3 score": {"sites": {"z2": "enum", "z3": "score"}},
            "z2 mvd, z1 analytic": {"sites": {"z2": "mvd", "z1": "analytic"}},
            "z2 enum by plate": {"sites": {"z2": "enum"}, "dependency": "plate"},
            "z2 mvd by plate": {"sites": {"z2": "mvd"}, "dependency": "plate"},
            "stl by replay": {"sites": {"z1": "stl", "z3": "stl"}, "stl": "replay"},
            "adaptive by replay": {
                "sites": {"z1": "adaptive", "z3": "adaptive"},
                "stl": "replay",
            },
            "one by one": {"sites": {"z2": "enum"}, "vectorize_replays": False},
            "z2 ema": {"sites": {"z2": "ema"}},
            "z2 rloo": {"sites": {"z2": "rloo"}, "num_particles": 3},
            "z1 score": {"sites": {"z1": "score", "z3": "pathwise"}},
            "antithetic, z2 rloo": {
                "sites": {"z2": "rloo", "z*": Pathwise(noise="antithetic")},
                "num_particles": 2,
            },
            "sobol, z2 mvd": {
                "sites": {"z2": "mvd", "z*": Adaptive(noise="sobol")},
                "num_particles": 4,
            },
            "z3 ema": {"sites": {"z3": "ema", "*": None}},
            "by plate": {"dependency": "plate"},
        },
        reparameterized=False,
    ),
    ModelCase(
        "chain",
        chain_model,
        always(chain_guide),
        DEFAULT
        | NO_PATH
        | MVD
        | {
            "enum": {"estimator": "enum"},
            "enum and mvd": {"sites": {"c1": "mvd", "c2": "enum", "c3": "rloo"}}
            | {"num_particles": 2},
            "enum around": {"sites": {"c1": "enum", "c3": "enum", "c2": "score"}},
            "c3 disarm": {"sites": {"c3": "disarm", "c1": "enum"}},
            "by plate": {"dependency": "plate"},
        },
        reparameterized=False,
    ),
    ModelCase(
        "plated",
        plated_model,
        always(plated_guide),
        EVERYWHERE
        | {
            "z score": {"sites": {"z": "score"}},
            "s rloo": {"sites": {"s": "rloo"}, "num_particles": 3},
            "z sobol": {"sites": {"z": Pathwise(noise="sobol")}, "num_particles": 4},
            "by plate": {"estimator": "score", "dependency": "plate"},
        },
        nesting=1,
        nodes=30,
    ),
    ModelCase(
        "masked",
        masked_model,
        always(masked_guide),
        EVERYWHERE | MVD | COUPLED,
        nesting=1,
        stock_is_wrong=True,
    ),
    ModelCase(
        "nested",
        nested_model,
        always(nested_guide),
        DEFAULT
        | NO_PATH
        | MVD
        | LOCAL
        | {"c enum, m score": {"sites": {"c": "enum", "m": "score"}}},
        nesting=2,
        reparameterized=False,
    ),
    ModelCase(
        "downstream",
        downstream_model,
        always(downstream_guide),
        DEFAULT | NO_PATH | LOCAL,
        reparameterized=False,
    ),
    ModelCase(
        "two plates",
        two_plates_model,
        always(two_plates_guide),
        DEFAULT | NO_PATH | LOCAL | {"by plate": {"dependency": "plate"}},
        nesting=1,
        reparameterized=False,
    ),
    ModelCase(
        "subsampled",
        subsampled_model,
        always(subsampled_guide),
        DEFAULT | NO_PATH | LOCAL,
        exact_model=partial(subsampled_model, size=None),
        exact_guide=partial(subsampled_guide, size=None),
        nesting=1,
        reparameterized=False,
    ),
    ModelCase(
        "branching",
        branching_model,
        always(branching_guide),
        DEFAULT
        | NO_PATH
        | {
            "z mvd": {"sites": {"z": "mvd"}, "vectorize_replays": False},
            "z enum": {"sites": {"z": "enum"}, "vectorize_replays": False},
        },
        static=False,
        reparameterized=False,
    ),
    ModelCase(
        "AutoNormal",
        auto_model,
        partial(auto, AutoNormal),
        EVERYWHERE | MVD | COUPLED | {"z score": {"sites": {"z": "score"}}},
        nesting=1,
        stock_is_wrong=True,
    ),
    ModelCase(
        "AutoDiagonalNormal",
        auto_model,
        partial(auto, AutoDiagonalNormal),
        EVERYWHERE,
        nesting=1,
        stock_is_wrong=True,
    ),
    ModelCase(
        "AutoMultivariateNormal",
        auto_model,
        partial(auto, AutoMultivariateNormal),
        EVERYWHERE | COUPLED,
        nesting=1,
        stock_is_wrong=True,
    ),
    ModelCase(
        "AutoNormalMessenger",
        auto_model,
        partial(auto, AutoNormalMessenger),
        EVERYWHERE | {"z score": {"sites": {"z": "score"}}},
        nesting=1,
        stock_is_wrong=True,
    ),
    ModelCase(
        "amortized",
        amortized_model,
        amortized_guide,
        DEFAULT
        | NO_PATH
        | LOCAL
        | {
            "z sobol": {
                "sites": {"z": Pathwise(noise="sobol"), "c": "rloo"},
                "num_particles": 4,
            }
        },
        nesting=1,
        reparameterized=False,
    ),
    ModelCase(
        "PyroModule",
        Regression(),
        always(regression_guide),
        EVERYWHERE | MVD,
        nesting=1,
    ),
    *ELEMENT_MODELS,
]
