# SPDX-License-Identifier: Apache-2.0
"""The laws of shapes, draws, densities and paths for matrices of other sizes."""

import pytest

from pyro_reparam_ext.testing import Check, distribution_laws
from tests.matrix_cases import OTHER_SIZES

LAWS = [
    *("shapes", "expand", "in_support", "differentiable", "same_density", "mode"),
    *("continuity", "stein", "mass", "averages", "divergence"),
]
CHECKS = [check for case in OTHER_SIZES for check in distribution_laws(case, LAWS)]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.id)
def test_law(check: Check) -> None:
    check()
