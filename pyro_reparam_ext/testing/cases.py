# SPDX-License-Identifier: Apache-2.0
"""What the laws need to know of a distribution."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution


@dataclass(frozen=True, kw_only=True)
class DistributionCase:
    """One distribution under test: how to make it, and where.

    Args:
        name: Shown in test ids.
        make: Called with the parameters of a point as tensors, by name; a class, or a
            function where a class takes other things than tensors.
        points: Parameter values by label, numbers or nested lists. Include an extreme
            one, and every special value of the formulas (a shape of exactly 0, say).
        special: Labels of the points at which a formula changes branch: the gradient
            there must equal its limit.
        reference: An object with functions ``log_prob(value, **parameters)`` and
            ``cdf(value, **parameters)`` in arbitrary precision, or None.
    """

    name: str
    make: Callable[..., Distribution]
    points: Mapping[str, Mapping[str, Any]]
    special: frozenset[str] = field(default_factory=frozenset)
    reference: Any = None

    def parameters(
        self, point: str, dtype: torch.dtype = torch.float64
    ) -> dict[str, Tensor]:
        """The parameters at a point, as tensors that do not require gradients."""
        return {n: torch.tensor(v, dtype=dtype) for n, v in self.points[point].items()}

    def distribution(
        self, point: str, dtype: torch.dtype = torch.float64
    ) -> Distribution:
        """The distribution at a point."""
        return self.make(**self.parameters(point, dtype))
