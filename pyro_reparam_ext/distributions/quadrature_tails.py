# SPDX-License-Identifier: Apache-2.0
"""Tails in logs of the families whose cdf is an incomplete integral.

By quadrature, which gives their derivatives in every parameter at once.
"""

import torch
from torch import Tensor
from torch.distributions import Beta, Gamma, StudentT

from pyro_reparam_ext.distributions import beta as ours_beta
from pyro_reparam_ext.distributions import gamma as ours_gamma
from pyro_reparam_ext.distributions import inverse_gamma as ours_inverse_gamma
from pyro_reparam_ext.distributions import student_t as ours_student
from pyro_reparam_ext.distributions.log_tails import LogTails, register_log_tails
from pyro_reparam_ext.ops import (
    log1mexp,
    log_beta_density,
    log_beta_tails,
    log_gamma_density,
    log_gamma_tails,
    log_student_density,
    log_student_tail,
)


@register_log_tails(Gamma)
@register_log_tails(ours_gamma.Gamma)
def gamma(d: Gamma) -> LogTails:
    """The incomplete Gamma functions; for ``Chi2`` too."""
    shape = d.concentration

    def log_ratio(value: Tensor) -> Tensor:
        return ours_gamma.log_relative(value, shape / d.rate)

    return LogTails(
        both=lambda value: log_gamma_tails(shape, log_ratio(value)),
        log_density=lambda value: (
            log_gamma_density(shape, log_ratio(value)) - value.log()
        ),
        rough=lambda value: log_gamma_tails(shape, log_ratio(value), rough=True),
    )


@register_log_tails(ours_inverse_gamma.InverseGamma)
def inverse_gamma(d: ours_inverse_gamma.InverseGamma) -> LogTails:
    """Those of the reciprocal, exchanged."""
    shape = d.concentration

    def both(value: Tensor, rough: bool = False) -> tuple[Tensor, Tensor]:
        log_ratio = ours_gamma.log_relative(d.rate / shape, value)
        lower, upper = log_gamma_tails(shape, log_ratio, rough)
        return upper, lower

    return LogTails(both=both, rough=lambda value: both(value, rough=True))


@register_log_tails(Beta)
@register_log_tails(ours_beta.Beta)
def beta(d: Beta) -> LogTails:
    """The incomplete Beta functions."""
    a, b = d.concentration1, d.concentration0

    def both(value: Tensor, rough: bool = False) -> tuple[Tensor, Tensor]:
        return log_beta_tails(a, b, value.log() - torch.log1p(-value), rough)

    def log_density(value: Tensor) -> Tensor:
        log_z, log_rest = value.log(), torch.log1p(-value)
        return log_beta_density(a, b, log_z, log_rest) - log_z - log_rest

    return LogTails(
        both=both, log_density=log_density, rough=lambda value: both(value, rough=True)
    )


@register_log_tails(StudentT)
@register_log_tails(ours_student.StudentT)
def student(d: StudentT) -> LogTails:
    """One tail on either side of the location."""

    def both(value: Tensor, rough: bool = False) -> tuple[Tensor, Tensor]:
        x = (value - d.loc) / d.scale
        above = x > 0
        small = log_student_tail(d.df, torch.where(above, x, -x), rough)
        other = log1mexp(-small)
        return torch.where(above, other, small), torch.where(above, small, other)

    return LogTails(
        both=both,
        log_density=lambda value: (
            log_student_density(d.df, (value - d.loc) / d.scale) - d.scale.log()
        ),
        rough=lambda value: both(value, rough=True),
    )
