# SPDX-License-Identifier: Apache-2.0
"""Mixtures of normals: the parameters are sequences, one entry a component."""

import mpmath as mp


def log_prob(value, logits, loc, scale):
    z = mp.mpf(value)
    terms = [
        w * mp.exp(-(((z - m) / s) ** 2) / 2) / (s * mp.sqrt(2 * mp.pi))
        for w, m, s in zip(_weights(logits), loc, scale, strict=True)
    ]
    return mp.log(mp.fsum(terms))


def cdf(value, logits, loc, scale):
    z = mp.mpf(value)
    terms = [
        w * mp.erfc((mp.mpf(m) - z) / (s * mp.sqrt(2))) / 2
        for w, m, s in zip(_weights(logits), loc, scale, strict=True)
    ]
    return mp.fsum(terms)


def _weights(logits):
    powers = [mp.exp(mp.mpf(x)) for x in logits]
    return [p / mp.fsum(powers) for p in powers]
