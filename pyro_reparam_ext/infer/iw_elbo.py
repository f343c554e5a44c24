# SPDX-License-Identifier: Apache-2.0
"""Importance-weighted bounds with an estimator for each sample site."""

import math
from collections.abc import Iterator
from typing import Any

import torch
from pyro.distributions import Delta
from pyro.infer.util import is_validation_enabled
from pyro.util import check_if_enumerated, warn_if_nan
from torch import Tensor

from pyro_reparam_ext.gradients import (
    DoublyReparameterized,
    GradientEstimator,
    Pathwise,
    ScoreFunction,
    Vimco,
)
from pyro_reparam_ext.gradients.base import innermost
from pyro_reparam_ext.infer.cells import Cells
from pyro_reparam_ext.infer.elbo import TraceSwitch_ELBO
from pyro_reparam_ext.infer.handlers import LossMessenger
from pyro_reparam_ext.infer.held_values import ShareSubsamples
from pyro_reparam_ext.infer.policy import Choice, SiteChoices
from pyro_reparam_ext.infer.power_mean import PowerMean
from pyro_reparam_ext.infer.run import Program
from pyro_reparam_ext.infer.weighted_replays import weighted_replay_surrogate
from pyro_reparam_ext.infer.weighted_run import WeightedRun, weighted_run
from pyro_reparam_ext.infer.weighted_scores import weighted_score_surrogate


