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
from pyro_reparam_ext.distributions import custom
from pyro_reparam_ext.distributions import (
    hazard_divergences as _hazard_divergences,  # noqa: F401 (registers divergences)
)
from pyro_reparam_ext.distributions import (
    quadrature_tails as _quadrature_tails,  # noqa: F401 (registers families)
)
from pyro_reparam_ext.distributions import (
    torch_divergences as _torch_divergences,  # noqa: F401 (registers divergences)
)
from pyro_reparam_ext.distributions import (
    von_mises_tails as _von_mises_tails,  # noqa: F401 (registers a family)
)
from pyro_reparam_ext.distributions.angular_central_gaussian import (
    AngularCentralGaussian,
)
from pyro_reparam_ext.distributions.as_transport import (
    Transport,
    as_transport,
    register_transport,
)
from pyro_reparam_ext.distributions.base import ReparameterizedDistribution
from pyro_reparam_ext.distributions.beta import Beta
from pyro_reparam_ext.distributions.chi2 import Chi2
from pyro_reparam_ext.distributions.dirichlet import Dirichlet
from pyro_reparam_ext.distributions.extended_interval import ExtendedInterval
from pyro_reparam_ext.distributions.fisher_snedecor import FisherSnedecor
from pyro_reparam_ext.distributions.gamma import Gamma
from pyro_reparam_ext.distributions.generalized_pareto import GeneralizedPareto
from pyro_reparam_ext.distributions.implicit import ImplicitDistribution
from pyro_reparam_ext.distributions.inverse_gamma import InverseGamma
from pyro_reparam_ext.distributions.inverse_gaussian import InverseGaussian
from pyro_reparam_ext.distributions.inverse_wishart import InverseWishart
from pyro_reparam_ext.distributions.inverse_wishart_cholesky import (
    InverseWishartCholesky,
)
from pyro_reparam_ext.distributions.kumaraswamy import Kumaraswamy
from pyro_reparam_ext.distributions.lkj import LKJ
from pyro_reparam_ext.distributions.lkj_cholesky import LKJCholesky
from pyro_reparam_ext.distributions.log_gamma import LogGamma
from pyro_reparam_ext.distributions.log_tails import LogTails, register_log_tails
from pyro_reparam_ext.distributions.matrix_normal import MatrixNormal
from pyro_reparam_ext.distributions.matrix_student_t import MatrixStudentT
from pyro_reparam_ext.distributions.mixture import MixtureSameFamily
from pyro_reparam_ext.distributions.normal_inverse_gaussian import (
    NormalInverseGaussian,
)
from pyro_reparam_ext.distributions.power_spherical import PowerSpherical
from pyro_reparam_ext.distributions.reciprocal_inverse_gaussian import (
    ReciprocalInverseGaussian,
)
from pyro_reparam_ext.distributions.rotationally_symmetric import (
    RotationallySymmetric,
)
from pyro_reparam_ext.distributions.spherical_cauchy import SphericalCauchy
from pyro_reparam_ext.distributions.spherical_uniform import SphericalUniform
from pyro_reparam_ext.distributions.student_t import StudentT
from pyro_reparam_ext.distributions.transport import TransportDistribution
from pyro_reparam_ext.distributions.truncated import Truncated
from pyro_reparam_ext.distributions.truncated_normal import TruncatedNormal
from pyro_reparam_ext.distributions.von_mises import VonMises
from pyro_reparam_ext.distributions.von_mises_fisher import VonMisesFisher
from pyro_reparam_ext.distributions.wishart import Wishart
from pyro_reparam_ext.distributions.wishart_cholesky import WishartCholesky
from pyro_reparam_ext.distributions.wrapped_cauchy import WrappedCauchy
from pyro_reparam_ext.distributions.wrapped_normal import WrappedNormal

__all__ = [
    "LKJ",
    "AngularCentralGaussian",
    "Beta",
    "Chi2",
    "Dirichlet",
    "ExtendedInterval",
    "FisherSnedecor",
    "Gamma",
    "GeneralizedPareto",
    "ImplicitDistribution",
    "InverseGamma",
    "InverseGaussian",
    "InverseWishart",
    "InverseWishartCholesky",
    "Kumaraswamy",
    "LKJCholesky",
    "LogGamma",
    "LogTails",
    "MatrixNormal",
    "MatrixStudentT",
    "MixtureSameFamily",
    "NormalInverseGaussian",
    "PowerSpherical",
    "ReciprocalInverseGaussian",
    "ReparameterizedDistribution",
    "RotationallySymmetric",
    "SphericalCauchy",
    "SphericalUniform",
    "StudentT",
    "Transport",
    "TransportDistribution",
    "Truncated",
    "TruncatedNormal",
    "VonMises",
    "VonMisesFisher",
    "Wishart",
    "WishartCholesky",
    "WrappedCauchy",
    "WrappedNormal",
    "as_transport",
    "custom",
    "register_log_tails",
    "register_transport",
]
