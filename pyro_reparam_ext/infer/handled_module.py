# SPDX-License-Identifier: Apache-2.0
"""A module under a handler."""

from collections.abc import Callable
from typing import Any

from torch import nn


class HandledModule(nn.Module):
    """A module that runs under a handler, its parameters and modules still its own."""

    def __init__(self, module: nn.Module, handled: Callable[..., Any]) -> None:
        super().__init__()
        self.module = module
        self._handled = handled

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:  # a guide's median(), say
            return getattr(super().__getattr__("module"), name)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Run the module under the handler."""
        return self._handled(*args, **kwargs)
