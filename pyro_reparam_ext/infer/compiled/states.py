# SPDX-License-Identifier: Apache-2.0
"""The state before a step, to come back to."""

from collections.abc import Sequence

import torch
from torch import Tensor


def put_back(
    tensors: Sequence[Tensor], values: Sequence[Tensor], random: list[Tensor]
) -> None:
    """Make tensors and torch's generators what they were."""
    with torch.no_grad():
        for tensor, value in zip(tensors, values, strict=True):
            tensor.copy_(value)
    set_random_state(random)


def random_state() -> list[Tensor]:
    """The state of torch's generators."""
    states = [torch.get_rng_state()]
    if torch.cuda.is_available():
        states += torch.cuda.get_rng_state_all()
    return states


def set_random_state(states: list[Tensor]) -> None:
    """Put torch's generators back to a state."""
    torch.set_rng_state(states[0])
    if len(states) > 1:
        torch.cuda.set_rng_state_all(states[1:])
