# SPDX-License-Identifier: Apache-2.0
"""A step cut at its random draws, so that these stay as they are.

A compiler has a random stream of its own. What is drawn here is drawn by torch itself,
in the order of the program: the same seed gives the same draws, compiled or not. Draws
that need nothing computed come first, into buffers; what remains of the step is one
region to compile, or a few where a draw depends on what was computed.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, fx

from pyro_reparam_ext.infer.compiled.functional import (
    empty_like,
    functional,
    is_random,
)

aten = torch.ops.aten
Step = Callable[..., Sequence[Tensor]]

# draws whose first argument gives but shape, dtype and device: the in-place method
_IN_PLACE = {
    aten.normal_functional.default: "normal_",
    aten.uniform.default: "uniform_",
    aten.exponential.default: "exponential_",
    aten.bernoulli.p: "bernoulli_",
    aten.cauchy.default: "cauchy_",
    aten.log_normal.default: "log_normal_",
    aten.geometric.default: "geometric_",
    aten.rand_like.default: "uniform_",
    aten.randn_like.default: "normal_",
}


@dataclass
class Draw:
    """One random operation: where its arguments are, and where its result goes."""

    operation: Callable[..., Tensor]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    result: fx.Node


@dataclass
class Stage:
    """What is drawn, and then computed, before more can be drawn."""

    draws: list[Draw]
    body: list[fx.Node]
    graph: fx.GraphModule | None = None
    inputs: list[fx.Node] = field(default_factory=list)
    outputs: list[fx.Node] = field(default_factory=list)
    run: Step | None = None


class StagedStep:
    """A step in stages.

    Args:
        step: From tensors to a tuple of tensors; it may change its arguments in place.
        inputs: What it will be called with; as examples here, and left alone.
        compiler: From a graph and example inputs to a function.
    """

    def __init__(
        self,
        step: Callable[..., Any],
        inputs: Sequence[Tensor],
        compiler: Callable[[fx.GraphModule, Sequence[Tensor]], Step],
    ) -> None:
        graph = functional(step, inputs)
        self.placeholders = [n for n in graph.graph.nodes if n.op == "placeholder"]
        output = next(n for n in graph.graph.nodes if n.op == "output")
        self.outputs = list(output.args[0])
        self.stages = _stages(graph, self.outputs)
        self._compile(inputs, compiler)

    def _compile(self, inputs: Sequence[Tensor], compiler: Any) -> None:
        for stage in self.stages:
            if stage.graph is None:
                continue
            # examples: inputs are not touched by compiling
            known = dict(zip(self.placeholders, inputs, strict=True))
            examples = [
                known[n] if n in known else empty_like(n.meta["val"])
                for n in stage.inputs
            ]
            stage.run = compiler(stage.graph, examples)
        self._plan()

    def _plan(self) -> None:
        """Addresses in place of nodes: what is known is a list."""
        address = {node: i for i, node in enumerate(self.placeholders)}
        self._plans = []
        for stage in self.stages:
            draws = []
            for draw in stage.draws:
                args, kwargs = _addressed((draw.args, draw.kwargs), address)
                address[draw.result] = len(address)
                fixed = not any(isinstance(a, _At) for a in _leaves((args, kwargs)))
                draws.append((draw.operation, args, kwargs, fixed))
            reads = [address[n] for n in stage.inputs]
            for node in stage.outputs:
                address[node] = len(address)
            self._plans.append((draws, stage.run, reads))
        self._returned = [address[n] for n in self.outputs]

    def __call__(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        """A step."""
        known = list(inputs)
        for draws, run, reads in self._plans:
            for operation, args, kwargs, fixed in draws:
                if not fixed:
                    args, kwargs = _look_up((args, kwargs), known)
                known.append(operation(*args, **kwargs))
            if run is not None:
                known.extend(run(*[known[i] for i in reads]))
        return [known[i] for i in self._returned]


@dataclass(frozen=True)
class _At:
    """A place in what is known."""

    index: int


def _addressed(tree: Any, address: dict[fx.Node, int]) -> Any:
    return torch.utils._pytree.tree_map(
        lambda x: _At(address[x]) if isinstance(x, fx.Node) else x, tree
    )


def _leaves(tree: Any) -> list[Any]:
    return torch.utils._pytree.tree_leaves(tree)


def _look_up(tree: Any, known: list[Tensor]) -> Any:
    return torch.utils._pytree.tree_map(
        lambda x: known[x.index] if isinstance(x, _At) else x, tree
    )


def _draw(node: fx.Node) -> Draw:
    """A random node as a call, into a buffer of its own where that is possible."""
    target: Any = node.target
    name = _IN_PLACE.get(target)
    if name is None:
        if node.target in (aten.rand.default, aten.randn.default):
            name = "uniform_" if node.target is aten.rand.default else "normal_"
            return Draw(getattr(empty_like(node.meta["val"]), name), (), {}, node)
        return Draw(target, node.args, dict(node.kwargs), node)
    buffer = empty_like(node.meta["val"])
    args = () if "like" in str(node.target) else node.args[1:]
    return Draw(getattr(buffer, name), args, {}, node)


def _stages(graph: fx.GraphModule, outputs: list[fx.Node]) -> list[Stage]:
    """Cut at the random nodes: each as early as their order allows."""
    nodes = [n for n in graph.graph.nodes if n.op not in ("placeholder", "output")]
    known = {n for n in graph.graph.nodes if n.op == "placeholder"}
    batches = _batches(nodes)
    stages: list[Stage] = []
    waiting = [n for n in nodes if not is_random(n)]
    for place, batch in enumerate(batches):
        known |= set(batch)
        if place == len(batches) - 1:
            body = waiting
        else:  # no more than the next draws need
            asked = [a for n in batches[place + 1] for a in _arguments(n)]
            needed = _ancestors(asked, known)
            body = [n for n in waiting if n in needed]
            waiting = [n for n in waiting if n not in needed]
        stages.append(Stage([_draw(n) for n in batch], body))
        known |= set(body)
    for place, stage in enumerate(stages):
        own = set(stage.body)
        later = [n for after in stages[place + 1 :] for n in after.body]
        later += [n for after in batches[place + 1 :] for n in after]
        read = {a for n in later for a in n.all_input_nodes} | set(outputs)
        stage.outputs = [n for n in stage.body if n in read]
        inputs = {a: None for n in stage.body for a in n.all_input_nodes}
        stage.inputs = [n for n in inputs if n not in own]
        stage.graph = _subgraph(graph, stage)
    return stages


def _batches(nodes: list[fx.Node]) -> list[list[fx.Node]]:
    """The random nodes, by the stage before which they are drawn."""
    level: dict[fx.Node, int] = {}
    batches: list[list[fx.Node]] = [[]]
    for node in nodes:
        arguments = [a for a in _arguments(node) if a in level]
        level[node] = max((level[a] for a in arguments), default=0)
        if is_random(node):
            computed = [level[a] + 1 for a in arguments if not is_random(a)]
            place = max(level[node], len(batches) - 1, *computed, 0)
            batches += [[] for _ in range(place + 1 - len(batches))]
            batches[place].append(node)
            level[node] = place
    return batches


def _arguments(node: fx.Node) -> list[fx.Node]:
    return [] if node.target in _IN_PLACE else node.all_input_nodes


def _ancestors(goals: Sequence[fx.Node], known: set[fx.Node]) -> set[fx.Node]:
    found: set[fx.Node] = set()
    waiting = [n for n in goals if n not in known]
    while waiting:
        node = waiting.pop()
        if node not in found:
            found.add(node)
            waiting += [n for n in node.all_input_nodes if n not in known]
    return found


def _subgraph(graph: fx.GraphModule, stage: Stage) -> fx.GraphModule | None:
    if not stage.body:
        return None
    part = fx.Graph()
    copies = {n: part.placeholder(n.name) for n in stage.inputs}
    for node in stage.body:
        copies[node] = part.node_copy(node, copies.__getitem__)
    part.output(tuple(copies[n] for n in stage.outputs))
    for node in part.nodes:
        node.meta = {}  # of another mode of fake tensors than the compiler's own
    return fx.GraphModule(graph, part)
