# SPDX-License-Identifier: Apache-2.0
"""The ELBO with a switch: an estimator for each sample site."""

import math
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import torch
from pyro.infer import ELBO
from pyro.infer.elbo import ELBOModule
from pyro.infer.enum import get_importance_trace
from pyro.infer.util import is_validation_enabled
from pyro.util import check_if_enumerated, warn_if_nan
from torch import Tensor

from pyro_reparam_ext.gradients import (
    Adaptive,
    Enumerate,
    ReplayEstimator,
    StickingTheLanding,
)
from pyro_reparam_ext.gradients.adaptive import coefficients
from pyro_reparam_ext.infer.controls import Learner, attach_learners, control_surrogate
from pyro_reparam_ext.infer.handlers import LossMessenger
from pyro_reparam_ext.infer.policy import Choice, Policy, SiteChoices
from pyro_reparam_ext.infer.provenance import TrackScoreSites
from pyro_reparam_ext.infer.replay_surrogates import (
    difference_surrogate,
    sum_surrogate,
)
from pyro_reparam_ext.infer.run import (
    Program,
    Run,
    Watched,
    asks_for_costs,
    has_baseline,
    total,
)
from pyro_reparam_ext.infer.score_surrogate import score_surrogate
from pyro_reparam_ext.infer.state import EstimatorState
from pyro_reparam_ext.infer.terms import samples

