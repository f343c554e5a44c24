# SPDX-License-Identifier: Apache-2.0
"""Laws on the sphere against arbitrary precision and their known expectations."""

import mpmath as mp
import pytest
import torch

from pyro_reparam_ext import distributions as D
from pyro_reparam_ext.testing import DistributionCase, check_distribution
from tests.directional_cases import around
from tests.references import directional

GRADIENT = {torch.float64: 1e-8, torch.float32: 1e-4}
VALUE = {torch.float64: 1e-12, torch.float32: 1e-5}
every_dtype = pytest.mark.parametrize("dtype", list(GRADIENT), ids=str)
CLASSES = [D.VonMisesFisher, D.PowerSpherical]
every_class = pytest.mark.parametrize("cls", CLASSES)
DIMS = [2, 3, 5, 20, 128]
POINTS = [
    *((2, 1e-3), (2, 30.0), (3, 0.3), (3, 1e4), (5, 1e-3), (5, 2.0)),
    *((20, 30.0), (128, 2.0), (128, 1e4)),
]
every_point = pytest.mark.parametrize(("dim", "concentration"), POINTS)
DIRECTIONS = ["pole", "antipode", "generic"]


def direction(name, dim, dtype=torch.float64):
    if name == "generic":
        generator = torch.Generator().manual_seed(dim)
        loc = torch.randn(dim, generator=generator, dtype=torch.float64)
        return (loc / loc.norm()).to(dtype)
    loc = torch.zeros(dim, dtype=dtype)
    loc[0] = 1.0 if name == "pole" else -1.0
    return loc


def exact_path(reference, value, loc, concentration):
    """dz/dκ at a fixed quantile."""
    theta = directional.angle(value, loc)
    slope = reference.slope(theta, len(loc), concentration)
    z, mu = directional.unit(value), directional.unit(loc)
    return [slope * (mp.cos(theta) * x - y) for x, y in zip(z, mu, strict=True)]


@every_dtype
@every_class
@every_point
def test_pathwise_derivative_in_the_concentration(cls, dim, concentration, dtype):
    torch.manual_seed(0)
    reference = getattr(directional, cls.__name__)
    for name in DIRECTIONS:
        loc = direction(name, dim, dtype)
        kappa = torch.tensor(concentration, dtype=dtype, requires_grad=True)
        d = cls(loc, kappa)
        value = d.sample()
        weight = torch.randn(dim, dtype=dtype)
        (found,) = torch.autograd.grad((d.attach_gradient(value) * weight).sum(), kappa)
        with mp.workdps(25):
            path = exact_path(reference, value.tolist(), loc.tolist(), kappa.item())
            terms = [x * w for x, w in zip(path, weight.tolist(), strict=True)]
            size = mp.sqrt(mp.fsum(t**2 for t in terms))
            error = abs(mp.mpf(found.item()) - mp.fsum(terms))
        assert error <= GRADIENT[dtype] * size, name


@every_dtype
@every_class
@every_point
def test_log_prob(cls, dim, concentration, dtype):
    torch.manual_seed(0)
    reference = getattr(directional, cls.__name__)
    for name in DIRECTIONS:
        loc = direction(name, dim, dtype)
        kappa = torch.tensor(concentration, dtype=dtype)
        d = cls(loc, kappa)
        values = torch.stack([d.sample(), direction("generic", dim, dtype)])
        found = d.log_prob(values)
        for value, log_prob in zip(values.tolist(), found.tolist(), strict=True):
            with mp.workdps(40):
                expected = reference.log_prob(value, loc.tolist(), kappa.item())
            assert abs(log_prob - expected) <= VALUE[dtype] * max(1, abs(expected))


