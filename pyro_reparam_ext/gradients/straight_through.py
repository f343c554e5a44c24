# SPDX-License-Identifier: Apache-2.0
"""The straight-through estimator."""

from dataclasses import dataclass
from typing import Any, final

from torch import Tensor

from pyro_reparam_ext.gradients.relaxed import RelaxedEstimator


@final
@dataclass(frozen=True)
class StraightThrough(RelaxedEstimator):
    r"""Differentiate through a discrete draw as if it were its mean.

    *Estimates* :math:`\nabla_\theta\mathrm{E}[f(z)]` by
    :math:`\nabla f(z)\,\partial p_\theta/\partial\theta`, where :math:`p_\theta` are
    the probabilities. Biased: right only where :math:`f` is linear in each element
    (the terms of :math:`\log p - \log q` that a site has of its own are); for a
    Bernoulli element of a quadratic :math:`f` off by
    :math:`\tfrac12(2p - 1)\,p(1 - p)\,f''` in its logit.

    *Requires* a Bernoulli or OneHotCategorical, and :math:`f` differentiable between
    their values: a model that compares or indexes by the draw gets no gradient.

    *Cost* one evaluation a particle.

    *Variance* low: none where :math:`f` is linear.

    *Source* Bengio, Léonard and Courville (2013), "Estimating or propagating gradients
    through stochastic neurons for conditional computation".

    Example:
        >>> from pyro_reparam_ext import TraceSwitch_ELBO
        >>> elbo = TraceSwitch_ELBO(sites={"c": "straight_through"})
    """

    def path(self, base: Any, hard: Tensor) -> Tensor:
        """The probabilities."""
        probs: Tensor = base.probs
        return probs
