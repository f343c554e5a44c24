# SPDX-License-Identifier: Apache-2.0
"""Mixtures of multivariate normals and their distributional transform.

The parameters are nested lists: logits (K), means (K, D), Cholesky factors (K, D, D).
"""

import mpmath as mp


def log_prob(value, logits, loc, scale_tril):
    terms = []
    for k, weight in enumerate(_weights(logits)):
        term = weight
        for score, scale in _scores(value, loc[k], scale_tril[k]):
            term *= mp.exp(-(score**2) / 2) / (scale * mp.sqrt(2 * mp.pi))
        terms.append(term)
    return mp.log(mp.fsum(terms))


def transform(value, logits, loc, scale_tril):
    """The conditional cdf of each coordinate given those before it."""
    joint = _weights(logits)
    scores = [_scores(value, m, t) for m, t in zip(loc, scale_tril, strict=True)]
    result = []
    for i in range(len(value)):
        here = [s[i] for s in scores]
        below = [
            w * mp.erfc(-x / mp.sqrt(2)) / 2
            for w, (x, _) in zip(joint, here, strict=True)
        ]
        result.append(mp.fsum(below) / mp.fsum(joint))
        joint = [
            w * mp.exp(-(x**2) / 2) / scale
            for w, (x, scale) in zip(joint, here, strict=True)
        ]
    return result


def path(value, parameters, name, index):
    """dz at fixed transform, for one entry of one parameter."""
    size = len(value)

    def moved_by_value(j):
        def at(x):
            return transform(
                [x if i == j else v for i, v in enumerate(value)], **parameters
            )

        return _diff(at, value[j], size)

    def by_parameter(x):
        return transform(
            value, **{**parameters, name: _replaced(parameters[name], index, x)}
        )

    jacobian = mp.matrix(size, size)
    for j in range(size):
        column = moved_by_value(j)
        for i in range(size):
            jacobian[i, j] = column[i]
    slope = _diff(by_parameter, _entry(parameters[name], index), size)
    return -mp.lu_solve(jacobian, mp.matrix(slope))


def _diff(function, point, size):
    return [mp.diff(lambda x, i=i: function(x)[i], point) for i in range(size)]


def _scores(value, loc, scale_tril):
    scores = []
    for i, row in enumerate(scale_tril):
        known = mp.fsum(row[j] * scores[j][0] for j in range(i))
        scores.append(((mp.mpf(value[i]) - loc[i] - known) / row[i], row[i]))
    return scores


def _weights(logits):
    powers = [mp.exp(mp.mpf(x)) for x in logits]
    return [p / mp.fsum(powers) for p in powers]


def _entry(nested, index):
    for i in index:
        nested = nested[i]
    return nested


def _replaced(nested, index, x):
    if not index:
        return x
    new = list(nested)
    new[index[0]] = _replaced(new[index[0]], index[1:], x)
    return new
