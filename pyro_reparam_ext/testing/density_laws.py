# SPDX-License-Identifier: Apache-2.0
"""Laws of densities: what integrates to what."""

import math
from collections.abc import Callable

import torch
from pyro.distributions.util import validation_enabled
from torch import Tensor
from torch.distributions import Distribution, kl_divergence

from pyro_reparam_ext.testing import quadrature
from pyro_reparam_ext.testing.cases import DistributionCase
from pyro_reparam_ext.testing.law import (
    DOUBLE,
    Law,
    both,
    close,
    epsilon,
    is_resolved,
    is_scalar,
    offering,
    unvalidated,
)


def normalized(case: DistributionCase, point: str, dtype: torch.dtype) -> None:
    r""":math:`\int p_\theta(z)\,dz = 1`."""
    close(
        quadrature.mass(case.distribution(point), case.period),
        torch.ones(()),
        1e-9,
        what="mass",
    )


def same_density(case: DistributionCase, point: str, dtype: torch.dtype) -> None:
    """Single precision gives the density of double precision, rounded."""
    d = case.distribution(point, dtype)
    leaves = {n: p.double() for n, p in case.parameters(point, dtype).items()}
    z = d.sample((2000,))
    z_exact = z.double().requires_grad_()
    expected = case.make(**leaves).log_prob(z_exact)
    slope = torch.zeros_like(z_exact)  # of a density that is the same everywhere
    if expected.requires_grad:
        (slope,) = torch.autograd.grad(expected.sum(), z_exact)
    # what rounding z, or a parameter of the size of z, does
    spread = (z_exact - z_exact.mean(0)).abs() + 2 * z_exact.abs()
    by_element = (slope * spread).abs()
    rounding = by_element.flatten(expected.dim()).sum(-1) if d.event_dim else by_element
    rounding = 64 * epsilon(dtype) * (1 + rounding)
    close(d.log_prob(z), expected, 64 * epsilon(dtype), rounding.detach(), "log_prob")


def outside(case: DistributionCase, point: str, dtype: torch.dtype) -> None:
    r"""Outside the support: an error if validated, else :math:`\log p = -\infty`."""
    d = case.distribution(point, dtype)
    for value, out in _outside(d):
        with unvalidated():
            log_prob = case.distribution(point, dtype).log_prob(value)
        assert (log_prob[out] == -math.inf).all(), f"{log_prob} at {value}"
        assert log_prob[~out].isfinite().all(), f"{log_prob} at {value}"
        with validation_enabled(True):
            checked = case.distribution(point, dtype)
            try:
                checked.log_prob(value)
            except ValueError:
                continue
        assert not out.any(), f"{value} was accepted"


def cdf_integral(case: DistributionCase, point: str, dtype: torch.dtype) -> None:
    r""":math:`F_\theta(z) = \int_{-\infty}^z p_\theta`."""
    exact = case.distribution(point)
    d = case.distribution(point, dtype)
    z = d.sample((20,))
    expected = quadrature.cdf(exact, z.double(), case.period)
    rounding = 64 * epsilon(dtype) * (1 + exact.log_prob(z.double()).exp() * z.abs())
    close(d.cdf(z), expected, max(1e-9, 64 * epsilon(dtype)), rounding, "cdf")


def cdf_ends(case: DistributionCase, point: str, dtype: torch.dtype) -> None:
    """The cdf is 0 below the support and 1 above."""
    with unvalidated():
        d = case.distribution(point, dtype)
        (below, is_below), (above, is_above) = _outside(d)
        assert (d.cdf(below)[is_below] == 0).all()
        assert (d.cdf(above)[is_above] == 1).all()


def icdf_inverts(case: DistributionCase, point: str, dtype: torch.dtype) -> None:
    r""":math:`\int_{-\infty}^{F^{-1}(u)} p_\theta = u`."""
    exact = case.distribution(point)
    u = torch.tensor([1e-4, 0.01, 0.3, 0.5, 0.8, 0.99, 0.9999], dtype=dtype)
    u = u.reshape((-1,) + (1,) * len(exact.batch_shape)).expand(
        (-1, *exact.batch_shape)
    )
    z = case.distribution(point, dtype).icdf(u)
    assert z.dtype == dtype
    z = z.double()
    rounding = 64 * epsilon(dtype) * (1 + exact.log_prob(z).exp() * z.abs())
    found = quadrature.cdf(exact, z, case.period)
    found = torch.where(z.isfinite(), found, u)  # beyond the range of the dtype
    close(found, u, 1e-9, rounding, "cdf(icdf(u))")


