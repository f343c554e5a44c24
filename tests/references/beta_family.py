# SPDX-License-Identifier: Apache-2.0
"""Beta laws, by mpmath's incomplete Beta function."""

from types import SimpleNamespace

import mpmath as mp


def _beta_log_prob(value, concentration1, concentration0):
    a, b, x = mp.mpf(concentration1), mp.mpf(concentration0), mp.mpf(value)
    log_beta = mp.loggamma(a) + mp.loggamma(b) - mp.loggamma(a + b)
    return (a - 1) * mp.log(x) + (b - 1) * mp.log(1 - x) - log_beta


def _beta_cdf(value, concentration1, concentration0):
    return mp.betainc(concentration1, concentration0, 0, value, regularized=True)


def _student_t_log_prob(value, df, loc, scale):
    nu, s = mp.mpf(df), mp.mpf(scale)
    t = (mp.mpf(value) - loc) / s
    peak = mp.loggamma((nu + 1) / 2) - mp.loggamma(nu / 2) - mp.log(mp.pi * nu) / 2
    return peak - mp.log(s) - (nu + 1) / 2 * mp.log(1 + t**2 / nu)


def _student_t_cdf(value, df, loc, scale):
    nu = mp.mpf(df)
    t = (mp.mpf(value) - loc) / mp.mpf(scale)
    tail = mp.betainc(nu / 2, mp.mpf(1) / 2, 0, nu / (nu + t**2), regularized=True) / 2
    return tail if t < 0 else 1 - tail


def _fisher_snedecor_log_prob(value, df1, df2):
    a, b, z = mp.mpf(df1) / 2, mp.mpf(df2) / 2, mp.mpf(value)
    log_beta = mp.loggamma(a) + mp.loggamma(b) - mp.loggamma(a + b)
    x = a * z / (a * z + b)
    return a * mp.log(x) + b * mp.log(1 - x) - mp.log(z) - log_beta


def _fisher_snedecor_cdf(value, df1, df2):
    a, b, z = mp.mpf(df1) / 2, mp.mpf(df2) / 2, mp.mpf(value)
    return mp.betainc(a, b, 0, a * z / (a * z + b), regularized=True)


def _dirichlet_log_prob(value, concentration):
    alpha = [mp.mpf(a) for a in concentration]
    normalizer = mp.fsum(mp.loggamma(a) for a in alpha) - mp.loggamma(mp.fsum(alpha))
    powers = ((a - 1) * mp.log(x) for a, x in zip(alpha, value, strict=True))
    return mp.fsum(powers) - normalizer


dirichlet = SimpleNamespace(log_prob=_dirichlet_log_prob)
student_t = SimpleNamespace(log_prob=_student_t_log_prob, cdf=_student_t_cdf)
fisher_snedecor = SimpleNamespace(
    log_prob=_fisher_snedecor_log_prob, cdf=_fisher_snedecor_cdf
)
beta = SimpleNamespace(log_prob=_beta_log_prob, cdf=_beta_cdf)
