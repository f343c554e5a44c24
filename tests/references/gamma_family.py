# SPDX-License-Identifier: Apache-2.0
"""Gamma laws, by mpmath's incomplete Gamma functions."""

from types import SimpleNamespace

import mpmath as mp


def _log_density(x, concentration, rate):
    """Of a Gamma variate x."""
    a, b = mp.mpf(concentration), mp.mpf(rate)
    return a * mp.log(b) + (a - 1) * mp.log(x) - b * x - mp.loggamma(a)


def _below(x, concentration, rate):
    return mp.gammainc(concentration, 0, mp.mpf(rate) * x, regularized=True)


def _above(x, concentration, rate):
    return mp.gammainc(concentration, mp.mpf(rate) * x, mp.inf, regularized=True)


def _log_gamma_log_prob(value, concentration, rate):
    return _log_density(mp.exp(value), concentration, rate) + mp.mpf(value)


def _log_gamma_cdf(value, concentration, rate):
    return _below(mp.exp(value), concentration, rate)


def _inverse_gamma_log_prob(value, concentration, rate):
    x = 1 / mp.mpf(value)
    return _log_density(x, concentration, rate) + 2 * mp.log(x)


def _inverse_gamma_cdf(value, concentration, rate):
    return _above(1 / mp.mpf(value), concentration, rate)


gamma = SimpleNamespace(log_prob=_log_density, cdf=_below)
log_gamma = SimpleNamespace(log_prob=_log_gamma_log_prob, cdf=_log_gamma_cdf)
inverse_gamma = SimpleNamespace(
    log_prob=_inverse_gamma_log_prob, cdf=_inverse_gamma_cdf
)
chi2 = SimpleNamespace(
    log_prob=lambda value, df: _log_density(value, mp.mpf(df) / 2, 0.5),
    cdf=lambda value, df: _below(value, mp.mpf(df) / 2, 0.5),
)
