# SPDX-License-Identifier: Apache-2.0
"""Recordings made ready to run: by which compiler, and with which optimizer inside."""

from collections.abc import Callable, Sequence

from torch import Tensor

from pyro_reparam_ext.infer.compiled.backends import SIMPLER, inductor, inductor_loop
from pyro_reparam_ext.infer.compiled.buckets import Bucket, gather
from pyro_reparam_ext.infer.compiled.capture import Captured
from pyro_reparam_ext.infer.compiled.optimizers import AnyOptimizer
from pyro_reparam_ext.infer.compiled.recording import Recording, first_sentence
from pyro_reparam_ext.infer.compiled.self_check import loop_is_steps
from pyro_reparam_ext.infer.compiled.steps import Compilers, GradientStep, WholeStep

_MOST_RESETS = 8


class Maker:
    """Makes what runs of what was recorded.

    Args:
        optim: The optimizer.
        tell: Says something once.

    Attributes:
        outside: Whether the optimizer makes its step by itself.
        mixed: Whether recordings differ in their parameters, so that those made before
            are of no use.
    """

    def __init__(self, optim: AnyOptimizer, tell: Callable[[str], None]) -> None:
        self.optim = optim
        self.outside = False
        self.mixed = False
        self._tell = tell
        self._buckets: list[Bucket] | None = None
        self._resets = 0

    def make(self, recording: Recording, leaves: Sequence[Tensor]) -> None:
        """Make a recording ready; the way of a backend, or of the next simpler one."""
        captured = recording.captured
        assert captured is not None
        buckets = self._buckets_of(captured)
        while recording.step is None:
            try:
                recording.step = self._step_of(recording, captured, buckets, leaves)
            except Exception as error:  # a compiler may fail in any way
                if recording.backend not in SIMPLER:
                    raise
                if recording.looped and recording.backend == "inductor":
                    recording.looped = False
                    continue
                before, recording.backend = (
                    recording.backend,
                    SIMPLER[recording.backend],
                )
                self._tell(
                    f"the step cannot run with backend {before!r}: "
                    f"{first_sentence(error)} It is {recording.backend!r} instead."
                )

    def forget(self) -> None:
        """Parameters or optimizer are not what they were."""
        self._buckets = None
        self._resets += 1
        if self._resets > _MOST_RESETS and not self.outside:
            self.outside = True
            self._tell(
                "the options of the optimizer, or the parameters, are others in every "
                "few steps. The optimizer makes its step by itself."
            )

    def _step_of(
        self,
        recording: Recording,
        captured: Captured,
        buckets: list[Bucket] | None,
        leaves: Sequence[Tensor],
    ) -> WholeStep | GradientStep:
        graphed = recording.backend == "cudagraphs"
        compiled = graphed or recording.backend == "inductor"
        compilers = Compilers(
            inductor if compiled else None,
            inductor_loop if compiled and not graphed and recording.looped else None,
            graphed,
        )
        if buckets is None:
            update = self.optim.update
            return GradientStep(captured, leaves, compilers.step, update)
        step = WholeStep(captured, buckets, leaves, compilers)
        if step.is_looped and not loop_is_steps(step, leaves):
            raise RuntimeError("a loop of steps is not these steps one by one")
        return step

    def _buckets_of(self, captured: Captured) -> list[Bucket] | None:
        """The parameters of a recording, flat; None if the optimizer stays outside."""
        if self.outside:
            return None
        ids = {id(p) for p in captured.params}
        if self._buckets is None:
            found = gather(self.optim.optimizer, captured.params)
            if isinstance(found, str):
                self.outside = True
                self._tell(f"the optimizer makes its step by itself: {found}.")
                return None
            self._buckets = found
        members = {id(m.param) for b in self._buckets for m in b.members}
        if ids != members:  # their numbers of steps would drift apart
            self.outside, self._buckets, self.mixed = True, None, True
            return None
        return self._buckets
