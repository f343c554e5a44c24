# SPDX-License-Identifier: Apache-2.0
"""What every test starts from: a seed, an empty parameter store, validation on."""

from collections.abc import Iterator

import pyro
import pytest
import torch


@pytest.fixture(autouse=True)
def clean_state() -> Iterator[None]:
    """Seed, empty Pyro's parameter store, validate; restore the default dtype."""
    dtype, threads = torch.get_default_dtype(), torch.get_num_threads()
    torch.set_num_threads(1)
    pyro.set_rng_seed(0)
    pyro.clear_param_store()
    with pyro.validation_enabled(True):
        yield
    pyro.clear_param_store()
    torch.set_default_dtype(dtype)
    torch.set_num_threads(threads)
