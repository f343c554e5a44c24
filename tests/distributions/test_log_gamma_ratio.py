# SPDX-License-Identifier: Apache-2.0
"""Differences of log Gamma against arbitrary precision, with two derivatives."""

import mpmath as mp
import pytest
import torch

from pyro_reparam_ext.ops import log_gamma_ratio

POINTS = [(1e-3, 0.5), (0.5, 0.5), (0.3, 3.0), (20.0, -0.5), (11.9, 0.5), (1e6, 2.5)]


@pytest.mark.parametrize(("x", "step"), [*POINTS, (1e12, 0.5), (2.0, 1e3)])
def test_value_and_derivatives(x, step):
    leaves = [
        torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in (x, step)
    ]
    value = log_gamma_ratio(*leaves)
    by_x, by_step = torch.autograd.grad(value, leaves, create_graph=True)
    (second,) = torch.autograd.grad(by_x, leaves[0])
    with mp.workdps(40):
        a, b = mp.mpf(x), mp.mpf(x) + mp.mpf(step)
        expected = [
            (value, mp.loggamma(b) - mp.loggamma(a), 1e-14),
            (by_x, mp.digamma(b) - mp.digamma(a), 1e-11),
            (by_step, mp.digamma(b), 1e-13),
            (second, mp.polygamma(1, b) - mp.polygamma(1, a), 1e-9),
        ]
        for found, exact, tolerance in expected:
            # beside the rounding of the two terms where they are small
            rounding = 4e-16 * max(1, 1 / a if found is not value else 1)
            assert abs(found.item() - exact) <= tolerance * abs(exact) + rounding
