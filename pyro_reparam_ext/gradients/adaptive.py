# SPDX-License-Identifier: Apache-2.0
"""The learned mixture of the pathwise and the path-derivative estimator."""

from dataclasses import dataclass
from typing import Any, ClassVar, final

import torch
from pyro.distributions.score_parts import ScoreParts
from torch import Tensor
from torch.distributions import Distribution

from pyro_reparam_ext.gradients.baselines import SiteState
from pyro_reparam_ext.gradients.path import CoupledPathEstimator
from pyro_reparam_ext.gradients.score_function import ScoreFunction

_FIRST_HORIZON, _GROWTH = 2.0, 0.1  # short while a fit moves fast, then longer


@final
@dataclass(frozen=True)
class Adaptive(CoupledPathEstimator):
    r"""Follow the path, with as much of the score as lowers the variance.

    *Estimates* by :math:`g - a\,s`, where :math:`g` is the pathwise gradient of the
    loss and :math:`s = \nabla\log q_\theta(z)` at fixed :math:`z`, whose mean is zero:
    :math:`a = 0` is ``Pathwise``, :math:`a = 1` is ``StickingTheLanding``. Least
    variance is at

    .. math:: a^* = \mathrm{E}\langle g, s\rangle / \mathrm{E}\langle s, s\rangle,

    learned from earlier steps by moving averages, one coefficient for each parameter
    of the site's distribution (``loc``, ``scale``), kept in [0, 1]. The gradients are
    those with respect to these parameters, so that a shared network changes nothing.
    Unbiased, because :math:`a` is made of earlier draws only.

    *Requires* what ``StickingTheLanding`` requires. A distribution that draws from
    other tensors than its density holds (``Gumbel``, ``StudentT`` with learned ``df``)
    stays with the pathwise gradient, since :math:`g` cannot be seen at one place there;
    one that holds tensors computed from its parameters has one coefficient, ``all``.

    *Cost* one evaluation of the model, and two of the guide's density with a backward
    pass that ends at its parameters.

    *Variance* that of the better of the two, and less on the way from the one's ground
    to the other's, up to what it takes to learn :math:`a`.

    *Source* the coefficient is the least-squares one of control variates (Glasserman,
    2004, §4.1), for the score term of Roeder, Wu and Duvenaud (2017).

    Args:
        horizon: Over how many steps, at most, the averages reach back. They begin with
            the last two, and reach back one more every ten steps.
        noise: As in ``Pathwise``.

    Example:
        >>> from pyro_reparam_ext import TraceSwitch_ELBO
        >>> elbo = TraceSwitch_ELBO("adaptive")
        >>> elbo.coefficients()  # by site and parameter, once steps were taken
        {}
    """

    horizon: float = 100.0

    instead: ClassVar[str] = "'dreg'"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.horizon >= _FIRST_HORIZON:
            raise ValueError(
                f"Adaptive: horizon must be at least {_FIRST_HORIZON:g} steps; "
                f"found {self.horizon}."
            )

    @property
    def self_contained(self) -> bool:
        """Not: the coefficient is learned from the gradient of the whole loss."""
        return False

    def supports(self, fn: Distribution) -> str | None:
        """What has a path, and a score of mean zero."""
        return super().supports(fn) or ScoreFunction().supports(fn)

    def score_parts(
        self, fn: Any, value: Tensor, *args: Any, **kwargs: Any
    ) -> ScoreParts:
        """As ``Pathwise``; the loss takes the score off."""
        return fn.score_parts(value, *args, **kwargs)

    def coefficient(self, parameter: str, state: SiteState, like: Tensor) -> Tensor:
        """The coefficient of a parameter, as learned so far; at first 0."""
        gs, ss = _averages(parameter, state, like)
        tiny = torch.finfo(ss.dtype).tiny
        return (gs / ss.clamp(min=tiny)).clamp(0, 1)

    def learn(self, parameter: str, state: SiteState, g: Tensor, s: Tensor) -> None:
        """Take the gradient and the score of a step into account."""
        gs, ss = _averages(parameter, state, s)
        steps = state.scalar(f"{parameter}_steps", s)
        new_gs, new_ss = (g * s).sum(), (s * s).sum()
        rate = 1 / (_FIRST_HORIZON + _GROWTH * steps).clamp(max=self.horizon)
        finite = new_gs.isfinite() & new_ss.isfinite()
        rate = torch.where(finite, rate, 0.0)
        gs.lerp_(torch.where(finite, new_gs, 0.0), rate)
        ss.lerp_(torch.where(finite, new_ss, 0.0), rate)
        steps.add_(finite)


def _averages(parameter: str, state: SiteState, like: Tensor) -> tuple[Tensor, Tensor]:
    return (
        state.scalar(f"{parameter}_gradient_score", like),
        state.scalar(f"{parameter}_score_score", like),
    )


def coefficients(state: SiteState) -> dict[str, float]:
    """The coefficients that a site's state holds, by parameter."""
    suffix = "_score_score"
    names = [
        n.removesuffix(suffix) for n, _ in state.named_buffers() if n.endswith(suffix)
    ]
    like = torch.empty(())
    return {n: float(Adaptive().coefficient(n, state, like)) for n in names}
