# SPDX-License-Identifier: Apache-2.0
"""The loss of a step and its gradient as one graph of tensor operations."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pyro
import torch
from torch import Tensor, fx
from torch.fx.experimental.proxy_tensor import make_fx

from pyro_reparam_ext.infer.compiled.without_values import WithoutValues
from pyro_reparam_ext.infer.compiled.witness import Witness

aten = torch.ops.aten

# mutates its running averages, though its schema does not say so
_BATCH_NORM = aten.native_batch_norm.default
_FRESH = {aten.lift_fresh.default, aten.lift_fresh_copy.default}


@dataclass
class Captured:
    """A recorded step: a graph from tensors to the loss and the gradients.

    The inputs are the parameters, the tensor arguments, and the tensors that the
    program refers to by itself (``held``): data in a closure, averages of an estimator,
    buffers of a module. These are read, and written, where they are.

    Attributes:
        graph: The module; its outputs are the loss and the gradients of ``params``.
        params: The parameters that have a gradient.
        held: The tensors that the program refers to by itself.
        written: Those of them that a step changes.
        loss: The value of the loss in the recorded step, which was a real one.
        gradients: Its gradients, in the order of ``params``.
        sites: The sample sites, in the order of the run.
        witness: The same graph; its outputs are the log-densities at the sites.
    """

    graph: fx.GraphModule
    params: list[Tensor]
    held: list[Tensor]
    written: list[Tensor]
    loss: Tensor
    gradients: list[Tensor]
    sites: list[str]
    witness: fx.GraphModule

    def inputs(self, leaves: Sequence[Tensor]) -> list[Tensor]:
        """What the graph is called with."""
        return [*(p.detach() for p in self.params), *leaves, *self.held]

    def log_probs(self, leaves: Sequence[Tensor]) -> list[tuple[str, Tensor]]:
        """What each site comes to in a step."""
        with torch.no_grad():
            found = self.witness(*self.inputs(leaves))
        return list(zip(self.sites, found, strict=True))


def capture(
    loss: Callable[[], Tensor], params: Sequence[Tensor], leaves: Sequence[Tensor]
) -> Captured:
    """Run a step while recording it.

    Recording follows tensors by their identity, so that whoever holds a parameter
    needs no change. The step is a real one: it draws, and updates what it updates.

    Args:
        loss: The differentiable loss; what it does is recorded.
        params: Leaf tensors that the program may use.
        leaves: The tensor arguments of the program, as ``loss`` passes them.

    Raises:
        RuntimeError: the program looks at the value of a tensor, to branch on it say.
    """
    used: list[int] = []
    sites: list[str] = []
    results: list[Tensor] = []

    def recorded(params: list[Tensor], leaves: list[Tensor]) -> list[Tensor]:
        with Witness() as witness, WithoutValues():
            value = loss()
        gradients = torch.autograd.grad(value, params, allow_unused=True)
        used[:] = [i for i, g in enumerate(gradients) if g is not None]
        log_probs = witness.log_probs()
        sites[:] = [name for name, _ in log_probs]
        results[:] = [value.detach(), *(g for g in gradients if g is not None)]
        return [*results, *(total for _, total in log_probs)]

    with pyro.validation_enabled(False):
        graph = make_fx(recorded, tracing_mode="real")(list(params), list(leaves))
    placeholders = [n for n in graph.graph.nodes if n.op == "placeholder"]
    for index in reversed(range(len(params))):
        if index not in used:
            graph.graph.erase_node(placeholders[index])
    held = _lift(graph)
    graph.graph.set_codegen(fx.graph.CodeGen())
    first_held = len(used) + len(leaves)
    written = [held[i - first_held] for i in sorted(_written(graph)) if i >= first_held]
    return Captured(
        _with_outputs(graph, slice(None, len(results))),
        [params[i] for i in used],
        held,
        written,
        *(results[0], results[1:]),
        sites,
        _with_outputs(graph, slice(len(results), None)),
    )


def _with_outputs(graph: fx.GraphModule, which: slice) -> fx.GraphModule:
    """The same graph with some of its outputs, and what these need."""
    part = fx.GraphModule(graph, copy.deepcopy(graph.graph))
    output = next(n for n in part.graph.nodes if n.op == "output")
    output.args = (tuple(output.args[0][which]),)
    part.graph.eliminate_dead_code(_is_impure)
    part.recompile()
    return part


def _lift(graph: fx.GraphModule) -> list[Tensor]:
    """Make inputs of the tensors that were there before, and return these."""
    nodes = [n for n in graph.graph.nodes if n.op == "get_attr"]
    tensors: dict[int, tuple[Tensor, fx.Node]] = {}
    last = [n for n in graph.graph.nodes if n.op == "placeholder"][-1:]
    for node in nodes:
        tensor = getattr(graph, node.target)
        # torch.tensor(1.0) in the program: made anew by every run
        if all(user.target in _FRESH for user in node.users):
            continue
        if id(tensor) not in tensors:
            where = graph.graph.inserting_after(last[0]) if last else None
            with where or graph.graph.inserting_before():
                new = graph.graph.placeholder(f"held_{len(tensors)}")
            tensors[id(tensor)] = tensor, new
            last = [new]
        node.replace_all_uses_with(tensors[id(tensor)][1])
        graph.graph.erase_node(node)
    return [tensor for tensor, _ in tensors.values()]


def _is_impure(node: fx.Node) -> bool:
    """Whether a node must stay though nobody uses its output."""
    return node.op in ("placeholder", "output") or (
        isinstance(node.target, torch._ops.OpOverload)
        and (
            node.target._schema.is_mutable
            or node.target is _BATCH_NORM
            or torch.Tag.nondeterministic_seeded in node.target.tags
        )
    )


def _written(graph: fx.GraphModule) -> set[int]:
    """The positions of the inputs that the graph changes in place."""
    roots: dict[fx.Node, int] = {}
    changed: set[int] = set()
    for node in graph.graph.nodes:
        if node.op == "placeholder":
            roots[node] = len(roots)
        if not isinstance(node.target, torch._ops.OpOverload):
            continue
        for position, argument in enumerate(node.target._schema.arguments):
            given = node.args[position] if position < len(node.args) else None
            given = node.kwargs.get(argument.name, given)
            if not isinstance(given, fx.Node) or given not in roots:
                continue
            averages = node.target is _BATCH_NORM and position in (3, 4)
            if argument.is_write or averages:
                changed.add(roots[given])
            if argument.alias_info is not None:  # a view, or the thing itself
                roots[node] = roots[given]
    return changed
