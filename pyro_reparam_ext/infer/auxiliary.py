# SPDX-License-Identifier: Apache-2.0
"""Auxiliary draws of a guide, averaged out of its density."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pyro
import torch
from pyro import poutine
from pyro.distributions import Delta
from torch import Tensor

from pyro_reparam_ext.gradients.base import innermost
from pyro_reparam_ext.infer.cells import Cells, weighed_sites
from pyro_reparam_ext.infer.held_values import HoldValues
from pyro_reparam_ext.infer.run import Program
from pyro_reparam_ext.infer.terms import samples

_PLATE = "_auxiliary_draws"


def auxiliary_sites(guide: Any, num_aux: int) -> frozenset[str]:
    """The guide's auxiliary draws, if they are to be averaged out.

    They are not in a guide that computes the model's sites from them, whose density at
    the model's sites is theirs: autoguides do.

    Raises:
        ValueError: several draws are asked for, but none can be averaged out.
    """
    latent = [(name, site) for name, site in samples(guide) if not site["is_observed"]]
    points = [n for n, s in latent if isinstance(innermost(s["fn"]), Delta)]
    found = frozenset(
        name
        for name, site in latent
        if site["infer"].get("is_auxiliary") and name not in points
    )
    if num_aux > 1 and (points or not found):
        problem = (
            f"{points[0]!r} is a Delta there, computed from other draws"
            if points
            else "it has none (infer={'is_auxiliary': True})"
        )
        raise ValueError(
            f"TraceIW_ELBO: num_aux={num_aux} averages over auxiliary draws of the "
            f"guide, but {problem}. Leave num_aux at 1."
        )
    return frozenset() if points else found


@dataclass(frozen=True)
class Marginal:
    r"""The guide's density with its auxiliary draws averaged out.

    .. math:: \log \hat q(z) = \log \frac{1}{M} \sum_{m=1}^M \prod_s q_s(z_s \mid u_m)

    with :math:`u_1` that from which z was drawn and the others fresh: the mean of
    :math:`\log\hat q(z)` is no less than :math:`\log q(z)`, so bounds stay bounds.

    Args:
        auxiliary: Names of the sites averaged out.
        drawn: The guide's trace.
        fresh: Its trace at the same z with further auxiliary draws, along an outermost
            plate; None for M = 1.
    """

    auxiliary: frozenset[str]
    drawn: Any
    fresh: Any | None

    def log_prob(self, cells: Cells) -> Tensor:
        r""":math:`\log\hat q(z)` by cell."""
        own = self._given(self.drawn, cells.log_prob)
        if self.fresh is None:
            return own
        frame = next(
            f
            for _, site in samples(self.fresh)
            for f in site["cond_indep_stack"]
            if f.name == _PLATE
        )
        others = self._given(self.fresh, cells.including(frame).log_prob)
        depth = -frame.dim
        own, others = (
            t.reshape((1,) * (depth - t.dim()) + t.shape) for t in (own, others)
        )
        own = own.expand(1, *others.shape[1:])
        count = math.log(1 + frame.size)
        return torch.cat([own, others]).logsumexp(0) - count

    def _given(self, trace: Any, log_prob: Callable[[Any], Tensor]) -> Any:
        total: Any = 0.0
        for site in weighed_sites(trace):
            if site["name"] not in self.auxiliary:
                total = total + log_prob(site)
        return total


def fresh_draws(
    program: Program,
    guide: Any,
    auxiliary: frozenset[str],
    number: int,
    switched: Callable[[Any], Any],
) -> Any:
    """The guide's trace at its draws, with ``number`` fresh auxiliary draws at once."""
    held = {
        name: site["value"]
        for name, site in samples(guide)
        if name not in auxiliary and not site["is_observed"]
    }
    dims = [0]
    for _, site in samples(guide):
        dims.append(len(site["fn"].batch_shape))
        dims += [-f.dim for f in site["cond_indep_stack"] if f.vectorized]
    plate = pyro.plate(_PLATE, number, dim=-max(dims) - 1)
    again = switched(HoldValues(held)(plate(program.guide)))
    try:
        trace = poutine.trace(again).get_trace(*program.args, **program.kwargs)
        trace.compute_score_parts()
    except (RuntimeError, ValueError, IndexError) as error:
        raise ValueError(
            "TraceIW_ELBO: the guide could not be run with several auxiliary draws at "
            "once: it must broadcast over one more dimension on the left. Use "
            f"num_aux=1. ({error})"
        ) from error
    return trace
