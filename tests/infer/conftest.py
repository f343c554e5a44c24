# SPDX-License-Identifier: Apache-2.0
"""Tests of losses compare to rounding: they run in float64."""

from pathlib import Path

import pytest
import torch


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What is tested here is estimators: ``pytest -k estimators`` selects it."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("estimators")


@pytest.fixture(autouse=True)
def double_precision(clean_state: None) -> None:
    torch.set_default_dtype(torch.float64)  # clean_state restores it
