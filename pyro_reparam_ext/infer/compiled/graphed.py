# SPDX-License-Identifier: Apache-2.0
"""A step as one CUDA graph: a single launch, however many kernels it has."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from pyro_reparam_ext.infer.compiled.states import put_back, random_state

Run = Callable[[Sequence[Tensor]], Sequence[Tensor]]
DEVICE = "cuda"
_WARM_UP = 3  # runs before the recording, in which libraries allocate what they need


class GraphedStep:
    """A step that a device repeats by itself.

    Draws are part of it: torch moves the generator on with every launch, so that they
    are those of the same steps made kernel by kernel.

    Args:
        run: From tensors to a tuple of tensors; it may change its arguments in place.
        inputs: What it will be called with; left as they are here.
        changes: Those tensors that it changes.

    Raises:
        ValueError: the inputs are not all on one CUDA device.
    """

    def __init__(
        self, run: Run, inputs: Sequence[Tensor], changes: Sequence[Tensor]
    ) -> None:
        devices = {t.device for t in inputs}
        if len(devices) != 1 or next(iter(devices)).type != DEVICE:
            names = ", ".join(sorted(map(str, devices)))
            raise ValueError(
                "a CUDA graph wants data and parameters on one CUDA device; found "
                f"them on {names}. Move them there, or take another backend."
            )
        before, random = [t.clone() for t in changes], random_state()
        fixed = {t.data_ptr() for t in changes}
        # a launch reads where the recording did: what is not changed may come from
        # elsewhere next time
        self._inputs = [
            t if t.data_ptr() in fixed else t.detach().clone() for t in inputs
        ]
        self._places = [t.data_ptr() for t in inputs]
        self._copied = [
            own is not t for own, t in zip(self._inputs, inputs, strict=True)
        ]
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(_WARM_UP):
                run(self._inputs)
        torch.cuda.current_stream().wait_stream(aside)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._outputs = run(self._inputs)
        put_back(changes, before, random)

    def __call__(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        """A step."""
        for own, copied, place, new in zip(
            self._inputs, self._copied, self._places, inputs, strict=True
        ):
            if copied:
                own.copy_(new)
            elif new.data_ptr() != place:
                raise RuntimeError("a tensor that a step changes has moved")
        self._graph.replay()
        return [t.clone() for t in self._outputs]
