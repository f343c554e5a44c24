# SPDX-License-Identifier: Apache-2.0
"""Normal and Student laws of matrices, as laws of one long vector, by mpmath."""

import mpmath as mp


def _square_and_log_det(value, loc, rows, columns):
    """Of the vector of rows, whose covariance is a Kronecker product."""
    rows, columns = (mp.matrix(f) * mp.matrix(f).T for f in (rows, columns))
    n, m = rows.rows, columns.rows
    size = range(n * m)
    covariance = mp.matrix(n * m, n * m)
    for a in size:
        for b in size:
            covariance[a, b] = rows[a // m, b // m] * columns[a % m, b % m]
    away = mp.matrix(
        [mp.mpf(value[a // m][a % m]) - mp.mpf(loc[a // m][a % m]) for a in size]
    )
    square = (away.T * mp.lu_solve(covariance, away))[0]
    return n * m, square, mp.log(mp.det(covariance))


def normal_log_prob(value, loc, scale_tril_row, scale_tril_column):
    size, square, log_det = _square_and_log_det(
        value, loc, scale_tril_row, scale_tril_column
    )
    return -(square + log_det + size * mp.log(2 * mp.pi)) / 2


def student_log_prob(value, df, loc, scale_row, scale_column):
    size, square, log_det = _square_and_log_det(value, loc, scale_row, scale_column)
    nu = mp.mpf(df)
    return (
        mp.loggamma((nu + size) / 2)
        - mp.loggamma(nu / 2)
        - size * mp.log(nu * mp.pi) / 2
        - log_det / 2
        - (nu + size) / 2 * mp.log1p(square / nu)
    )
