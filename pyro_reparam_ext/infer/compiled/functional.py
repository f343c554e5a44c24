# SPDX-License-Identifier: Apache-2.0
"""A step as a graph that changes nothing until its end."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, fx
from torch.fx.experimental.proxy_tensor import make_fx

aten = torch.ops.aten


def functional(step: Callable[..., Any], inputs: Sequence[Tensor]) -> fx.GraphModule:
    """The operations of a step, those in place replaced by others.

    What the step changes is copied to where it was, at the end. Numbers that the
    program made tensors of are written into the graph.

    Args:
        step: From tensors to a tuple of tensors; it may change its arguments in place.
        inputs: What it will be called with; as examples here, and left alone.
    """
    graph = make_fx(torch.func.functionalize(step), tracing_mode="fake")(*inputs)
    _split_bernoulli(graph)
    _write_numbers(graph)
    graph.graph.eliminate_dead_code()
    return graph


def is_random(node: fx.Node) -> bool:
    """Whether a node draws from the generator of torch."""
    return (
        isinstance(node.target, torch._ops.OpOverload)
        and torch.Tag.nondeterministic_seeded in node.target.tags
    )


def empty_like(fake: Tensor) -> Tensor:
    """A real tensor of the same shape and strides."""
    return torch.empty_strided(
        fake.shape, fake.stride(), dtype=fake.dtype, device=fake.device
    ).zero_()


def _split_bernoulli(graph: fx.GraphModule) -> None:
    """A Bernoulli draw is a uniform one below p: the same draw, and p comes later."""
    for node in list(graph.graph.nodes):
        if node.target is not aten.bernoulli.default:
            continue
        p = node.args[0]
        fake = p.meta["val"]
        if not (fake.device.type == "cpu" and fake.is_contiguous()):
            continue  # elsewhere the two are drawn differently
        options = {"dtype": fake.dtype, "device": fake.device, "pin_memory": False}
        with graph.graph.inserting_before(node):
            u = graph.graph.call_function(
                aten.rand.default, (list(fake.shape),), options
            )
            below = graph.graph.call_function(aten.lt.Tensor, (u, p))
            draw = graph.graph.call_function(
                aten._to_copy.default, (below,), {"dtype": fake.dtype}
            )
        u.meta["val"] = draw.meta["val"] = node.meta["val"]
        below.meta["val"] = torch.empty_like(node.meta["val"], dtype=torch.bool)
        node.replace_all_uses_with(draw)
        graph.graph.erase_node(node)


def _write_numbers(graph: fx.GraphModule) -> None:
    """Constants of no dimensions as numbers, which a compiler writes into its code."""
    for node in graph.graph.find_nodes(op="get_attr"):
        constant = getattr(graph, node.target)
        if constant.ndim:
            continue
        for use in list(node.users):
            if use.target is not aten.lift_fresh_copy.default:
                continue
            options = {"dtype": constant.dtype, "device": constant.device}
            with graph.graph.inserting_before(use):
                number = graph.graph.call_function(
                    aten.full.default, ([], constant.item()), options
                )
            number.meta["val"] = use.meta["val"]
            use.replace_all_uses_with(number)
            graph.graph.erase_node(use)
