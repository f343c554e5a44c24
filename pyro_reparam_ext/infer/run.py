# SPDX-License-Identifier: Apache-2.0
"""One run of a guide and of the model against it."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from pyro.ops.provenance import detach_provenance
from pyro.poutine.messenger import Messenger
from torch import Tensor

from pyro_reparam_ext.gradients import Baseline, Enumerate, ReplayEstimator
from pyro_reparam_ext.infer.costs import Costs
from pyro_reparam_ext.infer.site import estimator_of
from pyro_reparam_ext.infer.terms import Term, samples, terms_of


class Program(NamedTuple):
    """A model, its guide, and their arguments."""

    model: Any
    guide: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


@dataclass
class Run:
    """One run of the program.

    Args:
        model: Trace of the model.
        guide: Trace of the guide.
        tracked: Whether draws were tracked.
        program: What was run.
        minibatches: The indices that plates drew, by plate.
        summed_out: Sites whose dependent terms are summed over all values elsewhere.
    """

    model: Any
    guide: Any
    tracked: bool
    program: Program
    minibatches: dict[str, Any]
    summed_out: frozenset[str] = frozenset()

    @property
    def terms(self) -> list[Term]:
        """The summands of the objective."""
        return self._terms_and_words[0]

    @property
    def closed_forms(self) -> dict[str, str]:
        """What each ``Analytic`` site got for its own terms."""
        return self._terms_and_words[1]

    @cached_property
    def _terms_and_words(self) -> tuple[list[Term], dict[str, str]]:
        return terms_of(self.model, self.guide, self.tracked)

    @cached_property
    def costs(self) -> Costs:
        """The terms, to be shared out among the score sites."""
        return Costs(self.terms)

    def negative_elbo(self) -> Any:
        """The value of the loss for this run."""
        return negative_elbo(self.model, self.guide)

    def pathwise_surrogate(self) -> Any:
        """The same as the estimators would differentiate it along the paths.

        Without the terms that depend on a site that is summed out, which the sum has.
        """
        surrogate: Any = 0.0
        for term in self.terms:
            kept = not any(term.may_depend_on(name) for name in self.summed_out)
            if term.surrogate is not None and kept:
                surrogate = surrogate - term.surrogate.sum()
        return surrogate


def baseline_of(site: Any) -> Baseline | None:
    """The baseline of a site's estimator, if it has one."""
    baseline = getattr(estimator_of(site["fn"]), "baseline", None)
    return baseline if isinstance(baseline, Baseline) else None


def replays(site: Any) -> bool:
    """Whether the estimator of a site has the program replayed."""
    return isinstance(estimator_of(site["fn"]), ReplayEstimator | Enumerate)


def asks_for_costs(site: Any) -> bool:
    """Whether it matters for a site what its draw influences."""
    return isinstance(site["score_parts"].score_function, Tensor) or replays(site)


def negative_elbo(model: Any, guide: Any) -> Any:
    r""":math:`\log q - \log p`, scaled and masked."""
    value: Any = 0.0
    for trace, sign in ((model, -1), (guide, 1)):
        for _, site in samples(trace):
            value = value + sign * detach_provenance(site["log_prob_sum"])
    return value


class Minibatches(Messenger):
    """Notes which indices the plates of a run drew."""

    def __init__(self) -> None:
        super().__init__()
        self.indices: dict[str, Any] = {}

    def _pyro_post_sample(self, msg: Any) -> None:
        if type(msg["fn"]).__name__ == "_Subsample":
            self.indices[msg["name"]] = msg["value"]
