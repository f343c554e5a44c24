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


beta = SimpleNamespace(log_prob=_beta_log_prob, cdf=_beta_cdf)
