# SPDX-License-Identifier: Apache-2.0
"""Mixtures of multivariate Student laws: the path in every parameter."""

import mpmath as mp
import pyro.distributions as dist
import pytest
import torch

from pyro_reparam_ext import distributions as D
from pyro_reparam_ext.distributions.mixture_components import StudentComponents
from tests.distributions.test_normal_mixture import (
    LOC,
    LOGITS,
    SCALE_TRIL,
    VALUE,
    discrepancy,
    leaves,
    mixture,
)

DF = torch.tensor([1.5, 4.0, 9.0], dtype=torch.float64)


def student_mixture(logits, df, loc, scale_tril):
    return D.MixtureSameFamily(
        dist.Categorical(logits=logits),
        dist.MultivariateStudentT(df, loc, scale_tril),
    )


def transform(value, logits, df, loc, scale_tril):
    """The distributional transform, by marginals: mpmath integrates nothing else."""
    joint = [mp.exp(x) for x in logits]
    result = []
    for i in range(len(value)):
        below, density = [], []
        for k, w in enumerate(joint):
            scores = []
            for j in range(i + 1):
                known = mp.fsum(scale_tril[k][j][m] * scores[m] for m in range(j))
                scores.append((value[j] - loc[k][j] - known) / scale_tril[k][j][j])
            nu = df[k] + i
            total = df[k] + mp.fsum(r**2 for r in scores[:i])
            spread = mp.sqrt(total / nu)
            x = scores[i] / spread
            tail = mp.betainc(nu / 2, mp.mpf(1) / 2, 0, nu / (nu + x**2), True) / 2
            below.append(w * (tail if x < 0 else 1 - tail))
            height = (1 + x**2 / nu) ** (-(nu + 1) / 2)
            height /= mp.sqrt(nu) * mp.beta(mp.mpf(1) / 2, nu / 2)
            density.append(w * height / (spread * scale_tril[k][i][i]))
        result.append(mp.fsum(below) / mp.fsum(joint))
        joint = density
    return result


def nested(tensor):
    if tensor.dim() == 0:
        return mp.mpf(tensor.item())
    return [nested(t) for t in tensor]


def directional_error(value):
    """The derivative along a direction of all parameters, against differences."""
    parameters = leaves(LOGITS, DF, LOC, SCALE_TRIL)
    directions = [
        torch.sin(torch.arange(p.numel()) + 1.0).double().reshape(p.shape)
        for p in parameters
    ]
    directions[-1] = directions[-1].tril()
    attached = student_mixture(*parameters).attach_gradient(value)
    worst = 0.0
    with mp.workdps(40):
        where = nested(value)

        def at(t, z):
            there = [nested(p.detach()) for p in parameters]
            there = [
                _moved(a, nested(d), t) for a, d in zip(there, directions, strict=True)
            ]
            return transform(z, *there)

        size = len(where)
        jacobian = mp.matrix(size, size)
        for j in range(size):
            for i in range(size):
                jacobian[i, j] = mp.diff(
                    lambda x, i=i, j=j: at(0, [*where[:j], x, *where[j + 1 :]])[i],
                    where[j],
                )
        slope = [mp.diff(lambda t, i=i: at(t, where)[i], 0) for i in range(size)]
        solved = -mp.lu_solve(jacobian, mp.matrix(slope))
        for i in range(size):
            found = torch.autograd.grad(attached[i], parameters, retain_graph=True)
            along = sum((g * d).sum() for g, d in zip(found, directions, strict=True))
            worst = max(worst, float(abs(along.item() / solved[i] - 1)))
    return worst


def _moved(start, direction, t):
    if isinstance(start, list):
        return [_moved(a, d, t) for a, d in zip(start, direction, strict=True)]
    return start + t * direction


def test_path_in_arbitrary_precision():
    assert directional_error(VALUE) < 1e-10
    assert directional_error(20 * VALUE) < 1e-10


@pytest.mark.parametrize("forgotten", ["own", "weights"])
def test_a_term_left_out_of_the_solve_is_caught(forgotten, monkeypatch):
    kept = StudentComponents.feedback

    def feedback(self, points, tensors, shift, responsibility, slope):
        if forgotten == "own":
            responsibility = torch.zeros_like(responsibility)
        else:
            shift = torch.zeros_like(shift)
        return kept(self, points, tensors, shift, responsibility, slope)

    monkeypatch.setattr(StudentComponents, "feedback", feedback)
    assert directional_error(VALUE) > 1e-3


def test_many_degrees_of_freedom_are_normal():
    gradients = []
    for make in (
        mixture,
        lambda *p: student_mixture(p[0], torch.full_like(DF, 1e9), *p[1:]),
    ):
        parameters = leaves(LOGITS, LOC, SCALE_TRIL)
        z = make(*parameters).attach_gradient(VALUE)
        gradients.append(torch.autograd.grad(z.tanh().sum(), parameters))
    torch.testing.assert_close(*gradients, rtol=1e-6, atol=1e-7)


def test_gradient_of_an_expectation():
    parameters = leaves(LOGITS, 4 + DF, LOC[:, :2], 0.5 * SCALE_TRIL[:, :2, :2])

    def make(logits, df, loc, scale_tril):
        return student_mixture(logits, df, loc, scale_tril.tril())

    # 5 sigma of a t law with 24 degrees of freedom: failure probability 4e-5
    assert max(discrepancy(make, parameters, "bump", draws=1000)) <= 5


def test_expanded_in_float32():
    parameters = [t.float().requires_grad_() for t in (LOGITS, DF, LOC, SCALE_TRIL)]
    z = student_mixture(*parameters).expand((2,)).rsample((4,))
    assert z.shape == (4, 2, 3)
    found = torch.autograd.grad(z.sin().sum(), parameters)
    assert all(g.isfinite().all() and g.dtype == torch.float32 for g in found)
