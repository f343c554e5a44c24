# SPDX-License-Identifier: Apache-2.0
"""Intervals whose ends may be infinite, as supports that guides can be built on."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import Transform, biject_to, constraints, transform_to


class ExtendedInterval(constraints.interval):
    r"""The interval :math:`[l, h]`, elementwise with either end finite or infinite.

    :class:`torch.distributions.constraints.interval` with an infinite end has the
    right check but a bijection that returns NaN, so that an autoguide cannot be built
    on it; here each element has the bijection that fits its ends.
    """

    def __repr__(self) -> str:  # torch cuts off the first letter of the name
        return f"ExtendedInterval({self.lower_bound}, {self.upper_bound})"


class ExtendedIntervalTransform(Transform):
    r"""From :math:`\mathbb{R}` to an :class:`ExtendedInterval`, increasing.

    :math:`l + (h - l)\,\sigma(x)` between finite ends, :math:`l + e^x` or
    :math:`h - e^{-x}` with one, :math:`x` with none.

    Args:
        low: :math:`l`, finite or :math:`-\infty`.
        high: :math:`h`, finite or :math:`\infty`.
    """

    domain = constraints.real
    bijective = True
    sign = +1

    def __init__(self, low: Tensor, high: Tensor, cache_size: int = 0) -> None:
        super().__init__(cache_size=cache_size)
        self.low, self.high = torch.broadcast_tensors(low, high)

    @property
    def codomain(self) -> ExtendedInterval:
        """The interval."""
        return ExtendedInterval(self.low, self.high)

    def with_cache(self, cache_size: int = 1) -> "ExtendedIntervalTransform":
        """The same transform with another cache size."""
        return type(self)(self.low, self.high, cache_size)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, ExtendedIntervalTransform)
            and torch.equal(self.low, other.low)
            and torch.equal(self.high, other.high)
        )

    __hash__ = Transform.__hash__

    def _ends(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        below, above = torch.isfinite(self.low), torch.isfinite(self.high)
        low = torch.where(below, self.low, 0.0)
        high = torch.where(above, self.high, 1.0)
        return below, above, low, high

    def _call(self, x: Tensor) -> Tensor:
        below, above, low, high = self._ends()
        both, one = below & above, below ^ above
        grown = torch.exp(torch.where(one, torch.where(below, x, -x), 0.0))
        inside = low + (high - low) * torch.sigmoid(x)
        single = torch.where(below, low + grown, high - grown)
        return torch.where(both, inside, torch.where(one, single, x))

    def _inverse(self, y: Tensor) -> Tensor:
        below, above, low, high = self._ends()
        both, one = below & above, below ^ above
        info = torch.finfo(y.dtype)
        up = torch.where(below, y - low, 1.0).clamp(min=info.tiny).log()
        down = torch.where(above, high - y, 1.0).clamp(min=info.tiny).log()
        return torch.where(both | one, up - down, y)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        r""":math:`\log|\partial y/\partial x|`."""
        below, above, low, high = self._ends()
        both, one = below & above, below ^ above
        width = torch.where(both, high - low, 1.0)
        inside = width.log() - F.softplus(x) - F.softplus(-x)
        single = torch.where(below, x, -x)
        return torch.where(both, inside, torch.where(one, single, 0.0))

    def forward_shape(self, shape: Any) -> torch.Size:
        """The broadcast shape."""
        return torch.broadcast_shapes(shape, self.low.shape)

    def inverse_shape(self, shape: Any) -> torch.Size:
        """The broadcast shape."""
        return torch.broadcast_shapes(shape, self.low.shape)


def require_order(owner: str, low: Tensor, high: Tensor) -> None:
    """Refuse an empty interval, where the values can be read at no cost.

    That is on the CPU, outside of ``torch.func.vmap`` and capture.
    """
    wrong = first_where(~(low < high), low, high)
    if wrong is not None:
        raise ValueError(
            f"{owner}: low must be less than high; found low={wrong[0]} and high="
            f"{wrong[1]}. Exchange the bounds, or widen the interval."
        )


def first_where(wrong: Tensor, *values: Tensor) -> list[float] | None:
    """The values at the first place that is wrong; None if unknown, too."""
    if wrong.device.type != "cpu" or torch.compiler.is_compiling():
        return None
    try:
        if not bool(wrong.any()):
            return None
    except RuntimeError:  # under vmap or capture: no value to look at
        return None
    return [value.expand(wrong.shape)[wrong][0].item() for value in values]


@biject_to.register(ExtendedInterval)  # type: ignore[untyped-decorator]
@transform_to.register(ExtendedInterval)  # type: ignore[untyped-decorator]
def _transform_to_interval(constraint: ExtendedInterval) -> ExtendedIntervalTransform:
    low = torch.as_tensor(constraint.lower_bound)
    high = torch.as_tensor(constraint.upper_bound)
    return ExtendedIntervalTransform(low, high)
