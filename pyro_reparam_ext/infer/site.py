# SPDX-License-Identifier: Apache-2.0
"""A site's distribution paired with its estimator.

Pyro asks the distribution at a site three things: ``has_rsample``, a draw, and its
``score_parts``. A shallow copy with these three answered by the estimator is all the
switching there is. The copy's class is a subclass of the original's, so ``isinstance``
and KL dispatch go on working, ``expand`` keeps the switch, and the user's object is
left alone. (``has_rsample_`` would change it, and raises on ``Independent``, masked and
transformed distributions.)
"""

import functools
from typing import Any

import torch
from pyro.distributions.score_parts import ScoreParts
from pyro.distributions.torch_distribution import TorchDistributionMixin
from torch import Tensor

from pyro_reparam_ext.gradients import GradientEstimator


def switch(fn: Any, estimator: GradientEstimator) -> Any:
    """A copy of ``fn`` that is drawn and scored by ``estimator``."""
    return switch_plain(plain(fn), estimator)


def switch_plain(copied: Any, estimator: GradientEstimator) -> Any:
    """The same, of what is a plain copy already, which it changes."""
    cls: Any = type(copied)
    copied.__class__ = _switched_class(cls, estimator)
    return copied


def plain(fn: Any) -> Any:
    """A copy of ``fn`` as it was before any switching, ``has_rsample_`` included."""
    cls: Any = type(fn)
    new = object.__new__(cls if estimator_of(fn) is None else cls.__mro__[1])
    new.__dict__.update(fn.__dict__)  # what copy.copy does, in a fifth of the time
    new.__dict__.pop("has_rsample", None)
    return new


def estimator_of(fn: Any) -> GradientEstimator | None:
    """The estimator that ``fn`` was switched to, or None."""
    return getattr(type(fn), "_switched_to", None)


@functools.lru_cache(maxsize=1024)
def _switched_class(cls: Any, estimator: GradientEstimator) -> Any:
    def unswitched(self: Any) -> Any:
        # the same state, not a copy: some samplers leave notes there for score_parts
        view = cls.__new__(cls)
        view.__dict__ = self.__dict__
        return view

    def call(self: Any, sample_shape: torch.Size = torch.Size()) -> Tensor:  # noqa: B008
        return estimator.draw(unswitched(self), sample_shape)

    def score_parts(self: Any, value: Tensor, *args: Any, **kwargs: Any) -> ScoreParts:
        return estimator.score_parts(unswitched(self), value, *args, **kwargs)

    def reduce(self: Any, protocol: Any) -> Any:
        return _restore, (cls, estimator, self.__dict__.copy())

    return type(
        cls.__name__,
        (cls,),
        {
            "_switched_to": estimator,
            "has_rsample": property(
                lambda self: estimator.reparameterized(unswitched(self))
            ),
            "__call__": call,
            "score_parts": score_parts,
            "__reduce_ex__": reduce,
            "__module__": cls.__module__,
            "__qualname__": cls.__qualname__,
            "__doc__": cls.__doc__,
        },
    )


def _restore(cls: Any, estimator: GradientEstimator, state: dict[str, Any]) -> Any:
    """Unpickle a switched distribution."""
    switched = _switched_class(cls, estimator)
    new = switched.__new__(switched)
    new.__dict__.update(state)
    return new


def is_latent(msg: Any) -> bool:
    """Whether a message asks for a fresh draw of a random variable."""
    return (
        msg["type"] == "sample"
        and not msg["is_observed"]
        and msg["value"] is None
        and type(msg["fn"]).__name__ != "_Subsample"
        and isinstance(msg["fn"], TorchDistributionMixin)
    )
