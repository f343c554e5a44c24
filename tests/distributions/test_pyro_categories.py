# SPDX-License-Identifier: Apache-2.0
"""Pyro's own test categories for distributions, over the registry.

Written anew rather than copied. Where a category of Pyro's suite is a law already, the
law counts: sample and log_prob shapes (``shapes``), support of draws (``in_support``),
cdf of icdf (``icdf_inverts``), entropy (``entropy``), mean and variance by quadrature
(``mean``, ``variance``), mask (``mask``), pickling (``pickled``), tensor type
(``dtype_kept``), invalid arguments (``domain``, ``broadcast``). Here is the rest.
"""

import warnings
from typing import Any

import numpy as np
import pyro.distributions as dist
import pytest
import torch
from pyro.distributions.testing.gof import auto_goodness_of_fit
from torch.distributions import Independent

from pyro_reparam_ext.testing import DistributionCase
from pyro_reparam_ext.testing.law import is_scalar, offers, unvalidated
from tests.cases import DISTRIBUTIONS
from tests.distributions.scipy_references import SCIPY

DTYPES = [torch.float32, torch.float64]
# probability of a false alarm in all goodness-of-fit tests together below 1e-4
TEST_FAILURE_RATE = 1e-7

POINTS = [(case, point) for case in DISTRIBUTIONS for point in case.points]
every_point = pytest.mark.parametrize(
    ("case", "point"), POINTS, ids=[f"{c.name}-{p}" for c, p in POINTS]
)
every_case = pytest.mark.parametrize("case", DISTRIBUTIONS, ids=lambda c: c.name)
every_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=["float32", "float64"])
# scipy leaves double precision at extreme parameters: mpmath references judge there,
# and everywhere for events that are not scalars
TYPICAL = [
    (c, p)
    for c, p in POINTS
    if is_scalar(c, p)
    and p not in c.unresolved
    and not p.startswith(("extreme", "tail"))
]
typical_point = pytest.mark.parametrize(
    ("case", "point"), TYPICAL, ids=[f"{c.name}-{p}" for c, p in TYPICAL]
)


def scipy_at(case: DistributionCase, point: str) -> Any:
    return SCIPY[case.name](**{n: p.numpy() for n, p in case.parameters(point).items()})


def typical(case: DistributionCase) -> str:
    return next(iter(case.points))


def test_every_case_has_a_scipy_reference() -> None:
    assert {case.name for case, _ in TYPICAL} <= set(SCIPY)


@every_dtype
@typical_point
def test_log_prob_is_scipys(
    case: DistributionCase, point: str, dtype: torch.dtype
) -> None:
    d = case.distribution(point, dtype)
    z = d.sample((100,))
    expected = scipy_at(case, point).logpdf(z.double().numpy())
    tolerance = 1e-8 if dtype == torch.float64 else 2e-3
    np.testing.assert_allclose(
        d.log_prob(z).numpy(), expected, rtol=tolerance, atol=tolerance
    )


CDF = [(c, p) for c, p in TYPICAL if offers(c, "cdf") and c.period is None]


@pytest.mark.parametrize(("case", "point"), CDF, ids=[f"{c.name}-{p}" for c, p in CDF])
def test_cdf_is_scipys(case: DistributionCase, point: str) -> None:
    d = case.distribution(point)
    z = d.sample((100,))
    expected = scipy_at(case, point).cdf(z.numpy())
    np.testing.assert_allclose(d.cdf(z).numpy(), expected, rtol=1e-8, atol=1e-12)


MOMENTS = [
    (c, p)
    for c, p in TYPICAL
    if offers(c, "mean") and offers(c, "variance") and c.period is None
]


