# SPDX-License-Identifier: Apache-2.0
"""Many steps in one call of compiled code.

The loop is an operation of the graph, and so are the draws, which torch makes in the
order of the program: the same steps as one by one.
"""

import operator
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, fx

from pyro_reparam_ext.infer.compiled.functional import functional, is_random

aten = torch.ops.aten

# draws that compiled code makes by a call of torch; some are to be called otherwise,
# without a buffer
_CALLED = {
    aten.randperm.default,
    aten.randint.default,
    aten.randint.low,
    aten.bernoulli.p,
    aten.exponential.default,
}
_STANDARD = {
    aten.rand.default: aten.rand.default,
    aten.randn.default: aten.randn.default,
    aten.rand_like.default: aten.rand.default,
    aten.randn_like.default: aten.randn.default,
    aten.uniform.default: aten.rand.default,
    aten.normal_functional.default: aten.randn.default,
}
_MOST = 500  # steps of a call: their losses lie in a buffer, of which a step has a copy


class LoopedStep:
    """Steps without end, a few hundred at a time.

    Args:
        step: From tensors to a tuple, of which the first is the loss; what it changes,
            it changes in place.
        inputs: What it will be called with; as examples here, and left alone.
        compiler: From a graph and example inputs to a function; the graph has a loop.

    Raises:
        NotImplementedError: a draw that compiled code cannot call for, or an operation
            that comes out otherwise in a loop.
    """

    def __init__(
        self,
        step: Callable[..., Any],
        inputs: Sequence[Tensor],
        compiler: Callable[[fx.GraphModule, Sequence[Tensor]], Callable[..., Any]],
    ) -> None:
        graph = functional(step, inputs)
        if any("batch_norm" in str(n.target) for n in graph.graph.nodes):
            # compared with the program, its running averages came out otherwise
            raise NotImplementedError("batch_norm inside of a loop")
        _standardize(graph)
        self._constants = _lift_constants(graph)
        changed = _outputs_of_copies(graph)
        loss = next(n for n in graph.graph.nodes if n.op == "output").args[0][0]
        dtype = loss.meta["val"].dtype
        self._first = torch.zeros((), dtype=torch.int64)
        self._one = torch.ones((), dtype=torch.int64)
        self._losses = torch.zeros(_MOST, dtype=dtype)
        looped = _looped(graph, changed)
        self._run = compiler(looped, self._all(inputs, self._one))

    def __call__(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        """Make a step; its loss."""
        return [self._run(*self._all(inputs, self._one))[0][0]]

    def many(self, inputs: Sequence[Tensor], number: int) -> Tensor:
        """Make steps; their losses."""
        losses = []
        for start in range(0, number, _MOST):
            size = min(_MOST, number - start)
            run = self._run(*self._all(inputs, torch.tensor(size)))
            losses.append(run[0][:size])
        return torch.cat(losses)

    def _all(self, inputs: Sequence[Tensor], number: Tensor) -> list[Tensor]:
        return [self._first, self._losses, number, *inputs, *self._constants]


def _standardize(graph: fx.GraphModule) -> None:
    """Uniform and normal draws by the operations that need no buffer."""
    draws = [n for n in graph.graph.nodes if is_random(n) and n.target not in _CALLED]
    for node in draws:
        target = _STANDARD.get(node.target)
        fake = node.meta["val"]
        takes_size = node.target in (aten.rand.default, aten.randn.default)
        numbers = [] if takes_size else list(node.args[1:])
        ends = [0.0, 1.0][: len(numbers)]
        if target is None or list(map(float, numbers)) != ends:
            raise NotImplementedError(f"{node.target} inside of a loop")
        options = {"dtype": fake.dtype, "device": fake.device, "pin_memory": False}
        with graph.graph.inserting_before(node):
            draw = graph.graph.call_function(target, (list(fake.shape),), options)
        draw.meta["val"] = fake
        node.replace_all_uses_with(draw)
        graph.graph.erase_node(node)
    graph.graph.eliminate_dead_code()


def _lift_constants(graph: fx.GraphModule) -> list[Tensor]:
    """Make inputs of the constants, which the body of a loop cannot have."""
    nodes = graph.graph.find_nodes(op="get_attr")
    last = graph.graph.find_nodes(op="placeholder")[-1]
    constants = []
    for number, node in enumerate(nodes):
        constants.append(getattr(graph, node.target))
        with graph.graph.inserting_after(last):
            last = graph.graph.placeholder(f"constant_{number}")
        last.meta = dict(node.meta)
        node.replace_all_uses_with(last)
        graph.graph.erase_node(node)
    return constants


def _outputs_of_copies(graph: fx.GraphModule) -> list[fx.Node]:
    """Return what is copied into inputs at the end instead; these inputs."""
    output = next(n for n in graph.graph.nodes if n.op == "output")
    new: dict[fx.Node, Any] = {}
    for node in list(graph.graph.nodes):
        if node.target is aten.copy_.default and node.args[0].op == "placeholder":
            new[node.args[0]] = node.args[1]
            node.replace_all_uses_with(node.args[1])
    output.args = ((output.args[0][0], *new.values()),)
    for node in [n for n in graph.graph.nodes if n.target is aten.copy_.default]:
        if node.args[0] in new:
            graph.graph.erase_node(node)
    graph.graph.eliminate_dead_code()
    return list(new)


def _looped(graph: fx.GraphModule, changed: list[fx.Node]) -> fx.GraphModule:
    """A graph that runs another one as often as it is told."""
    # private to torch: where it is missing, there is no loop, and the rest works
    from torch._higher_order_ops.while_loop import while_loop_op

    inputs = graph.graph.find_nodes(op="placeholder")
    fixed = [n for n in inputs if n not in changed]
    output = next(n for n in graph.graph.nodes if n.op == "output")
    loss, *values = output.args[0]

    def start() -> tuple[fx.Graph, list[fx.Node], dict[fx.Node, fx.Node], fx.Node]:
        part = fx.Graph()
        counters = [part.placeholder(name) for name in ("place", "losses")]
        own = {n: part.placeholder(n.name) for n in [*changed, *fixed]}
        return part, counters, own, part.placeholder("number")

    body, (place, losses), own, _ = start()
    for node in graph.graph.nodes:
        if node.op not in ("placeholder", "output"):
            own[node] = body.node_copy(node, own.__getitem__)
    call = body.call_function
    here = call(aten.eq.Tensor, (call(aten.arange.default, (_MOST,)), place))
    losses = call(aten.where.self, (here, own[loss], losses))
    place = call(aten.add.Tensor, (place, 1))
    # what is returned must be a tensor of its own, not an input
    ends = [call(aten.clone.default, (own[v],)) for v in values]
    body.output((place, losses, *ends))

    condition, (place, _), _, number = start()
    condition.output(condition.call_function(aten.lt.Tensor, (place, number)))

    whole = fx.Graph()
    first, losses, number = map(whole.placeholder, ("first", "losses", "number"))
    outer = {n: whole.placeholder(n.name) for n in inputs}
    parts = [whole.get_attr(name) for name in ("condition", "body")]
    carried = first, losses, *(outer[n] for n in changed)
    constant = *(outer[n] for n in fixed), number
    loop = whole.call_function(while_loop_op, (*parts, carried, constant))
    results = [
        whole.call_function(operator.getitem, (loop, i)) for i in range(len(carried))
    ]
    for node, result in zip(changed, results[2:], strict=True):
        whole.call_function(aten.copy_.default, (outer[node], result))
    whole.output((results[1],))

    root = torch.nn.Module()
    for name, part in (("condition", condition), ("body", body)):
        for node in part.nodes:
            node.meta = {}  # of another mode of fake tensors than the compiler's own
        setattr(root, name, fx.GraphModule({}, part))
    return fx.GraphModule(root, whole)
