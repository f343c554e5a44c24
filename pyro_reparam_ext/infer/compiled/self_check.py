# SPDX-License-Identifier: Apache-2.0
"""A recorded step against one of the program itself, from the same state and seed."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pyro
import torch
from torch import Tensor

from pyro_reparam_ext.infer.compiled.recording import first_sentence
from pyro_reparam_ext.infer.compiled.states import put_back, random_state
from pyro_reparam_ext.infer.compiled.steps import GradientStep, WholeStep
from pyro_reparam_ext.infer.compiled.witness import Witness, first_to_differ

# relative; the two round differently, no more
_TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-4}
_TOLERANCE_ELSE = 1e-2


@dataclass(frozen=True)
class Verdict:
    """What the two steps gave.

    Attributes:
        loss: That of the program.
        differs: What is not the same: the names, or nothing.
        where: The first site at which the two part, as a sentence.
    """

    loss: float
    differs: list[str]
    where: str = ""


def compare(
    step: WholeStep | GradientStep,
    leaves: Sequence[Tensor],
    eager: Callable[[], float],
    gradients: Callable[[], list[Tensor]],
) -> Verdict:
    """Make both steps; the effects that remain are those of the program's own.

    Args:
        step: The recorded one.
        leaves: The tensor arguments.
        eager: A step of the program itself.
        gradients: Those of the last such step, of the recorded parameters.
    """
    changes = [*step.changes, *(p.detach() for p in step.captured.params)]
    before = [t.detach().clone() for t in changes]
    random = random_state()
    try:
        recorded = float(step(leaves))
    except Exception as error:  # of a compiler's: it may fail as late as this
        put_back(changes, before, random)
        reason = first_sentence(error).removesuffix(".")
        return Verdict(eager(), [f"the loss ({reason})"])
    names = [_name(param) for param, _ in step.compared()]
    ours = [part.clone() for _, part in step.compared()]
    written = [t.clone() for t in step.captured.written]
    put_back(changes, before, random)
    with Witness() as witness:
        loss = eager()
    if isinstance(step, GradientStep):
        theirs = gradients()
    else:
        theirs = [part for _, part in step.compared()]
    differs = [] if _close_numbers(recorded, loss, step) else ["the loss"]
    scale = max((float(t.abs().max()) for t in theirs if t.numel()), default=0.0)
    for name, one, other in zip(names, ours, theirs, strict=True):
        if not _close(one, other, 1e-3 * scale):
            differs.append(f"the gradient of {name!r}")
    for one, other in zip(written, step.captured.written, strict=True):
        if not _close(one, other, 0.0):
            differs.append(f"a tensor of shape {tuple(other.shape)} that is updated")
    where = ""
    if differs:
        after, after_random = [t.clone() for t in changes], random_state()
        put_back(changes, before, random)
        where = first_to_differ(step.captured.log_probs(leaves), witness.log_probs())
        put_back(changes, after, after_random)
    return Verdict(loss, differs, where)


def loop_is_steps(step: WholeStep, leaves: Sequence[Tensor], number: int = 3) -> bool:
    """Whether many steps in one call are as many calls; nothing remains of either."""
    before, random = [t.clone() for t in step.changes], random_state()
    try:
        together = [step.many(leaves, number), *(t.clone() for t in step.changes)]
        put_back(step.changes, before, random)
        single = torch.stack([step(leaves) for _ in range(number)])
        apart = [single, *(t.clone() for t in step.changes)]
    finally:
        put_back(step.changes, before, random)
    pairs = zip(together, apart, strict=True)
    return all(torch.equal(*map(torch.nan_to_num, pair)) for pair in pairs)


def _close(one: Tensor, other: Tensor, floor: float) -> bool:
    if not one.is_floating_point():
        return torch.equal(one, other)
    tolerance = _TOLERANCE.get(one.dtype, _TOLERANCE_ELSE)
    size = other.abs().nan_to_num(0.0, 0.0, 0.0)
    scale = float(size.max()) + floor if size.numel() else floor
    return torch.allclose(
        one, other, rtol=tolerance, atol=tolerance * scale, equal_nan=True
    )


def _close_numbers(one: float, other: float, step: WholeStep | GradientStep) -> bool:
    if not math.isfinite(other):
        return repr(one) == repr(other)
    dtypes = {p.dtype for p in step.captured.params}
    tolerance = max(_TOLERANCE.get(d, _TOLERANCE_ELSE) for d in dtypes)
    return abs(one - other) <= tolerance * (1 + abs(other))


def _name(param: Tensor) -> str:
    name = pyro.get_param_store().param_name(param)
    return str(name) if name is not None else f"of shape {tuple(param.shape)}"
