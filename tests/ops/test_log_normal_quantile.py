# SPDX-License-Identifier: Apache-2.0
"""The normal quantile of a log-probability, against arbitrary precision."""

import mpmath as mp
import pytest
import torch

from pyro_reparam_ext.ops import log_normal_quantile

GRID = (-1e-300, -1e-20, -1e-8, -0.01, -0.3, -0.7, -1.0, -5.0, -50.0)
GRID += (-299.0, -301.0, -745.0, -1e4, -1e10)


def log_tail(x):
    return mp.log(mp.erfc(-x / mp.sqrt(2)) / 2)


def mills(x):
    return mp.sqrt(mp.pi / 2) * mp.exp(x * x / 2) * mp.erfc(-x / mp.sqrt(2))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("given", GRID)
def test_value_and_derivatives(given, dtype):
    log_p = torch.tensor(given, dtype=dtype, requires_grad=True)
    x = log_normal_quantile(log_p)
    (first,) = torch.autograd.grad(x, log_p, create_graph=True)
    (second,) = torch.autograd.grad(first, log_p)
    eps = torch.finfo(dtype).eps
    with mp.workdps(60):
        p = mp.mpf(log_p.item())
        if p == 0:  # below the smallest number of the dtype
            assert x.item() == float("inf")
            return
        start = mp.mpf(x.item())
        if p < -mp.log(2):
            root = mp.findroot(lambda t: log_tail(t) - p, start)
        else:
            root = mp.findroot(lambda t: log_tail(-t) - mp.log(-mp.expm1(p)), start)
        assert abs(start - root) <= 4 * eps * (abs(root) + 0.125)
        ratio = mills(root)
        slack = 16 * eps * (1 + root**2)
        assert abs(first.item() / ratio - 1) <= slack
        curvature = ratio * (1 + root * ratio)
        if curvature < torch.finfo(dtype).max:
            assert abs(second.item() / curvature - 1) <= 16 * slack


def test_second_derivatives_by_differences():
    log_p = torch.tensor([-1e-3, -0.5, -2.0, -40.0], dtype=torch.float64)
    log_p.requires_grad_()
    assert torch.autograd.gradcheck(log_normal_quantile, log_p)
    assert torch.autograd.gradgradcheck(log_normal_quantile, log_p)


def test_vmap():
    log_p = -torch.rand(5).exp()
    slope = torch.func.vmap(torch.func.grad(log_normal_quantile))(log_p)
    assert (slope > 0).all()
