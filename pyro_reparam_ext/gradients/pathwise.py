# SPDX-License-Identifier: Apache-2.0
"""The pathwise (reparameterization) estimator."""

from dataclasses import dataclass
from typing import Any, final

from pyro.distributions.score_parts import ScoreParts
from torch import Tensor

from pyro_reparam_ext.gradients.path import CoupledPathEstimator


@final
@dataclass(frozen=True)
class Pathwise(CoupledPathEstimator):
    r"""Differentiate through the sampling path.

    *Estimates* :math:`\nabla_\theta \mathrm{E}_{q_\theta}[f(z)]` by
    :math:`\nabla_z f(z)\,\partial g_\theta(\epsilon)/\partial\theta` at
    :math:`z = g_\theta(\epsilon)`.

    *Requires* a distribution with ``rsample``, and :math:`f` continuous and piecewise
    differentiable in :math:`z`: a model that rounds, compares or indexes by :math:`z`
    gets a wrong gradient.

    *Cost* one evaluation a particle.

    *Variance* usually by far the lowest; not where :math:`f` is steep or oscillates.
    Coupled noise lowers it further where :math:`f` is smooth and the dimension low.
    ``"antithetic"`` takes off what is odd in :math:`\epsilon` (for a quadratic
    :math:`f`, all of the derivative in a location) and doubles what is even (in a
    scale). With ``"sobol"`` it falls faster than :math:`1/K` in the particles K.

    *Source* Kingma and Welling (2014); Rezende, Mohamed and Wierstra (2014). Coupled
    noise: Buchholz, Wenzel and Mandt (2018), "Quasi-Monte Carlo variational inference".

    Args:
        noise: ``"iid"``; or ``"antithetic"`` or ``"sobol"``, for particles that are
            drawn in one run (``vectorize_particles=True``), at sites that
            :func:`~pyro_reparam_ext.distributions.as_transport` knows.

    Example:
        >>> from pyro_reparam_ext import TraceSwitch_ELBO
        >>> elbo = TraceSwitch_ELBO("pathwise")
        >>> elbo = TraceSwitch_ELBO(
        ...     Pathwise(noise="sobol"), num_particles=8, vectorize_particles=True
        ... )
    """

    @property
    def objectives(self) -> frozenset[str]:
        """Bounds of coupled weights are other bounds than those of independent ones."""
        return frozenset({"elbo", "iw"} if self.noise == "iid" else {"elbo"})

    def score_parts(
        self, fn: Any, value: Tensor, *args: Any, **kwargs: Any
    ) -> ScoreParts:
        """As the distribution says: a partly reparameterized one adds a score term."""
        return fn.score_parts(value, *args, **kwargs)
