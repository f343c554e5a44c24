# SPDX-License-Identifier: Apache-2.0
"""Mixtures of correlated normals against arbitrary precision, between far components.

The path is the solution of the triangular system of numerical derivatives of the
distributional transform.
"""

import itertools

import mpmath as mp
import pytest
import torch

from tests.distributions.test_normal_mixture import mixture
from tests.references import normal_mixture

FAR = {
    "ordinary": ([0.1, 0.5], [[0.1, 0.5], [-0.8, 0.2]], 0.3, [0.4, -1.2]),
    "between": ([0.0, 1.0], [[-9.0, 0.0], [9.0, 3.0]], 0.3, [0.5, 1.0]),
    "beyond": ([0.0, -2.0], [[0.0, 0.0], [1.0, -1.0]], -0.8, [14.0, -9.0]),
    "other side": ([0.0, -2.0], [[0.0, 0.0], [1.0, -1.0]], 0.8, [-14.0, 9.0]),
    "thin": ([0.3, 0.0], [[0.0, 0.0], [0.5, 0.5]], 0.9998, [0.25, 0.3]),
}


def nested(tensor):
    if tensor.dim() == 0:
        return mp.mpf(tensor.item())
    return [nested(t) for t in tensor]


def path_errors(point, dtype):
    """Worst errors of dz/dtheta for each parameter, relative to its largest entry,
    and of the log-density.
    """
    logits, loc, correlation, value = FAR[point]
    triangle = [[1.0, 0.0], [correlation, (1 - correlation**2) ** 0.5]]
    tensors = {
        "logits": torch.tensor(logits, dtype=dtype),
        "loc": torch.tensor(loc, dtype=dtype),
        "scale_tril": torch.tensor([triangle, [[1.2, 0.0], [-0.4, 0.7]]], dtype=dtype),
    }
    tensors = {n: t.requires_grad_() for n, t in tensors.items()}
    value = torch.tensor(value, dtype=dtype)
    ours = mixture(*tensors.values())
    attached = ours.attach_gradient(value)
    errors = {}
    with mp.workdps(110):
        known = {n: nested(t.detach()) for n, t in tensors.items()}
        where = nested(value)
        expected = normal_mixture.log_prob(where, **known)
        error = abs(mp.mpf(ours.log_prob(value).item()) - expected)
        errors["log_prob"] = float(error / max(1, abs(expected)))
        found = [
            torch.autograd.grad(z, list(tensors.values()), retain_graph=True)
            for z in attached
        ]
        for k, (name, tensor) in enumerate(tensors.items()):
            indices = itertools.product(*map(range, tensor.shape))
            pairs = []
            for index in indices:
                if name == "scale_tril" and index[1] < index[2]:
                    continue
                solved = normal_mixture.path(where, known, name, index)
                pairs += [(found[i][k][index], solved[i]) for i in range(2)]
            size = max(abs(e) for _, e in pairs)
            worst = max(abs(mp.mpf(f.item()) - e) for f, e in pairs)
            errors[name] = float(worst / size)
    return errors


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("point", FAR)
def test_path_in_arbitrary_precision(point, dtype):
    errors = path_errors(point, dtype)
    log_prob = errors.pop("log_prob")
    double = dtype == torch.float64
    assert log_prob <= (1e-12 if double else 1e-5)
    assert all(e <= (1e-8 if double else 1e-4) for e in errors.values()), errors
