# SPDX-License-Identifier: Apache-2.0
"""Quantiles of the Gamma and Beta laws against arbitrary precision."""

import itertools

import mpmath as mp
import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from pyro_reparam_ext.ops import (
    log_beta_density,
    log_beta_quantile,
    log_gamma_density,
    log_gamma_quantile,
)

LOGS = (-500.0, -30.0, -3.0, -0.7, -0.3)
SIZES = (1e-3, 0.1, 1.0, 2.5, 300.0)


def double(*values):
    return [torch.tensor(v, dtype=torch.float64) for v in values]


def error(tail, slope, log_p, root):
    """Of the log-tail, over its size and what the rounding of the root does to it."""
    return float(abs(tail - log_p) / (1 + abs(log_p) + slope * (1 + abs(root))))


@pytest.mark.parametrize("upper", [False, True])
@pytest.mark.parametrize("a", SIZES)
def test_gamma(a, upper):
    a, log_p = double(a, LOGS)
    roots = log_gamma_quantile(a, log_p, torch.tensor(upper))
    slopes = (log_gamma_density(a, roots) - log_p).exp()
    with mp.workdps(60):
        for level, root, slope in zip(LOGS, roots.tolist(), slopes, strict=True):
            x = mp.mpf(a.item()) * mp.exp(mp.mpf(root))
            ends = (x, mp.inf) if upper else (0, x)
            tail = mp.log(mp.gammainc(a.item(), *ends, regularized=True))
            assert error(tail, slope.item(), level, root) < 1e-12


@pytest.mark.parametrize("upper", [False, True])
@pytest.mark.parametrize(("a", "b"), [*itertools.product(SIZES, (0.1, 2.5, 30.0))])
def test_beta(a, b, upper):
    a, b, log_p = double(a, b, LOGS)
    roots = log_beta_quantile(a, b, log_p, torch.tensor(upper))
    ends = (torch.nn.functional.logsigmoid(s * roots) for s in (1, -1))
    slopes = (log_beta_density(a, b, *ends) - log_p).exp()
    with mp.workdps(300):  # of 1 - x too
        for level, root, slope in zip(LOGS, roots.tolist(), slopes, strict=True):
            if abs(root) > 500:
                continue
            x = 1 / (1 + mp.exp(-mp.mpf(root)))
            parts = (b.item(), a.item(), 1 - x) if upper else (a.item(), b.item(), x)
            tail = mp.log(mp.betainc(*parts[:2], 0, parts[2], regularized=True))
            assert error(tail, slope.item(), level, root) < 1e-12


@pytest.mark.parametrize("upper", [False, True])
@pytest.mark.parametrize(
    ("quantile", "arguments"),
    [
        (log_gamma_quantile, ([0.3, 2.0, 40.0],)),
        (log_beta_quantile, ([0.3, 2.0, 9.0], [0.6, 14.0, 3.0])),
    ],
)
def test_first_and_second_derivatives(quantile, arguments, upper):
    inputs = tuple(t.requires_grad_() for t in double(*arguments, [-0.4, -2.0, -9.0]))
    side = torch.tensor(upper)

    def function(*inputs):
        return quantile(*inputs, side)

    assert gradcheck(function, inputs, rtol=1e-5)
    assert gradgradcheck(function, inputs, rtol=1e-5)
