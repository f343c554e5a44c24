# SPDX-License-Identifier: Apache-2.0
"""Optimizers as users have them, behind one face."""

from collections.abc import Callable, Sequence
from typing import Any

from pyro.infer.util import zero_grads
from pyro.optim import PyroOptim
from torch import Tensor
from torch.optim import Optimizer

_EXPECTED = (
    "a pyro.optim optimizer, a torch.optim one, or what makes one of parameters, such "
    "as functools.partial(torch.optim.Adam, lr=1e-3)"
)


class AnyOptimizer:
    """Makes steps with whatever optimizer was given.

    Args:
        given: One of Pyro's, one of torch's, or a function that makes a torch one of a
            list of parameters.
    """

    def __init__(self, given: Any) -> None:
        made = isinstance(given, PyroOptim | Optimizer)
        if not made and not callable(given):
            raise TypeError(f"CompiledSVI: optim must be {_EXPECTED}; found {given!r}.")
        self._make: Callable[[list[Tensor]], Optimizer] | None = None if made else given
        self._optimizer: Any = given if made else None

    @property
    def optimizer(self) -> Any:
        """The optimizer itself, or None if it is still to be made."""
        return self._optimizer

    def update(self, params: Sequence[Tensor]) -> None:
        """A step for parameters that have gradients, which become zero."""
        if isinstance(self._optimizer, PyroOptim):
            self._optimizer(params)
        else:
            self._torch_update(params)
        zero_grads(params)

    def _torch_update(self, params: Sequence[Tensor]) -> None:
        if self._optimizer is None:
            assert self._make is not None
            self._optimizer = self._make(list(params))
            if not isinstance(self._optimizer, Optimizer | PyroOptim):
                raise TypeError(
                    f"CompiledSVI: optim must be {_EXPECTED}; found a function that "
                    f"made {type(self._optimizer).__name__}."
                )
        held = {id(p) for g in self._optimizer.param_groups for p in g["params"]}
        new = [p for p in params if id(p) not in held]
        if new and self._make is None:
            raise ValueError(
                f"CompiledSVI: the optimizer lacks {len(new)} of the parameters of "
                f"model and guide; the first is of shape {tuple(new[0].shape)}. Give "
                "it all of them, or give a function that makes it, such as "
                "functools.partial(torch.optim.Adam, lr=1e-3)."
            )
        if new:
            self._optimizer.add_param_group({"params": new})
        self._optimizer.step()
