# SPDX-License-Identifier: Apache-2.0
"""What a law is, and which laws apply to a case."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from pyro.distributions.util import validation_enabled
from torch import Tensor
from torch.distributions import Distribution, kl_divergence

from pyro_reparam_ext.distributions import ImplicitDistribution, TransportDistribution
from pyro_reparam_ext.testing.cases import DistributionCase

DOUBLE = (torch.float64,)
BOTH = (torch.float32, torch.float64)

Statement = Callable[[DistributionCase, str, torch.dtype], None]
Applies = Callable[[DistributionCase, str], bool]


def always(case: DistributionCase, point: str) -> bool:
    """Every case, every point."""
    return True


@dataclass(frozen=True)
class Law:
    """A statement about every distribution, and where it is checked.

    Args:
        statement: Raises AssertionError where the law is broken. Its docstring is the
            law.
        applies: Whether the law speaks about a case at a point: decided before it runs,
            from what the case and its class declare.
        dtypes: The precisions it is checked in.
        slow: Takes more than two seconds.
    """

    statement: Statement
    applies: Applies = always
    dtypes: tuple[torch.dtype, ...] = BOTH
    slow: bool = False

    @property
    def name(self) -> str:
        """The name of the statement."""
        return self.statement.__name__


@dataclass(frozen=True)
class Check:
    """One law at one point of one case in one precision; call it to check it."""

    law: Law
    case: DistributionCase
    point: str
    dtype: torch.dtype

    @property
    def id(self) -> str:
        """Case, point, precision and law, as in ``Gumbel-unit-float32-entropy``."""
        precision = str(self.dtype).removeprefix("torch.")
        return f"{self.case.name}-{self.point}-{precision}-{self.law.name}"

    def __call__(self) -> None:
        """Check the law under a fixed seed; the caller's random state is kept."""
        with torch.random.fork_rng():
            torch.manual_seed(20240229)
            self.law.statement(self.case, self.point, self.dtype)


@cache
def offers(case: DistributionCase, name: str) -> bool:
    """Whether the class implements an optional method or property.

    ``NotImplementedError`` means it does not. Any other error is not an answer, and is
    raised.
    """
    with torch.random.fork_rng(devices=[]):  # what a law draws is the same either way
        return _answers(case, name)


def _answers(case: DistributionCase, name: str) -> bool:
    point = next(iter(case.points))
    distribution = case.distribution(point)
    try:
        if name == "kl_divergence":
            kl_divergence(distribution, distribution)
        elif name == "icdf":
            distribution.icdf(torch.full(distribution.batch_shape, 0.5).double())
        elif name == "cdf":
            distribution.cdf(distribution.sample())
        else:
            attribute = getattr(distribution, name)
            if callable(attribute):
                attribute()
    except NotImplementedError:
        return False
    return True


def offering(name: str) -> Applies:
    """The cases whose class offers a method."""
    return lambda case, point: offers(case, name)


def both(first: Applies, second: Applies) -> Applies:
    """The cases to which both conditions apply."""
    return lambda case, point: first(case, point) and second(case, point)


def is_transport(case: DistributionCase, point: str) -> bool:
    """The cases with an explicit path."""
    return isinstance(case.distribution(point), TransportDistribution)


def is_implicit(case: DistributionCase, point: str) -> bool:
    """The cases with an implicit path."""
    return isinstance(case.distribution(point), ImplicitDistribution)


def follows_value(case: DistributionCase, point: str) -> bool:
    """The cases whose path starts from a value, however it was drawn."""
    return hasattr(case.distribution(point), "attach_gradient")


def is_scalar(case: DistributionCase, point: str) -> bool:
    """The cases of scalar events, which quadrature covers."""
    return not case.distribution(point).event_shape


def has_gradients(case: DistributionCase, point: str) -> bool:
    """The cases with a parameter that draws depend on."""
    return not case.fixed.issuperset(case.points[point])


def is_special(case: DistributionCase, point: str) -> bool:
    """The points at which a formula changes branch."""
    return point in case.special


def is_first(case: DistributionCase, point: str) -> bool:
    """The typical point."""
    return point == next(iter(case.points))


def is_resolved(case: DistributionCase, point: str) -> bool:
    """The points all of whose mass floats resolve."""
    return point not in case.unresolved


def on_a_line(case: DistributionCase, point: str) -> bool:
    """The laws that are not circular."""
    return case.period is None


@contextmanager
def unvalidated() -> Iterator[None]:
    """Arguments and values unchecked, as tracing and ``torch.func`` require."""
    with validation_enabled(False):
        yield


def close(
    actual: Tensor, expected: Tensor, rtol: float, atol: Any = 0.0, what: str = ""
) -> None:
    r"""Assert :math:`|\text{actual} - \text{expected}| \le a + r|\text{expected}|`."""
    actual, expected = torch.broadcast_tensors(actual.double(), expected.double())
    allowed = atol + rtol * expected.abs()
    wrong = ~((actual - expected).abs() <= allowed) & (actual != expected)
    if wrong.any():
        i = ((actual - expected).abs() / (allowed + 1e-300))[wrong].argmax()
        raise AssertionError(
            f"{what}: expected {expected[wrong][i]:.10g}, found "
            f"{actual[wrong][i]:.10g} ({int(wrong.sum())} of {wrong.numel()} differ by "
            f"more than rtol={rtol:.1g})"
        )


def epsilon(dtype: torch.dtype) -> float:
    """The relative spacing of floats."""
    return torch.finfo(dtype).eps


def seeded(distribution: Distribution, shape: tuple[int, ...], seed: int = 0) -> Tensor:
    """A differentiable draw under a seed."""
    torch.manual_seed(seed)
    return distribution.rsample(torch.Size(shape))
