# SPDX-License-Identifier: Apache-2.0
r"""How :math:`\nabla_\theta` is estimated at one sample site."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from pyro.distributions.score_parts import ScoreParts
from torch import Tensor
from torch.distributions import Distribution
from torch.distributions.constraints import Constraint


@dataclass(frozen=True, eq=False)
class GradientEstimator(ABC):
    r"""A rule for drawing at a site and for entering the surrogate loss (abstract).

    The surrogate is a scalar whose gradient is the estimate. A site enters it by its
    ``ScoreParts``: ``log_prob`` (:math:`\log q`, part of the objective's value),
    ``score_function`` (what multiplies the detached cost) and ``entropy_term`` (what
    is differentiated in place of :math:`\log q`).

    Writing your own: a frozen dataclass with the property sheet below, ``supports``,
    ``draw`` and ``score_parts``; then a name for it in ``gradients/names.py``.
    Estimators are compared and hashed by value, so their options must be hashable.

    Attributes:
        unbiased: Whether the mean of the estimate is the gradient. A biased estimator
            is refused unless it is named at the site, or biased ones are allowed.
        objectives: Names of the objectives it composes with: ``"elbo"``, and
            ``"iw"``, the importance-weighted bounds.
        instead: For an objective that it does not compose with, what would do.
    """

    unbiased: ClassVar[bool] = True
    objectives: ClassVar[frozenset[str]] = frozenset({"elbo"})
    instead: ClassVar[str] = "'pathwise' or 'score'"

    @property
    def min_particles(self) -> int:
        """Fewest particles the estimator works with."""
        return 1

    @property
    def self_contained(self) -> bool:
        """Whether ``draw`` and ``score_parts`` are all it takes, whatever the loss."""
        return True

    @property
    def baseline(self) -> Any:
        """What is subtracted from the cost of a score site, if anything."""
        return None

    def extra_evals(self, fn: Distribution) -> int:
        """Evaluations of the model per particle beyond the first."""
        return 0

    @abstractmethod
    def reparameterized(self, fn: Distribution) -> bool:
        """Whether the draw carries its path, and so needs no score term."""

    @abstractmethod
    def supports(self, fn: Distribution) -> str | None:
        """None if the estimator works with ``fn``; else why not, and what would."""

    @abstractmethod
    def draw(self, fn: Distribution, sample_shape: torch.Size) -> Tensor:
        """A value for the site."""

    @abstractmethod
    def score_parts(
        self, fn: Distribution, value: Tensor, *args: Any, **kwargs: Any
    ) -> ScoreParts:
        """How the drawn value enters the surrogate."""


def innermost(fn: Distribution) -> Distribution:
    """The distribution under any wrappers (Independent, Masked, Expanded)."""
    while hasattr(fn, "base_dist") and not hasattr(fn, "transforms"):
        fn = fn.base_dist
    return fn


def describe(fn: Distribution) -> str:
    """The class name of the distribution under any wrappers, for messages."""
    return type(innermost(fn)).__name__


def density_at(fn: Distribution, value: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """The log-density at a given point, whatever was drawn before.

    A caching transform would hand back the base value of its own draw, and with it no
    dependence on the transform's parameters. A copy is not in its cache.

    Raises:
        ValueError: a flow without an inverse.
    """
    try:
        return fn.log_prob(value.clone(), *args, **kwargs)
    except (KeyError, NotImplementedError) as error:
        raise ValueError(
            f"the score function needs the density of {describe(fn)} at a given "
            "point, but one of its parts has no inverse. Use 'pathwise' for this "
            "site, or a flow with an inverse."
        ) from error


def why_no_score(fn: Distribution) -> str | None:
    """Why the mean score of ``fn`` is not zero, if so: its support moves."""
    base = innermost(fn)
    of_class = getattr(type(base), "support", None)
    if isinstance(of_class, Constraint) and not isinstance(of_class, property):
        return None
    try:
        support = base.support
    except (NotImplementedError, AttributeError):
        return None
    if not _depends_on_parameters(support):
        return None
    return (
        f"needs a score of mean zero, but the support of {describe(fn)} moves with its "
        "parameters. Use 'pathwise' for this site."
    )


def _depends_on_parameters(constraint: Any) -> bool:
    held = vars(constraint).values() if hasattr(constraint, "__dict__") else ()
    return any(
        value.requires_grad
        if isinstance(value, Tensor)
        else isinstance(value, Constraint) and _depends_on_parameters(value)
        for value in held
    )
