# SPDX-License-Identifier: Apache-2.0
"""What each site came to in a run, to tell where two runs part."""

from typing import Any

import torch
from pyro.poutine.messenger import Messenger
from torch import Tensor, nn
from torch.distributions import Distribution, Transform


class Witness(Messenger):
    """Notes the log-density of every sample site, outermost of all handlers."""

    def __init__(self) -> None:
        super().__init__()
        self._sites: list[tuple[str, Any, Any]] = []

    def _pyro_post_sample(self, msg: Any) -> None:
        if type(msg["fn"]).__name__ != "_Subsample" and not _is_training(msg["fn"]):
            value = msg["value"]
            # a draw itself: a flow remembers where it came from, and need not invert;
            # what is observed in every run must not be remembered without its graph
            value = value.detach() if msg["is_observed"] else value
            self._sites.append((msg["name"], msg["fn"], value))

    def log_probs(self) -> list[tuple[str, Tensor]]:
        """The sum of the log-density at each site, in the order of the run."""
        found = []
        with torch.no_grad():
            for name, fn, value in self._sites:
                try:
                    total = fn.log_prob(value).sum()
                except Exception:  # not the step's: a flow without an inverse, say
                    continue
                found.append((name, total))
        return found


def _is_training(law: Any, seen: frozenset[int] = frozenset()) -> bool:
    """Whether a law has a network whose evaluation may change or draw something."""
    if isinstance(law, nn.Module):
        return law.training
    seen = seen | {id(law)}  # a transform and its inverse hold each other
    for held in getattr(law, "__dict__", {}).values():
        for part in held if isinstance(held, tuple | list) else (held,):
            known = isinstance(part, nn.Module | Distribution | Transform)
            if known and id(part) not in seen and _is_training(part, seen):
                return True
    return False


def first_to_differ(
    ours: list[tuple[str, Tensor]], theirs: list[tuple[str, Tensor]]
) -> str:
    """The first site where two runs part, as a sentence, or nothing."""
    for (name, one), (other_name, other) in zip(ours, theirs, strict=False):
        tolerance = 1e-9 if one.dtype == torch.float64 else 1e-4
        close = torch.allclose(one, other, rtol=tolerance, equal_nan=True)
        if name != other_name or not close:
            return f" The two part at site {other_name!r}."
    return ""
