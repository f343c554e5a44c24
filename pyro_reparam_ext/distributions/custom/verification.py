# SPDX-License-Identifier: Apache-2.0
"""Do the formulas of a distribution agree with one another?"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pyro_reparam_ext.distributions.custom.coordinate import REACH
from pyro_reparam_ext.distributions.custom.define import CustomDistribution
from pyro_reparam_ext.distributions.custom.from_cdf import FromCdf
from pyro_reparam_ext.distributions.custom.from_transport import MappedNoise
from pyro_reparam_ext.distributions.custom.panels import (
    Panels,
    panels_at,
    place_panels,
)
from pyro_reparam_ext.distributions.implicit import ImplicitDistribution

_TOLERANCE = 1e-6
_FAILURE = 1e-6  # probability that draws of the right law are reported wrong


@dataclass(frozen=True)
class Agreement:
    """One comparison of two formulas.

    Args:
        statement: What should hold.
        error: By how much it does not: the largest over the batch.
        allowed: The largest error that passes.
    """

    statement: str
    error: float
    allowed: float

    @property
    def holds(self) -> bool:
        """Whether the error is allowed; NaN is not."""
        return self.error <= self.allowed

    def __str__(self) -> str:
        mark = "ok   " if self.holds else "WRONG"
        found = f"error {self.error:.1e}, allowed {self.allowed:.1e}"
        return f"  {mark}  {self.statement}: {found}"


@dataclass(frozen=True)
class Verification:
    """What :func:`verify` found; ``print`` it.

    Args:
        name: Of the class.
        agreements: What was compared.
        routes: How each method is computed.
    """

    name: str
    agreements: tuple[Agreement, ...]
    routes: Mapping[str, str]

    @property
    def passed(self) -> bool:
        """Whether everything agrees."""
        return not self.failures

    @property
    def failures(self) -> tuple[Agreement, ...]:
        """What does not agree."""
        return tuple(a for a in self.agreements if not a.holds)

    def __str__(self) -> str:
        count = len(self.agreements)
        verdict = f"all {count} agreements hold"
        if self.failures:
            verdict = f"{len(self.failures)} of {count} agreements fail"
        width = max(map(len, self.routes))
        routes = [f"  {name:{width}}  {by}" for name, by in self.routes.items()]
        lines = [f"{self.name}: {verdict}", *map(str, self.agreements)]
        return "\n".join([*lines, "computed by", *routes])


def verify(
    distribution: CustomDistribution,
    *,
    strict: bool = False,
    num_draws: int = 10_000,
    seed: int = 0,
) -> Verification:
    r"""Check the formulas of a custom distribution against one another.

    At the parameters of ``distribution``, in float64: draws lie in the support and
    follow :math:`\int p`, by Kolmogorov and Smirnov; :math:`\int p = 1`; the cdf is
    :math:`\int p` and inverts the quantile; the pathwise derivative is
    :math:`-\partial_\theta\int p / p`; the map or the cdf is monotone, and formulas
    that were given although they could be derived agree with the derived ones.

    Args:
        distribution: An instance of a class made by :func:`from_transport`,
            :func:`from_quantile`, :func:`from_cdf` or :func:`from_density`, at the
            parameters that you care about; try extreme ones too.
        strict: Raise if anything fails.
        num_draws: Number of draws for the fit.
        seed: For the draws; the caller's random state is kept.

    Raises:
        ValueError: with ``strict``, if a formula is wrong; the message is the report.

    Example:
        >>> from torch.distributions import constraints
        >>> from pyro_reparam_ext.distributions.custom import from_quantile, verify
        >>> Pareto = from_quantile(
        ...     "Pareto",
        ...     lambda u, alpha: (1 - u) ** (-1 / alpha),
        ...     arg_constraints={"alpha": constraints.positive},
        ...     support=constraints.greater_than(1.0),
        ...     log_sf=lambda value, alpha: -2 * alpha * value.log(),
        ... )
        >>> report = verify(Pareto(torch.tensor([2.0, 3.0])))
        >>> report.passed
        False
        >>> print(report.failures[0].statement)
        inverse(transport(eps)) is eps
    """
    if not isinstance(distribution, CustomDistribution):
        raise TypeError(
            "verify: expected a distribution of a class made by from_transport, "
            "from_quantile, from_cdf or from_density; found "
            f"{type(distribution).__name__}. For others there is "
            "pyro_reparam_ext.testing.check_distribution."
        )
    exact = _at(distribution, distribution._exact())
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        agreements = tuple(_agreements(exact, num_draws))
    name = type(distribution).__name__
    report = Verification(name, agreements, distribution.routes)
    if strict and not report.passed:
        raise ValueError(
            f"{name}: verify expected formulas that agree; found\n{report}\nCorrect "
            "those that are wrong, or the support."
        )
    return report


def _agreements(d: CustomDistribution, num_draws: int) -> Iterator[Agreement]:
    if isinstance(d, MappedNoise):
        yield from _of_the_map(d)
    if isinstance(d, FromCdf):
        yield from _of_the_cdf(d)
    draws = d.sample(torch.Size((num_draws,)))
    good = d.support.check(draws) & draws.isfinite()
    bad = 1 - good.double().mean().item()
    yield Agreement("draws are in the support", bad, 0.0)
    panels = _integrals(d)
    mass = panels.log_mass.exp() - 1
    yield Agreement("the density integrates to 1", _largest(mass), _TOLERANCE)
    if bad == 0:
        yield _fit(d, panels, draws)
    u = torch.linspace(0.013, 0.97, 9, dtype=torch.float64)  # not the median: kinks
    u = u.reshape((-1,) + (1,) * len(d.batch_shape)).expand((-1, *d.batch_shape))
    z = d.icdf(u)
    yield Agreement("cdf(icdf(u)) is u", _largest(d.cdf(z) - u), _TOLERANCE)
    integral = _cdf(d, panels, z)
    statement = "the cdf is the integral of the density"
    yield Agreement(statement, _largest(d.cdf(z) - integral), _TOLERANCE)
    yield from _gradients(d, u)
    yield from _slopes(d, z.detach())


def _of_the_map(d: MappedNoise) -> Iterator[Agreement]:
    u = torch.linspace(0, 1, 1001, dtype=torch.float64)[1:-1]
    u = torch.cat([torch.tensor([1e-9, 1e-6], dtype=u.dtype), u, 1 - 1e-6 * u[-1:]])
    u = u.reshape((-1,) + (1,) * len(d.batch_shape)).expand((-1, *d.batch_shape))
    eps = d.noise().icdf(u)
    slope = d._slope(eps)
    wrong = (slope.sign() != slope[len(u) // 2].sign()) | (slope == 0)
    share = wrong.double().mean().item()
    yield Agreement("transport is strictly monotone", share, 0.0)
    value = d._map(eps)
    if d.routes["inverse"] in ("given", "log_sf"):
        error = (d.inverse(value) - eps) / (1 + eps.abs())
        yield Agreement("inverse(transport(eps)) is eps", _largest(error), _TOLERANCE)
    if d.routes["log_abs_det_jacobian"] == "given":
        error = d.log_abs_det_jacobian(eps, value) - slope.abs().log()
        statement = "log_abs_det_jacobian is that of transport"
        yield Agreement(statement, _largest(error), _TOLERANCE)


def _of_the_cdf(d: FromCdf) -> Iterator[Agreement]:
    # squares of the values stay finite
    s = torch.linspace(-0.5 * REACH, 0.5 * REACH, 1401, dtype=torch.float64)
    s = torch.cat([s, torch.linspace(-10, 10, 2001, dtype=s.dtype)]).sort().values
    s = s.reshape((-1,) + (1,) * len(d.batch_shape)).expand((-1, *d.batch_shape))
    z = d._coordinate().value(s)
    level = d.inverse(z)
    falls = -level.diff(dim=0).clamp(max=0)
    yield Agreement("the cdf does not fall", _largest(falls), 1e-12)
    ends = torch.stack([level[0], 1 - level[-1]])
    yield Agreement("the cdf goes from 0 to 1", _largest(ends), _TOLERANCE)
    inside = (level > 1e-3) & (level < 1 - 1e-3)
    if d._in_logs:
        above = d._call("log_sf", z).exp()
        error = torch.where(inside, level + above - 1, 0.0)
        statement = "exp(log_cdf) + exp(log_sf) is 1"
        yield Agreement(statement, _largest(error), _TOLERANCE)
    if d.formulas["log_density"] is not None:
        derived = _at(d, d._exact())
        derived.formulas = {**d.formulas, "log_density": None}
        error = torch.where(inside, d.log_density(z) - derived.log_density(z), 0.0)
        statement = "log_density is the derivative of the cdf"
        yield Agreement(statement, _largest(error), _TOLERANCE)


def _fit(d: CustomDistribution, panels: Panels, draws: Tensor) -> Agreement:
    """Massart's bound on the distance of the empirical cdf from the exact one."""
    ordered = draws.sort(0).values
    expected = _cdf(d, panels, ordered)
    rank = torch.arange(len(draws) + 1, dtype=torch.float64) / len(draws)
    rank = rank.reshape((-1,) + (1,) * (draws.dim() - 1))
    apart = torch.maximum((expected - rank[:-1]).abs(), (expected - rank[1:]).abs())
    allowed = math.sqrt(math.log(2 * draws[0].numel() / _FAILURE) / (2 * len(draws)))
    return Agreement("draws follow the density", _largest(apart), allowed)


