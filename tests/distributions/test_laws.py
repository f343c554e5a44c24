# SPDX-License-Identifier: Apache-2.0
"""Every law that applies, for every distribution, point and precision.

The ids read case-point-precision-law: ``-k "Kumaraswamy and round_trip"`` selects.
"""

import pytest

from pyro_reparam_ext.testing import Check, distribution_laws
from tests.cases import CUSTOM_DISTRIBUTIONS, DISTRIBUTIONS

CASES = [*DISTRIBUTIONS, *CUSTOM_DISTRIBUTIONS]
CHECKS = [check for case in CASES for check in distribution_laws(case)]


# a class made from functions searches for every value: the laws of many values are
# slow, and its verify() asks for the same in default runs
MANY_VALUES = {
    *("in_support", "standardized", "fit", "cdf_integral", "icdf_inverts"),
    *("mean", "variance", "entropy", "expectation"),
}


def is_slow(check: Check) -> bool:
    searches = any(check.case is case for case in CUSTOM_DISTRIBUTIONS)
    first = next(iter(check.case.points))
    long = check.point != first or check.law.name in MANY_VALUES
    return check.law.slow or (searches and long)


@pytest.mark.parametrize(
    "check",
    [
        pytest.param(c, id=c.id, marks=[pytest.mark.slow] if is_slow(c) else [])
        for c in CHECKS
    ],
)
def test_law(check: Check) -> None:
    check()


def test_ids_are_unique() -> None:
    ids = [c.id for c in CHECKS]
    assert len(ids) == len(set(ids))
