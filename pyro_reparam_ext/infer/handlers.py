# SPDX-License-Identifier: Apache-2.0
"""Effect handlers that switch estimators: in a loss, around one, or in a guide."""

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, Self

from pyro.poutine.messenger import Messenger
from pyro.poutine.replay_messenger import ReplayMessenger
from pyro.poutine.runtime import _PYRO_STACK
from torch import nn

from pyro_reparam_ext.gradients import (
    Adaptive,
    Enumerate,
    GradientEstimator,
    RelaxedEstimator,
    ReplayEstimator,
    name_of,
    resolve,
)
from pyro_reparam_ext.gradients.path import CoupledPathEstimator
from pyro_reparam_ext.infer.followed_draws import FollowDraws
from pyro_reparam_ext.infer.handled_module import HandledModule
from pyro_reparam_ext.infer.held_values import NoteSubsamples
from pyro_reparam_ext.infer.particles import with_particles
from pyro_reparam_ext.infer.policy import Choice, Policy, SiteChoices
from pyro_reparam_ext.infer.site import estimator_of, is_latent, plain, switch_plain
from pyro_reparam_ext.infer.taps import tapped


class PolicyMessenger(Messenger):
    """Runs a program under a policy (abstract): every key must match some site."""

    def __init__(self, policy: Policy) -> None:
        super().__init__()
        self.policy = policy

    def __call__(self, fn: Any) -> Any:
        """The program under the policy; a module stays a module."""
        if isinstance(fn, nn.Module) and not isinstance(fn, Messenger):
            return HandledModule(fn, super().__call__(fn))
        return super().__call__(fn)

    def __enter__(self) -> Self:
        self.policy.start()
        return super().__enter__()

    def __exit__(self, exc_type: Any, exc_value: Any, traceback: Any) -> None:
        super().__exit__(exc_type, exc_value, traceback)
        if exc_type is None and self.policy.has_seen_sites:
            self.policy.check_all_matched()

    def choose(self, msg: Any) -> tuple[bool, GradientEstimator | None]:
        """Whether the policy decides about a site, and its estimator."""
        named, estimator = self.policy.by_name(msg)
        if not named:
            estimator = self.policy.by_default(msg)
        return named or estimator is not None, estimator


class LossMessenger(PolicyMessenger):
    """Switches the sites of a guide for a loss that supports every estimator.

    Args:
        policy: The loss's ``sites`` and ``estimator``.
        num_particles: How many particles the loss draws.
        objective: What the loss estimates: ``"elbo"`` or ``"iw"``.
        in_one_run: Whether it draws them in one run, in an outermost plate.
    """

    def __init__(
        self,
        policy: Policy,
        num_particles: int,
        objective: str = "elbo",
        in_one_run: bool = False,
    ) -> None:
        super().__init__(policy)
        self.num_particles = num_particles
        self.objective = objective
        self.in_one_run = in_one_run
        self.minibatches: dict[str, Any] = {}
        self._replays = False
        self._relaxed: dict[str, RelaxedEstimator] = {}

    def __call__(self, fn: Any) -> Any:
        """The program under the policy; the loss only runs it, module or not."""
        return Messenger.__call__(self, fn)

    def of_model(self, model: Any) -> Callable[..., Any]:
        """The model, with the handlers that the estimators of the guide ask for."""

        def handled(*args: Any, **kwargs: Any) -> Any:
            if not (self._replays or self._relaxed):  # the guide has run
                return model(*args, **kwargs)
            with ExitStack() as handlers:
                if self._replays:
                    handlers.enter_context(NoteSubsamples(self.minibatches))
                if self._relaxed:
                    handlers.enter_context(FollowDraws(self._relaxed))
                return model(*args, **kwargs)

        return handled

    def _pyro_post_sample(self, msg: Any) -> None:
        if type(msg["fn"]).__name__ == "_Subsample":
            self.minibatches[msg["name"]] = msg["value"]

    def _pyro_sample(self, msg: Any) -> None:
        if not is_latent(msg):
            return
        named, estimator = self.policy.by_name(msg)
        for context in reversed(_PYRO_STACK):  # around the loss; its turn is after this
            if isinstance(context, ContextMessenger):
                context.decide(msg)
        if "_estimator" in msg["infer"]:
            estimator = msg["infer"]["_estimator"]
        elif not named:
            estimator = annotation(msg)
            if estimator is None and "estimator" not in msg["infer"]:
                estimator = self.default(msg)
        pair(msg, estimator, self)
        if estimator is None:
            return
        if isinstance(estimator, ReplayEstimator | Enumerate):
            self._replays = True
        elif isinstance(estimator, RelaxedEstimator):
            self._relaxed[msg["name"]] = estimator

    def default(self, msg: Any) -> GradientEstimator | None:
        """The estimator of a site that nobody names."""
        return self.policy.by_default(msg)

    def __exit__(self, exc_type: Any, exc_value: Any, traceback: Any) -> None:
        super().__exit__(exc_type, exc_value, traceback)
        if exc_type is None:  # here the program has run, whatever it drew
            self.policy.check_all_matched()