def icdf_ends(case: DistributionCase, point: str, dtype: torch.dtype) -> None:
    """The quantiles of 0 and 1 are the ends of the support; beyond there are none."""
    d = case.distribution(point, dtype)
    ends = quadrature.bounds(d, case.period)
    whole = d.batch_shape
    for level, end in zip((0.0, 1.0), ends, strict=True):
        z = d.icdf(torch.full(whole, level, dtype=dtype))
        assert z.dtype == dtype
        close(z, end.to(dtype).expand(whole), 0.0, 0.0, f"icdf({level})")
    for level in (-0.1, 1.1, math.nan):
        assert d.icdf(torch.full(whole, level, dtype=dtype)).isnan().all()


def icdf_derivative(case: DistributionCase, point: str, dtype: torch.dtype) -> None:
    r""":math:`dF^{-1}(u) = (du - \partial_\theta F\,d\theta)/p`."""
    leaves = case.leaves(point, dtype)
    d = case.make(**leaves)
    for level in (0.2, 0.7):
        u = torch.full(d.batch_shape, level, dtype=dtype, requires_grad=True)
        inputs = {"u": u, **leaves}
        z = d.icdf(u)
        found = _slopes(z, inputs)
        at = z.detach().requires_grad_()
        density, *others = _slopes(d.cdf(at), {"z": at, **leaves})
        expected = [1 / density, *(-g / density for g in others)]
        atol = 1e-9 * (1 + z.detach().abs().max())
        for name, one, other in zip(inputs, found, expected, strict=True):
            close(one, other, 1e-7, atol, f"derivative of icdf in {name}")


def _slopes(value: Tensor, inputs: dict[str, Tensor]) -> list[Tensor]:
    """Derivatives of elements that do not depend on each other."""
    tensors = list(inputs.values())
    slopes = torch.autograd.grad(
        value.sum(), tensors, retain_graph=True, allow_unused=True
    )
    return [
        torch.zeros_like(t) if g is None else g
        for t, g in zip(tensors, slopes, strict=True)
    ]


def mean(case: DistributionCase, point: str, dtype: torch.dtype) -> None:
    r"""The mean is :math:`E z`; on a circle, the angle of :math:`E e^{iz}`."""
    d, exact = case.distribution(point, dtype), case.distribution(point)
    if case.period is not None:
        cosine, sine = _first_harmonic(exact, case.period)
        away = torch.remainder(
            d.mean.double() - torch.atan2(sine, cosine) + 1, math.tau
        )
        close(away, torch.ones(()), 0.0, 1e-8 + 64 * epsilon(dtype), "mean direction")
        return
    expected = quadrature.expectation(exact, lambda z: z)
    scale = quadrature.expectation(exact, lambda z: (z - expected).abs())
    tolerance = max(1e-9, 64 * epsilon(dtype))
    _moment(exact, d.mean, expected, tolerance, tolerance * scale, 1)


def variance(case: DistributionCase, point: str, dtype: torch.dtype) -> None:
    r"""The variance is :math:`E (z - E z)^2`; on a circle, :math:`1 - |E e^{iz}|`."""
    d, exact = case.distribution(point, dtype), case.distribution(point)
    tolerance = max(1e-9, 256 * epsilon(dtype))
    if case.period is not None:
        cosine, sine = _first_harmonic(exact, case.period)
        expected = 1 - torch.hypot(sine, cosine)
        close(d.variance, expected, tolerance, 1e-13, "circular variance")
        return
    center = quadrature.expectation(exact, lambda z: z)
    expected = quadrature.expectation(exact, lambda z: (z - center).square())
    _moment(exact, d.variance, expected, tolerance, torch.zeros(()), 2)


def entropy(case: DistributionCase, point: str, dtype: torch.dtype) -> None:
    r"""The entropy is :math:`-E \log p_\theta(z)`."""
    exact = case.distribution(point)
    expected = quadrature.entropy(exact, case.period)
    # mass that floats do not resolve at an end, where log p is at most 40 or so
    unresolved = 40 * (1 - quadrature.mass(exact, case.period)).abs()
    tolerance = max(1e-9, 256 * epsilon(dtype))
    close(
        case.distribution(point, dtype).entropy(),
        expected,
        tolerance,
        tolerance + unresolved,
        "entropy",
    )


def mode(case: DistributionCase, point: str, dtype: torch.dtype) -> None:
    """No draw has a higher density than the mode, where there is one."""
    with unvalidated():
        d = case.distribution(point, dtype)
        top = d.log_prob(d.mode)
        z = d.sample((2000,))
        higher = d.log_prob(z) > top + 64 * epsilon(dtype) * (1 + top.abs())
    absent = d.mode.reshape((*d.batch_shape, -1)).isnan().any(-1)
    assert not (higher & ~absent).any()


