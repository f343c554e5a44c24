# SPDX-License-Identifier: Apache-2.0
"""Wishart and inverse Wishart, by determinants and traces in arbitrary precision."""

import mpmath as mp


def _matrix(rows):
    return mp.matrix([[mp.mpf(x) for x in row] for row in rows])


def _log_multigamma(a, p):
    constant = mp.mpf(p * (p - 1)) / 4 * mp.log(mp.pi)
    return constant + mp.fsum(mp.loggamma(a - mp.mpf(i) / 2) for i in range(p))


def log_prob(value, df, scale_tril):
    """Of a Wishart matrix."""
    nu, w, factor = mp.mpf(df), _matrix(value), _matrix(scale_tril)
    p = w.rows
    scale = factor * factor.T
    trace = mp.fsum((mp.inverse(scale) * w)[i, i] for i in range(p))
    return (
        (nu - p - 1) / 2 * mp.log(mp.det(w))
        - trace / 2
        - nu * p / 2 * mp.log(2)
        - _log_multigamma(nu / 2, p)
        - nu / 2 * mp.log(mp.det(scale))
    )


def inverse_log_prob(value, df, scale_tril):
    """Of an inverse Wishart matrix."""
    nu, x, factor = mp.mpf(df), _matrix(value), _matrix(scale_tril)
    p = x.rows
    scale = factor * factor.T
    trace = mp.fsum((scale * mp.inverse(x))[i, i] for i in range(p))
    return (
        nu / 2 * mp.log(mp.det(scale))
        - trace / 2
        - nu * p / 2 * mp.log(2)
        - _log_multigamma(nu / 2, p)
        - (nu + p + 1) / 2 * mp.log(mp.det(x))
    )


def of_factor(log_prob_of_matrix, value, df, scale_tril):
    """Of the elements of a Cholesky factor, by the Jacobian of its square."""
    factor = _matrix(value)
    p = factor.rows
    square = (factor * factor.T).tolist()
    jacobian = p * mp.log(2) + mp.fsum((p - i) * mp.log(factor[i, i]) for i in range(p))
    return log_prob_of_matrix(square, df, scale_tril) + jacobian


def chi_slope(value, degrees):
    """How a chi variate moves with its degrees at a fixed quantile."""
    x, k = mp.mpf(value), mp.mpf(degrees)
    z, a = x * x / 2, k / 2
    if z < a:
        by_a = mp.diff(lambda s: mp.gammainc(s, 0, z, regularized=True), a)
    else:
        by_a = -mp.diff(lambda s: mp.gammainc(s, z, regularized=True), a)
    density = mp.exp(-z + (a - 1) * mp.log(z) - mp.loggamma(a))
    return -by_a / density / (2 * x)
