# SPDX-License-Identifier: Apache-2.0
"""Roots of log-tails of log-concave laws."""

from collections.abc import Callable

import torch
from torch import Tensor

_ROUGH_STEPS = 8
_STEPS = 2


def solve_log_tail(
    tails_and_density: Callable[[Tensor, bool], tuple[Tensor, Tensor, Tensor]],
    start: Tensor,
    log_probability: Tensor,
    upper: Tensor,
) -> Tensor:
    r"""Where the lower log-tail, or the upper one, has a given value.

    By Newton's method on the log-tail. That of a log-concave law is concave, so that
    after the first step all are on one side of the root and go towards it, from any
    start: it needs no bounds. Without gradient.

    Args:
        tails_and_density: From a value, and whether some six digits are enough, to
            both log-tails and the log-density.
        start: Where to start.
        log_probability: The given log-tail.
        upper: Whether it is the upper one.

    Example:
        >>> def logistic(x, rough):
        ...     below, above = torch.sigmoid(x).log(), torch.sigmoid(-x).log()
        ...     return below, above, below + above
        >>> x = torch.zeros(1, dtype=torch.float64)
        >>> solve_log_tail(logistic, x, x - 2, x > 0)
        tensor([-1.8546], dtype=torch.float64)
    """
    sign = torch.where(upper, 1.0, -1.0).to(start)
    value = start
    for step in range(_ROUGH_STEPS + _STEPS):
        below, above, density = tails_and_density(value, step < _ROUGH_STEPS)
        tail = torch.where(upper, above, below)
        slope = (density - tail).exp()
        value = value + sign * (tail - log_probability) / slope
    return value