def _gradients(d: CustomDistribution, u: Tensor) -> Iterator[Agreement]:
    """For each parameter: p dz/dtheta against the flow of the integral of p."""
    leaves = {
        n: p.expand(u.shape).clone().requires_grad_() for n, p in d._exact().items()
    }
    wide = _at(d, leaves)
    # at fixed noise, not at a fixed probability: so does rsample
    if isinstance(wide, MappedNoise):
        z = wide.transport(wide.noise().icdf(u))
    else:
        assert isinstance(wide, ImplicitDistribution)
        z = wide.attach_gradient(wide.icdf(u).detach())
    found = torch.autograd.grad(z.sum(), list(leaves.values()), allow_unused=True)
    value = z.detach()
    density = wide.log_density(value).exp().detach()
    probability = _cdf(wide, _integrals(wide), value).sum()
    expected = torch.autograd.grad(probability, list(leaves.values()))
    for name, actual, minus_flow in zip(leaves, found, expected, strict=True):
        by_path = torch.zeros_like(density) if actual is None else density * actual
        size = minus_flow.abs().amax(0).clamp(min=1e-12)
        error = ((by_path + minus_flow) / size).abs()
        statement = f"the path moves with {name} as the density does"
        yield Agreement(statement, _largest(error), 10 * _TOLERANCE)


