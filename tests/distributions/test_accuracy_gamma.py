# SPDX-License-Identifier: Apache-2.0
"""The Gamma family against arbitrary precision, over its hard regions.

As in ``test_accuracy_implicit``: the derivative at a value is -dF/dtheta / p there.
"""

import math

import mpmath as mp
import pytest
import torch
from scipy import special

from pyro_reparam_ext import distributions as D
from tests.distributions.test_accuracy_implicit import (
    DTYPES,
    LOG_PROB,
    Point,
    compare_derivatives,
    exact,
)
from tests.references import beta_family, gamma_family

QUANTILES = (1e-9, 0.02, 0.4, 0.6, 0.98, 1 - 1e-9)


def gamma_quantiles(concentration):
    """Logarithms of quantiles, down to where the quantile itself is no number."""
    for q in QUANTILES:
        if concentration < 0.1:
            log_value = (math.log(q) + math.lgamma(concentration + 1)) / concentration
            if log_value > -1:
                continue
        elif q < 0.5:
            log_value = math.log(special.gammaincinv(concentration, q))
        else:
            log_value = math.log(special.gammainccinv(concentration, 1 - q))
        yield log_value
    if concentration < 0.1:
        yield from (-0.5, 0.5, 2.0)


def gamma_points():
    for concentration in (1e-4, 1e-2, 0.3, 1.0, 2.0, 11.9, 12.1, 300.0, 1e4, 1e6):
        logs = tuple(gamma_quantiles(concentration))
        digits = 40 if concentration < 1e5 else 60
        yield Point(
            f"LogGamma-{concentration:g}",
            D.LogGamma,
            gamma_family.log_gamma,
            {"concentration": concentration, "rate": 3.0},
            tuple(w - math.log(3) for w in logs),
            digits,
        )
        values = tuple(math.exp(w) / 3 for w in logs if abs(w) < 60)
        parameters = {"concentration": concentration, "rate": 3.0}
        for make, reference, at in (
            (D.Gamma, gamma_family.gamma, values),
            (
                D.InverseGamma,
                gamma_family.inverse_gamma,
                tuple(1 / z for z in values),
            ),
        ):
            name = f"{make.__name__}-{concentration:g}"
            yield Point(name, make, reference, parameters, at, digits)
    values = (1e-6, 0.3, 2.0, 7.0, 40.0)
    yield Point("Chi2-3", D.Chi2, gamma_family.chi2, {"df": 3.0}, values)


def beta_points():
    for a, b in (
        (1e-4, 1e-4),
        (1e-2, 3.0),
        (0.3, 0.3),
        (1.0, 1.0),
        (2.0, 0.5),
        (12.1, 300.0),
        (200.0, 200.0),
    ):
        values = {float(special.betaincinv(a, b, q)) for q in QUANTILES}
        values |= {0.25, 0.75} if a + b < 5 else set()
        yield Point(
            f"Beta-{a:g}-{b:g}",
            D.Beta,
            beta_family.beta,
            {"concentration1": a, "concentration0": b},
            # in float32 too
            tuple(sorted(x for x in values if 1e-30 < x < 0.999)),
            digits=60,
        )


def ratio_points():
    for df in (0.1, 1.0, 2.5, 24.2, 300.0, 1e6):
        yield Point(
            f"StudentT-{df:g}",
            D.StudentT,
            beta_family.student_t,
            {"df": df, "loc": 1.0, "scale": 2.0},
            (-9.0, -1.0, 0.98, 1.1, 2.0, 5.0, 30.0),
            digits=60 if df < 1e3 else 140,
        )
    for df1, df2 in ((0.2, 0.1), (2.0, 5.0), (24.0, 30.5), (3.0, 300.0)):
        yield Point(
            f"FisherSnedecor-{df1:g}-{df2:g}",
            D.FisherSnedecor,
            beta_family.fisher_snedecor,
            {"df1": df1, "df2": df2},
            (1e-3, 0.3, 0.9, 1.5, 4.0),
            digits=60,
        )


POINTS = [*gamma_points(), *beta_points(), *ratio_points()]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("point", POINTS, ids=str)
def test_pathwise_derivative_at_a_fixed_quantile(point, dtype):
    with mp.workdps(point.digits):
        compare_derivatives(point, dtype)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("point", POINTS, ids=str)
def test_log_prob_and_cdf(point, dtype):
    parameters = {n: torch.tensor(v, dtype=dtype) for n, v in point.parameters.items()}
    distribution = point.make(**parameters)
    known = {n: exact(p) for n, p in parameters.items()}
    with mp.workdps(point.digits):
        for number in point.values:
            value = torch.tensor(number, dtype=dtype)
            expected = point.reference.log_prob(exact(value), **known)
            error = abs(mp.mpf(distribution.log_prob(value).item()) - expected)
            assert error <= LOG_PROB[dtype] * max(1, abs(expected)), number
            expected = point.reference.cdf(exact(value), **known)
            error = abs(mp.mpf(distribution.cdf(value).item()) - expected)
            assert error <= LOG_PROB[dtype], number


@pytest.mark.parametrize("point", POINTS, ids=str)
def test_icdf(point):
    parameters = {n: torch.tensor(v).double() for n, v in point.parameters.items()}
    distribution = point.make(**parameters)
    known = {n: exact(p) for n, p in parameters.items()}
    levels = torch.tensor([1e-12, 0.01, 0.3, 0.5, 0.7, 0.999], dtype=torch.float64)
    with mp.workdps(point.digits + 100):  # of a ratio far from 1 too
        for level, z in zip(levels, distribution.icdf(levels), strict=True):
            if not 1e-290 < abs(z) < 1e290 or (point.make is D.Beta and z == 1):
                continue  # no number resolves it
            u = exact(level)
            density = mp.exp(point.reference.log_prob(exact(z), **known))
            error = abs(point.reference.cdf(exact(z), **known) - u)
            assert error <= 1e-12 * u + 4e-16 * density * abs(exact(z)), level
