# SPDX-License-Identifier: Apache-2.0
"""Special functions and stable primitives, each with its gradient."""

from pyro_reparam_ext.ops.bessel import one_minus_bessel_ratio
from pyro_reparam_ext.ops.gauss_legendre import gauss_legendre
from pyro_reparam_ext.ops.log1mexp import log1mexp
from pyro_reparam_ext.ops.log_normal_cdf import log_normal_cdf
from pyro_reparam_ext.ops.mills_ratio import mills_ratio, mills_ratio_complement

__all__ = [
    "gauss_legendre",
    "log1mexp",
    "log_normal_cdf",
    "mills_ratio",
    "mills_ratio_complement",
    "one_minus_bessel_ratio",
]
