# SPDX-License-Identifier: Apache-2.0
"""Special functions and stable primitives, each with its gradient."""

from pyro_reparam_ext.ops.bessel import one_minus_bessel_ratio
from pyro_reparam_ext.ops.clamp_value import clamp_to_interior, clamp_value
from pyro_reparam_ext.ops.gauss_legendre import gauss_legendre
from pyro_reparam_ext.ops.leave_one_out import logsumexp_of_others
from pyro_reparam_ext.ops.log1mexp import log1mexp
from pyro_reparam_ext.ops.log_beta_tails import (
    log_beta,
    log_beta_pdf,
    log_beta_tails,
    log_student_pdf,
    log_student_tail,
)
from pyro_reparam_ext.ops.log_gamma_tails import log_gamma_pdf, log_gamma_tails
from pyro_reparam_ext.ops.log_normal_cdf import log_normal_cdf
from pyro_reparam_ext.ops.log_normal_quantile import log_normal_quantile
from pyro_reparam_ext.ops.mills_ratio import mills_ratio, mills_ratio_complement
from pyro_reparam_ext.ops.ratios_at_zero import expm1_ratio, log1p_ratio
from pyro_reparam_ext.ops.tail_quadrature import log_tail_integral
from pyro_reparam_ext.ops.truncated_normal_quantile import truncated_normal_offset

__all__ = [
    "clamp_to_interior",
    "clamp_value",
    "expm1_ratio",
    "gauss_legendre",
    "log1mexp",
    "log1p_ratio",
    "log_beta",
    "log_beta_pdf",
    "log_beta_tails",
    "log_gamma_pdf",
    "log_gamma_tails",
    "log_normal_cdf",
    "log_normal_quantile",
    "log_student_pdf",
    "log_student_tail",
    "log_tail_integral",
    "logsumexp_of_others",
    "mills_ratio",
    "mills_ratio_complement",
    "one_minus_bessel_ratio",
    "truncated_normal_offset",
]
