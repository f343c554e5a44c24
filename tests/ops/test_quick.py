# SPDX-License-Identifier: Apache-2.0
"""Quick ways are the same functions: against the formulas, and mpmath."""

import mpmath as mp
import pytest
import torch

from pyro_reparam_ext import distributions as D
from pyro_reparam_ext.ops import in_parts, quick_map, quick_mills
from pyro_reparam_ext.ops.bessel import one_minus_bessel_ratio
from pyro_reparam_ext.ops.quick_von_mises import quick_one_minus_bessel_ratio


def formula(eps, loc, scale):
    return loc + scale.square() * eps


def partials(eps, loc, scale):
    return torch.ones_like(eps), 2 * scale * eps


def gradients(function, loc, scale, eps):
    loc, scale = (x.clone().requires_grad_() for x in (loc, scale))
    weight = torch.linspace(-1, 1, eps.shape[0], dtype=eps.dtype)
    weight = weight.reshape(-1, *[1] * (eps.dim() - 1))
    total = (weight * function(eps, loc, scale).square()).sum()
    first = torch.autograd.grad(total, (loc, scale), create_graph=True)
    second = torch.autograd.grad(first[1].sum(), (loc, scale), retain_graph=True)
    plain = torch.autograd.grad(total, (loc, scale))
    return [*first, *second, *plain]


@pytest.mark.parametrize(
    ("shape", "loc", "scale"),
    [
        ((7,), (), ()),
        ((7, 3), (3,), (1,)),
        ((100_000,), (), (1,)),
        ((50_000, 2), (2,), (1, 1)),
        ((0, 2), (2,), ()),
    ],
    ids=str,
)
def test_a_quick_map_differentiates_as_its_formula(shape, loc, scale):
    torch.manual_seed(0)
    eps, loc, scale = (torch.randn(s, dtype=torch.float64) for s in (shape, loc, scale))
    expected = gradients(formula, loc, scale, eps)

    def quick(*arguments):
        return quick_map(formula, formula, partials, *arguments)

    for ours, theirs in zip(gradients(quick, loc, scale, eps), expected, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_only_gradients_that_are_asked_for():
    eps, loc = torch.ones(3), torch.zeros((), requires_grad=True)
    z = quick_map(formula, formula, partials, eps, loc, torch.ones(3))
    assert torch.autograd.grad(z.sum(), loc)[0] == 3
    same = quick_map(formula, formula, partials, eps, loc, loc)
    assert torch.autograd.grad(same.sum(), loc)[0] == 3


def test_parts_are_joined_in_order():
    x = torch.arange(200_000.0).reshape(2, -1)
    (found,) = in_parts(lambda x, y: (x + y,), x, torch.ones(1, 1))
    assert torch.equal(found, x + 1)


@pytest.mark.parametrize(
    ("dtype", "bound"), [(torch.float64, 2e-14), (torch.float32, 5e-7)], ids=str
)
def test_mills_ratio_by_polynomials(dtype, bound):
    x = torch.cat([torch.linspace(0, 12, 50), torch.logspace(-3, 2.5, 50)]).to(dtype)
    for point, ratio, complement in zip(x, *quick_mills(x), strict=True):
        with mp.workdps(60):
            z = mp.mpf(point.item())
            exact = mp.sqrt(mp.pi / 2) * mp.erfc(z / mp.sqrt(2)) * mp.exp(z * z / 2)
            assert abs(ratio.item() / exact - 1) < bound
            assert abs(complement.item() / (1 - z * exact) - 1) < bound


@pytest.mark.parametrize(
    ("dtype", "bound"), [(torch.float64, 2e-13), (torch.float32, 3e-6)], ids=str
)
def test_ratio_of_bessel_functions_by_a_polynomial(dtype, bound):
    x = torch.logspace(-4, 8, 200).to(dtype)
    found, exact = quick_one_minus_bessel_ratio(x), one_minus_bessel_ratio(x.double())
    torch.testing.assert_close(found.double(), exact, rtol=bound, atol=0.0)


@pytest.mark.parametrize(
    ("dtype", "bound"), [(torch.float64, 1e-12), (torch.float32, 2e-5)], ids=str
)
@pytest.mark.parametrize(
    "make",
    [
        lambda x: D.VonMises(0.5 * x, x),
        lambda x: D.InverseGaussian(torch.ones_like(x), x),
    ],
    ids=["VonMises", "InverseGaussian"],
)
def test_quick_gradients_are_those_to_be_differentiated_again(make, dtype, bound):
    torch.manual_seed(0)
    d = make(torch.logspace(-2, 3, 1000).to(dtype))
    z = d.sample((50,))
    quick, exact = d.quick_gradient(z), d.sample_gradient(z)
    for name, gradient in exact.items():
        torch.testing.assert_close(quick[name], gradient, rtol=bound, atol=bound)


@pytest.mark.parametrize(
    ("make", "parameters"),
    [
        (D.GeneralizedPareto, (0.3, 2.0, -0.4)),
        (D.GeneralizedPareto, (0.3, 2.0, 0.0)),
        (D.GeneralizedPareto, (0.3, 2.0, 3.0)),
        (D.Kumaraswamy, (0.05, 3.0)),
        (D.Kumaraswamy, (3.0, 0.2)),
        (D.TruncatedNormal, (0.3, 2.0, -1.0, 2.0)),
        (D.TruncatedNormal, (0.3, 2.0, 0.5, 30.0)),
        (D.TruncatedNormal, (0.3, 2.0, -40.0, 0.1)),
        (D.TruncatedNormal, (0.3, 2.0, 9.0, 10.0)),
    ],
)
def test_quick_draws_and_gradients_are_those_of_the_formula(make, parameters):
    """Outside of torch.func the quick way, inside the formula."""
    parameters = torch.tensor(parameters, dtype=torch.float64)
    torch.manual_seed(0)
    eps = make(*parameters).noise().sample((50_000,))

    def total(parameters):
        return make(*parameters).transport(eps).sum()

    there = parameters.clone().requires_grad_()
    value = total(there)
    (quick,) = torch.autograd.grad(value, there)
    slow, exact = torch.func.grad_and_value(total)(parameters)
    torch.testing.assert_close(value.detach(), exact, rtol=1e-12, atol=0.0)
    torch.testing.assert_close(quick, slow, rtol=1e-11, atol=0.0)
