# SPDX-License-Identifier: Apache-2.0
"""Laws of odd questions: other precisions, nothing at all, NaN, what is missing."""

import math
from typing import Any

import torch
from torch import Tensor

from pyro_reparam_ext.distributions import ReparameterizedDistribution
from pyro_reparam_ext.distributions.missing import SaysWhatIsMissing
from pyro_reparam_ext.testing.cases import DistributionCase
from pyro_reparam_ext.testing.law import (
    DOUBLE,
    Law,
    both,
    close,
    is_first,
    is_scalar,
    offers,
    unvalidated,
)

_OPTIONAL = ("cdf", "icdf", "entropy", "mean", "variance", "mode", "enumerate_support")


def other_precision(case: DistributionCase, point: str, dtype: torch.dtype) -> None:
    """A value of another precision gives a result in the wider of the two."""
    with unvalidated():
        wide = case.distribution(point, torch.float64)
        narrow = case.distribution(point, torch.float32)
        z = narrow.sample((4,))
        for method in _methods(case):
            expected = getattr(wide, method)(z.double())
            actual = getattr(wide, method)(z)
            assert actual.dtype == torch.float64, f"{method} is {actual.dtype}"
            close(actual, expected, 0.0, what=f"{method} of a float32 value")
            actual = getattr(narrow, method)(z.double())
            assert actual.dtype == torch.float64, f"{method} is {actual.dtype}"
            expected = getattr(narrow, method)(z)
            close(actual, expected, 1e-4, 1e-5, f"{method} of a float64 value")


def integers(case: DistributionCase, point: str, dtype: torch.dtype) -> None:
    """An integer value is a number like any other."""
    with unvalidated():
        d = case.distribution(point, dtype)
        for number in (0, 1, 2):
            value = torch.full(d.batch_shape, number)
            for method in _methods(case):
                actual = getattr(d, method)(value)
                assert actual.dtype == dtype, f"{method} is {actual.dtype}"
                expected = getattr(d, method)(value.to(dtype))
                close(actual, expected, 0.0, what=f"{method} at {number}")


def not_a_tensor(case: DistributionCase, point: str, dtype: torch.dtype) -> None:
    """A value that is no tensor is an error that says so."""
    d = case.distribution(point, dtype)
    for method in _methods(case):
        says = ""
        try:
            getattr(d, method)(0.5)
        except TypeError as error:
            says = str(error)
        assert "expected a tensor" in says, f"{method} of a number says {says!r}"


def nothing(case: DistributionCase, point: str, dtype: torch.dtype) -> None:
    """No draws are asked for, and none returned, with none of their densities."""
    d = case.distribution(point, dtype)
    for sample_shape in ((0,), (2, 0)):
        z = d.rsample(torch.Size(sample_shape))
        assert z.shape == (*sample_shape, *d.batch_shape, *d.event_shape)
        assert d.sample(torch.Size(sample_shape)).shape == z.shape
        if _is_ours(case, point):  # torch's checks fail on no events
            assert d.log_prob(z).shape == (*sample_shape, *d.batch_shape)


def no_batch(case: DistributionCase, point: str, dtype: torch.dtype) -> None:
    """A batch of no distributions has no draws, and gradients of no elements."""
    leaves = case.leaves(point, dtype, (0,))
    d = case.make(**leaves)
    assert 0 in d.batch_shape
    z = d.rsample(torch.Size((3,)))
    assert z.shape == (3, *d.batch_shape, *d.event_shape)
    assert d.log_prob(z.detach()).shape == (3, *d.batch_shape)
    if z.requires_grad:
        gradients = torch.autograd.grad(z.sum(), list(leaves.values()))
        for gradient, leaf in zip(gradients, leaves.values(), strict=True):
            assert gradient.shape == leaf.shape


def ends(case: DistributionCase, point: str, dtype: torch.dtype) -> None:
    """At an end of the support the density is a number, or infinite."""
    with unvalidated():
        d = case.distribution(point, dtype)
        for end in ("lower_bound", "upper_bound"):
            value = torch.as_tensor(getattr(d.support, end, math.nan), dtype=dtype)
            finite = value.isfinite().expand(d.batch_shape)
            log_prob = d.log_prob(torch.where(finite, value, d.sample()))
            assert not log_prob.isnan().any(), f"log_prob at {value} is {log_prob}"


def nan_value(case: DistributionCase, point: str, dtype: torch.dtype) -> None:
    """NaN has no density and no probability: NaN, not a plausible number."""
    with unvalidated():
        d = case.distribution(point, dtype)
        value = torch.full_like(d.sample(), math.nan)
        for method in _methods(case):
            result = getattr(d, method)(value)
            assert result.isnan().all(), f"{method} of NaN is {result}"


def missing(case: DistributionCase, point: str, dtype: torch.dtype) -> None:
    """What a class does not have is an error that names it and says what to do."""
    d = case.distribution(point, dtype)
    for name in _OPTIONAL:
        says = None
        try:
            _ask(d, name)
        except NotImplementedError as error:
            says = str(error)
        where = f"{type(d).__name__}.{name}: "
        explained = says is None or (
            says.startswith(where) and len(says) > len(where) + 20
        )
        assert explained, f"{name} says {says!r}"


def _ask(d: Any, name: str) -> Any:
    if name == "cdf":
        return d.cdf(d.sample())
    if name == "icdf":
        return d.icdf(torch.full(d.batch_shape, 0.5))
    attribute = getattr(d, name)
    return attribute if isinstance(attribute, Tensor) else attribute()


def _methods(case: DistributionCase) -> list[str]:
    return ["log_prob", "cdf"] if offers(case, "cdf") else ["log_prob"]


def _is_explained(case: DistributionCase, point: str) -> bool:
    """The distributions whose base class knows what they may lack."""
    return isinstance(case.distribution(point), SaysWhatIsMissing)


def _is_ours(case: DistributionCase, point: str) -> bool:
    """The distributions that are handed values by the base class."""
    return isinstance(case.distribution(point), ReparameterizedDistribution)


LAWS = [
    Law(other_precision, applies=_is_ours, dtypes=DOUBLE),
    Law(integers, applies=both(is_scalar, _is_ours)),
    Law(not_a_tensor, applies=both(is_first, _is_ours), dtypes=DOUBLE),
    Law(nothing, applies=is_first),
    Law(no_batch, applies=both(is_first, _is_ours)),
    Law(ends, applies=is_scalar),
    Law(nan_value),
    Law(missing, applies=both(is_first, _is_explained), dtypes=DOUBLE),
]
