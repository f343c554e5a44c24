# SPDX-License-Identifier: Apache-2.0
"""Small programs with exact ELBO gradients, one for each feature the switch meets.

Each is small enough to enumerate and integrate: `tests/infer/test_unbiased.py` checks
every estimator on every one of them. Their gradients have finite fourth moments.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from pyro.infer.autoguide import (
    AutoDiagonalNormal,
    AutoMultivariateNormal,
    AutoNormal,
    AutoNormalMessenger,
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


@dataclass(frozen=True)
class ModelCase:
    """A model, how to make its guide, and the estimators to try.

    Args:
        model: The model.
        guide: Makes the guide; called with the model, after parameters are cleared.
        choices: From a label to keyword arguments of the loss.
        exact_model: The model without subsampling, if ``model`` subsamples.
        exact_guide: Its guide.
        static: Whether the program may run once for many particles.
        reparameterized: Whether every guide site has rsample by default.
        nesting: Number of nested plates.
        stock_is_wrong: Whether ``Trace_ELBO`` is biased with score-function sites.
        nodes: Quadrature nodes a dimension.
    """

    name: str
    model: Callable[..., Any]
    guide: Callable[..., Any]
    choices: Mapping[str, Mapping[str, Any]]
    exact_model: Callable[..., Any] | None = None
    exact_guide: Callable[..., Any] | None = None
    static: bool = True
    reparameterized: bool = True
    nesting: int = 0
    stock_is_wrong: bool = False
    nodes: int = 40


EVERYWHERE = {
    "pathwise": {"estimator": "pathwise"},
    "score": {"estimator": "score"},
    "ema": {"estimator": "ema"},
    "rloo": {"estimator": "rloo", "num_particles": 2},
    "rloo4": {"estimator": "rloo", "num_particles": 4},
}
NO_PATH = {k: v for k, v in EVERYWHERE.items() if k != "pathwise"}
DEFAULT = {"default": {}}


MODELS = [
    ModelCase("normal", normal_model, always(normal_guide), EVERYWHERE),
    ModelCase(
        "auxiliary",
        normal_model,
        always(auxiliary_guide),
        EVERYWHERE | {"named": {"sites": {"u": "score"}}},
        stock_is_wrong=True,
    ),
    ModelCase(
        "flow",
        normal_model,
        always(flow_guide),
        EVERYWHERE,
        stock_is_wrong=True,
    ),
    ModelCase(
        "mixed",
        mixed_model,
        always(mixed_guide),
        DEFAULT
        | NO_PATH
        | {
            "z2 ema": {"sites": {"z2": "ema"}},
            "z2 rloo": {"sites": {"z2": "rloo"}, "num_particles": 3},
            "z1 score": {"sites": {"z1": "score", "z3": "pathwise"}},
            "z3 ema": {"sites": {"z3": "ema", "*": None}},
            "by plate": {"dependency": "plate"},
        },
        reparameterized=False,
    ),
    ModelCase(
        "chain",
        chain_model,
        always(chain_guide),
        DEFAULT | NO_PATH | {"by plate": {"dependency": "plate"}},
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
            "by plate": {"estimator": "score", "dependency": "plate"},
        },
        nesting=1,
        nodes=30,
    ),
    ModelCase(
        "masked",
        masked_model,
        always(masked_guide),
        EVERYWHERE,
        nesting=1,
        stock_is_wrong=True,
    ),
    ModelCase(
        "nested",
        nested_model,
        always(nested_guide),
        DEFAULT | NO_PATH | {"c rloo": {"sites": {"c": "rloo"}, "num_particles": 2}},
        nesting=2,
        reparameterized=False,
    ),
    ModelCase(
        "downstream",
        downstream_model,
        always(downstream_guide),
        DEFAULT | NO_PATH | {"c rloo": {"sites": {"c": "rloo"}, "num_particles": 2}},
        reparameterized=False,
    ),
    ModelCase(
        "two plates",
        two_plates_model,
        always(two_plates_guide),
        DEFAULT | NO_PATH | {"by plate": {"dependency": "plate"}},
        nesting=1,
        reparameterized=False,
    ),
    ModelCase(
        "subsampled",
        subsampled_model,
        always(subsampled_guide),
        DEFAULT | NO_PATH | {"c rloo": {"sites": {"c": "rloo"}, "num_particles": 2}},
        exact_model=partial(subsampled_model, size=None),
        exact_guide=partial(subsampled_guide, size=None),
        nesting=1,
        reparameterized=False,
    ),
    ModelCase(
        "branching",
        branching_model,
        always(branching_guide),
        DEFAULT | NO_PATH,
        static=False,
        reparameterized=False,
    ),
    ModelCase(
        "AutoNormal",
        auto_model,
        partial(auto, AutoNormal),
        EVERYWHERE | {"z score": {"sites": {"z": "score"}}},
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
        EVERYWHERE,
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
        DEFAULT | NO_PATH | {"c rloo": {"sites": {"c": "rloo"}, "num_particles": 2}},
        nesting=1,
        reparameterized=False,
    ),
    ModelCase(
        "PyroModule",
        Regression(),
        always(regression_guide),
        EVERYWHERE,
        nesting=1,
    ),
]
