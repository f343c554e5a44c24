# SPDX-License-Identifier: Apache-2.0
"""Special functions and stable primitives, each with its gradient."""

from pyro_reparam_ext.ops.bessel import one_minus_bessel_ratio
from pyro_reparam_ext.ops.bessel_k import log_bessel_k1e, one_minus_bessel_k_ratio
from pyro_reparam_ext.ops.beta_path import beta_path, beta_path_of_first, log_ratio_path
from pyro_reparam_ext.ops.clamp_value import clamp_to_interior, clamp_value
from pyro_reparam_ext.ops.gamma_path import gamma_path
from pyro_reparam_ext.ops.gauss_legendre import gauss_legendre
from pyro_reparam_ext.ops.in_chunks import differentiable_in_chunks, in_chunks
from pyro_reparam_ext.ops.in_parts import in_parts
from pyro_reparam_ext.ops.leave_one_out import logsumexp_of_others
from pyro_reparam_ext.ops.log1mexp import log1mexp
from pyro_reparam_ext.ops.log_beta_density import (
    beta_cross_entropy,
    beta_mean_logs,
    log_beta,
    log_beta_density,
)
from pyro_reparam_ext.ops.log_beta_quantile import log_beta_quantile
from pyro_reparam_ext.ops.log_beta_tails import betainc, log_beta_tails
from pyro_reparam_ext.ops.log_gamma_density import log_gamma_density, log_of_ratio
from pyro_reparam_ext.ops.log_gamma_quantile import log_gamma_quantile
from pyro_reparam_ext.ops.log_gamma_ratio import log_gamma_ratio
from pyro_reparam_ext.ops.log_gamma_tails import (
    gammainc,
    gammaincc,
    log_gamma_tails,
)
from pyro_reparam_ext.ops.log_normal_cdf import log_normal_cdf
from pyro_reparam_ext.ops.log_normal_quantile import log_normal_quantile
from pyro_reparam_ext.ops.log_student_tail import (
    log_student_density,
    log_student_tail,
)
from pyro_reparam_ext.ops.mills_ratio import mills_ratio, mills_ratio_complement
from pyro_reparam_ext.ops.normal_inverse_gaussian_path import (
    normal_inverse_gaussian_path,
)
from pyro_reparam_ext.ops.positive_mills_ratio import positive_mills_ratio
from pyro_reparam_ext.ops.quick_map import choose, quick_map
from pyro_reparam_ext.ops.quick_mills import quick_mills
from pyro_reparam_ext.ops.ratios_at_zero import (
    expm1_ratio,
    expm1_remainder,
    log1p_ratio,
)
from pyro_reparam_ext.ops.solve_log_tail import solve_log_tail
from pyro_reparam_ext.ops.stirling import log_minus_digamma, stirling_remainder
from pyro_reparam_ext.ops.truncated_normal_quantile import truncated_normal_offset

__all__ = [
    "beta_cross_entropy",
    "beta_mean_logs",
    "beta_path",
    "beta_path_of_first",
    "betainc",
    "choose",
    "clamp_to_interior",
    "clamp_value",
    "differentiable_in_chunks",
    "expm1_ratio",
    "expm1_remainder",
    "gamma_path",
    "gammainc",
    "gammaincc",
    "gauss_legendre",
    "in_chunks",
    "in_parts",
    "log1mexp",
    "log1p_ratio",
    "log_bessel_k1e",
    "log_beta",
    "log_beta_density",
    "log_beta_quantile",
    "log_beta_tails",
    "log_gamma_density",
    "log_gamma_quantile",
    "log_gamma_ratio",
    "log_gamma_tails",
    "log_minus_digamma",
    "log_normal_cdf",
    "log_normal_quantile",
    "log_of_ratio",
    "log_ratio_path",
    "log_student_density",
    "log_student_tail",
    "logsumexp_of_others",
    "mills_ratio",
    "mills_ratio_complement",
    "normal_inverse_gaussian_path",
    "one_minus_bessel_k_ratio",
    "one_minus_bessel_ratio",
    "positive_mills_ratio",
    "quick_map",
    "quick_mills",
    "solve_log_tail",
    "stirling_remainder",
    "truncated_normal_offset",
]
