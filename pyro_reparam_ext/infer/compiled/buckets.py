# SPDX-License-Identifier: Apache-2.0
"""Parameters side by side in one buffer, with what their optimizers remember.

The parameters become views of the buffer, and so do the averages in the state of the
optimizers: whoever reads or saves them sees the values of this moment, and a step may
as well be made by the optimizers themselves.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from operator import itemgetter
from typing import Any

import torch
from pyro.optim import PyroOptim
from torch import Tensor
from torch.optim import Optimizer

from pyro_reparam_ext.infer.compiled.optimizer_rules import RULES, Rule, clipped


@dataclass(frozen=True)
class Owned:
    """A parameter and the optimizer that has it."""

    param: Tensor
    optimizer: Optimizer
    group: dict[str, Any]
    clip_args: Mapping[str, Any]


def owned(optim: Any, param: Tensor) -> Owned | None:
    """Which optimizer has a parameter, if one does."""
    if isinstance(optim, PyroOptim):
        held = optim.optim_objs.get(param)
        if held is None:
            return None
        inner = getattr(held, "optimizer", held)  # a schedule has one
        clip_args = optim._get_grad_clip_args(param) or {}
        return Owned(param, inner, inner.param_groups[0], clip_args)
    for group in optim.param_groups:
        if any(p is param for p in group["params"]):
            return Owned(param, optim, group, {})
    return None


@dataclass
class Bucket:
    """Parameters that are updated alike, flat.

    Attributes:
        rule: How they are updated.
        options: With which options.
        members: The parameters.
        values: Their elements.
        averages: What is remembered for each element.
        steps: How many steps each parameter has made; all the same.
        lr: The learning rate, a number that the step reads.
    """

    rule: Rule
    options: dict[str, Any]
    members: list[Owned]
    values: Tensor
    averages: dict[str, Tensor]
    steps: Tensor
    lr: Tensor
    _guards: list[Any] = field(default_factory=list)
    _options: list[Any] = field(default_factory=list)
    _counted: list[dict[str, Any]] = field(default_factory=list)
    _rate: float = 0.0
    _steps: int = 0

    @property
    def tensors(self) -> list[Tensor]:
        """All that a step reads and changes."""
        return [self.values, *self.averages.values(), self.steps, self.lr]

    def parts(self, values: Tensor) -> Iterator[Tensor]:
        """The parameters, as views of their elements."""
        start = 0
        for member in self.members:
            size = member.param.numel()
            yield values[start : start + size].view(member.param.shape)
            start += size

    def updated(
        self, tensors: Sequence[Tensor], gradients: Sequence[Tensor]
    ) -> list[Tensor]:
        """What ``tensors`` become by a step."""
        values, *averages, steps, lr = tensors
        flat = torch.cat(
            [
                clipped(g, member.clip_args).reshape(-1)
                for g, member in zip(gradients, self.members, strict=True)
            ]
        )
        state = dict(zip(self.averages, averages, strict=True))
        steps = steps + 1
        if self.rule.decays:
            lr = lr * self.options["lrd"]
        values, state = self.rule.update(
            values, flat, state, steps[0], lr, self.options
        )
        return [values, *(state[name] for name in self.averages), steps, lr]

    @property
    def counts_in_python(self) -> bool:
        """Whether the optimizers keep numbers that a compiled step cannot change."""
        return bool(self._counted) or (self.rule.decays and self.options["lrd"] != 1)

    def is_current(self) -> bool:
        """Whether parameters and optimizers are still as they were found.

        Learning rates and numbers of steps that have changed alike are taken over.
        """
        for address, expected, optimizer, memory in self._guards:
            if address() != expected or optimizer.state is not memory:
                return False
        rate = self._options[0][0]["lr"]
        for group, read, expected in self._options:
            if read(group) != expected or group["lr"] != rate:
                return False
        if rate != self._rate:
            self.lr.fill_(rate)
            self._rate = rate
        if self._counted:
            steps = self._counted[0]["step"]
            if any(state["step"] != steps for state in self._counted):
                return False
            if steps != self._steps:
                self.steps.fill_(steps)
                self._steps = steps
        return True

    def is_in_step(self) -> bool:
        """Whether all parameters have made as many steps."""
        return bool((self.steps == self.steps[0]).all())

    def count_step(self, number: int = 1) -> None:
        """Tell optimizers that count in Python of steps they did not make."""
        for state in self._counted:
            state["step"] += number
        self._steps += number
        if self.rule.decays and self.options["lrd"] != 1:
            for _ in range(number):
                self._rate *= self.options["lrd"]
            for group, _, _ in self._options:
                group["lr"] = self._rate

    def attach(self) -> None:
        """Make the parameters, and the state of their optimizers, views of this."""
        columns = {name: self.parts(flat) for name, flat in self.averages.items()}
        groups = {id(m.group): m.group for m in self.members}
        read = itemgetter(*self.rule.options)
        self._options = [(group, read, read(group)) for group in groups.values()]
        self._rate = self.members[0].group["lr"]
        self._steps = int(self.steps[0])
        for member, view, step in zip(
            self.members, self.parts(self.values), self.steps, strict=True
        ):
            member.param.data = view
            memory = member.optimizer.state
            state = memory[member.param]
            state.update({name: next(views) for name, views in columns.items()})
            if isinstance(state.get("step"), Tensor):
                state["step"] = step
            elif "step" in state:
                self._counted.append(state)
            where = member.param.data_ptr, view.data_ptr()
            self._guards.append((*where, member.optimizer, memory))


def gather(optim: Any, params: Sequence[Tensor]) -> list[Bucket] | str:
    """Buckets for parameters whose optimizers have made a step; or why there are none.

    Args:
        optim: A Pyro or a torch optimizer.
        params: In the order of their gradients.
    """
    shared: dict[Any, list[Owned]] = {}
    if _overlap(params):
        return "two parameters share their memory"
    for param in params:
        member = owned(optim, param)
        if member is None:
            return "it does not have all the parameters"
        rule = RULES.get(type(member.optimizer))
        if rule is None:
            return f"{type(member.optimizer).__name__} is not among those known"
        reason = rule.why_not(member.group)
        if reason is not None:
            return f"{type(member.optimizer).__name__} has {reason}"
        if not param.is_floating_point():
            return "a parameter is not of real numbers"
        state = member.optimizer.state[param]
        averages = rule.averages(member.group)
        if any(not isinstance(state.get(name), Tensor) for name in averages):
            return "it has made no step yet"
        options = repr([member.group.get(name) for name in rule.options])
        key = (
            id(rule),
            param.dtype,
            param.device,
            options,
            member.group["lr"],
            float(state.get("step", 0)),
        )
        shared.setdefault(key, []).append(member)
    return [_bucket(members) for members in shared.values()]


def _bucket(members: list[Owned]) -> Bucket:
    first = members[0]
    rule = RULES[type(first.optimizer)]
    states = [m.optimizer.state[m.param] for m in members]

    def flat(tensors: list[Tensor]) -> Tensor:
        return torch.cat([t.detach().reshape(-1) for t in tensors])

    device = first.param.device
    steps = [float(state.get("step", 0)) for state in states]
    bucket = Bucket(
        rule,
        {name: first.group.get(name) for name in rule.options},
        members,
        flat([m.param for m in members]),
        {n: flat([s[n] for s in states]) for n in rule.averages(first.group)},
        torch.tensor(steps, dtype=torch.float64, device=device),
        torch.tensor(first.group["lr"], dtype=torch.float64, device=device),
    )
    bucket.attach()
    return bucket


def _overlap(params: Sequence[Tensor]) -> bool:
    ends = sorted((p.data_ptr(), p.data_ptr() + p.nbytes) for p in params)
    return any(start < end for (_, end), (start, _) in pairwise(ends))