@every_class
@pytest.mark.parametrize("name", DIRECTIONS)
@pytest.mark.parametrize("dim", DIMS)
@pytest.mark.parametrize("concentration", [1.0, 30.0])
def test_gradient_of_expectations(cls, dim, concentration, name):
    r"""Of :math:`<c, z>` and its square, in both parameters, within 5σ."""
    torch.manual_seed(0)
    n = 20_000 if dim < 20 else 2_000
    reference = getattr(directional, cls.__name__)
    loc = direction(name, dim).expand(n, dim).clone().requires_grad_()
    kappa = torch.full((n,), concentration, dtype=torch.float64, requires_grad=True)
    c = torch.linspace(1.0, -0.5, dim, dtype=torch.float64)
    c = c / c.norm()
    along = (cls(loc, kappa).rsample() * c).sum(-1)
    mu = direction(name, dim)
    cosine = float((c * mu).sum())
    tangent = c - cosine * mu
    with mp.workdps(30):
        first, by_first = value_and_slope(
            lambda k: reference.resultant(dim, k), concentration
        )
        # E sin^2 / (d - 1), the variance across the mean direction
        across, by_across = value_and_slope(
            lambda k: reference.across(dim, k), concentration
        )
    for f, by_kappa, by_loc in (
        (along, cosine * by_first, first * tangent),
        # the covariance is across I + (1 - d across) loc loc^T - mean mean^T
        (
            along.square(),
            by_across * (1 - dim * cosine**2),
            2 * cosine * (1 - dim * across) * tangent,
        ),
    ):
        found = torch.autograd.grad(f.sum(), [kappa, loc], retain_graph=True)
        for terms, expected in zip(found, (by_kappa, by_loc), strict=True):
            error = terms.std(0) / n**0.5
            away = (terms.mean(0) - expected).abs()
            assert (away <= 5 * error + 1e-9).all()


def value_and_slope(function, x):
    return float(function(x)), float(mp.diff(function, x))


@every_class
def test_gradient_in_the_mean_direction_is_tangential(cls):
    torch.manual_seed(0)
    loc = direction("generic", 4).requires_grad_()
    z = cls(loc, 3.0).rsample((5,))
    (by_loc,) = torch.autograd.grad(z.sum(), loc)
    assert abs(float((by_loc * loc.detach()).sum())) < 1e-12


@every_dtype
@every_class
def test_draws_stay_finite_and_inside(cls, dtype):
    torch.manual_seed(0)
    concentration = torch.tensor([1e-30, 1e-3, 1.0, 1e4, 1e14], dtype=dtype)
    for dim in (2, 3, 128):
        for name in DIRECTIONS:
            loc = direction(name, dim, dtype)
            leaf = concentration.clone().requires_grad_()
            z = cls(loc, leaf).rsample((500,))
            assert z.dtype == dtype
            assert D.VonMisesFisher.support.check(z).all()
            (slope,) = torch.autograd.grad(z.sum(), leaf)
            assert slope.isfinite().all()


def test_on_the_circle_it_is_von_mises():
    angle = torch.linspace(-3, 3, 7, dtype=torch.float64)
    z = torch.stack([angle.cos(), angle.sin()], -1)
    loc = torch.tensor([0.6, 0.8], dtype=torch.float64)
    same = D.VonMises(torch.atan2(loc[1], loc[0]), 2.5).log_prob(angle)
    torch.testing.assert_close(D.VonMisesFisher(loc, 2.5).log_prob(z), same)


def test_divergence_of_power_spherical_from_von_mises_fisher():
    torch.manual_seed(0)
    for dim in (2, 3, 20):
        p = D.PowerSpherical(direction("generic", dim), 4.0)
        q = D.VonMisesFisher(direction("pole", dim), 3.0)
        z = p.sample((50_000,))
        terms = p.log_prob(z) - q.log_prob(z)
        error = terms.std() / len(terms) ** 0.5
        away = torch.distributions.kl_divergence(p, q) - terms.mean()
        assert away.abs() < 5 * error


@every_dtype
@pytest.mark.parametrize("dim", [2, 3, 20])
def test_log_prob_of_angular_central_gaussian(dim, dtype):
    torch.manual_seed(0)
    factor = torch.randn(dim, dim, dtype=dtype).tril(-1) / dim + torch.eye(dim)
    factor = factor.to(dtype)
    d = D.AngularCentralGaussian(factor)
    value = d.sample()
    with mp.workdps(40):
        matrix = mp.matrix(factor.tolist())
        z = mp.matrix(directional.unit(value.tolist()))
        covariance = matrix * matrix.T
        square = (z.T * mp.lu_solve(covariance, z))[0]
        half = mp.mpf(dim) / 2
        expected = (
            mp.loggamma(half)
            - mp.log(2 * mp.pi**half)
            - mp.log(mp.det(covariance)) / 2
            - half * mp.log(square)
        )
    assert abs(d.log_prob(value).item() - expected) <= VALUE[dtype] * max(
        1, abs(expected)
    )


