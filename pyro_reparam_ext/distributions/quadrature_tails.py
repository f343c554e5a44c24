# SPDX-License-Identifier: Apache-2.0
"""Tails in logs of the Gamma family, and their quantiles.

By quadratures and their inverses, with derivatives in every parameter. All but
Student's are laws of functions of a logarithm or a logit.
"""

import math
from dataclasses import replace

import torch
from torch import Tensor
from torch.distributions import Beta, Gamma, StudentT

from pyro_reparam_ext.distributions import beta as ours_beta
from pyro_reparam_ext.distributions import fisher_snedecor as ours_snedecor
from pyro_reparam_ext.distributions import gamma as ours_gamma
from pyro_reparam_ext.distributions import inverse_gamma as ours_inverse_gamma
from pyro_reparam_ext.distributions import log_gamma as ours_log_gamma
from pyro_reparam_ext.distributions import student_t as ours_student
from pyro_reparam_ext.distributions.log_tails import LogTails, Map, register_log_tails
from pyro_reparam_ext.ops import (
    log1mexp,
    log_beta_density,
    log_beta_quantile,
    log_beta_tails,
    log_gamma_density,
    log_gamma_quantile,
    log_gamma_tails,
    log_of_ratio,
    log_student_density,
    log_student_tail,
)

_LOG_2 = math.log(2)


def _of_gamma(shape: Tensor, log_ratio: Map, value: Map) -> LogTails:
    """A law of the logarithm of a Gamma variate over its concentration."""
    lower, upper = (torch.tensor(side, device=shape.device) for side in (False, True))
    return LogTails(
        both=lambda z: log_gamma_tails(shape, log_ratio(z)),
        lower_quantile=lambda log_p: value(log_gamma_quantile(shape, log_p, lower)),
        upper_quantile=lambda log_p: value(log_gamma_quantile(shape, log_p, upper)),
        log_density=lambda z: log_gamma_density(shape, log_ratio(z)) - z.log(),
    )


@register_log_tails(Gamma)
@register_log_tails(ours_gamma.Gamma)
def gamma(d: Gamma) -> LogTails:
    """Of its exponential; for ``Chi2`` too."""
    center = d.concentration / d.rate
    return _of_gamma(
        d.concentration,
        lambda z: ours_gamma.log_relative(z, center),
        lambda u: u.exp() * center,
    )


@register_log_tails(ours_log_gamma.LogGamma)
def log_gamma(d: ours_log_gamma.LogGamma) -> LogTails:
    """Of itself."""
    shape, log_rate = d.concentration, d.rate.log()
    return replace(
        _of_gamma(
            shape,
            lambda z: log_of_ratio(z + log_rate, shape),
            lambda u: u + shape.log() - log_rate,
        ),
        log_density=d.log_density,
    )


@register_log_tails(ours_inverse_gamma.InverseGamma)
def inverse_gamma(d: ours_inverse_gamma.InverseGamma) -> LogTails:
    """Of the exponential of minus it: the tails change places."""
    center = d.rate / d.concentration
    mirrored = _of_gamma(
        d.concentration,
        lambda z: ours_gamma.log_relative(center, z),
        lambda u: (-u).exp() * center,
    )
    return replace(
        mirrored,
        both=lambda z: mirrored.both(z)[::-1],
        lower_quantile=mirrored.upper_quantile,
        upper_quantile=mirrored.lower_quantile,
    )


def _of_beta(
    a: Tensor, b: Tensor, logit: Map, value: Map, log_density: Map
) -> LogTails:
    """A law of the logit of a Beta variate."""
    lower, upper = (torch.tensor(side, device=a.device) for side in (False, True))
    return LogTails(
        both=lambda z: log_beta_tails(a, b, logit(z)),
        lower_quantile=lambda log_p: value(log_beta_quantile(a, b, log_p, lower)),
        upper_quantile=lambda log_p: value(log_beta_quantile(a, b, log_p, upper)),
        log_density=log_density,
    )


@register_log_tails(Beta)
@register_log_tails(ours_beta.Beta)
def beta(d: Beta) -> LogTails:
    """Of its logistic function."""
    a, b = d.concentration1, d.concentration0

    def log_density(z: Tensor) -> Tensor:
        log_z, log_rest = z.log(), torch.log1p(-z)
        return log_beta_density(a, b, log_z, log_rest) - log_z - log_rest

    return _of_beta(
        a, b, lambda z: z.log() - torch.log1p(-z), torch.sigmoid, log_density
    )


@register_log_tails(ours_snedecor.FisherSnedecor)
def fisher_snedecor(d: ours_snedecor.FisherSnedecor) -> LogTails:
    """Of its exponential."""
    log_ratio = d.df1.log() - d.df2.log()
    return _of_beta(
        0.5 * d.df1,
        0.5 * d.df2,
        lambda z: z.log() + log_ratio,
        lambda y: (y - log_ratio).exp(),
        d.log_density,
    )


@register_log_tails(StudentT)
@register_log_tails(ours_student.StudentT)
def student(d: StudentT) -> LogTails:
    """One tail on either side of the location: half of one of a Beta law."""
    half = 0.5 * d.df

    def both(value: Tensor) -> tuple[Tensor, Tensor]:
        x = (value - d.loc) / d.scale
        above = x > 0
        small = log_student_tail(d.df, torch.where(above, x, -x))
        other = log1mexp(-small)
        return torch.where(above, other, small), torch.where(above, small, other)

    def distance(log_p: Tensor) -> Tensor:
        whole = (log_p + _LOG_2).clamp(max=-1e-17)
        lower = torch.zeros_like(whole, dtype=torch.bool)
        logit = log_beta_quantile(half, torch.full_like(half, 0.5), whole, lower)
        return d.scale * d.df.sqrt() * (-0.5 * logit).exp()

    return LogTails(
        both=both,
        lower_quantile=lambda log_p: d.loc - distance(log_p),
        upper_quantile=lambda log_p: d.loc + distance(log_p),
        log_density=lambda value: (
            log_student_density(d.df, (value - d.loc) / d.scale) - d.scale.log()
        ),
    )
