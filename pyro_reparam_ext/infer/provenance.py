# SPDX-License-Identifier: Apache-2.0
"""Which draws a term of the objective can depend on.

Pyro's provenance tensors carry the names of the draws they were computed from through
every torch operation. What they cannot follow is a value that leaves torch or is
written into another tensor: after ``if z > 0:``, ``z.item()`` or ``x[0] = z`` anything
may depend on ``z``. Here such an escape is noticed, and every site from there on counts
as depending on it. (``TraceGraph_ELBO`` does not notice, and its gradient is biased for
such programs.) Not noticed is what ``torch.func`` transforms do with a draw.
"""

from collections.abc import Iterable
from typing import Any

import torch
from pyro.ops.provenance import ProvenanceTensor, extract_provenance, get_provenance
from pyro.poutine.messenger import Messenger
from torch import Tensor
from torch.utils._pytree import tree_map_only

from pyro_reparam_ext.infer.site import is_latent

# Calls through which the content of a tensor becomes a Python value or a shape.
_ESCAPES = frozenset(
    {
        Tensor.__bool__,
        Tensor.__int__,
        Tensor.__float__,
        Tensor.__complex__,
        Tensor.__index__,
        Tensor.__contains__,
        Tensor.__array__,
        Tensor.__format__,
        Tensor.item,
        Tensor.tolist,
        Tensor.numpy,
        Tensor.equal,
        Tensor.allclose,
        Tensor.nonzero,
        Tensor.masked_select,
        Tensor.unique,
        torch.is_nonzero,
        torch.equal,
        torch.allclose,
        torch.nonzero,
        torch.argwhere,
        torch.masked_select,
        torch.unique,
    }
)
_AUGMENTED = frozenset(
    [
        "__iadd__",
        "__iand__",
        "__ifloordiv__",
        "__ilshift__",
        "__imatmul__",
        "__imod__",
        "__imul__",
        "__ior__",
        "__ipow__",
        "__irshift__",
        "__isub__",
        "__itruediv__",
        "__ixor__",
    ]
)


class _Draw:
    """A draw at a score-function site, as an element of provenance sets."""

    def __init__(self, name: str, tracker: "TrackScoreSites") -> None:
        self.name = name
        self.tracker = tracker


class _TrackedTensor(ProvenanceTensor):
    """A provenance tensor that reports where its content leaves torch."""

    @classmethod
    def __torch_function__(
        cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        args, draws = _untracked(args)
        if kwargs:
            plain_values, more_draws = _untracked(kwargs.values())
            kwargs = dict(zip(kwargs, plain_values, strict=True))
            draws = draws | more_draws
        result = func(*args, **(kwargs or {}))
        if func is torch._is_all_true:  # argument validation: it raises or does nothing
            return result
        if func in _ESCAPES or _writes(func, kwargs):
            for draw in draws:
                draw.tracker.escaped |= {draw}
        if type(result) is Tensor:
            return _TrackedTensor(result, draws)
        if isinstance(result, tuple | list):
            return tree_map_only(Tensor, lambda t: _track(t, draws), result)
        return result


def _writes(func: Any, kwargs: Any) -> bool:
    """Whether a call changes a tensor in place, and with it all that shares memory."""
    name = getattr(func, "__name__", "")
    return (
        (name.endswith("_") and not name.endswith("__"))
        or name == "__setitem__"
        or name in _AUGMENTED
        or bool(kwargs and "out" in kwargs)
    )


def _untracked(values: Iterable[Any]) -> tuple[list[Any], frozenset[_Draw]]:
    """The values without provenance, and their provenance.

    On the path of every operation, hence the shortcut for plain tensors and numbers.
    """
    plain: list[Any] = []
    draws: frozenset[_Draw] = frozenset()
    for value in values:
        if isinstance(value, ProvenanceTensor):
            value, more = value._t, value._provenance
            draws = more if not draws else draws | more
        elif isinstance(value, tuple | list | dict):
            value, more = extract_provenance(value)
            draws = draws | more
        plain.append(value)
    return plain, draws


def _track(tensor: Tensor, draws: frozenset[_Draw]) -> Tensor:
    plain, known = extract_provenance(tensor)
    return _TrackedTensor(plain, known | draws)


class TrackScoreSites(Messenger):
    """Tracks, for each site of a run, the score-function draws it may depend on.

    Costs next to nothing until the first draw that is not reparameterized.
    """

    def __init__(self) -> None:
        super().__init__()
        self.escaped: frozenset[_Draw] = frozenset()

    def _pyro_sample(self, msg: Any) -> None:
        # Known only before the draw: replayed and observed values are not fresh.
        msg["infer"]["_is_drawn"] = is_latent(msg)
        msg["infer"]["_controlled_by"] = self.escaped

    def _pyro_post_sample(self, msg: Any) -> None:
        if msg["infer"]["_is_drawn"] and not msg["fn"].has_rsample:
            draw = _Draw(msg["name"], self)
            msg["value"] = _track(msg["value"], frozenset({draw}))


def influences(site: Any) -> frozenset[str]:
    """Names of the score sites that the log-probability of a traced site depends on."""
    draws = site["infer"]["_controlled_by"] | get_provenance(site["log_prob"])
    draws = draws | get_provenance(site["value"])
    return frozenset(draw.name for draw in draws)
