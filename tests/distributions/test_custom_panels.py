# SPDX-License-Identifier: Apache-2.0
"""Where the mass of a custom density is, found once for each distribution."""

import copy
import pickle

import pytest
import torch
from torch.distributions import constraints

from pyro_reparam_ext.distributions.custom import from_density

CALLS = []


def log_wells(value, depth):
    CALLS.append(value.shape)
    return -depth * (value**2 - 1) ** 2


Wells = from_density(
    "Wells", log_wells, arg_constraints={"depth": constraints.positive}
)
VALUES = torch.linspace(-1.5, 1.5, 5)


def calls(function):
    CALLS.clear()
    function()
    return len(CALLS)


def test_panels_are_placed_once():
    d = Wells(torch.tensor([1.0, 30.0]))
    first, second = calls(d.sample), calls(d.sample)
    assert second <= first - 11
    assert calls(lambda: d.log_prob(torch.zeros(2))) <= 4


def test_gradient_shares_the_panels():
    depth = torch.tensor([1.0, 30.0], requires_grad=True)
    d = Wells(depth)
    z = d.rsample((3,))
    assert calls(lambda: torch.autograd.grad(z.sum(), depth)) < 11


def test_changes_in_place_are_noticed():
    depth = torch.tensor(1.0)
    d = Wells(depth)
    before = d.log_prob(VALUES)
    depth.fill_(1e4)
    torch.testing.assert_close(d.log_prob(VALUES), Wells(1e4).log_prob(VALUES))
    depth.fill_(1.0)
    torch.testing.assert_close(d.log_prob(VALUES), before)


def test_repeated_backward_passes():
    depth = torch.tensor(2.0, requires_grad=True)
    d = Wells(depth)
    found = [torch.autograd.grad(d.log_prob(VALUES).sum(), depth)[0] for _ in range(2)]
    assert torch.equal(*found)


@pytest.mark.parametrize(
    "copied",
    [copy.copy, copy.deepcopy, lambda d: pickle.loads(pickle.dumps(d))],
    ids=["copy", "deepcopy", "pickle"],
)
def test_copies_and_expansions_have_panels_of_their_own(copied):
    d = Wells(torch.tensor([1.0, 30.0]))
    expected = d.log_prob(VALUES.unsqueeze(-1))
    torch.testing.assert_close(copied(d).log_prob(VALUES.unsqueeze(-1)), expected)
    wide = d.expand((3, 2))
    assert wide.sample().shape == (3, 2)
    torch.testing.assert_close(wide.log_prob(VALUES[:3, None]), expected[:3])


def test_under_transformations_nothing_is_kept():
    depths = torch.tensor([0.5, 2.0, 40.0])
    d = Wells(torch.tensor(2.0), validate_args=False)
    d.sample()

    def log_prob(depth):
        return d.with_parameters({"depth": depth}).log_prob(VALUES)

    found = torch.func.vmap(log_prob)(depths)
    expected = Wells(depths).log_prob(VALUES.unsqueeze(-1)).T
    torch.testing.assert_close(found, expected)
    slope = torch.func.vmap(torch.func.grad(lambda x: log_prob(x).sum()))(depths)
    leaf = depths.clone().requires_grad_()
    total = Wells(leaf).log_prob(VALUES.unsqueeze(-1)).sum()
    torch.testing.assert_close(slope, torch.autograd.grad(total, leaf)[0])
    assert calls(d.sample) < 11
