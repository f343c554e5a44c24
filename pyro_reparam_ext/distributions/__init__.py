# SPDX-License-Identifier: Apache-2.0
r"""What is sampled: distributions with an exact path :math:`z = g_\theta(\epsilon)`.

Every class is a Pyro ``TorchDistribution`` with ``has_rsample``: use it in a model or
guide like any other.
"""

from pyro_reparam_ext.distributions import (
    classic_tails as _classic_tails,  # noqa: F401 (registers families)
)
from pyro_reparam_ext.distributions import (
    classic_transports as _classic_transports,  # noqa: F401 (registers families)
)
from pyro_reparam_ext.distributions import (
    composed_transports as _composed_transports,  # noqa: F401 (registers wrappers)
)
from pyro_reparam_ext.distributions import (
    quadrature_tails as _quadrature_tails,  # noqa: F401 (registers families)
)
from pyro_reparam_ext.distributions.as_transport import (
    Transport,
    as_transport,
    register_transport,
)
from pyro_reparam_ext.distributions.base import ReparameterizedDistribution
from pyro_reparam_ext.distributions.extended_interval import ExtendedInterval
from pyro_reparam_ext.distributions.generalized_pareto import GeneralizedPareto
from pyro_reparam_ext.distributions.implicit import ImplicitDistribution
from pyro_reparam_ext.distributions.inverse_gaussian import InverseGaussian
from pyro_reparam_ext.distributions.kumaraswamy import Kumaraswamy
from pyro_reparam_ext.distributions.log_tails import LogTails, register_log_tails
from pyro_reparam_ext.distributions.mixture import MixtureSameFamily
from pyro_reparam_ext.distributions.transport import TransportDistribution
from pyro_reparam_ext.distributions.truncated import Truncated
from pyro_reparam_ext.distributions.truncated_normal import TruncatedNormal
from pyro_reparam_ext.distributions.von_mises import VonMises

__all__ = [
    "ExtendedInterval",
    "GeneralizedPareto",
    "ImplicitDistribution",
    "InverseGaussian",
    "Kumaraswamy",
    "LogTails",
    "MixtureSameFamily",
    "ReparameterizedDistribution",
    "Transport",
    "TransportDistribution",
    "Truncated",
    "TruncatedNormal",
    "VonMises",
    "as_transport",
    "register_log_tails",
    "register_transport",
]
