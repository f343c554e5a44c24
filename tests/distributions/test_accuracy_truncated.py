# SPDX-License-Identifier: Apache-2.0
"""Truncated distributions against arbitrary precision, family by family.

Run as a script, this prints the worst errors:
python -m tests.distributions.test_accuracy_truncated
"""

from functools import lru_cache

import mpmath as mp
import pytest
import torch

from tests.distributions.truncated_families import FAMILIES

QUANTILES = (1e-3, 0.3, 0.9)
GRADIENT = {torch.float64: 1e-8, torch.float32: 1e-4}
VALUE = {torch.float64: 1e-12, torch.float32: 1e-5}
CASES = [
    pytest.param(name, interval, id=f"{name}-{interval}")
    for name, family in FAMILIES.items()
    for interval in family.intervals
]


def exact(tensor):
    return mp.mpf(tensor.item())


def errors(name, interval, dtype):
    """Worst errors: of dz/dtheta at fixed noise, relative; of the value in rounding
    units of its dtype; of log_prob and cdf, over max(1, |reference|).

    A derivative below 1e-6 of the base's own at the same point is taken for 0, as it
    is for the location of an exponential tail.
    """
    family = FAMILIES[name]
    bounds = dict(zip(("low", "high"), interval, strict=True))
    parameters = {
        n: torch.tensor(v, dtype=dtype, requires_grad=True)
        for n, v in {**family.parameters, **bounds}.items()
    }
    worst = dict.fromkeys(("gradient", "units", "log_prob", "cdf"), 0.0)
    reference = family.reference

    def record(what, error):
        worst[what] = max(worst[what], float(error))

    with mp.workdps(family.digits):
        known = {n: exact(p.detach()) for n, p in parameters.items()}
        for quantile in QUANTILES:
            eps = torch.tensor(quantile, dtype=torch.float64)
            distribution = family.make(**parameters)
            z = distribution.transport(eps)
            at, slopes = exact_draw(name, exact(eps), tuple(known.items()))
            record("units", abs(exact(z) - at) / abs(at) / torch.finfo(dtype).eps)
            found = torch.autograd.grad(z, list(parameters.values()))
            for gradient, (expected, own) in zip(found, slopes, strict=True):
                scale = max(abs(expected), 1e-6 * own, torch.finfo(dtype).tiny)
                record("gradient", abs(exact(gradient) - expected) / scale)
            value = z.detach()
            for method in ("log_prob", "cdf"):
                expected = getattr(reference, method)(exact(value), **known)
                error = exact(getattr(distribution, method)(value)) - expected
                record(method, abs(error) / max(1, abs(expected)))
    return worst


@lru_cache(maxsize=len(QUANTILES))  # of float64, for float32 where it has the same
def exact_draw(name, quantile, items):
    """A draw, and for each parameter its derivative and the base's own, in size."""
    family, known = FAMILIES[name], dict(items)
    reference, base = family.reference, family.reference.base
    inner = {n: known[n] for n in family.parameters}
    at = reference.quantile(quantile, **known)
    density = mp.exp(reference.log_prob(at, **known))
    slopes = []
    for key, value in items:
        expected = own = mp.mpf(0)
        if mp.isfinite(value):
            expected = -slope(reference.cdf, at, known, key) / density
        if key in inner:
            own = abs(slope(base.cdf, at, inner, key) / base.density(at, **inner))
        slopes.append((expected, own))
    return at, slopes


def slope(cdf, at, known, key):
    """From inside the support, where a bound is at its end."""
    direction = int(key == "low" and known[key] == 0)
    return mp.diff(
        lambda x: cdf(at, **{**known, key: x}), known[key], direction=direction
    )


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize(("name", "interval"), CASES)
def test_truncated(name, interval, dtype):
    worst = errors(name, interval, dtype)
    assert worst["gradient"] <= GRADIENT[dtype]
    assert worst["units"] <= 64
    assert worst["log_prob"] <= VALUE[dtype]
    assert worst["cdf"] <= VALUE[dtype]


def print_table():
    """The worst errors of every family, in both dtypes."""
    print(f"{'':18}{'':9}{'dz/dtheta':>11}{'z, units':>11}{'log_prob':>11}{'cdf':>11}")
    for name, family in FAMILIES.items():
        for dtype in (torch.float64, torch.float32):
            each = [errors(name, interval, dtype) for interval in family.intervals]
            row = "".join(f"{max(e[k] for e in each):11.1e}" for k in each[0])
            print(f"{name:18}{str(dtype)[6:]:9}{row}")


if __name__ == "__main__":
    print_table()
