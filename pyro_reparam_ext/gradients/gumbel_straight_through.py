# SPDX-License-Identifier: Apache-2.0
"""The straight-through Gumbel-softmax estimator."""

from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor
from torch.nn.functional import softplus

from pyro_reparam_ext.distributions.noise import (
    StandardExponential,
    inside_unit_interval,
)
from pyro_reparam_ext.gradients.relaxed import (
    RelaxedEstimator,
    check_temperature,
    finite_logits,
    is_binary,
)


@final
@dataclass(frozen=True)
class GumbelStraightThrough(RelaxedEstimator):
    r"""Differentiate through a discrete draw as if it were a softened one.

    *Estimates* the gradient by :math:`\nabla f(z)` times the derivative of

    .. math:: \mathrm{softmax}\big((\ell + g)/\tau\big), \qquad
        z = \mathrm{onehot}\,\operatorname{argmax}_i(\ell_i + g_i),

    with logits :math:`\ell` and Gumbel noise :math:`g`; for Bernoulli a sigmoid and
    logistic noise. Biased, even where :math:`f` is linear. The noise is drawn given
    the draw.

    *Requires* what ``StraightThrough`` requires.

    *Cost* one evaluation a particle.

    *Variance* grows as :math:`1/\tau`, as the bias falls: at high temperatures the
    gradient vanishes, at low ones it is zero but for a few draws.

    *Source* Jang, Gu and Poole (2017), "Categorical reparameterization with
    Gumbel-softmax"; Maddison, Mnih and Teh (2017); the noise given the draw as in
    Tucker, Mnih, Maddison, Lawson and Sohl-Dickstein (2017), "REBAR".

    Args:
        temperature: :math:`\tau > 0`.

    Example:
        >>> from pyro_reparam_ext import TraceSwitch_ELBO
        >>> elbo = TraceSwitch_ELBO(sites={"c": GumbelStraightThrough(0.5)})
    """

    temperature: float = 1.0

    def __post_init__(self) -> None:
        check_temperature(self, self.temperature)

    def path(self, base: Any, hard: Tensor) -> Tensor:
        """The softened draw."""
        logits = finite_logits(base)
        if is_binary(base):
            noise = _logistic_noise(base.logits.detach(), hard)
            return torch.sigmoid((logits + noise) / self.temperature)
        noise = _gumbel_noise(base.logits.detach(), hard)
        possible = base.logits.isfinite()
        softened = torch.where(
            possible, (logits + noise) / self.temperature, -torch.inf
        )
        return softened.softmax(-1)


def _logistic_noise(logits: Tensor, hard: Tensor) -> Tensor:
    r"""Logistic noise, given that :math:`\phi + g` has the sign of the draw."""
    sign = 2 * hard - 1
    v = inside_unit_interval(torch.rand_like(hard))
    # v = 1 - (1 - u) / p for a uniform u above 1 - p, and likewise below
    perturbed = sign * (softplus(sign * logits + v.log()) - torch.log1p(-v))
    return perturbed - logits


def _gumbel_noise(logits: Tensor, hard: Tensor) -> Tensor:
    """Gumbel noise, given which of the perturbed logits is the largest."""
    waiting = StandardExponential.like(hard).sample()
    # the shortest of exponential times of rates p; the others begin where it ended
    shortest = (waiting * hard).sum(-1, keepdim=True)
    other = torch.where(hard > 0, 0.0, waiting * (-logits).exp())
    noise = -torch.log(shortest + other) - logits
    return torch.where(logits.isfinite(), noise, 0.0)
