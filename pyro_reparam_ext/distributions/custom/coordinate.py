# SPDX-License-Identifier: Apache-2.0
r"""A coordinate on the line in which every number of a support is within reach.

.. math:: z = \sinh s, \quad l + e^s, \quad h - e^{-s}, \quad l + (h - l)\,\sigma(s)

for a support without ends, with a lower one, with an upper one, and with both. The
floats of a dtype, and their distances from a finite end, lie in
:math:`|s| \le 700`; a density that falls off like a power falls off exponentially in
:math:`s`.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

REACH = 700.0
_HALVINGS = 64


class Coordinate(NamedTuple):
    """The ends of a support, finite or not, elementwise."""

    lower: Tensor
    upper: Tensor

    def value(self, s: Tensor) -> Tensor:
        """The value at a position."""
        low, high, lower, upper = self._ends()
        both = lower & upper
        # from the nearer end, whose distance is resolved
        width = high - low
        inner = torch.where(both, s, 0.0)
        from_low = low + width * torch.sigmoid(inner)
        from_high = high - width * torch.sigmoid(-inner)
        inside = torch.where(inner < 0, from_low, from_high)
        growth = torch.exp(torch.where(lower ^ upper, torch.where(lower, s, -s), 0.0))
        single = torch.where(lower, low + growth, high - growth)
        line = torch.sinh(torch.where(lower | upper, 0.0, s))
        return torch.where(both, inside, torch.where(lower | upper, single, line))

    def log_slope(self, s: Tensor) -> Tensor:
        r""":math:`\log dz/ds`."""
        low, high, lower, upper = self._ends()
        inside = (high - low).log() + logsigmoid(s) + logsigmoid(-s)
        single = torch.where(lower, s, -s)
        size = s.abs()
        line = size + torch.log1p(torch.exp(-2 * size)) - math.log(2)
        return torch.where(
            lower & upper, inside, torch.where(lower | upper, single, line)
        )

    def position(self, value: Tensor) -> Tensor:
        """Where a value inside of the support is."""
        low, high, lower, upper = self._ends()
        up = torch.where(lower, value - low, 1.0).log()
        down = torch.where(upper, high - value, 1.0).log()
        line = torch.asinh(torch.where(lower | upper, 0.0, value))
        return torch.where(lower | upper, up - down, line)

    def unsqueezed(self) -> "Coordinate":
        """With one more dimension on the right."""
        return Coordinate(self.lower.unsqueeze(-1), self.upper.unsqueeze(-1))

    def _ends(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        lower, upper = self.lower.isfinite(), self.upper.isfinite()
        low = torch.where(lower, self.lower, 0.0)
        high = torch.where(upper, self.upper, 1.0 + low.detach())
        return low, high, lower, upper


def coordinate_of(support: Any, shape: torch.Size, device: Any = None) -> Coordinate:
    """The coordinate of a constraint on scalars, in float64."""
    ends = []
    for end, default in (("lower_bound", -math.inf), ("upper_bound", math.inf)):
        bound = torch.as_tensor(getattr(support, end, default), device=device)
        ends.append(bound.double().expand(shape))
    return Coordinate(*ends)


def bisect(is_above: Callable[[Tensor], Tensor], like: Tensor) -> Tensor:
    """The position from which on ``is_above`` is true, elementwise.

    64 halvings of the whole line leave less than the rounding of a float64, whatever
    the function: there is nothing that could fail to converge.
    """
    low, high = torch.full_like(like, -REACH), torch.full_like(like, REACH)
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        above = is_above(middle)
        low = torch.where(above, low, middle)
        high = torch.where(above, middle, high)
    return 0.5 * (low + high)
