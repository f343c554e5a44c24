# SPDX-License-Identifier: Apache-2.0
"""One run of a guide and of the model against it, as terms of the objective."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pyro.ops.provenance import detach_provenance
from torch import Tensor

from pyro_reparam_ext.gradients import Baseline
from pyro_reparam_ext.infer.site import estimator_of


@dataclass(frozen=True)
class Run:
    """The traces of one run, and whether draws were tracked in it."""

    model: Any
    guide: Any
    tracked: bool

    def negative_elbo(self) -> Any:
        r""":math:`\log q - \log p`, scaled and masked."""
        value: Any = 0.0
        for _, site in samples(self.model):
            value = value - detach_provenance(site["log_prob_sum"])
        for _, site in samples(self.guide):
            value = value + detach_provenance(site["log_prob_sum"])
        return value

    def pathwise_surrogate(self) -> Any:
        """The same, with the entropy terms that the estimators chose."""
        surrogate: Any = 0.0
        for _, site in samples(self.model):
            surrogate = surrogate - detach_provenance(site["log_prob_sum"])
        for _, site in samples(self.guide):
            entropy_term = site["score_parts"].entropy_term
            if isinstance(entropy_term, Tensor):
                surrogate = surrogate + detach_provenance(entropy_term).sum()
        return surrogate


def samples(trace: Any) -> Iterator[tuple[str, Any]]:
    """The sample sites of a trace."""
    for name, site in trace.nodes.items():
        if site["type"] == "sample":
            yield name, site


def baseline_of(site: Any) -> Baseline | None:
    """The baseline of a site's estimator, if it has one."""
    baseline = getattr(estimator_of(site["fn"]), "baseline", None)
    return baseline if isinstance(baseline, Baseline) else None
