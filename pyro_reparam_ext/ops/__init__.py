# SPDX-License-Identifier: Apache-2.0
"""Special functions and stable primitives, each with its gradient."""

from pyro_reparam_ext.ops.bessel import one_minus_bessel_ratio
from pyro_reparam_ext.ops.bessel_k import log_bessel_k1e, one_minus_bessel_k_ratio
from pyro_reparam_ext.ops.clamp_value import clamp_to_interior, clamp_value
from pyro_reparam_ext.ops.gauss_legendre import gauss_legendre
from pyro_reparam_ext.ops.leave_one_out import logsumexp_of_others
from pyro_reparam_ext.ops.log1mexp import log1mexp
from pyro_reparam_ext.ops.log_normal_cdf import log_normal_cdf
from pyro_reparam_ext.ops.mills_ratio import mills_ratio, mills_ratio_complement
from pyro_reparam_ext.ops.ratios_at_zero import expm1_ratio, log1p_ratio
from pyro_reparam_ext.ops.truncated_normal_quantile import truncated_normal_offset

__all__ = [
    "clamp_to_interior",
    "clamp_value",
    "expm1_ratio",
    "gauss_legendre",
    "log1mexp",
    "log1p_ratio",
    "log_bessel_k1e",
    "log_normal_cdf",
    "logsumexp_of_others",
    "mills_ratio",
    "mills_ratio_complement",
    "one_minus_bessel_k_ratio",
    "one_minus_bessel_ratio",
    "truncated_normal_offset",
]