_DEPENDENCIES = ("provenance", "plate")
_SCORES = ("site", "replay")


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
            (``"pathwise"``, ``"adaptive"``, ``"rloo"``, …, see
            :doc:`/choosing_an_estimator`), a
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
        stl: Which score ``"stl"`` and ``"adaptive"`` take off: ``"site"``, that of the
            site's own distribution as it was drawn from; or ``"replay"``, only the
            explicit dependence on the parameters, by running the guide once more at
            its draws. The two agree unless guide sites depend on each other; then
            only the second has zero variance at the posterior.
        vectorize_replays: Whether the values that ``"disarm"``, ``"mvd"`` and
            ``"enum"`` try are replayed in one run, in an outermost plate. Otherwise,
            for programs that branch on a draw, in one run each.
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
        closed_forms: What each ``"analytic"`` site got in the last step: ``"kl"``,
            ``"entropy"`` or ``"sampled"``, with the reason why not more.

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
        stl: str = "site",
        vectorize_replays: bool = True,
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
        if stl not in _SCORES:
            raise ValueError(f"{name}: stl must be one of {_SCORES}; found {stl!r}.")
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
        self.stl = stl
        self.vectorize_replays = vectorize_replays
        self.state = EstimatorState()
        self.state.adopt(self.policy.sites)
        self.closed_forms: dict[str, str] = {}
        self._tracks = dependency == "provenance"
        self._last: Watched | None = None

    def __call__(self, model: Any, guide: Any) -> "SwitchELBOModule":
        """A module whose forward is the differentiable loss, for torch optimizers."""
        return SwitchELBOModule(model, guide, self)

    def loss(self, model: Any, guide: Any, *args: Any, **kwargs: Any) -> float:
        """The negative ELBO, estimated without gradients; baselines do not learn."""
        with torch.no_grad():
            traces = self._get_traces(model, guide, args, kwargs)
            value = total([self._run(m, g).negative_elbo for m, g in traces])
            value = value / self.num_particles
        return _checked(float(value))

    def differentiable_loss(
        self, model: Any, guide: Any, *args: Any, **kwargs: Any
    ) -> Tensor:
        """The negative ELBO as a tensor whose gradient is the estimate."""
        runs = self._independent_runs(model, guide, args, kwargs)
        values, surrogates = zip(*map(self._value_and_surrogate, runs), strict=True)
        surrogate = total(surrogates)
        return total(values) + (surrogate - surrogate.detach())

    def loss_and_grads(
        self, model: Any, guide: Any, *args: Any, **kwargs: Any
    ) -> float:
        """The negative ELBO; its gradient estimate is added to the parameters."""
        values = []
        for runs in self._independent_runs(model, guide, args, kwargs):
            value, surrogate = self._value_and_surrogate(runs)
            if surrogate.requires_grad:  # now, so that one graph is held at a time
                surrogate.backward(retain_graph=self.retain_graph)
            values.append(value)
        self.state.register_networks()  # SVI trains what it sees there
        return _checked(total(values).item())

    def coefficients(self) -> dict[str, dict[str, float]]:
        """The learned coefficients of adaptive sites, by site and parameter.

        0 is the pathwise estimate, 1 the one that sticks the landing.
        """
        found = {name: coefficients(state) for name, state in self.state.items()}
        return {name: values for name, values in found.items() if values}

    def _independent_runs(
        self, model: Any, guide: Any, args: Any, kwargs: Any
    ) -> Iterator[list[Run]]:
        """The runs of a step, those together whose baselines are shared.

        And those with replays, which then come after all draws and change none.
        """
        together: list[Run] = []
        for model_trace, guide_trace in self._get_traces(model, guide, args, kwargs):
            run = self._run(model_trace, guide_trace)
            if run.estimators and (
                run.sites_with(ReplayEstimator | Enumerate) or has_baseline(run)
            ):
                together.append(run)
            else:
                yield [run]
        if together:
            yield together

    def _run(self, model_trace: Any, guide_trace: Any) -> Run:
        """The run just made. The loss keeps no program, so that it can be copied."""
        watched, self._last = self._last, None
        assert watched is not None
        return Run(model_trace, guide_trace, *watched)

    def _value_and_surrogate(self, runs: list[Run]) -> tuple[Tensor, Tensor]:
        surrogate = total([run.pathwise_surrogate() for run in runs])
        learners: list[Learner] = []
        for run in (run for run in runs if run.estimators):
            self.closed_forms.update(run.closed_forms)
            if run.sites_with(Adaptive | StickingTheLanding):
                control, new = control_surrogate(run, self.state, self.stl == "replay")
                surrogate, learners = surrogate - control, learners + new
            if run.sites_with(ReplayEstimator | Enumerate):
                replays = run, self._switched, self.vectorize_replays
                surrogate = surrogate - difference_surrogate(*replays)
                surrogate = surrogate - sum_surrogate(*replays)
        in_one_run = self.vectorize_particles and self.num_particles > 1
        if any(run.score_sites for run in runs):
            surrogate = surrogate - score_surrogate(runs, self.state, in_one_run)
        value = total([run.negative_elbo for run in runs])
        surrogate = torch.as_tensor(surrogate)
        if learners:
            attach_learners(learners, surrogate)
        if self.num_particles == 1:
            return value, surrogate
        return value / self.num_particles, surrogate / self.num_particles

    def _get_trace(self, model: Any, guide: Any, args: Any, kwargs: Any) -> Any:
        """One run of the guide, and of the model against it."""
        # A guide that drew no score site in its last run is not watched, which costs
        # time. If it then does, its plates decide for once.
        tracked = self._tracks
        messenger = self._messenger()
        with TrackScoreSites() if tracked else nullcontext():
            model_trace, guide_trace = get_importance_trace(
                "flat",
                self.max_plate_nesting,
                messenger.of_model(model),
                messenger(guide),
                args,
                kwargs,
            )
        program = Program(model, guide, args, kwargs)
        self._last = Watched(tracked, program, messenger.minibatches)
        self._tracks = self.dependency == "provenance" and any(
            asks_for_costs(site) for _, site in samples(guide_trace)
        )
        if is_validation_enabled():
            check_if_enumerated(guide_trace)
        return model_trace, guide_trace

    def _guess_max_plate_nesting(
        self, model: Any, guide: Any, args: Any, kwargs: Any
    ) -> None:
        super()._guess_max_plate_nesting(model, self._switched(guide), args, kwargs)

    def _messenger(self) -> LossMessenger:
        return LossMessenger(
            self.policy, self.num_particles, self.objective, self.vectorize_particles
        )

    def _switched(self, guide: Any) -> Any:
        return self._messenger()(guide)


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
