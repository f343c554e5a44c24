# SPDX-License-Identifier: Apache-2.0
"""The path-derivative (sticking the landing) estimator."""

from dataclasses import dataclass
from typing import Any, ClassVar, final

from pyro.distributions.score_parts import ScoreParts
from torch import Tensor
from torch.distributions import Distribution

from pyro_reparam_ext.gradients.base import density_at
from pyro_reparam_ext.gradients.path import CoupledPathEstimator
from pyro_reparam_ext.gradients.score_function import ScoreFunction


@final
@dataclass(frozen=True)
class StickingTheLanding(CoupledPathEstimator):
    r"""Follow the path only, and leave out the score of the entropy term.

    *Estimates* :math:`\nabla_\theta \mathrm{E}_{q_\theta}[f(z) - \log q_\theta(z)]` by
    :math:`\nabla_z\big(f(z) - \log q_\theta(z)\big)\,\partial g_\theta(\epsilon)/
    \partial\theta`: the pathwise estimate less
    :math:`\nabla_\theta\log q_\theta(z)` at fixed :math:`z`, whose mean is zero.

    *Requires* what ``Pathwise`` requires, and a density that can be evaluated at a
    given point (a flow needs an inverse).

    *Cost* one evaluation of the model and two of the guide's density.

    *Variance* zero where :math:`q` equals the posterior, and low near it. Far from it
    often much higher than that of ``Pathwise``: at the start of a fit a thousandfold.
    ``Adaptive`` weighs the two. In a guide whose sites depend on each other it is zero
    at the posterior only with ``stl="replay"`` of the loss.

    *Source* Roeder, Wu and Duvenaud (2017), "Sticking the landing".

    Args:
        noise: As in ``Pathwise``.

    Example:
        >>> from pyro_reparam_ext import TraceSwitch_ELBO
        >>> elbo = TraceSwitch_ELBO("stl")
    """

    instead: ClassVar[str] = "'dreg', which is 'stl' for such bounds,"

    def supports(self, fn: Distribution) -> str | None:
        """What has a path, and a score of mean zero."""
        return super().supports(fn) or ScoreFunction().supports(fn)

    def score_parts(
        self, fn: Any, value: Tensor, *args: Any, **kwargs: Any
    ) -> ScoreParts:
        """The entropy term, less the score of the draw at fixed value."""
        parts = fn.score_parts(value, *args, **kwargs)
        score = density_at(fn, value.detach(), *args, **kwargs)
        return parts._replace(
            entropy_term=parts.entropy_term - (score - score.detach())
        )
