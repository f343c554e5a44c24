# SPDX-License-Identifier: Apache-2.0
r"""Your own distribution, from whichever formula you have.

======================= ==========================================================
:func:`from_transport`  noise and a map :math:`z = g_\theta(\epsilon)`
:func:`from_quantile`   a quantile function, of :math:`u` or of its two logarithms
:func:`from_cdf`        a cdf, or the logarithms of both tails
:func:`from_density`    a log-density that need not be normalized
======================= ==========================================================

Each returns a class: batched, differentiable in every parameter, a Pyro distribution
like any other. :func:`verify` checks the formulas against one another.
"""

from pyro_reparam_ext.distributions.custom.define import CustomDistribution
from pyro_reparam_ext.distributions.custom.from_cdf import from_cdf
from pyro_reparam_ext.distributions.custom.from_density import from_density
from pyro_reparam_ext.distributions.custom.from_quantile import from_quantile
from pyro_reparam_ext.distributions.custom.from_transport import from_transport
from pyro_reparam_ext.distributions.custom.verification import (
    Agreement,
    Verification,
    verify,
)

__all__ = [
    "Agreement",
    "CustomDistribution",
    "Verification",
    "from_cdf",
    "from_density",
    "from_quantile",
    "from_transport",
    "verify",
]
