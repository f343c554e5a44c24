# SPDX-License-Identifier: Apache-2.0
"""One run of a guide and of the model against it."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from pyro.ops.provenance import detach_provenance
from torch import Tensor

from pyro_reparam_ext.gradients import (
    Analytic,
    Baseline,
    Enumerate,
    GradientEstimator,
    ReplayEstimator,
)
from pyro_reparam_ext.infer.costs import Costs
from pyro_reparam_ext.infer.site import estimator_of
from pyro_reparam_ext.infer.terms import Term, samples, terms_of


class Program(NamedTuple):
    """A model, its guide, and their arguments."""

    model: Any
    guide: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


class Watched(NamedTuple):
    """What is known of the last run, beside its traces."""

    tracked: bool
    program: Program
    minibatches: dict[str, Any]


@dataclass
class Run:
    """One run of the program.

    Args:
        model: Trace of the model.
        guide: Trace of the guide.
        tracked: Whether draws were tracked.
        program: What was run.
        minibatches: The indices that plates drew, by plate.
    """

    model: Any
    guide: Any
    tracked: bool
    program: Program
    minibatches: dict[str, Any]

    @cached_property
    def estimators(self) -> dict[str, GradientEstimator]:
        """Those that were chosen, by guide site."""
        chosen = {n: estimator_of(site["fn"]) for n, site in samples(self.guide)}
        return {n: e for n, e in chosen.items() if e is not None}

    def sites_with(self, kind: Any) -> list[str]:
        """The guide sites whose estimator is of a kind."""
        return [n for n, e in self.estimators.items() if isinstance(e, kind)]

    @property
    def terms(self) -> list[Term]:
        """The summands of the objective."""
        return self._terms_and_words[0]

    @property
    def closed_forms(self) -> dict[str, str]:
        """What each ``Analytic`` site got for its own terms."""
        return self._terms_and_words[1] if self.sites_with(Analytic) else {}

    @cached_property
    def _terms_and_words(self) -> tuple[list[Term], dict[str, str]]:
        return terms_of(self.model, self.guide, self.tracked)

    @cached_property
    def costs(self) -> Costs:
        """The terms, to be shared out among the score sites."""
        return Costs(self.terms)

    def negative_elbo(self) -> Any:
        """The value of the loss for this run."""
        return negative_elbo(self.model, self.guide, self.tracked)

    def pathwise_surrogate(self, summed_out: Iterable[str]) -> Any:
        """The same as the estimators would differentiate it along the paths.

        Without the terms that depend on sites that are summed out, which the sum has.
        """
        surrogate: Any = 0.0
        if not summed_out and not self.sites_with(Analytic):  # no term is replaced
            for _, site in samples(self.model):
                surrogate = surrogate - site["log_prob_sum"]
            for _, site in samples(self.guide):
                entropy_term = site["score_parts"].entropy_term
                if entropy_term is site["log_prob"]:
                    surrogate = surrogate + site["log_prob_sum"]
                elif isinstance(entropy_term, Tensor):
                    surrogate = surrogate + entropy_term.sum()
            return detach_provenance(surrogate) if self.tracked else surrogate
        for term in self.terms:
            kept = not any(term.may_depend_on(name) for name in summed_out)
            if term.surrogate is not None and kept:
                surrogate = surrogate - term.surrogate.sum()
        return surrogate


def baseline_of(site: Any) -> Baseline | None:
    """The baseline of a site's estimator, if it has one."""
    baseline = getattr(estimator_of(site["fn"]), "baseline", None)
    return baseline if isinstance(baseline, Baseline) else None


def has_baseline(run: Run) -> bool:
    """Whether the costs of a run are to be compared with those of other particles."""
    return any(isinstance(e.baseline, Baseline) for e in run.estimators.values())


def asks_for_costs(site: Any) -> bool:
    """Whether it matters for a site what its draw influences."""
    replayed = isinstance(estimator_of(site["fn"]), ReplayEstimator | Enumerate)
    return replayed or isinstance(site["score_parts"].score_function, Tensor)


def negative_elbo(model: Any, guide: Any, tracked: bool) -> Any:
    r""":math:`\log q - \log p`, scaled and masked."""
    value: Any = 0.0
    for _, site in samples(model):
        value = value - site["log_prob_sum"]
    for _, site in samples(guide):
        value = value + site["log_prob_sum"]
    return detach_provenance(value) if tracked else value
