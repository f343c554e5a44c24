# SPDX-License-Identifier: Apache-2.0
"""What all estimators share that give a discrete draw a path of its own making."""

import copy
from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from pyro.distributions import Bernoulli, OneHotCategorical
from pyro.distributions.score_parts import ScoreParts
from torch import Tensor
from torch.distributions import Distribution

from pyro_reparam_ext.distributions.base import is_discrete
from pyro_reparam_ext.gradients.base import GradientEstimator, describe, innermost


@dataclass(frozen=True, eq=False)
class RelaxedEstimator(GradientEstimator):
    r"""An estimator that differentiates through a discrete draw (abstract, biased).

    The draw is the discrete one, with a gradient that is not its own: that of a
    function of its logits. So the model is run, and the loss evaluated, as with any
    other estimator. A function of the draw is differentiated at the values it takes
    between the discrete ones: it has to be smooth there.
    """

    unbiased: ClassVar[bool] = False
    instead: ClassVar[str] = "'vimco'"

    @property
    def self_contained(self) -> bool:
        """Not: the model's density must follow the draw as well."""
        return False

    def reparameterized(self, fn: Distribution) -> bool:
        """Always."""
        return True

    def supports(self, fn: Distribution) -> str | None:
        """Bernoulli and OneHotCategorical of any shape."""
        base = innermost(fn)
        if isinstance(base, Bernoulli | OneHotCategorical):
            return None
        if is_discrete(base):
            kept = "integers carry no gradient"
            instead = "Draw from OneHotCategorical, or use 'rloo' or 'mvd'"
        else:
            kept = "its draws have a path of their own"
            instead = "Use 'pathwise'"
        return (
            "is for Bernoulli and OneHotCategorical sites, but this one is "
            f"{describe(fn)}: {kept}. {instead} for this site."
        )

    def draw(self, fn: Distribution, sample_shape: torch.Size) -> Tensor:
        """The same as that of the score function, with a gradient."""
        with torch.no_grad():
            hard = fn.sample(sample_shape)
        path = self.path(innermost(fn), hard)
        return hard + (path - path.detach())  # finite, so that this adds exact zeros

    @abstractmethod
    def path(self, base: Any, hard: Tensor) -> Tensor:
        """What is differentiated in place of the draw.

        Args:
            base: The innermost distribution of the site.
            hard: The draw.
        """

    def score_parts(
        self, fn: Distribution, value: Tensor, *args: Any, **kwargs: Any
    ) -> ScoreParts:
        """No score; the entropy term follows the draw, at fixed parameters."""
        log_prob = fn.log_prob(value, *args, **kwargs)
        continued = linear_in_value(fn)
        along = continued.log_prob(value, *args, **kwargs)
        score = continued.log_prob(value.detach(), *args, **kwargs)
        return ScoreParts(log_prob, 0, along - (score - score.detach()))


def is_binary(base: Distribution) -> bool:
    """Whether the draws are bits; else they are one-hot vectors."""
    return isinstance(base, Bernoulli)


def finite_logits(base: Any) -> Tensor:
    """Its logits, 0 where an outcome is impossible."""
    logits: Tensor = base.logits
    return torch.where(logits.isfinite(), logits, 0.0)


def check_temperature(estimator: RelaxedEstimator, temperature: float) -> None:
    """Raise unless it is a positive number."""
    if not 0 < temperature < float("inf"):
        raise ValueError(
            f"{type(estimator).__name__}: temperature must be a positive number; "
            f"found {temperature!r}."
        )


class _LinearOneHot(OneHotCategorical):
    """A one-hot law whose log-density can be differentiated in the value.

    The stock one looks up which entry is the largest.
    """

    def log_prob(self, value: Tensor) -> Tensor:
        # a slope of -inf, times a probability of 0, is to be 0
        steepest = torch.finfo(value.dtype).max ** 0.5
        logits = self.logits.detach().clamp(min=-steepest)
        along: Tensor = ((value - value.detach()) * logits).sum(-1)
        log_prob: Tensor = super().log_prob(value)
        return log_prob + along


def linear_in_value(fn: Any) -> Any:
    """``fn``, its log-density continued linearly between discrete values.

    A Bernoulli does so by itself.
    """
    if isinstance(fn, OneHotCategorical):
        new = copy.copy(fn)
        new.__class__ = _LinearOneHot
        return new
    if not hasattr(fn, "base_dist") or hasattr(fn, "transforms"):
        return fn
    base = linear_in_value(fn.base_dist)
    if base is fn.base_dist:
        return fn
    new = copy.copy(fn)
    new.base_dist = base
    return new
