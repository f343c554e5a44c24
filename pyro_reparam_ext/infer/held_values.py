# SPDX-License-Identifier: Apache-2.0
"""Handlers that give sites the values they had in another run."""

from collections.abc import Mapping
from typing import Any

from pyro.poutine.messenger import Messenger
from torch import Tensor


class HoldValues(Messenger):
    """Gives the sites named the given values; what is computed from them follows.

    Args:
        values: From site names to values.
    """

    def __init__(self, values: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.values = values

    def _pyro_sample(self, msg: Any) -> None:
        if msg["name"] in self.values and not msg["is_observed"]:
            msg["value"] = self.values[msg["name"]]


class ShareSubsamples(Messenger):
    """Has all runs inside use the minibatch of the first that draws one."""

    def __init__(self) -> None:
        super().__init__()
        self.drawn: dict[str, Any] = {}

    def _pyro_sample(self, msg: Any) -> None:
        if type(msg["fn"]).__name__ == "_Subsample" and msg["value"] is None:
            msg["value"] = self.drawn.get(msg["name"])

    def _pyro_post_sample(self, msg: Any) -> None:
        if type(msg["fn"]).__name__ == "_Subsample":
            self.drawn[msg["name"]] = msg["value"]


class NoteSubsamples(Messenger):
    """Notes which indices the plates of a program drew."""

    def __init__(self, indices: dict[str, Any]) -> None:
        super().__init__()
        self.indices = indices

    def _pyro_post_sample(self, msg: Any) -> None:
        if type(msg["fn"]).__name__ == "_Subsample":
            self.indices[msg["name"]] = msg["value"]