class TraceIW_ELBO(TraceSwitch_ELBO):
    r"""An importance-weighted loss for SVI, in which every site has its own estimator.

    For a bound on the evidence that is tighter than the ELBO:

    .. math:: \mathcal L = \sum_c s_c\,\mathrm{E}\Big[\frac{1}{1 - \alpha}
        \log\frac{1}{K}\sum_{k=1}^K w_{k,c}^{1 - \alpha}\Big], \qquad
        w_{k,c} = \frac{p(x_c, z_{k,c})}{q(z_{k,c})},

    over the cells :math:`c` of the plates that enclose *every* site of model and guide:
    data points, if all latents are local. The scale :math:`s_c` of a cell (from
    subsampling, or ``poutine.scale``) is outside of the logarithm, so that a minibatch
    estimates the bound of all data; particles share their minibatch.

    With no estimator named, sites with ``rsample`` get ``"dreg"``, or ``"pathwise"``
    where other estimators' draws depend on theirs, in learned flows, and where
    auxiliary draws are averaged out; sites without it get ``"vimco"``, or ``"score"``
    for one particle. Sites are switched as in :class:`TraceSwitch_ELBO`.

    Auxiliary guide sites (``infer={"is_auxiliary": True}``) are averaged out of the
    guide's density, :math:`q(z) \approx \frac1M\sum_m q(z \mid u_m)`, with one
    :math:`u_m` that which z was drawn from: for M = 1 hierarchical variational
    inference, for more IWHVI and DIWHVI. In guides that compute the sites of the model
    from auxiliary ones, as autoguides do, these count as latents instead.

    Args:
        estimator: Estimator of all sites not named otherwise: ``"dreg"``,
            ``"pathwise"``, ``"vimco"``, ``"score"``, ``"ema"``, ``"mvd"``,
            ``"disarm"``, an instance, or None for the choice above.
        sites: From site names or globs to an estimator, as in
            :class:`TraceSwitch_ELBO`.
        alpha: :math:`\alpha`, the order of the Rényi divergence, any real number but 1:
            0 is the importance-weighted ELBO. Below 0, with many particles, the loss
            estimates an upper bound: to look at, not to maximize.
        num_particles: Number of particles K.
        num_aux: Number M of auxiliary draws a particle; the fresh ones are drawn in one
            run of the guide, in an outermost plate.
        vectorize_replays: As in :class:`TraceSwitch_ELBO`.
        allow_biased: Whether ``estimator`` may be a biased one.
        vectorize_particles: Draw particles in one run, in an outermost plate.
        max_plate_nesting: Greatest number of nested plates; by default found by
            running the program once.
        retain_graph: Whether ``loss_and_grads`` keeps the autograd graph.
        kwargs: Other options of :class:`pyro.infer.ELBO`.

    Raises:
        ValueError: at the first step, if an estimator does not go with its site, if a
            minibatch leaves out sites, or if sites of one cell have different scales.

    Source: Burda, Grosse and Salakhutdinov (2016); Li and Turner (2016), "Rényi
    divergence variational inference"; Sobolev and Vetrov (2019), "Importance weighted
    hierarchical variational inference".

    Example:
        >>> import pyro, torch
        >>> import pyro.distributions as dist
        >>> from pyro.infer import SVI
        >>> def model(x):
        ...     with pyro.plate("data", len(x)):
        ...         c = pyro.sample("c", dist.Bernoulli(0.3))
        ...         z = pyro.sample("z", dist.Normal(c, 1.0))
        ...         pyro.sample("x", dist.Normal(z, 0.5), obs=x)
        >>> def guide(x):
        ...     logits = pyro.param("logits", torch.zeros(len(x)))
        ...     loc = pyro.param("loc", torch.zeros(len(x)))
        ...     with pyro.plate("data", len(x)):
        ...         pyro.sample("c", dist.Bernoulli(logits=logits))
        ...         pyro.sample("z", dist.Normal(loc, 0.5))
        >>> elbo = TraceIW_ELBO(num_particles=8)  # c by "vimco", z by "dreg"
        >>> svi = SVI(model, guide, pyro.optim.Adam({"lr": 0.01}), loss=elbo)
        >>> loss = svi.step(torch.tensor([-0.5, 2.5]))
    """

    objective = "iw"

    def __init__(
        self,
        estimator: Choice = None,
        sites: SiteChoices | None = None,
        *,
        alpha: float = 0.0,
        num_particles: int = 8,
        num_aux: int = 1,
        vectorize_replays: bool = True,
        allow_biased: bool = False,
        vectorize_particles: bool = False,
        max_plate_nesting: float = math.inf,
        retain_graph: bool | None = None,
        **kwargs: Any,
    ) -> None:
        name = type(self).__name__
        if not isinstance(alpha, int | float) or not math.isfinite(alpha) or alpha == 1:
            hint = " Use TraceSwitch_ELBO for the limit 1." if alpha == 1 else ""
            raise ValueError(
                f"{name}: alpha must be a real number other than 1; found {alpha!r}."
                f"{hint}"
            )
        if not isinstance(num_aux, int) or num_aux < 1:
            raise ValueError(
                f"{name}: num_aux must be a positive integer; found {num_aux!r}."
            )
        super().__init__(
            estimator,
            sites,
            dependency="plate",  # every cost is the whole bound of a cell
            vectorize_replays=vectorize_replays,
            allow_biased=allow_biased,
            num_particles=num_particles,
            vectorize_particles=vectorize_particles,
            max_plate_nesting=max_plate_nesting,
            retain_graph=retain_graph,
            **kwargs,
        )
        self.alpha = float(alpha)
        self.num_aux = num_aux
        self.bound = PowerMean(self.alpha)

    def loss(self, model: Any, guide: Any, *args: Any, **kwargs: Any) -> float:
        """The negative bound, estimated without gradients; baselines do not learn."""
        with torch.no_grad(), self._sharing_subsamples():
            runs = list(self._get_traces(model, guide, args, kwargs))
            cells, log_weight = self._weigh(runs)
            value = -(cells.scale * self.bound(log_weight)).sum().item()
        warn_if_nan(value, "loss")
        return float(value)

    def _independent_runs(
        self, model: Any, guide: Any, args: Any, kwargs: Any
    ) -> Iterator[list[WeightedRun]]:
        """All runs of a step at once: their weights are compared."""
        with self._sharing_subsamples():
            runs = list(self._get_traces(model, guide, args, kwargs))
        yield runs

    def _value_and_surrogate(self, runs: list[WeightedRun]) -> tuple[Tensor, Tensor]:
        cells, log_weight = self._weigh(runs)
        fixed = log_weight.detach()
        if any(run.paths for run in runs):
            factor = DoublyReparameterized.on_path(self.bound.shares(fixed), self.alpha)
            for number, run in enumerate(runs):
                for path in run.paths:
                    path.factor = factor if self._in_one_run else factor[number]
        bound = (cells.scale * self.bound(log_weight)).sum()
        scores = weighted_score_surrogate(
            runs, cells, self.bound, fixed, self.state, self._in_one_run
        )
        replays = weighted_replay_surrogate(
            runs,
            cells,
            self.bound,
            fixed,
            self._switched,
            self.vectorize_replays,
            self._in_one_run,
        )
        return -bound.detach(), -(bound + scores + replays)

    def _weigh(self, runs: list[WeightedRun]) -> tuple[Cells, Tensor]:
        """The cells of the runs, and the log-weights, ``[particles, *cells]``."""
        cells = Cells((t for run in runs for t in run.traces), type(self).__name__)
        log_weights = [run.log_weight(cells) for run in runs]
        if self._in_one_run:
            return cells, log_weights[0]
        return cells, torch.stack(log_weights)

    @property
    def _in_one_run(self) -> bool:
        return self.vectorize_particles and self.num_particles > 1

    def _get_trace(self, model: Any, guide: Any, args: Any, kwargs: Any) -> Any:
        """One run of the guide, and of the model against it."""
        program = Program(model, guide, args, kwargs)
        nesting = self.max_plate_nesting
        run = weighted_run(
            program, self._switched, self.num_aux, nesting, self._subsamples.drawn
        )
        if is_validation_enabled():
            check_if_enumerated(run.drawn)
        return run

    def _sharing_subsamples(self) -> ShareSubsamples:
        self._subsamples = ShareSubsamples()
        return self._subsamples

    def _switched(self, guide: Any) -> Any:
        return WeightedMessenger(self.policy, self.num_particles, self.objective)(guide)


class WeightedMessenger(LossMessenger):
    """Switches the sites of a guide for an importance-weighted loss."""

    def default(self, msg: Any) -> GradientEstimator | None:
        """The loss's default, or what suits the distribution."""
        chosen = super().default(msg)
        if chosen is not None or isinstance(innermost(msg["fn"]), Delta):
            return chosen
        if not msg["fn"].has_rsample:
            return Vimco() if self.num_particles > 1 else ScoreFunction()
        dreg = DoublyReparameterized()
        if dreg.supports(msg["fn"]) is not None or _is_learned_flow(msg["fn"]):
            return Pathwise()
        msg["infer"]["_by_default"] = True
        return dreg


def _is_learned_flow(fn: Any) -> bool:
    """Whether an inverse may be missing or slow."""
    transforms = getattr(innermost(fn), "transforms", ())
    return any(isinstance(transform, torch.nn.Module) for transform in transforms)