class ContextMessenger(PolicyMessenger):
    """Switches sites for whatever loss runs inside."""

    def decide(self, msg: Any) -> bool:
        """Decide about a site unless a context farther in has; whether this one did."""
        decided, estimator = self.choose(msg)
        if not decided or "_estimator" in msg["infer"]:
            return False
        msg["infer"]["_estimator"] = estimator
        return True

    def _pyro_sample(self, msg: Any) -> None:
        # What only the model draws has no score term anywhere: it stays as it is.
        in_model = any(isinstance(m, ReplayMessenger) for m in _PYRO_STACK)
        if is_latent(msg) and not in_model and self.decide(msg):
            pair(msg, msg["infer"]["_estimator"])


class AnnotationMessenger(PolicyMessenger):
    """Writes ``infer={"estimator": …}`` at the sites of a guide that lack it."""

    def _pyro_sample(self, msg: Any) -> None:
        if not is_latent(msg):
            return
        _, estimator = self.choose(msg)
        if estimator is not None:
            msg["infer"].setdefault("estimator", estimator)


def annotation(msg: Any) -> GradientEstimator | None:
    """The estimator that ``infer={"estimator": …}`` gives a site, or None."""
    given = msg["infer"].get("estimator")
    return None if given is None else resolve(given, f"Site {msg['name']!r}")


def pair(
    msg: Any,
    estimator: GradientEstimator | None,
    loss: LossMessenger | None = None,
) -> None:
    """Switch the site of ``msg`` to ``estimator`` if the two go together."""
    if estimator is None:
        if estimator_of(msg["fn"]) is not None:
            msg["fn"] = plain(msg["fn"])
        return
    if loss is None:
        losses = (m for m in reversed(_PYRO_STACK) if isinstance(m, LossMessenger))
        loss = next(losses, None)
    original = plain(msg["fn"])
    reason = estimator.supports(original) or _why_not(estimator, loss)
    if reason is not None:
        raise ValueError(f"Site {msg['name']!r}: {name_of(estimator)} {reason}")
    if loss is not None and isinstance(estimator, CoupledPathEstimator):
        estimator = with_particles(estimator, msg, loss.num_particles, loss.in_one_run)
    if isinstance(estimator, Adaptive):
        original = tapped(original)
    msg["fn"] = switch_plain(original, estimator)


