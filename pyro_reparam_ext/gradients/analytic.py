# SPDX-License-Identifier: Apache-2.0
"""Closed-form divergence or entropy in place of the sampled one."""

from dataclasses import dataclass
from typing import Any, final

import torch
from pyro.distributions import Delta, MaskedDistribution
from pyro.distributions.score_parts import ScoreParts
from torch import Tensor
from torch.distributions import Distribution, ExpTransform, Transform

from pyro_reparam_ext.distributions.base import is_discrete
from pyro_reparam_ext.distributions.held_tensors import split_tensors
from pyro_reparam_ext.gradients.base import GradientEstimator, innermost
from pyro_reparam_ext.gradients.score_function import ScoreFunction

_NOTHING_HELD = vars(ExpTransform()).keys()


@final
@dataclass(frozen=True)
class Analytic(GradientEstimator):
    r"""Integrate a site's own terms in closed form, and sample the rest.

    *Estimates* the gradient of :math:`\mathrm{E}_{q}[\log p(z) - \log q(z)]` by that
    of :math:`-\mathrm{KL}(q\,\|\,p)`, where torch or Pyro have the divergence
    registered and the guide draws what :math:`p` depends on before :math:`z`; else
    that of :math:`\mathrm{E}_q[-\log q(z)]` by that of the entropy, where the
    distribution has one. What other sites make of the draw is estimated as by
    ``Pathwise`` or, without ``rsample``, by ``ScoreFunction``, whose cost the closed
    form makes smaller.

    *Requires* what these do. A site without a closed form is estimated without one;
    ``TraceSwitch_ELBO.closed_forms`` says what each site got.

    *Cost* one evaluation a particle.

    *Variance* mostly below that of ``Pathwise``, but not near the posterior, where
    the sampled terms cancel and ``StickingTheLanding`` or ``Adaptive`` win.

    *Source* Kingma and Welling (2014), appendix B.

    Example:
        >>> from pyro_reparam_ext import TraceSwitch_ELBO
        >>> elbo = TraceSwitch_ELBO("analytic")
    """

    @property
    def self_contained(self) -> bool:
        """Not: the divergence is from the model's distribution."""
        return False

    def reparameterized(self, fn: Distribution) -> bool:
        """Where there is a path."""
        return bool(fn.has_rsample) and not is_discrete(fn)

    def supports(self, fn: Distribution) -> str | None:
        """Everything but point masses."""
        if isinstance(innermost(fn), Delta):
            return "needs a density, but Delta is a point mass. Leave this site out."
        return None if self.reparameterized(fn) else ScoreFunction().supports(fn)

    def draw(self, fn: Distribution, sample_shape: torch.Size) -> Tensor:
        """With its path where there is one."""
        if self.reparameterized(fn):
            return fn.rsample(sample_shape)
        return ScoreFunction().draw(fn, sample_shape)

    def score_parts(
        self, fn: Any, value: Tensor, *args: Any, **kwargs: Any
    ) -> ScoreParts:
        """As without a closed form, which is the loss's to put in."""
        if self.reparameterized(fn):
            return fn.score_parts(value, *args, **kwargs)
        return ScoreFunction().score_parts(fn, value, *args, **kwargs)


def closed_form_entropy(fn: Distribution) -> Tensor | None:
    """The entropy of ``fn``, or None where there is no closed form."""
    try:
        return fn.entropy()
    except NotImplementedError:
        return None


def closed_form_kl(q: Distribution, p: Distribution) -> Tensor | None:
    r""":math:`\mathrm{KL}(q\,\|\,p)`, or None where there is no closed form."""
    if _is_masked(q) or _is_masked(p):  # need not be masked alike
        return None
    # torch cancels transforms of equal value, and with them their derivatives
    if _transforms(q) and any(map(_is_learned, _transforms(q) + _transforms(p))):
        return None
    try:
        return torch.distributions.kl_divergence(q, p)
    except NotImplementedError:
        return None


def _transforms(fn: Distribution) -> list[Transform]:
    return list(getattr(innermost(fn), "transforms", ()))


def _is_learned(transform: Transform) -> bool:
    if vars(transform).keys() <= _NOTHING_HELD:
        return False
    return any(tensor.requires_grad for tensor in split_tensors(transform)[1])


def _is_masked(fn: Any) -> bool:
    while not isinstance(fn, MaskedDistribution):
        if not hasattr(fn, "base_dist") or hasattr(fn, "transforms"):
            return False
        fn = fn.base_dist
    return True
