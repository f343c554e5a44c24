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
    log_beta_pdf,
    log_beta_tails,
    log_gamma_pdf,
    log_gamma_tails,
    log_student_pdf,
    log_student_tail,
)

_ROUGH = 32  # nodes


@register_log_tails(Gamma)
@register_log_tails(ours_gamma.Gamma)
def gamma(d: Gamma) -> LogTails:
    """The incomplete Gamma functions; for ``Chi2`` too."""
    shape, rate = d.concentration, d.rate
    return LogTails(
        both=lambda value: log_gamma_tails(shape, rate * value),
        log_density=lambda value: log_gamma_pdf(shape, rate * value) + rate.log(),
        rough=lambda value: log_gamma_tails(shape, rate * value, _ROUGH),
    )


@register_log_tails(ours_inverse_gamma.InverseGamma)
def inverse_gamma(d: ours_inverse_gamma.InverseGamma) -> LogTails:
    """Those of the reciprocal, exchanged."""
    shape, rate = d.concentration, d.rate
    return LogTails(
        both=lambda value: log_gamma_tails(shape, rate / value)[::-1],
        rough=lambda value: log_gamma_tails(shape, rate / value, _ROUGH)[::-1],
    )


@register_log_tails(Beta)
@register_log_tails(ours_beta.Beta)
def beta(d: Beta) -> LogTails:
    """The incomplete Beta functions."""
    a, b = d.concentration1, d.concentration0
    return LogTails(
        both=lambda value: log_beta_tails(a, b, value),
        log_density=lambda value: log_beta_pdf(a, b, value),
        rough=lambda value: log_beta_tails(a, b, value, _ROUGH),
    )


@register_log_tails(StudentT)
@register_log_tails(ours_student.StudentT)
def student(d: StudentT) -> LogTails:
    """One tail on either side of the location."""

    def both(value: Tensor, nodes: int = 80) -> tuple[Tensor, Tensor]:
        x = (value - d.loc) / d.scale
        above = x > 0
        small = log_student_tail(d.df, torch.where(above, x, -x), nodes)
        other = log1mexp(-small)
        return torch.where(above, other, small), torch.where(above, small, other)

    return LogTails(
        both=both,
        log_density=lambda value: (
            log_student_pdf(d.df, (value - d.loc) / d.scale) - d.scale.log()
        ),
        rough=lambda value: both(value, _ROUGH),
    )
