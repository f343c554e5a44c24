# SPDX-License-Identifier: Apache-2.0
r"""Scores as control variates: sites whose entropy term is weighed against its score.

The score :math:`s = \nabla\log q(z)` at fixed :math:`z` has mean zero. An adaptive site
takes :math:`a\,s` off the gradient. It needs two gradients with respect to the
parameters of the site's distribution: :math:`s`, from a backward pass that ends there,
and that of the whole loss, :math:`g`, which a hook sees when it passes by.
"""

from dataclasses import dataclass
from typing import Any

import torch
from pyro import poutine
from pyro.distributions.util import scale_and_mask
from pyro.ops.provenance import detach_provenance
from pyro.poutine.messenger import Messenger
from torch import Tensor

from pyro_reparam_ext.distributions.held_tensors import split_tensors
from pyro_reparam_ext.gradients import Adaptive, StickingTheLanding
from pyro_reparam_ext.gradients.base import density_at
from pyro_reparam_ext.infer.replays import KeepSubsamples
from pyro_reparam_ext.infer.run import Run
from pyro_reparam_ext.infer.site import plain
from pyro_reparam_ext.infer.state import EstimatorState
from pyro_reparam_ext.infer.taps import Tap
from pyro_reparam_ext.infer.terms import samples


def control_surrogate(
    run: Run, state: EstimatorState, replay: bool
) -> tuple[Any, list["Learner"]]:
    """What the controlled sites take off the surrogate; adaptive ones begin to learn.

    Args:
        run: A run of the program.
        state: Where the coefficients are.
        replay: Whether a score counts only the explicit dependence on the parameters,
            and not that through other draws. It takes a replay of the guide.

    Returns:
        The surrogate, and the hooks to be told of the gradient of the loss.
    """
    names = run.sites_with(Adaptive | StickingTheLanding)
    total: Any = 0.0
    learners: list[Learner] = []
    replayed = _replay_detached(run) if replay else None
    for name in names:
        site, estimator = run.guide.nodes[name], run.estimators[name]
        fn = plain(site["fn"])
        if isinstance(estimator, StickingTheLanding) and replayed is None:
            continue  # it takes off the score at the site by itself
        score = _log_prob(fn, site)
        if isinstance(estimator, StickingTheLanding):
            assert replayed is not None
            explicit = replayed.trace.nodes[name]["log_prob_sum"]
            total = total + (explicit - score)
            continue
        assert isinstance(estimator, Adaptive)
        taps = [tap for tap in fn._taps if tap.view.requires_grad]
        views = [tap.view for tap in taps]
        if not taps:
            continue
        # what draw and density computed once, they share, and so its graph
        scores = torch.autograd.grad(score, views, retain_graph=True, allow_unused=True)
        if any(
            _only_on_path(tap, s, site) for tap, s in zip(taps, scores, strict=True)
        ):
            continue  # g is not to be seen at one place: stay with the pathwise one
        memory = state.of(name)
        for tap, s in zip(taps, scores, strict=True):
            if s is None:
                continue
            a = estimator.coefficient(tap.name, memory, s)
            held = tap.held if replayed is None else replayed.held[name][tap.position]
            total = total + (a * s * held).sum()
            if memory.training:
                learners.append(Learner(estimator, tap.name, memory, s, tap.view))
    return total, learners


@dataclass(frozen=True)
class Learner:
    """Waits for the gradient of the loss to pass a tap."""

    estimator: Adaptive
    parameter: str
    memory: Any
    score: Tensor
    view: Tensor

    def attach(self, upstream: list[Tensor]) -> None:
        """Learn when it does; ``upstream`` then has the derivative in the surrogate."""
        # The hook must not hold the view: no collector finds a cycle through autograd.
        learn, parameter = self.estimator.learn, self.parameter
        memory, score = self.memory, self.score

        def hook(gradient: Tensor) -> None:
            with torch.no_grad():
                learn(parameter, memory, gradient / upstream[-1], score)

        self.view.register_hook(hook)


def attach_learners(learners: list[Learner], surrogate: Tensor) -> None:
    """Let adaptive sites learn from the gradient of the surrogate, however scaled."""
    if surrogate.requires_grad:
        upstream: list[Tensor] = []
        surrogate.register_hook(upstream.append)
        for learner in learners:
            learner.attach(upstream)


def _only_on_path(tap: Tap, score: Tensor | None, site: Any) -> bool:
    """Whether the draw was made from a tensor that the density does without."""
    if score is not None:
        return False
    value = detach_provenance(site["value"])
    (path,) = torch.autograd.grad(
        value.sum(), tap.view, retain_graph=True, allow_unused=True
    )
    return path is not None


def _log_prob(fn: Any, site: Any) -> Tensor:
    """The log-density of the draw at fixed value, scaled and masked, summed."""
    value = detach_provenance(site["value"]).detach()
    args, kwargs = site["args"], site["kwargs"]
    log_prob = detach_provenance(density_at(fn, value, *args, **kwargs))
    return scale_and_mask(log_prob, site["scale"], site["mask"]).sum()


class _Held(Messenger):
    """Notes the tensors that distributions hold, as they are before the draw."""

    def __init__(self) -> None:
        super().__init__()
        self.held: dict[str, list[Tensor]] = {}
        self.trace: Any = None

    def _pyro_sample(self, msg: Any) -> None:
        if hasattr(msg["fn"], "log_prob"):
            self.held[msg["name"]] = split_tensors(msg["fn"])[1]


def _replay_detached(run: Run) -> _Held:
    """The guide again, at its draws without their paths."""
    draws = run.guide.copy()
    for name, site in samples(run.guide):
        value = detach_provenance(site["value"])
        draws.nodes[name] = {**site, "value": value.detach()}
    program = run.program
    tracer = poutine.trace(poutine.replay(program.guide, trace=draws))
    with _Held() as held, KeepSubsamples(run):
        held.trace = tracer.get_trace(*program.args, **program.kwargs)
    held.trace.compute_log_prob()
    return held
