# SPDX-License-Identifier: Apache-2.0
"""What only the Dirichlet distribution has."""

import mpmath as mp
import pytest
import torch
import torch.distributions as td
from torch.distributions import kl_divergence

from pyro_reparam_ext import distributions as D
from tests.references import beta_family


def test_two_elements_are_a_beta_variate():
    alpha = torch.tensor([0.7, 3.0], dtype=torch.float64, requires_grad=True)
    x = torch.tensor([0.1, 0.4, 0.9], dtype=torch.float64)
    value = torch.stack([x, 1 - x], -1)
    for i in range(3):
        z = D.Dirichlet(alpha).attach_gradient(value[i])
        (actual,) = torch.autograd.grad(z[0], alpha)
        expected = D.Beta(*alpha.detach()).sample_gradient(x[i])
        assert torch.allclose(actual, torch.stack(list(expected.values())), rtol=1e-9)


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)], ids=str
)
def test_log_prob_against_arbitrary_precision(dtype, tolerance):
    for alpha in ([2.0, 1.5, 3.0], [1e-3, 0.2, 1.0], [3e4, 5e3, 20.0]):
        concentration = torch.tensor(alpha, dtype=dtype)
        value = concentration / concentration.sum() + torch.tensor([0.01, 0.0, -0.01])
        value = value.clamp(min=1e-3)
        value = (value / value.sum()).to(dtype)
        actual = D.Dirichlet(concentration, validate_args=False).log_prob(value)
        with mp.workdps(40):
            expected = beta_family.dirichlet.log_prob(
                [mp.mpf(x) for x in value.tolist()], concentration.tolist()
            )
            error = abs(mp.mpf(actual.item()) - expected)
            assert error <= tolerance * max(1, abs(expected))


def test_small_concentrations_are_at_the_corners():
    torch.manual_seed(0)
    alpha = torch.full((3,), 1e-3)
    z = D.Dirichlet(alpha).sample((20_000,))
    # torch draws (1/3, 1/3, 1/3) for one in eight
    assert (z.amax(-1) > 0.9).double().mean() > 0.98
    log_z = D.Dirichlet(alpha).rsample_log((20_000,))
    assert log_z.isfinite().all()
    exact = D.Dirichlet(alpha).mean_log
    error = 5 * log_z.double().std(0) / 20_000**0.5
    assert ((log_z.double().mean(0) - exact).abs() < error).all()


def test_path_of_logs_is_that_of_the_value():
    alpha = torch.tensor([0.7, 3.0, 1.2], dtype=torch.float64, requires_grad=True)
    weight = torch.tensor([0.3, -1.0, 2.0], dtype=torch.float64)
    torch.manual_seed(0)
    log_z = D.Dirichlet(alpha).rsample_log((4,))
    torch.manual_seed(0)
    z = D.Dirichlet(alpha).rsample((4,))
    assert torch.allclose(log_z.exp(), z, rtol=1e-14)
    one = torch.autograd.grad((log_z.exp() * weight).sum(), alpha)[0]
    other = torch.autograd.grad((z * weight).sum(), alpha)[0]
    assert torch.allclose(one, other, rtol=1e-9)


def test_moments_and_divergences_agree_with_torch():
    alpha = torch.tensor([[0.7, 3.0, 1.2], [20.0, 2.0, 14.0]], dtype=torch.float64)
    ours, theirs = D.Dirichlet(alpha), td.Dirichlet(alpha)
    for what in ("mean", "variance", "mode"):
        assert torch.allclose(getattr(ours, what), getattr(theirs, what)), what
    assert torch.allclose(ours.entropy(), theirs.entropy(), rtol=1e-12)
    other = alpha.flip(0)
    expected = kl_divergence(theirs, td.Dirichlet(other))
    for q in (D.Dirichlet(other), td.Dirichlet(other)):
        assert torch.allclose(kl_divergence(ours, q), expected, rtol=1e-12)
    assert torch.allclose(kl_divergence(theirs, D.Dirichlet(other)), expected)


def test_one_element_is_refused():
    with pytest.raises(ValueError, match="at least two elements"):
        D.Dirichlet(torch.ones(1))
