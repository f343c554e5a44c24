# SPDX-License-Identifier: Apache-2.0
"""What was computed from what, read off the autograd graph."""

from collections.abc import Iterable
from typing import Any

from torch import Tensor


def reached(outputs: Iterable[Any], targets: Iterable[Any]) -> set[Any]:
    """The nodes among ``targets`` that lie upstream of ``outputs``.

    Args:
        outputs: Tensors, or nodes of the graph.
        targets: Nodes of the graph. What lies behind a target is not searched.
    """
    sought = set(targets)
    found: set[Any] = set()
    seen: set[Any] = set()
    stack = [o.grad_fn if isinstance(o, Tensor) else o for o in outputs]
    while stack:
        node = stack.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if node in sought:
            found.add(node)
        else:
            stack.extend(above for above, _ in node.next_functions)
    return found