def _slopes(d: CustomDistribution, value: Tensor) -> Iterator[Agreement]:
    """For each parameter: autograd against differences: nothing hides from those."""
    leaves = {
        n: p.expand(value.shape).clone().requires_grad_() for n, p in d._exact().items()
    }
    total = _at(d, leaves).log_density(value).sum()
    found = torch.autograd.grad(total, list(leaves.values()), allow_unused=True)
    for (name, leaf), slope in zip(leaves.items(), found, strict=True):
        step = 1e-5 * (1e-3 + leaf.detach().abs())
        with torch.no_grad():
            above, below = (
                _at(d, {**leaves, name: leaf + sign * step}).log_density(value)
                for sign in (1, -1)
            )
        expected = (above - below) / (2 * step)
        actual = torch.zeros_like(expected) if slope is None else slope
        size = expected.abs().amax(0).clamp(min=1e-3)
        error = (actual - expected) / size
        statement = f"the gradient of log_prob in {name} is its slope"
        yield Agreement(statement, _largest(error), 1e-3)


def _at(d: CustomDistribution, parameters: Mapping[str, Tensor]) -> Any:
    make: Any = type(d)
    return make(**parameters, validate_args=False)


def _integrals(d: CustomDistribution) -> Panels:
    """Of the density alone, on more panels than the class itself may use."""
    wide = _at(d, {n: p.unsqueeze(-1) for n, p in d._exact().items()})
    coordinate = wide._coordinate()

    def log_q(s: Tensor) -> Tensor:
        log_density = wide.log_density(coordinate.value(s)).expand(s.shape)
        return log_density + coordinate.log_slope(s)

    breaks = d._break_values()
    if breaks is not None:
        breaks = coordinate.position(breaks)
    like = torch.zeros(d.batch_shape, dtype=torch.float64, device=d._options()[1])
    return panels_at(place_panels(log_q, like, num_panels=80), log_q, breaks)


def _cdf(d: CustomDistribution, panels: Panels, value: Tensor) -> Tensor:
    tail, is_lower = panels.tail(d._coordinate().position(value).expand(value.shape))
    return torch.where(is_lower, tail, 1 - tail)


def _largest(error: Tensor) -> float:
    size = error.detach().abs()
    return math.inf if bool(size.isnan().any()) else size.max().item()
