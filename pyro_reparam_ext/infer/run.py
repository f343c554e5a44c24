# SPDX-License-Identifier: Apache-2.0
"""One run of a guide and of the model against it."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from operator import add
from typing import Any, NamedTuple

import torch
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
        chosen = ((n, estimator_of(site["fn"])) for n, site in samples(self.guide))
        return {n: e for n, e in chosen if e is not None}

    def sites_with(self, kind: Any) -> list[str]:
        """The guide sites whose estimator is of a kind."""
        if not any(issubclass(cls, kind) for cls in self._kinds):
            return []
        return [n for n, e in self.estimators.items() if isinstance(e, kind)]

    @cached_property
    def _kinds(self) -> set[type[GradientEstimator]]:
        return {type(estimator) for estimator in self.estimators.values()}

    @cached_property
    def score_sites(self) -> list[tuple[str, Any]]:
        """The guide sites whose scores are weighed with their costs."""
        return [
            (name, site)
            for name, site in samples(self.guide)
            if isinstance(site["score_parts"].score_function, Tensor)
        ]

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

    @property
    def negative_elbo(self) -> Any:
        r"""The value of the loss: :math:`\log q - \log p`, scaled and masked."""
        return self._sums[0]

    @cached_property
    def _sums(self) -> tuple[Tensor, Tensor]:
        """The value of the loss, and its surrogate if no term is replaced."""
        on_path: list[Tensor] = []
        off_path: list[Tensor] = []
        partly: list[Tensor] = []
        for _, site in samples(self.guide):
            log_prob, entropy_term = site["log_prob"], site["score_parts"].entropy_term
            if entropy_term is log_prob:
                on_path.append(log_prob.sum())
            else:
                off_path.append(site["log_prob_sum"].detach())
                if isinstance(entropy_term, Tensor):
                    partly.append(entropy_term.sum())
        log_p = total([site["log_prob_sum"] for _, site in samples(self.model)])
        common = torch.as_tensor(total(on_path) - log_p)
        value, surrogate = total([common.detach(), *off_path]), total([common, *partly])
        if not self.tracked:
            return value, surrogate
        return detach_provenance(value), detach_provenance(surrogate)

    def pathwise_surrogate(self) -> Any:
        """The same as the estimators would differentiate it along the paths.

        Without the terms that depend on sites that are summed out, which the sum has.
        """
        if not (self.estimators and self.sites_with(Enumerate | Analytic)):
            return self._sums[1]
        summed_out = self.sites_with(Enumerate)
        surrogate: Any = 0.0
        for term in self.terms:
            kept = not any(term.may_depend_on(name) for name in summed_out)
            if term.unsigned is not None and kept:
                summed = term.unsigned.sum()
                surrogate = surrogate - summed if term.sign > 0 else surrogate + summed
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
    if isinstance(site["score_parts"].score_function, Tensor):
        return True
    estimator = estimator_of(site["fn"])
    return estimator is not None and isinstance(estimator, ReplayEstimator | Enumerate)


def total(terms: Sequence[Any]) -> Any:
    """The sum of tensors; unlike ``sum``, it does not add the first to zero."""
    return reduce(add, terms) if terms else 0.0
