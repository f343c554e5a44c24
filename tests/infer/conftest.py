# SPDX-License-Identifier: Apache-2.0
"""Tests of losses compare to rounding: they run in float64."""

import pytest
import torch


@pytest.fixture(autouse=True)
def double_precision(clean_state: None) -> None:
    torch.set_default_dtype(torch.float64)  # clean_state restores it
