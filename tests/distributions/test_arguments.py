# SPDX-License-Identifier: Apache-2.0
"""What is no distribution, tensor or shape is told as such, and what to give."""

import re

import pyro.distributions as dist
import pytest
import torch

from pyro_reparam_ext import distributions as D

TWO = torch.zeros(2)
LOPSIDED = torch.tensor([[1.0, 0.5], [0.0, 1.0]])
WRONG = {
    "a list": (lambda: D.Dirichlet([1.0, 2.0]), "must be a tensor; found list"),
    "a number for a base": (lambda: D.Truncated(3.0), "distribution; found float"),
    "bounds of another shape": (
        lambda: D.Truncated(dist.Normal(TWO, 1.0), torch.zeros(3)),
        "batch shape (2,), low has shape (3,)",
    ),
    "one component": (
        lambda: D.MixtureSameFamily(dist.Categorical(TWO + 1), dist.Normal(0.0, 1.0)),
        "found batch shape () of Normal",
    ),
    "a number for a shape": (lambda: D.SphericalUniform(3, 2), "Give (2,)"),
    "one row": (lambda: D.AngularCentralGaussian(torch.ones(1, 1)), "found (1, 1)"),
    "no symmetry": (lambda: D.Wishart(3.0, LOPSIDED), "or not symmetric"),
    "no symmetry of a scale": (
        lambda: D.InverseWishart(3.0, scale_matrix=LOPSIDED),
        "or not symmetric",
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_error_says_what_is_wrong(what):
    make, says = WRONG[what]
    with pytest.raises((TypeError, ValueError), match=re.escape(says)):
        make()