@pytest.mark.parametrize(
    ("case", "point"), MOMENTS, ids=[f"{c.name}-{p}" for c, p in MOMENTS]
)
def test_moments_are_scipys(case: DistributionCase, point: str) -> None:
    d, reference = case.distribution(point), scipy_at(case, point)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scipy integrates where it has no formula
        expected = (reference.mean(), reference.var())
    np.testing.assert_allclose(d.mean.numpy(), expected[0], rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(d.variance.numpy(), expected[1], rtol=1e-6, atol=1e-8)


@every_dtype
@typical_point
def test_goodness_of_fit(
    case: DistributionCase, point: str, dtype: torch.dtype
) -> None:
    """Pyro's own test: draws against their own densities."""
    d = case.distribution(point, dtype)
    z = d.sample((10_000,)).double().reshape(10_000, -1)
    density = (
        case.distribution(point)
        .log_prob(z.reshape((10_000, *d.batch_shape)))
        .exp()
        .reshape(10_000, -1)
    )
    for column in range(z.shape[1]):
        p = auto_goodness_of_fit(z[:, column], density[:, column])
        assert p > TEST_FAILURE_RATE


@every_case
def test_infer_shapes(case: DistributionCase) -> None:
    if not hasattr(case.make, "infer_shapes"):
        d = case.distribution(typical(case))
        assert d.shape() == d.batch_shape + d.event_shape
        return
    for point in case.points:
        shapes = {n: p.shape for n, p in case.parameters(point).items()}
        batch_shape, event_shape = case.make.infer_shapes(**shapes)
        d = case.distribution(point)
        assert (batch_shape, event_shape) == (d.batch_shape, d.event_shape)


@every_point
def test_support_shape(case: DistributionCase, point: str) -> None:
    d = case.distribution(point)
    z = d.sample((3,))
    assert d.support.event_dim == d.event_dim
    assert d.support.check(z).shape == z.shape[: z.dim() - d.event_dim]


@every_case
def test_expand_existing_and_new_dimensions(case: DistributionCase) -> None:
    for point in case.points:
        d = case.distribution(point)
        one = d.expand((1, *d.batch_shape))
        for shape in ([4, *d.batch_shape], (4, *d.batch_shape), (2, 4, *d.batch_shape)):
            for wide in (d.expand(shape), one.expand(torch.Size(shape))):
                assert type(wide) is type(d)
                assert wide.batch_shape == tuple(shape)
                assert wide.log_prob(d.sample()).shape == tuple(shape)
        assert d.expand_by((5, 2)).batch_shape == (5, 2, *d.batch_shape)


@every_case
def test_expand_to_a_wrong_shape_is_an_error(case: DistributionCase) -> None:
    d = case.distribution(typical(case)).expand((4, 3))
    for shape in ((4,), (4, 2), (3, 3), ()):
        with pytest.raises((RuntimeError, ValueError)):
            d.expand(shape)


@every_case
def test_to_event_keeps_the_parts(case: DistributionCase) -> None:
    d = case.distribution(typical(case)).expand((4, 3))
    for n in (1, 2):
        event = d.to_event(n)
        assert isinstance(event, Independent)
        assert (event.batch_shape, event.event_shape) == (
            (4, 3)[: 2 - n],
            (*(4, 3)[2 - n :], *d.event_shape),
        )
        assert event.rsample((5,)).shape == (5, 4, 3, *d.event_shape)
        assert event.expand((2, *event.batch_shape)).batch_shape[0] == 2
        assert event.support.event_dim == n + d.event_dim
    assert d.to_event(2).to_event(-1).batch_shape == (4,)
    with pytest.raises(ValueError, match="reinterpreted_batch_ndims"):
        d.to_event(3)


@every_case
def test_as_a_mixture_component_and_masked(case: DistributionCase) -> None:
    d = case.distribution(typical(case)).expand((2,))
    masked = dist.MaskedMixture(torch.tensor([True, False]), d, d)
    z = d.sample()
    torch.testing.assert_close(masked.log_prob(z), d.log_prob(z))
    assert (d.mask(False).log_prob(z) == 0).all()


@every_dtype
@every_case
@pytest.mark.filterwarnings("ignore:.*:torch.jit.TracerWarning")
@pytest.mark.filterwarnings("ignore:.*is deprecated.*:DeprecationWarning")
def test_log_prob_traces(case: DistributionCase, dtype: torch.dtype) -> None:
    point = typical(case)
    parameters = case.parameters(point, dtype)
    names = list(parameters)
    first, second = (case.distribution(point, dtype).sample((4,)) for _ in range(2))

    def log_prob(value: torch.Tensor, *values: torch.Tensor) -> torch.Tensor:
        return case.make(**dict(zip(names, values, strict=True))).log_prob(value)

    with unvalidated():
        traced = torch.jit.trace(log_prob, (first, *parameters.values()))
        torch.testing.assert_close(
            traced(second, *parameters.values()),
            log_prob(second, *parameters.values()),
        )
