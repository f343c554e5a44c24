# SPDX-License-Identifier: Apache-2.0
r"""The objective of one run as a sum of terms.

.. math:: \log p - \log q = \sum_t f_t

A term belongs to a site of model or guide. It has a value to differentiate along the
paths, a value to weigh scores with, plates, and the score-function draws it depends on.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pyro.ops.provenance import detach_provenance
from torch import Tensor

from pyro_reparam_ext.infer.closed_forms import closed_form, is_analytic
from pyro_reparam_ext.infer.costs import Plates, plates_of
from pyro_reparam_ext.infer.provenance import influences, law_influences


@dataclass(frozen=True)
class Term:
    """A summand of the objective.

    Args:
        key: ``("model", site)`` or ``("guide", site)``.
        plates: The plates it is in.
        cost: Its value, detached.
        sign: 1, or -1 if it enters with a minus sign.
        unsigned: What to differentiate along the paths, if anything, before that.
        names: The score-function draws it depends on; None if that is not known.
        covers: The log-densities it stands for, by owner and site.
    """

    key: tuple[str, str]
    plates: Plates
    cost: Tensor
    sign: int
    unsigned: Tensor | None
    names: frozenset[str] | None
    covers: frozenset[tuple[str, str]]

    def may_depend_on(self, name: str) -> bool:
        """Whether it can change with the draw at a site."""
        return self.names is None or name in self.names


def terms_of(
    model: Any, guide: Any, tracked: bool
) -> tuple[list[Term], dict[str, str]]:
    """The terms of a run, and what each ``Analytic`` site got for its own."""
    terms: list[Term] = []
    words: dict[str, str] = {}
    for name, site in samples(guide):
        if is_analytic(site):
            words[name], tensor = closed_form(name, model, guide)
            if tensor is not None:
                kl = words[name] == "kl"
                terms.append(_closed_form_term(name, model, guide, tensor, kl, tracked))
    covered = {key for term in terms for key in term.covers}
    for owner, trace in (("model", model), ("guide", guide)):
        for name, site in samples(trace):
            if (owner, name) not in covered:
                terms.append(_sampled_term(owner, name, site, tracked))
    return terms, words


def _sampled_term(owner: str, name: str, site: Any, tracked: bool) -> Term:
    log_prob = site["log_prob"]
    unsigned = log_prob if owner == "model" else site["score_parts"].entropy_term
    if not isinstance(unsigned, Tensor):
        unsigned = None
    if tracked:
        log_prob, unsigned = map(detach_provenance, (log_prob, unsigned))
    return Term(
        (owner, name),
        plates_of(site),
        log_prob.detach() if owner == "model" else -log_prob.detach(),
        1 if owner == "model" else -1,
        unsigned,
        influences(site) if tracked else None,
        frozenset({(owner, name)}),
    )


def _closed_form_term(
    name: str, model: Any, guide: Any, tensor: Tensor, with_prior: bool, tracked: bool
) -> Term:
    """Of the laws of a site alone: it does not depend on the site's own draw."""
    site, covers = guide.nodes[name], {("guide", name)}
    names = law_influences(site) if tracked else None
    if with_prior:
        covers.add(("model", name))
        names = names | law_influences(model.nodes[name]) if names is not None else None
    tensor = detach_provenance(tensor)
    return Term(
        ("guide", name),
        plates_of(site),
        tensor.detach(),
        1,
        tensor,
        names,
        frozenset(covers),
    )


def samples(trace: Any) -> Iterator[tuple[str, Any]]:
    """The sample sites of a trace."""
    for name, site in trace.nodes.items():
        if site["type"] == "sample":
            yield name, site
