# SPDX-License-Identifier: Apache-2.0
"""The ELBO with a switch: an estimator for each sample site."""

import math
from collections import defaultdict
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import torch
from pyro.infer import ELBO
from pyro.infer.elbo import ELBOModule
from pyro.infer.enum import get_importance_trace
from pyro.infer.util import is_validation_enabled
from pyro.ops.provenance import detach_provenance
from pyro.util import check_if_enumerated, warn_if_nan
from torch import Tensor

from pyro_reparam_ext.gradients import Baseline
from pyro_reparam_ext.infer.costs import Costs, plates_of, sum_to_plates
from pyro_reparam_ext.infer.handlers import LossMessenger
from pyro_reparam_ext.infer.policy import Choice, Policy, SiteChoices
from pyro_reparam_ext.infer.provenance import TrackScoreSites
from pyro_reparam_ext.infer.run import Run, baseline_of, samples
from pyro_reparam_ext.infer.state import EstimatorState

_DEPENDENCIES = ("provenance", "plate")


class TraceSwitch_ELBO(ELBO):
    r"""An ELBO-based loss for SVI in which every site has its own gradient estimator.

    .. math:: \mathcal L = \mathrm{E}_{q}\Big[\log p(x, z) - \log q(z)\Big], \qquad
        \nabla\mathcal L = \mathrm{E}\Big[\nabla\big(\log p - \log q\big) +
        \sum_{s \in \text{score sites}} \mathrm{stop}(f_s - b_s)\,
        \nabla\log q_s\Big]

    where the first term is differentiated along the sampling paths of the pathwise
    sites, :math:`f_s` is the part of the objective that site :math:`s` can influence
    and :math:`b_s` its baseline.

    With no estimator named, draws are those of :class:`~pyro.infer.Trace_ELBO` under
    the same seed; so are loss and gradients, up to rounding, for a guide whose sites
    are all reparameterized, and for any other with ``dependency="plate"``.

    The estimator of a site is, highest first, that of an ``estimators`` context,
    of ``sites``, of ``infer={"estimator": …}`` at the site, of ``estimator``, or what
    its distribution does by itself. Point masses (``Delta``) are left alone.

    Args:
        estimator: Estimator of all sites not named otherwise: a name
            (``"pathwise"``, ``"score"``, ``"ema"``, ``"rloo"``), a
            :class:`~pyro_reparam_ext.gradients.GradientEstimator`, or None.
        sites: From site names or globs to an estimator, its name, None, or a function
            of the site's message that returns one of these. ``AutoNormal`` sites go by
            the names of the model.
        dependency: What counts as influenced by a score site: ``"provenance"``, what
            was computed from its draw; or ``"plate"``, all that is in the same plates,
            which is usually noisier and traces nothing. A guide that drew no score
            site in the last run is not traced; if it then does, its plates decide.
            Use ``"plate"`` if a draw enters a ``torch.jit.script`` function, through
            which it cannot be traced.
        allow_biased: Whether ``estimator`` may be a biased one. In ``sites`` and in
            annotations it always may.
        num_particles: Number of draws averaged.
        vectorize_particles: Draw them in one run, in an outermost plate. Otherwise
            the program runs once a particle.
        max_plate_nesting: Greatest number of nested plates; by default found by
            running the program once.
        retain_graph: Whether ``loss_and_grads`` keeps the autograd graph.
        kwargs: Other options of :class:`pyro.infer.ELBO`.

    Raises:
        ValueError: at the first step, if an estimator does not go with its site, or
            ``sites`` names a site the guide does not have.

    Attributes:
        state: The :class:`~pyro_reparam_ext.infer.EstimatorState` of baselines. Save
            ``elbo.state.state_dict()``; a module made by ``elbo(model, guide)`` has it
            among its own.

    Source: Schulman et al. (2015), "Gradient estimation using stochastic computation
    graphs"; Mohamed et al. (2020), "Monte Carlo gradient estimation in machine
    learning".

    Example:
        >>> import pyro, torch
        >>> import pyro.distributions as dist
        >>> from pyro.infer import SVI
        >>> def model():
        ...     z = pyro.sample("z", dist.Normal(0.0, 1.0))
        ...     pyro.sample("x", dist.Normal(z, 1.0), obs=torch.tensor(2.0))
        >>> def guide():
        ...     loc = pyro.param("loc", torch.tensor(0.0))
        ...     pyro.sample("z", dist.Normal(loc, 0.7))
        >>> elbo = TraceSwitch_ELBO(sites={"z": "rloo"}, num_particles=4)
        >>> svi = SVI(model, guide, pyro.optim.Adam({"lr": 0.01}), loss=elbo)
        >>> loss = svi.step()
    """

    objective = "elbo"

    def __init__(
        self,
        estimator: Choice = None,
        sites: SiteChoices | None = None,
        *,
        dependency: str = "provenance",
        allow_biased: bool = False,
        num_particles: int = 1,
        vectorize_particles: bool = False,
        max_plate_nesting: float = math.inf,
        retain_graph: bool | None = None,
        **kwargs: Any,
    ) -> None:
        name = type(self).__name__
        if dependency not in _DEPENDENCIES:
            raise ValueError(
                f"{name}: dependency must be one of {_DEPENDENCIES}; "
                f"found {dependency!r}."
            )
        if not isinstance(num_particles, int) or num_particles < 1:
            raise ValueError(
                f"{name}: num_particles must be a positive integer; "
                f"found {num_particles!r}."
            )
        super().__init__(
            num_particles=num_particles,
            vectorize_particles=vectorize_particles,
            max_plate_nesting=max_plate_nesting,
            retain_graph=retain_graph,
            **kwargs,
        )
        self.dependency = dependency
        self.policy = Policy(estimator, sites, name, allow_biased)
        self.state = EstimatorState()
        self._tracks = dependency == "provenance"

    def __call__(self, model: Any, guide: Any) -> "SwitchELBOModule":
        """A module whose forward is the differentiable loss, for torch optimizers."""
        return SwitchELBOModule(model, guide, self)

    def loss(self, model: Any, guide: Any, *args: Any, **kwargs: Any) -> float:
        """The negative ELBO, estimated without gradients; baselines do not learn."""
        with torch.no_grad():
            traces = self._get_traces(model, guide, args, kwargs)
            value = sum(Run(m, g, tracked=False).negative_elbo() for m, g in traces)
            value = value / self.num_particles
        return _checked(float(value))

    def differentiable_loss(
        self, model: Any, guide: Any, *args: Any, **kwargs: Any
    ) -> Tensor:
        """The negative ELBO as a tensor whose gradient is the estimate."""
        value: Any = 0.0
        surrogate: Any = 0.0
        for runs in self._independent_runs(model, guide, args, kwargs):
            one_value, one_surrogate = self._value_and_surrogate(runs)
            value, surrogate = value + one_value, surrogate + one_surrogate
        return value + (surrogate - surrogate.detach())

    def loss_and_grads(
        self, model: Any, guide: Any, *args: Any, **kwargs: Any
    ) -> float:
        """The negative ELBO; its gradient estimate is added to the parameters."""
        value: Any = 0.0
        for runs in self._independent_runs(model, guide, args, kwargs):
            one_value, surrogate = self._value_and_surrogate(runs)
            if surrogate.requires_grad:  # now, so that one graph is held at a time
                surrogate.backward(retain_graph=self.retain_graph)
            value = value + one_value
        return _checked(value.item())

    def _independent_runs(
        self, model: Any, guide: Any, args: Any, kwargs: Any
    ) -> Iterator[list[Run]]:
        """The runs of a step, those together whose baselines are shared."""
        together: list[Run] = []
        for model_trace, guide_trace in self._get_traces(model, guide, args, kwargs):
            run = Run(model_trace, guide_trace, self._tracked)
            if any(baseline_of(site) is not None for _, site in samples(guide_trace)):
                together.append(run)
            else:
                yield [run]
        if together:
            yield together

    def _value_and_surrogate(self, runs: list[Run]) -> tuple[Tensor, Tensor]:
        surrogate = sum(run.pathwise_surrogate() for run in runs)
        score_sites: dict[str, list[tuple[Any, Tensor]]] = defaultdict(list)
        for run in runs:
            costs = None
            for name, site in samples(run.guide):
                if isinstance(site["score_parts"].score_function, Tensor):
                    costs = costs or Costs(run.model, run.guide, run.tracked)
                    score_sites[name].append((site, costs.of(site)))
        for name, draws in score_sites.items():
            surrogate = surrogate - self._score_surrogate(name, draws)
        value = sum(run.negative_elbo() for run in runs)
        particles = self.num_particles
        value, surrogate = torch.as_tensor(value), torch.as_tensor(surrogate)
        return value.detach() / particles, surrogate / particles

    def _score_surrogate(self, name: str, draws: list[tuple[Any, Tensor]]) -> Tensor:
        """The surrogate of one score site, over the runs that drew it."""
        sites, costs = zip(*draws, strict=True)
        baseline = baseline_of(sites[0])
        if baseline is not None:
            costs = self._subtract_baseline(name, baseline, costs)
        total: Any = 0.0
        for site, cost in zip(sites, costs, strict=True):
            score = detach_provenance(site["score_parts"].score_function)
            total = total + (cost * sum_to_plates(score, plates_of(site))).sum()
        return total

    def _subtract_baseline(
        self, name: str, baseline: Baseline, costs: tuple[Tensor, ...]
    ) -> tuple[Tensor, ...]:
        in_one_run = self.vectorize_particles and self.num_particles > 1
        if not in_one_run and len({cost.shape for cost in costs}) > 1:
            raise ValueError(
                f"Site {name!r}: a baseline needs the same plate sizes in every "
                f"particle; found {[tuple(cost.shape) for cost in costs]}. Use 'score' "
                "for this site."
            )
        # [particles, *plates]: the particle plate is the outermost of all
        cost = costs[0] if in_one_run else torch.stack(costs)
        state = self.state.of(name)
        advantage = cost - baseline.value(cost, state)
        if self.state.training:
            baseline.update(cost, state)
        return (advantage,) if in_one_run else advantage.unbind()

    def _get_trace(self, model: Any, guide: Any, args: Any, kwargs: Any) -> Any:
        """One run of the guide, and of the model against it."""
        # A guide that drew no score site in its last run is trusted not to do so: it
        # is not watched, which costs time. If it does, its plates decide for once.
        self._tracked = self._tracks
        with TrackScoreSites() if self._tracked else nullcontext():
            model_trace, guide_trace = get_importance_trace(
                "flat",
                self.max_plate_nesting,
                model,
                self._switched(guide),
                args,
                kwargs,
            )
        self._tracks = self.dependency == "provenance" and any(
            isinstance(site["score_parts"].score_function, Tensor)
            for _, site in samples(guide_trace)
        )
        if is_validation_enabled():
            check_if_enumerated(guide_trace)
        return model_trace, guide_trace

    def _guess_max_plate_nesting(
        self, model: Any, guide: Any, args: Any, kwargs: Any
    ) -> None:
        super()._guess_max_plate_nesting(model, self._switched(guide), args, kwargs)

    def _switched(self, guide: Any) -> Any:
        return LossMessenger(self.policy, self.num_particles, self.objective)(guide)


class SwitchELBOModule(ELBOModule):
    """What ``elbo(model, guide)`` returns: model, guide and estimator state.

    Its parameters are those of model and guide; its ``state_dict`` has the baselines
    too, and in evaluation mode they do not learn.
    """

    def __init__(self, model: Any, guide: Any, elbo: TraceSwitch_ELBO) -> None:
        super().__init__(model, guide, elbo)
        self.estimator_state = elbo.state


def _checked(loss: float) -> float:
    warn_if_nan(loss, "loss")
    return loss
