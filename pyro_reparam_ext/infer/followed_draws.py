# SPDX-License-Identifier: Apache-2.0
"""A handler for models some of whose discrete draws carry a gradient."""

from typing import Any

from pyro.poutine.messenger import Messenger

from pyro_reparam_ext.gradients.base import describe
from pyro_reparam_ext.gradients.relaxed import RelaxedEstimator, linear_in_value


class FollowDraws(Messenger):
    """Has the densities of one-hot sites follow the gradient of their values.

    Args:
        relaxed: The guide sites that have a ``RelaxedEstimator``, and which.

    Raises:
        ValueError: the model has another law at such a site, through whose density no
            gradient may come.
    """

    def __init__(self, relaxed: dict[str, RelaxedEstimator]) -> None:
        super().__init__()
        self.relaxed = relaxed

    def _pyro_sample(self, msg: Any) -> None:
        estimator = self.relaxed.get(msg["name"])
        if estimator is not None and estimator.supports(msg["fn"]) is not None:
            raise ValueError(
                f"Site {msg['name']!r}: the guide's draw has a gradient of its own "
                "making, which the model's density must follow; expected Bernoulli or "
                f"OneHotCategorical there, found {describe(msg['fn'])}. Use 'rloo' or "
                "'mvd' for this site."
            )
        msg["fn"] = linear_in_value(msg["fn"])
