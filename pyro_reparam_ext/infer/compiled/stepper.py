# SPDX-License-Identifier: Apache-2.0
"""Which way the next step is made: by the program, or by a recording of it."""

import warnings
from collections.abc import Hashable
from typing import Any

import torch
from pyro import poutine
from pyro.infer.util import torch_item
from pyro.poutine.runtime import _PYRO_STACK
from torch import Tensor

from pyro_reparam_ext.infer.compiled.arguments import Arguments
from pyro_reparam_ext.infer.compiled.backends import SIMPLER, why_not_compiled
from pyro_reparam_ext.infer.compiled.capture import capture
from pyro_reparam_ext.infer.compiled.hazards import ForeignRandomness, user_line
from pyro_reparam_ext.infer.compiled.losses import recordable
from pyro_reparam_ext.infer.compiled.making import Maker
from pyro_reparam_ext.infer.compiled.optimizers import AnyOptimizer
from pyro_reparam_ext.infer.compiled.recording import (
    CaptureWarning,
    Recording,
    are_held,
    distinct,
    first_sentence,
    unconstrained,
)
from pyro_reparam_ext.infer.compiled.self_check import compare
from pyro_reparam_ext.infer.compiled.states import random_state, set_random_state
from pyro_reparam_ext.infer.compiled.steps import WholeStep
from pyro_reparam_ext.infer.compiled.watch import Watch

_MOST_KINDS = 32  # of arguments, and of what the program refers to


