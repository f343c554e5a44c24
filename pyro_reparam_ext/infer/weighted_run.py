# SPDX-License-Identifier: Apache-2.0
r"""One particle's weight: a run of guide and model, by cell."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from pyro import poutine
from pyro.infer.util import is_validation_enabled
from pyro.poutine.messenger import Messenger
from pyro.poutine.util import prune_subsample_sites
from pyro.util import check_model_guide_match, check_site_shape
from torch import Tensor

from pyro_reparam_ext.gradients.base import density_at
from pyro_reparam_ext.infer.auxiliary import Marginal, auxiliary_sites, fresh_draws
from pyro_reparam_ext.infer.cells import Cells, weighed_sites
from pyro_reparam_ext.infer.held_values import HoldValues
from pyro_reparam_ext.infer.run import Program
from pyro_reparam_ext.infer.scaled_paths import ScaledPath, scale_paths
from pyro_reparam_ext.infer.site import plain
from pyro_reparam_ext.infer.terms import samples

_NO_SCALING = (
    "dreg has no path to scale where auxiliary draws are marginalized: the draw is not "
    "scored by the law it was drawn from."
)


@dataclass
class WeightedRun:
    """The traces of one run (or of all particles in one), and what they weigh.

    Args:
        model: The model's trace.
        guide: The guide's, from which densities are taken.
        drawn: The guide's as it was drawn, from which scores are taken.
        paths: The draws whose path is to be scaled.
        scores: Traced sites and their log-density at held draws, to be taken off.
        marginal: How auxiliary draws are averaged out, if they are.
        program: What was run.
        minibatches: The indices that plates drew, by plate.
    """

    model: Any
    guide: Any
    drawn: Any
    paths: list[ScaledPath]
    scores: list[tuple[Any, Tensor]]
    marginal: Marginal | None
    program: Program
    minibatches: dict[str, Any]

    @property
    def traces(self) -> Iterator[Any]:
        """What the plates of the program are read from."""
        yield from (self.model, self.drawn)

    def log_weight(self, cells: Cells) -> Tensor:
        r""":math:`\log w`, with the derivative that the sites' estimators ask for."""
        total: Any = 0.0
        for site in weighed_sites(self.model):
            total = total + cells.log_prob(site)
        if self.marginal is None:
            for site in weighed_sites(self.guide):
                total = total - cells.log_prob(site)
        else:
            total = total - self.marginal.log_prob(cells)
        for site, score in self.scores:
            score = cells.log_prob(site | {"unscaled_log_prob": score})
            total = total + (score - score.detach())
        return torch.as_tensor(total)

    def score_sites(self) -> Iterator[tuple[str, Any]]:
        """Draws without a path, fresh auxiliary ones included."""
        traces = [self.drawn]
        if self.marginal is not None and self.marginal.fresh is not None:
            traces.append(self.marginal.fresh)
        for trace in traces:
            for name, site in samples(trace):
                parts = site.get("score_parts")
                if parts is not None and isinstance(parts.score_function, Tensor):
                    yield name, site


def weighted_run(
    program: Program,
    switched: Callable[[Any], Any],
    num_aux: int,
    max_plate_nesting: float,
    minibatches: dict[str, Any],
) -> WeightedRun:
    """Run the guide, and the model against it.

    Args:
        program: Model, guide and arguments.
        switched: Puts the loss's choice of estimators on a guide.
        num_aux: Auxiliary draws a particle.
        max_plate_nesting: For the check of shapes.
        minibatches: Where the indices that plates draw are noted.
    """
    model, drawn = _traces(program, switched(program.guide))
    auxiliary = auxiliary_sites(drawn, num_aux)
    scaled = scale_paths(drawn, _NO_SCALING if auxiliary else None)
    guide = drawn
    scores = [(drawn.nodes[name], score) for name, score in scaled.scores.items()]
    if scaled.run_again or (scaled.paths and model is not None):
        model, guide = _traces(program, HoldValues(scaled.values)(program.guide))
        guide.compute_log_prob()
        _, held = _traces(program, HoldValues(scaled.held)(program.guide))
        scores = [
            (held.nodes[name], density_at(plain(held.nodes[name]["fn"]), value))
            for name, value in scaled.held.items()
            if name in scaled.paths
        ]
    if model is None:
        replayed = poutine.replay(program.model, trace=guide)
        model = poutine.trace(replayed).get_trace(*program.args, **program.kwargs)
        model = prune_subsample_sites(model)
    if is_validation_enabled():
        check_model_guide_match(model, drawn, max_plate_nesting)
    model.compute_log_prob()
    if is_validation_enabled():
        for trace in (model, drawn):
            for _, site in samples(trace):
                check_site_shape(site, max_plate_nesting)
    marginal = None
    if auxiliary:
        for name in sorted(auxiliary & set(model.nodes)):
            raise ValueError(
                f"Site {name!r}: expected an auxiliary site to be in the guide alone; "
                "found it in the model too. Leave out is_auxiliary."
            )
        fresh = None
        if num_aux > 1:
            fresh = fresh_draws(program, drawn, auxiliary, num_aux - 1, switched)
        marginal = Marginal(auxiliary, drawn, fresh)
    paths = list(scaled.paths.values())
    return WeightedRun(
        model, guide, drawn, paths, scores, marginal, program, minibatches
    )


def _traces(program: Program, guide: Any) -> tuple[Any, Any]:
    """Of the model, if the guide is one that runs it; and of the guide."""
    handler = poutine.unwrap(guide)
    if isinstance(handler, Messenger):
        guide(*program.args, **program.kwargs)
        model_trace, guide_trace = handler.get_traces()
        return model_trace, guide_trace
    trace = poutine.trace(guide).get_trace(*program.args, **program.kwargs)
    return None, prune_subsample_sites(trace)
