# SPDX-License-Identifier: Apache-2.0
"""LKJ, by the partial correlations of a canonical vine, in arbitrary precision.

Lewandowski, Kurowicka and Joe's other construction: the normalizer is a product of
Beta functions over the vine, nothing of which is shared with the onion.
"""

import mpmath as mp


def log_prob(value, concentration, dim, factor=True):
    """Of a factor (below its diagonal), or of a matrix: rows of numbers."""
    eta = mp.mpf(concentration)
    matrix = mp.matrix([[mp.mpf(x) for x in row] for row in value])
    if factor:
        log_det = 2 * mp.fsum(mp.log(matrix[i, i]) for i in range(dim))
    else:
        log_det = mp.log(mp.det(matrix))
    log_p = (eta - 1) * log_det - _log_normalizer(eta, dim)
    if factor:  # the Jacobian of the square
        log_p += mp.fsum((dim - 1 - i) * mp.log(matrix[i, i]) for i in range(dim))
    return log_p


def _log_normalizer(eta, dim):
    total = mp.mpf(0)
    for k in range(1, dim):
        a = eta + mp.mpf(dim - 1 - k) / 2
        beta = mp.loggamma(a) * 2 - mp.loggamma(2 * a)
        # a partial correlation of order k - 1 is Beta(a, a) on (-1, 1)
        total += (dim - k) * ((2 * a - 1) * mp.log(2) + beta)
    return total


def length_cdf(value, row, concentration, dim):
    """Of the squared length of a row before its diagonal."""
    a = mp.mpf(row) / 2
    b = mp.mpf(concentration) + mp.mpf(dim - 1 - row) / 2
    return mp.betainc(a, b, 0, mp.mpf(value), regularized=True)


def length_density(value, row, concentration, dim):
    a = mp.mpf(row) / 2
    b = mp.mpf(concentration) + mp.mpf(dim - 1 - row) / 2
    y = mp.mpf(value)
    return y ** (a - 1) * (1 - y) ** (b - 1) / mp.beta(a, b)
