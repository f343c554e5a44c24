# SPDX-License-Identifier: Apache-2.0
"""A recorded step made ready to run, with the optimizer inside where it is known."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pyro_reparam_ext.infer.compiled.buckets import Bucket
from pyro_reparam_ext.infer.compiled.capture import Captured
from pyro_reparam_ext.infer.compiled.graphed import GraphedStep
from pyro_reparam_ext.infer.compiled.loop import LoopedStep
from pyro_reparam_ext.infer.compiled.stages import StagedStep

Compiler = Callable[..., Any]


@dataclass(frozen=True)
class Compilers:
    """From a graph and example inputs to functions; None where there is none.

    Attributes:
        step: Of the operations between draws.
        loop: Of a graph with draws and a loop in it; tried first.
        graphed: Whether all that is left is to be one CUDA graph.
    """

    step: Compiler | None = None
    loop: Compiler | None = None
    graphed: bool = False


class WholeStep:
    """Loss, gradients and update in one go.

    Args:
        captured: The recorded loss and gradients.
        buckets: Of all its parameters.
        leaves: Tensor arguments, as examples.
        compilers: Without one, the operations run one by one.
    """

    def __init__(
        self,
        captured: Captured,
        buckets: list[Bucket],
        leaves: Sequence[Tensor],
        compilers: Compilers,
    ) -> None:
        self.captured = captured
        self.buckets = buckets
        self._state = [t for b in buckets for t in b.tensors]
        self._order = {id(p): i for i, p in enumerate(captured.params)}
        self._counting = [b for b in buckets if b.counts_in_python]
        self._run: Callable[[Sequence[Tensor]], Sequence[Tensor]] = self._step_of
        self._looped: LoopedStep | None = None
        inputs = self._inputs(leaves)
        on_processor = all(t.device.type == "cpu" for t in inputs)
        with torch.no_grad():
            if compilers.loop is not None and on_processor:
                self._run = self._looped = LoopedStep(
                    self._step, inputs, compilers.loop
                )
            elif compilers.step is not None:
                self._run = StagedStep(self._step, inputs, compilers.step)
            if compilers.graphed:
                self._run = GraphedStep(self._run, inputs, self.changes)

    @property
    def is_looped(self) -> bool:
        """Whether many steps are one call."""
        return self._looped is not None

    def __call__(self, leaves: Sequence[Tensor]) -> Tensor:
        """Make a step; its loss."""
        with torch.no_grad():
            return self._run(self._inputs(leaves))[0]

    def many(self, leaves: Sequence[Tensor], number: int) -> Tensor:
        """Make steps; their losses."""
        if self._looped is None:
            return torch.stack([self(leaves) for _ in range(number)])
        with torch.no_grad():
            return self._looped.many(self._inputs(leaves), number)

    def run(self, leaves: Sequence[Tensor], number: int) -> Tensor:
        """Make steps, and tell the optimizers; their losses."""
        losses = self.many(leaves, number)
        self.count(number)
        return losses

    def count(self, number: int = 1) -> None:
        """Tell the optimizers that count for themselves."""
        for bucket in self._counting:
            bucket.count_step(number)

    @property
    def changes(self) -> list[Tensor]:
        """What a step changes, besides what is drawn."""
        return [*self._state, *self.captured.written]

    def compared(self) -> list[tuple[Tensor, Tensor]]:
        """What shows the gradients of the last step, by parameter.

        Not the parameters, where there is an average: Adam makes a whole step of a
        gradient that is nothing but rounding.
        """
        return [
            (member.param, part)
            for bucket in self.buckets
            for member, part in zip(
                bucket.members,
                bucket.parts(next(iter(bucket.averages.values()), bucket.values)),
                strict=True,
            )
        ]

    def is_current(self) -> bool:
        """Whether parameters and optimizers are still as they were found."""
        current = [bucket.is_current() for bucket in self.buckets]  # each takes over
        return all(current)

    def _inputs(self, leaves: Sequence[Tensor]) -> list[Tensor]:
        return [*self._state, *leaves, *self.captured.held]

    def _step_of(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        return self._step(*inputs)

    def _step(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        taken = 0
        state: list[tuple[Tensor, ...]] = []
        params: list[Any] = [None] * len(self._order)
        for bucket in self.buckets:
            size = len(bucket.tensors)
            own = inputs[taken : taken + size]
            taken += size
            state.append(own)
            for member, part in zip(bucket.members, bucket.parts(own[0]), strict=True):
                params[self._order[id(member.param)]] = part
        loss, *gradients = self.captured.graph(*params, *inputs[taken:])
        for bucket, own in zip(self.buckets, state, strict=True):
            order = [self._order[id(m.param)] for m in bucket.members]
            new = bucket.updated(own, [gradients[i] for i in order])
            for tensor, value in zip(own, new, strict=True):
                if value is not tensor:
                    tensor.copy_(value)
        return (loss,)


class GradientStep:
    """Loss and gradients; the optimizer then makes its step by itself.

    Args:
        captured: The recorded loss and gradients.
        leaves: Tensor arguments, as examples.
        compiler: Of a graph; without one, the operations run one by one.
        update: Makes the optimizer's step for parameters that have gradients.
    """

    def __init__(
        self,
        captured: Captured,
        leaves: Sequence[Tensor],
        compiler: Compiler | None,
        update: Callable[[list[Tensor]], None],
    ) -> None:
        self.captured = captured
        self._update = update
        self._shapes = [(p.shape, p.stride(), p.dtype) for p in captured.params]
        self._staged = None
        if compiler is not None:
            with torch.no_grad():
                step, inputs = captured.graph.forward, captured.inputs(leaves)
                self._staged = StagedStep(step, inputs, compiler)
        self._gradients: list[Tensor] = []

    is_looped = False

    def __call__(self, leaves: Sequence[Tensor]) -> Tensor:
        """Loss and gradients of a step."""
        run = self._staged or (lambda inputs: self.captured.graph(*inputs))
        with torch.no_grad():
            loss, *self._gradients = run(self.captured.inputs(leaves))
        return loss

    @property
    def changes(self) -> list[Tensor]:
        """What :meth:`__call__` changes, besides what is drawn."""
        return self.captured.written

    def compared(self) -> list[tuple[Tensor, Tensor]]:
        """The gradients, by parameter."""
        return list(zip(self.captured.params, self._gradients, strict=True))

    def run(self, leaves: Sequence[Tensor], number: int) -> Tensor:
        """Make steps; their losses."""
        losses = []
        for _ in range(number):
            losses.append(self(leaves))
            self.count()
        return torch.stack(losses)

    def count(self) -> None:
        """Make the optimizer's step."""
        for param, gradient in zip(self.captured.params, self._gradients, strict=True):
            param.grad = gradient
        self._update(self.captured.params)

    def is_current(self) -> bool:
        """Whether the parameters are of the shapes that were recorded."""
        return self._shapes == [
            (p.shape, p.stride(), p.dtype) for p in self.captured.params
        ]
