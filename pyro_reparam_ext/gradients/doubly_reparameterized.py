# SPDX-License-Identifier: Apache-2.0
"""The doubly reparameterized estimator, for importance-weighted bounds."""

from dataclasses import dataclass
from typing import Any, ClassVar, final

from pyro.distributions import (
    RelaxedBernoulliStraightThrough,
    RelaxedOneHotCategoricalStraightThrough,
)
from pyro.distributions.rejector import Rejector
from pyro.distributions.score_parts import ScoreParts
from torch import Tensor
from torch.distributions import Distribution

from pyro_reparam_ext.distributions.base import is_discrete
from pyro_reparam_ext.gradients.base import (
    density_at,
    describe,
    innermost,
    why_no_score,
)
from pyro_reparam_ext.gradients.path import PathEstimator

# classes whose rsample is not, or not all of, the path of the law they are scored by
_NO_PATH_OF_ITS_OWN = (
    RelaxedBernoulliStraightThrough,
    RelaxedOneHotCategoricalStraightThrough,
    Rejector,
)


@final
@dataclass(frozen=True)
class DoublyReparameterized(PathEstimator):
    r"""Follow the path only, with the weights squared.

    *Estimates* the gradient of :math:`\mathrm{E}[F(w_1, \dots, w_K)]`, the bound of
    order :math:`\alpha`, in the parameters of :math:`q_\theta` by

    .. math:: \sum_k v_k\,\big(\alpha + (1 - \alpha)\,v_k\big)\,
        \nabla_z\log w_k\;\partial g_\theta(\epsilon_k)/\partial\theta,
        \qquad v_k = \frac{w_k^{1-\alpha}}{\sum_j w_j^{1-\alpha}}:

    the score :math:`-v_k\nabla_\theta\log q_\theta(z_k)` that pathwise has besides is
    itself reparameterized. Parameters of the model keep the weight :math:`v_k`.

    *Requires* what ``Pathwise`` requires, a density that can be evaluated at a given
    point (a flow needs an inverse), and that only other such sites of the guide depend
    on the draw.

    *Cost* one evaluation of the model and two of the guide's density; two further runs
    of the guide if its sites depend on each other.

    *Variance* zero where :math:`q` equals the posterior. Its signal-to-noise ratio
    grows with the number of particles, where that of ``Pathwise`` falls. With one
    particle it is ``StickingTheLanding``.

    *Source* Tucker, Lawson, Gu and Maddison (2019), "Doubly reparameterized gradient
    estimators for Monte Carlo objectives"; Bauer and Mnih (2021), "Generalized doubly
    reparameterized gradient estimators".

    Example:
        >>> from pyro_reparam_ext import TraceIW_ELBO
        >>> elbo = TraceIW_ELBO("dreg", num_particles=8)
    """

    objectives: ClassVar[frozenset[str]] = frozenset({"iw"})
    instead: ClassVar[str] = "'stl', which is 'dreg' for one particle,"

    @property
    def self_contained(self) -> bool:
        """Not: the loss must weigh the particles."""
        return False

    def supports(self, fn: Distribution) -> str | None:
        """Distributions with ``rsample`` whose density is that of the path."""
        base = innermost(fn)
        if isinstance(base, _NO_PATH_OF_ITS_OWN) or (
            fn.has_rsample and is_discrete(fn)
        ):
            return (
                f"needs a draw whose density follows its path, but {describe(fn)} has "
                "another. Use 'pathwise' for this site."
            )
        return super().supports(fn) or why_no_score(fn)

    def score_parts(
        self, fn: Any, value: Tensor, *args: Any, **kwargs: Any
    ) -> ScoreParts:
        """No score; the loss scales the path and takes off the score of the draw."""
        log_prob = density_at(fn, value, *args, **kwargs)
        return ScoreParts(log_prob, 0, log_prob)

    @staticmethod
    def on_path(share: Tensor, alpha: float) -> Tensor:
        """By what the path is scaled, beyond the particle's share :math:`v_k`."""
        return alpha + (1 - alpha) * share