class Stepper:
    """Makes steps, and decides how.

    Args:
        model: As for SVI.
        guide: As for SVI.
        optim: The optimizer.
        loss: As for ``CompiledSVI``.
        backend: As for ``CompiledSVI``.
    """

    def __init__(
        self, model: Any, guide: Any, optim: AnyOptimizer, loss: Any, backend: str
    ) -> None:
        self.model = model
        self.guide = guide
        self.optim = optim
        self.loss = loss
        self.backend = backend
        self._recordings: dict[Hashable, list[Recording]] = {}
        self._params: dict[str, Tensor] = {}
        self._gradients: dict[int, Tensor] | None = None
        self._told: set[str] = set()
        self._maker = Maker(optim, self._tell)
        if backend == "auto":
            reason = why_not_compiled()
            self.backend = "inductor" if reason is None else "replay"
            if reason is not None:
                self._tell(f"{reason}. Steps are replayed, not compiled.")

    def step(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Take a step; its loss, a number or a tensor."""
        if self.backend == "eager":
            return self._eager(args, kwargs)
        if _PYRO_STACK:
            handler = type(_PYRO_STACK[-1]).__name__
            self._tell(
                f"a step inside of a handler ({handler}) runs the program as it is. "
                "Give the handler to model or guide instead."
            )
            return self._eager(args, kwargs)
        arguments = Arguments(args, kwargs)
        recording = self._find(arguments)
        if recording is None:
            return self._first(arguments)
        if recording.refused:
            return self._eager(args, kwargs)
        if recording.captured is None:
            return self._record(recording, arguments)
        if recording.step is None:
            self._make(recording, arguments)
        step = recording.step
        if step is None or not (are_held(recording.params) and step.is_current()):
            self._reset()
            return self._eager(args, kwargs)
        if recording.taken >= recording.next_check:
            return self._checked(recording, arguments)
        recording.taken += 1
        loss = step(arguments.leaves)
        step.count()
        return loss

    def run(self, number: int, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Take up to so many steps at once; their losses, one or more.

        No more than up to the next comparison with the program.
        """
        if number > 1 and self.backend != "eager" and not _PYRO_STACK:
            arguments = Arguments(args, kwargs)
            recording = self._find(arguments)
            step = recording.step if recording and not recording.refused else None
            if recording and step and are_held(recording.params) and step.is_current():
                number = min(number, recording.next_check - recording.taken)
                if number > 1:
                    recording.taken += number
                    return step.run(arguments.leaves, number)
        return torch.as_tensor(self.step(args, kwargs))[None]

    def _eager(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A step by the program, as that of ``pyro.infer.SVI``."""
        with poutine.trace(param_only=True) as seen:
            loss_and_grads = getattr(self.loss, "loss_and_grads", None)
            if loss_and_grads is not None:
                loss = loss_and_grads(self.model, self.guide, *args, **kwargs)
            else:
                loss = self.loss(self.model, self.guide, *args, **kwargs)
                if loss.requires_grad:
                    loss.backward()
        self._params = unconstrained(seen)
        params = distinct(self._params)
        if self._gradients is not None:
            self._gradients = {
                id(p): p.grad.clone() for p in params if p.grad is not None
            }
        self.optim.update(params)
        if isinstance(loss, tuple):
            return type(loss)(map(torch_item, loss))
        return torch_item(loss)

    def _find(self, arguments: Arguments) -> Recording | None:
        for recording in self._recordings.get(arguments.kind, ()):
            if recording.watch.changed() is None:
                return recording
        return None

    def _first(self, arguments: Arguments) -> Any:
        """The first step with such arguments: it makes what is made but once."""
        loss = self._eager(arguments.args, arguments.kwargs)
        known = self._recordings.setdefault(arguments.kind, [])
        if sum(map(len, self._recordings.values())) > _MOST_KINDS:
            last = known[-1] if known else None
            changed = last.watch.changed() if last else None
            name = changed.name if changed else "a non-tensor argument, or a shape,"
            self._tell(
                f"{name} is another one in every few steps, and each is recorded "
                "anew. Make it a tensor that is changed in place, or an argument that "
                "is a tensor of constant shape."
            )
            self._recordings.clear()
            return loss
        watch = Watch(self.model, self.guide, self.loss)
        known.append(Recording(watch, arguments, self._params, self.backend))
        return loss

    def _record(self, recording: Recording, arguments: Arguments) -> Any:
        """A step of the program that is recorded while it runs."""
        leaves = arguments.leaves
        args, kwargs = arguments.with_leaves(leaves)
        if any(leaf.requires_grad for leaf in arguments.tensors):
            recording.refuse()
            self._tell("a tensor argument requires grad, so the program runs as it is.")
            return self._eager(arguments.args, arguments.kwargs)
        numbers, foreign = recording.watch.numbers(), ForeignRandomness()
        params, random = recording.params, random_state()
        put_back = recording.watch.keep()
        try:
            function = recordable(self.loss)
            with poutine.trace(param_only=True) as seen:
                captured = capture(
                    lambda: function(self.model, self.guide, *args, **kwargs),
                    distinct(params),
                    leaves,
                )
        except Exception as error:  # whatever it is, the program itself may do without
            set_random_state(random)
            foreign.put_back()
            put_back()
            recording.refuse()
            self._tell(
                f"the step cannot be recorded{user_line(error)}: "
                f"{first_sentence(error)} The program runs as it is."
            )
            return self._eager(arguments.args, arguments.kwargs)
        for param, gradient in zip(captured.params, captured.gradients, strict=True):
            param.grad = gradient
        self.optim.update(captured.params)
        unknown = set(unconstrained(seen)) - set(params)
        now = recording.watch.numbers()
        changed = [name for name in numbers if numbers[name] != now[name]]
        generator = foreign.found()
        why = None
        if unknown:
            why = f"the parameter {min(unknown)!r} was not there before"
        elif changed:
            why = (
                f"the program changes {changed[0]} as it runs, which a recording "
                "would not. Change it outside, or make it a tensor that is changed in "
                "place"
            )
        elif generator:
            why = (
                f"the program draws from {generator}, which a recording would not. "
                "Draw from torch"
            )
        if why is None:
            recording.captured = captured
            recording.watch.leave_to_the_program()
        elif unknown:
            self._recordings.clear()
        else:
            recording.refuse()
            self._tell(f"{why}. The program runs as it is.")
        return float(captured.loss)

    def _make(self, recording: Recording, arguments: Arguments) -> None:
        """Make a recording ready to run."""
        self._maker.make(recording, arguments.leaves)
        if self._maker.mixed:
            self._maker.mixed = False
            self._recordings.clear()

    def _checked(self, recording: Recording, arguments: Arguments) -> float:
        """A step both ways; what remains is that of the program."""
        step = recording.step
        assert step is not None
        self._gradients = {}

        def gradients() -> list[Tensor]:
            assert self._gradients is not None
            return [self._gradients[id(p)] for p in step.captured.params]

        verdict = compare(
            step,
            arguments.leaves,
            lambda: self._eager(arguments.args, arguments.kwargs),
            gradients,
        )
        self._gradients = None
        if isinstance(step, WholeStep) and not all(
            bucket.is_in_step() for bucket in step.buckets
        ):
            self._reset()
            return verdict.loss
        if not verdict.differs:
            recording.taken += 1
            recording.next_check = max(2 * recording.next_check, recording.taken)
            recording.watch.leave_to_the_program()
            return verdict.loss
        what = " and ".join(verdict.differs[:2])
        if recording.looped and step.is_looped:
            recording.looped, recording.step = False, None  # the next check decides
            return verdict.loss
        if recording.backend in SIMPLER:
            before, recording.step = recording.backend, None
            recording.backend = SIMPLER[before]
            self._tell(
                f"with backend {before!r}, {what} came out otherwise.{verdict.where} "
                f"It is {recording.backend!r} from now on."
            )
            return verdict.loss
        recording.refuse()
        self._tell(
            f"{what} came out otherwise in a recorded step than in one of the program "
            f"from the same seed: the program depends on something that is neither an "
            f"argument nor a tensor changed in place.{verdict.where} The program runs "
            "as it is."
        )
        return verdict.loss

    def _reset(self) -> None:
        """Forget what was recorded: parameters or optimizer are not what they were."""
        self._recordings.clear()
        self._maker.forget()

    def _tell(self, message: str) -> None:
        if message not in self._told:
            self._told.add(message)
            warnings.warn(f"CompiledSVI: {message}", CaptureWarning, stacklevel=4)
