# SPDX-License-Identifier: Apache-2.0
"""What a registered model says of itself, and the choices of estimators to try."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pyro_reparam_ext.gradients import Adaptive, Pathwise, StickingTheLanding


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
    "stl": {"estimator": "stl"},
    "adaptive": {"estimator": "adaptive"},
    "adaptive4": {"estimator": "adaptive", "num_particles": 4},
    "analytic": {"estimator": "analytic"},
    "score": {"estimator": "score"},
    "ema": {"estimator": "ema"},
    "rloo": {"estimator": "rloo", "num_particles": 2},
    "rloo4": {"estimator": "rloo", "num_particles": 4},
}
NEED_PATH = ("pathwise", "stl", "adaptive", "adaptive4")
NO_PATH = {k: v for k, v in EVERYWHERE.items() if k not in NEED_PATH}
MVD = {"mvd": {"estimator": "mvd"}}
COUPLED = {
    "antithetic": {"estimator": Pathwise(noise="antithetic"), "num_particles": 2},
    "antithetic adaptive": {
        "estimator": Adaptive(noise="antithetic"),
        "num_particles": 4,
    },
    "sobol": {"estimator": Pathwise(noise="sobol"), "num_particles": 4},
    "sobol stl": {"estimator": StickingTheLanding(noise="sobol"), "num_particles": 3},
}
DEFAULT = {"default": {}}
LOCAL = {  # of a Bernoulli site c
    "c rloo": {"sites": {"c": "rloo"}, "num_particles": 2},
    "c disarm": {"sites": {"c": "disarm"}},
    "c mvd": {"sites": {"c": "mvd"}, "num_particles": 2},
    "c enum": {"sites": {"c": "enum"}},
}


def couples(choice: Mapping[str, Any]) -> bool:
    """Whether a choice couples the noise of the particles: it has draws of its own."""
    named = [choice.get("estimator"), *choice.get("sites", {}).values()]
    return any(getattr(estimator, "noise", "iid") != "iid" for estimator in named)
