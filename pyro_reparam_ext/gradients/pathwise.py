# SPDX-License-Identifier: Apache-2.0
"""The pathwise (reparameterization) estimator."""

from dataclasses import dataclass
from typing import Any, ClassVar, final

from pyro.distributions.score_parts import ScoreParts
from torch import Tensor

from pyro_reparam_ext.gradients.path import PathEstimator


@final
@dataclass(frozen=True)
class Pathwise(PathEstimator):
    r"""Differentiate through the sampling path.

    *Estimates* :math:`\nabla_\theta \mathrm{E}_{q_\theta}[f(z)]` by
    :math:`\nabla_z f(z)\,\partial g_\theta(\epsilon)/\partial\theta` at
    :math:`z = g_\theta(\epsilon)`.

    *Requires* a distribution with ``rsample``, and :math:`f` continuous and piecewise
    differentiable in :math:`z`: a model that rounds, compares or indexes by :math:`z`
    gets a wrong gradient.

    *Cost* one evaluation a particle.

    *Variance* usually by far the lowest; not where :math:`f` is steep or oscillates.

    *Source* Kingma and Welling (2014); Rezende, Mohamed and Wierstra (2014).

    Example:
        >>> from pyro_reparam_ext import TraceSwitch_ELBO
        >>> elbo = TraceSwitch_ELBO("pathwise")
    """

    objectives: ClassVar[frozenset[str]] = frozenset({"elbo", "iw"})

    def score_parts(
        self, fn: Any, value: Tensor, *args: Any, **kwargs: Any
    ) -> ScoreParts:
        """As the distribution says: a partly reparameterized one adds a score term."""
        return fn.score_parts(value, *args, **kwargs)