def test_directions_are_required():
    with pytest.raises(ValueError, match="loc must be a tensor of unit vectors"):
        D.VonMisesFisher(1.0, 2.0)
    with pytest.raises(ValueError, match="loc"):
        D.VonMisesFisher(torch.tensor([1.0, 1.0]), 2.0)
    one, two = direction("pole", 2), direction("pole", 3)
    with pytest.raises(ValueError, match="of 2 elements and VonMisesFisher of 3"):
        torch.distributions.kl_divergence(
            D.VonMisesFisher(one, 1.0), D.VonMisesFisher(two, 1.0)
        )


class WrongSlope(D.VonMisesFisher):
    def path_slope(self, *given):
        return 1.01 * super().path_slope(*given)


class WrongTurn(D.VonMisesFisher):
    """Draws stretch with the mean direction and do not turn."""

    def _pull_back(self, value, parameters, by_z):
        loc = parameters[0]
        by_loc, *rest = super()._pull_back(value, parameters, by_z)
        return by_loc + 0.01 * (loc * by_z).sum(-1, keepdim=True) * value, *rest


class WrongDraws(D.VonMisesFisher):
    def draw_spread(self, concentration, shape):
        return 0.93 * super().draw_spread(concentration, shape)


@pytest.mark.parametrize(
    ("cls", "law"),
    [(WrongSlope, "continuity"), (WrongTurn, "continuity"), (WrongDraws, "stein")],
)
def test_mistake_is_caught(cls, law):
    loc = [[1.0, 0.0, 0.0], [0.6, -0.64, 0.48]]
    case = DistributionCase(
        name=cls.__name__,
        make=around(cls),
        event_dims={"loc": 1},
        points={"one": {"loc": loc, "concentration": [5.0, 2.0]}},
    )
    with pytest.raises(AssertionError, match=f"breaks the law {law}"):
        check_distribution(case, only=[law])


@every_dtype
@pytest.mark.parametrize("rho", [1e-3, 0.5, 0.99])
@pytest.mark.parametrize("dim", DIMS)
def test_log_prob_of_spherical_cauchy(dim, rho, dtype):
    torch.manual_seed(0)
    loc = direction("generic", dim, dtype)
    d = D.SphericalCauchy(loc, torch.tensor(rho, dtype=dtype))
    values = torch.stack([d.sample(), direction("pole", dim, dtype)])
    for value, found in zip(values.tolist(), d.log_prob(values).tolist(), strict=True):
        with mp.workdps(40):
            r = mp.mpf(d.concentration.item())
            z, mu = directional.unit(value), directional.unit(loc.tolist())
            away = mp.fsum((x - r * y) ** 2 for x, y in zip(z, mu, strict=True))
            area = 2 * mp.pi ** (mp.mpf(dim) / 2) / mp.gamma(mp.mpf(dim) / 2)
            expected = (dim - 1) * mp.log((1 - r * r) / away) - mp.log(area)
            assert abs(found - expected) <= VALUE[dtype] * max(1, abs(expected))


def test_on_the_circle_spherical_cauchy_is_wrapped():
    angle = torch.linspace(-3, 3, 7, dtype=torch.float64)
    z = torch.stack([angle.cos(), angle.sin()], -1)
    loc = torch.tensor([0.6, 0.8], dtype=torch.float64)
    same = D.WrappedCauchy(torch.atan2(loc[1], loc[0]), 0.7).log_prob(angle)
    torch.testing.assert_close(D.SphericalCauchy(loc, 0.7).log_prob(z), same)


@pytest.mark.parametrize("name", DIRECTIONS)
def test_gradient_of_the_mean_of_spherical_cauchy_on_the_circle(name):
    r"""There :math:`E z = \rho\mu`."""
    torch.manual_seed(0)
    n = 20_000
    loc = direction(name, 2).expand(n, 2).clone().requires_grad_()
    rho = torch.full((n,), 0.6, dtype=torch.float64, requires_grad=True)
    c = torch.tensor([0.6, -0.8], dtype=torch.float64)
    z = D.SphericalCauchy(loc, rho).rsample()
    found = torch.autograd.grad((z * c).sum(), [rho, loc])
    mu = direction(name, 2)
    cosine = (c * mu).sum()
    for terms, expected in zip(found, (cosine, 0.6 * (c - cosine * mu)), strict=True):
        error = terms.std(0) / n**0.5
        assert ((terms.mean(0) - expected).abs() <= 5 * error + 1e-9).all()
