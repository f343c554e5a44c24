# SPDX-License-Identifier: Apache-2.0
"""Values of another precision than the parameters, and integers."""

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

METHODS = ("cdf", "icdf", "sf", "log_cdf", "log_sf")


def in_one_precision(distribution: Any, value: Any, method: str) -> tuple[Any, Tensor]:
    """A distribution and a value, both in the wider of their precisions."""
    if not isinstance(value, Tensor):
        raise TypeError(
            f"{type(distribution).__name__}.{method}: expected a tensor; found "
            f"{type(value).__name__}. Wrap it in torch.tensor(...)."
        )
    own = distribution.dtype_of_draws
    if value.dtype == own:
        return distribution, value
    dtype = torch.promote_types(own, value.dtype)
    if dtype != own:
        distribution = distribution.in_dtype(dtype)
    return distribution, value.to(dtype)


def of_any_precision(method: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """A method of one value, which it is handed in the precision of its parameters."""

    @functools.wraps(method)
    def takes_any(self: Any, value: Tensor) -> Tensor:
        return method(*in_one_precision(self, value, method.__name__))

    return takes_any
