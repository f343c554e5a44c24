# SPDX-License-Identifier: Apache-2.0
"""Which draws a term of the objective can depend on.

Pyro's provenance tensors carry the names of the draws they were computed from through
every torch operation. What they cannot follow is a value that leaves torch or is
written into another tensor: after ``if z > 0:``, ``z.item()`` or ``x[0] = z`` anything
may depend on ``z``. Here such an escape is noticed, and every site from there on counts
as depending on it. (``TraceGraph_ELBO`` does not notice, and its gradient is biased for
such programs.) Values that enter a ``torch.func`` transform count as escaped too. Not
noticed is what a ``torch.jit.script`` function does with a draw.
"""

from collections.abc import Iterable
from typing import Any, Self

import torch
from pyro.ops.provenance import ProvenanceTensor, extract_provenance, get_provenance
from pyro.poutine.messenger import Messenger
from torch import Tensor
from torch.distributions import Distribution, Transform
from torch.nn.functional import one_hot
from torch.overrides import TorchFunctionMode
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
        Tensor.argwhere,
        Tensor.bincount,
        Tensor.is_nonzero,
        Tensor.repeat_interleave,
        Tensor.unique_consecutive,
        Tensor.__dlpack__,
        torch.is_nonzero,
        torch.equal,
        torch.allclose,
        torch.nonzero,
        torch.argwhere,
        torch.masked_select,
        torch.unique,
        torch.unique_consecutive,
        torch.bincount,
        torch.repeat_interleave,
        torch.utils.dlpack.from_dlpack,
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
        escapes = (
            func in _ESCAPES
            or _writes(func, kwargs)
            or _has_shape_of(func, args, kwargs)
        )
        args, draws = _untracked(args)
        if kwargs:
            plain_values, more_draws = _untracked(kwargs.values())
            kwargs = dict(zip(kwargs, plain_values, strict=True))
            draws = draws | more_draws
        result = func(*args, **(kwargs or {}))
        if func is torch._is_all_true:  # argument validation: it raises or does nothing
            return result
        if escapes:
            _escape(draws)
        if type(result) is Tensor:
            return _TrackedTensor(result, draws)
        if isinstance(result, tuple | list):
            return tree_map_only(Tensor, lambda t: _track(t, draws), result)
        return result

    @classmethod
    def __torch_dispatch__(
        cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        # Below autograd, where an autograd.Function saves what it computed: whoever
        # records operations, to compile them say, knows plain tensors only.
        args, kwargs = tree_map_only(cls, lambda t: t._t, (args, kwargs or {}))
        return func(*args, **kwargs)


def _plain(tensor: Any) -> Tensor:
    """The tensor inside, with the graph of the one outside.

    An ``autograd.Function`` computes with tracked tensors and then attaches its node
    to the tracked result, of which the tensor inside knows nothing.
    """
    inside: Tensor = tensor._t
    if not inside.requires_grad:
        with torch._C.DisableTorchFunctionSubclass():
            if tensor.requires_grad:
                return torch.ops.aten.alias(tensor)
    return inside


@extract_provenance.register(_TrackedTensor)  # type: ignore[untyped-decorator]
def _extract(tensor: Any) -> tuple[Tensor, frozenset[_Draw]]:
    return _plain(tensor), tensor._provenance


def _escape(draws: frozenset[_Draw]) -> None:
    for draw in draws:
        draw.tracker.escaped |= {draw}


def _writes(func: Any, kwargs: Any) -> bool:
    """Whether a call changes a tensor in place, and with it all that shares memory."""
    name = getattr(func, "__name__", "")
    return (
        (name.endswith("_") and not name.endswith("__"))
        or name == "__setitem__"
        or name in _AUGMENTED
        or bool(kwargs and "out" in kwargs)
    )


def _has_shape_of(func: Any, args: Any, kwargs: Any) -> bool:
    """Whether the shape of the result depends on the content of an argument."""
    if func is one_hot:  # unless it is told of how many classes
        return len(args) < 2 and "num_classes" not in (kwargs or {})
    if func is Tensor.__getitem__:
        index = args[1] if isinstance(args[1], tuple) else (args[1],)
        masks = (torch.bool, torch.uint8)
        return any(isinstance(i, Tensor) and i.dtype in masks for i in index)
    return (func is torch.where or func is Tensor.where) and len(args) == 1


def _untracked(values: Iterable[Any]) -> tuple[list[Any], frozenset[_Draw]]:
    """The values without provenance, and the draws of this run among their provenance.

    On the path of every operation, hence the shortcut for plain tensors and numbers.
    """
    plain: list[Any] = []
    draws: frozenset[_Draw] = frozenset()
    for value in values:
        if isinstance(value, ProvenanceTensor):
            more = value._provenance
            value = _plain(value)
            draws = more if not draws else draws | more
        elif isinstance(value, tuple | list | dict):
            value, more = extract_provenance(value)
            draws = draws | more
        plain.append(value)
    if any(draw.tracker.is_over for draw in draws):
        # a value kept from an earlier run is a constant of this one
        draws = frozenset(draw for draw in draws if not draw.tracker.is_over)
    return plain, draws


def _track(tensor: Tensor, draws: frozenset[_Draw]) -> Tensor:
    plain, known = extract_provenance(tensor)
    return _TrackedTensor(plain, known | draws)


class _WatchReaders(TorchFunctionMode):
    """Notices what tracked tensors are not told of."""

    def __init__(self, tracker: "TrackScoreSites") -> None:
        super().__init__()
        self.tracker = tracker

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if self.tracker.drawn:
            if _in_transform():  # inside of it nothing is tracked
                _escape(self.tracker.drawn)
            elif type(result) is Tensor and func is not torch._is_all_true:
                # a draw among the arguments was read as a number: by torch.full, say
                _escape(_untracked([args, kwargs or {}])[1])
        return result


def _in_transform() -> bool:
    """Whether a ``torch.func`` transform is under way."""
    functorch = getattr(torch._C, "_functorch", None)
    peek = getattr(functorch, "peek_interpreter_stack", lambda: None)
    return peek() is not None


class TrackScoreSites(Messenger):
    """Tracks, for each site of a run, the score-function draws it may depend on."""

    def __init__(self) -> None:
        super().__init__()
        self.drawn: frozenset[_Draw] = frozenset()
        self.escaped: frozenset[_Draw] = frozenset()
        self.is_over = False
        self._watch = _WatchReaders(self)

    def __enter__(self) -> Self:
        # From the start: modes are left in the order in which they were entered.
        self._watch.__enter__()
        return super().__enter__()

    def __exit__(self, exc_type: Any, exc_value: Any, traceback: Any) -> None:
        super().__exit__(exc_type, exc_value, traceback)
        self._watch.__exit__(exc_type, exc_value, traceback)
        self.is_over = True

    def _pyro_sample(self, msg: Any) -> None:
        # Known only before the draw: replayed and observed values are not fresh.
        msg["infer"]["_is_drawn"] = is_latent(msg)
        msg["infer"]["_controlled_by"] = self.escaped

    def _pyro_post_sample(self, msg: Any) -> None:
        if msg["infer"]["_is_drawn"] and not msg["fn"].has_rsample:
            draw = frozenset({_Draw(msg["name"], self)})
            self.drawn |= draw
            msg["value"] = _track(msg["value"], draw)
            msg["infer"]["_is_tracked"] = True


def influences(site: Any) -> frozenset[str]:
    """Names of the score sites that the log-probability of a traced site depends on.

    What a density computes outside of torch still depends on value and parameters.
    """
    draws = get_provenance(site["log_prob"]) | get_provenance(site["value"])
    return law_influences(site) | frozenset(draw.name for draw in draws)


def law_influences(site: Any) -> frozenset[str]:
    """Names of the score sites that the distribution at a traced site depends on."""
    draws = site["infer"]["_controlled_by"] | _held_by(site["fn"])
    return frozenset(draw.name for draw in draws)


def _held_by(fn: Any, seen: frozenset[int] = frozenset()) -> frozenset[_Draw]:
    """The provenance of all that a distribution or transform holds."""
    draws: frozenset[_Draw] = frozenset()
    seen = seen | {id(fn)}  # a transform and its inverse hold each other
    for held in vars(fn).values():
        for part in held if isinstance(held, tuple | list) else (held,):
            if isinstance(part, Distribution | Transform) and id(part) not in seen:
                draws = draws | _held_by(part, seen)
            elif isinstance(part, ProvenanceTensor):
                draws = draws | part._provenance
    return draws