def kl(case: DistributionCase, point: str, dtype: torch.dtype) -> None:
    r"""The divergence is 0 from itself, else :math:`E_p[\log p - \log q]`."""
    with unvalidated():  # q may be 0 where p is not
        p, q = case.distribution(point), case.distribution(next(iter(case.points)))
        shape = torch.broadcast_shapes(p.batch_shape, q.batch_shape)
        p, q = p.expand(shape), q.expand(shape)
    close(kl_divergence(p, p), torch.zeros(()), 0.0, 1e-9, "kl(p, p)")
    for one, other in ((p, q), (q, p)):
        with unvalidated():
            ends = quadrature.bounds(one, case.period)
            expected = quadrature.integrate(one.log_prob, _log_ratio(one, other), *ends)
            missed = quadrature.integrate(one.log_prob, _is_missed_by(other), *ends)
        expected = torch.where(missed > 1e-9, math.inf, expected)
        close(kl_divergence(one, other), expected, 1e-8, 1e-9, "kl")


def _moment(
    exact: Distribution,
    actual: Tensor,
    expected: Tensor,
    rtol: float,
    atol: Tensor,
    order: int,
) -> None:
    """Equal where finite; elsewhere the integral must diverge."""
    finite = actual.isfinite()
    if not finite.all():
        cut: list[Tensor] = [
            quadrature.expectation(exact, _power(order, largest), tolerance=1e-6)
            for largest in (1e10, 1e20)
        ]
        diverges = cut[1] > 1.01 * cut[0]
        assert diverges[~finite].all(), f"moment {order} is finite; found {actual}"
    expected = torch.where(finite, expected, 0.0)
    close(torch.where(finite, actual, 0.0), expected, rtol, atol, f"moment {order}")


def _log_ratio(p: Distribution, q: Distribution) -> Callable[[Tensor], Tensor]:
    """Where q has a density; elsewhere the divergence is infinite, not the integral."""

    def log_ratio(z: Tensor) -> Tensor:
        missed = q.log_prob(z) == -math.inf
        return torch.where(missed, 0.0, p.log_prob(z) - q.log_prob(z))

    return log_ratio


def _is_missed_by(q: Distribution) -> Callable[[Tensor], Tensor]:
    return lambda z: (q.log_prob(z) == -math.inf).to(z.dtype)


def _power(order: int, largest: float) -> Callable[[Tensor], Tensor]:
    return lambda z: z.abs().clamp(max=largest) ** order


def _first_harmonic(d: Distribution, period: float) -> tuple[Tensor, Tensor]:
    return (
        quadrature.expectation(d, torch.cos, period),
        quadrature.expectation(d, torch.sin, period),
    )


def _outside(d: Distribution) -> list[tuple[Tensor, Tensor]]:
    """A value below and one above, and which batch elements are outside there."""
    inside = d.sample()
    values = []
    for bound, sign in zip(quadrature.bounds(d), (-1, 1), strict=True):
        out = bound.isfinite()
        away = bound + sign * 0.1 * (1 + bound.abs())
        values.append((torch.where(out, away.to(inside.dtype), inside), out))
    return [(v, out) for v, out in values]


def _bounded(case: DistributionCase, point: str) -> bool:
    ends = quadrature.bounds(case.distribution(point), case.period)
    return case.period is None and any(bool(b.isfinite().any()) for b in ends)


def _comparable(case: DistributionCase, point: str) -> bool:
    """Whether all of the mass is resolved, and the first point broadcasts with it."""
    if not is_resolved(case, point):
        return False
    first = case.distribution(next(iter(case.points))).batch_shape
    try:
        torch.broadcast_shapes(first, case.distribution(point).batch_shape)
    except RuntimeError:
        return False
    return True


LAWS = [
    Law(normalized, applies=both(is_scalar, is_resolved), dtypes=DOUBLE),
    Law(same_density, dtypes=(torch.float32,)),
    Law(outside, applies=_bounded),
    Law(cdf_integral, applies=offering("cdf")),
    Law(cdf_ends, applies=both(offering("cdf"), _bounded)),
    Law(icdf_inverts, applies=both(offering("icdf"), is_resolved)),
    Law(icdf_ends, applies=offering("icdf")),
    Law(icdf_derivative, applies=both(offering("icdf"), is_resolved), dtypes=DOUBLE),
    Law(mean, applies=both(is_scalar, offering("mean"))),
    Law(variance, applies=both(is_scalar, offering("variance"))),
    Law(entropy, applies=both(is_scalar, both(offering("entropy"), is_resolved))),
    Law(mode, applies=offering("mode")),
    Law(
        kl,
        applies=both(is_scalar, both(offering("kl_divergence"), _comparable)),
        dtypes=DOUBLE,
    ),
]