def _why_not(estimator: GradientEstimator, loss: LossMessenger | None) -> str | None:
    """Why an estimator does not go with the loss that runs, if it does not."""
    if loss is None:
        if estimator.self_contained:
            return None
        return (
            "needs a loss that works with it, but a stock one does not. "
            "Use TraceSwitch_ELBO, or 'pathwise' or 'score' for this site."
        )
    if loss.objective not in estimator.objectives:
        return (
            f"does not go with {loss.policy.owner}: its gradient would be wrong. "
            f"Use {estimator.instead} for this site."
        )
    if loss.num_particles < estimator.min_particles:
        follows_path = isinstance(estimator, CoupledPathEstimator)
        instead = "noise='iid'" if follows_path else "'ema'"
        return (
            f"needs num_particles >= {estimator.min_particles}; found "
            f"{loss.num_particles}. Raise num_particles, or use {instead} for this "
            "site."
        )
    return None


def estimators(fn: Any = None, config: Choice | SiteChoices = None) -> Any:
    """Switch the estimators of everything that runs inside, whatever the loss.

    Has the highest precedence: over ``sites=`` and ``estimator=`` of the loss and over
    annotations in the guide. Of nested contexts the innermost decides.

    A stock loss must have a score term for ``"score"`` to make sense: ``Trace_ELBO``
    (guides without auxiliary score sites), ``TraceGraph_ELBO`` and ``TraceEnum_ELBO``
    do; ``TraceMeanField_ELBO`` and ``RenyiELBO`` do not. Estimators with a baseline
    need :class:`~pyro_reparam_ext.TraceSwitch_ELBO`.

    Args:
        fn: A guide to decorate; without it, the result is a context manager and a
            decorator.
        config: An estimator or its name, for all sites; or a mapping from site names
            or globs to these.

    Raises:
        ValueError: on leaving, if a key of ``config`` matched no site.

    Example:
        >>> import pyro, torch
        >>> import pyro.distributions as dist
        >>> def model():
        ...     z = pyro.sample("z", dist.Normal(0.0, 1.0))
        ...     pyro.sample("x", dist.Normal(z, 1.0), obs=torch.tensor(1.0))
        >>> def guide():
        ...     loc = pyro.param("loc", torch.tensor(0.0))
        ...     pyro.sample("z", dist.Normal(loc, 1.0))
        >>> with estimators({"z": "score"}):
        ...     loss = pyro.infer.Trace_ELBO().loss_and_grads(model, guide)
    """
    if config is None:
        fn, config = None, fn
    if config is None:
        raise TypeError(
            "estimators: expected an estimator, its name, or a mapping from sites to "
            "estimators; found nothing. For example estimators({'z': 'score'})."
        )
    messenger = ContextMessenger(_policy(config, "estimators"))
    return messenger if fn is None else messenger(fn)


def config_estimators(
    guide: Callable[..., Any] | None = None,
    default: Choice = None,
    sites: SiteChoices | None = None,
) -> Any:
    """Annotate the sites of a guide with estimators, as ``config_enumerate`` does.

    Annotations that sites already have are kept. They are read by
    :class:`~pyro_reparam_ext.TraceSwitch_ELBO`.

    Args:
        guide: The guide; without it, the result is a decorator.
        default: Estimator of sites that no key names.
        sites: From site names or globs to estimators.

    Raises:
        ValueError: at the first run of the guide, if a key of ``sites`` matched no
            site.

    Example:
        >>> import pyro, torch
        >>> import pyro.distributions as dist
        >>> @config_estimators(default="pathwise", sites={"c": "rloo"})
        ... def guide():
        ...     c = pyro.sample("c", dist.Bernoulli(0.5))
        ...     pyro.sample("z", dist.Normal(c, 1.0))
    """
    if default is None and sites is None:
        raise TypeError(
            "config_estimators: expected default= or sites=; found neither. "
            "For example config_estimators(guide, default='pathwise')."
        )
    messenger = AnnotationMessenger(Policy(default, sites, "config_estimators"))
    return messenger if guide is None else messenger(guide)


def _policy(config: Choice | SiteChoices, owner: str) -> Policy:
    if config is None or isinstance(config, str | GradientEstimator):
        return Policy(config, None, owner)
    return Policy(None, config, owner)
