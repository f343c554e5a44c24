# SPDX-License-Identifier: Apache-2.0
"""What is known of a recorded step, and what is said where there is none."""

from dataclasses import dataclass
from typing import Any

import pyro
from torch import Tensor

from pyro_reparam_ext.infer.compiled.arguments import Arguments
from pyro_reparam_ext.infer.compiled.capture import Captured
from pyro_reparam_ext.infer.compiled.steps import GradientStep, WholeStep
from pyro_reparam_ext.infer.compiled.watch import Watch


class CaptureWarning(UserWarning):
    """A step cannot be recorded, or not be compiled: what runs is slower, and right."""


@dataclass
class Recording:
    """A step for arguments of one kind, and for what the program then referred to.

    Attributes:
        watch: The values that the program refers to.
        arguments: The first of their kind.
        params: The parameters of the program, by name in the store.
        captured: Loss and gradients, once they were recorded.
        step: What runs, once it is made.
        backend: What runs it.
        looped: Whether a compiled step may have a loop in it.
        taken: How many steps have run since the first comparison.
        next_check: After how many they are compared with the program again.
        refused: Whether the program runs by itself from now on.
    """

    watch: Watch
    arguments: Arguments
    params: dict[str, Tensor]
    backend: str
    captured: Captured | None = None
    step: WholeStep | GradientStep | None = None
    taken: int = 0
    next_check: int = 0
    looped: bool = True
    refused: bool = False

    def refuse(self) -> None:
        """Leave such arguments to the program, whatever it refers to by then."""
        self.refused, self.watch = True, Watch()


def unconstrained(seen: Any) -> dict[str, Tensor]:
    """The parameters that a program asked for, by name."""
    return {
        name: site["value"].unconstrained()
        for name, site in seen.trace.nodes.items()
        if site["type"] == "param"
    }


def distinct(params: dict[str, Tensor]) -> list[Tensor]:
    """The tensors, each but once: a flow of Pyro has one of its own by two names."""
    return list({id(param): param for param in params.values()}.values())


def are_held(params: dict[str, Tensor]) -> bool:
    """Whether the parameter store still has these very tensors."""
    held = pyro.get_param_store()._params
    return all(held.get(name) is param for name, param in params.items())


def first_sentence(error: BaseException) -> str:
    """What an error says, in short."""
    text = (str(error).strip() or type(error).__name__).split("\n")[0]
    sentence = text.split(". ")[0].removesuffix(".")
    return f"{type(error).__name__}: {sentence[:200]}."
