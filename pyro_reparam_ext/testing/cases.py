# SPDX-License-Identifier: Apache-2.0
"""What the laws need to know of a distribution."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from pyro.distributions import TorchDistribution
from torch import Tensor
from torch.distributions import constraints

INTEGRANDS: dict[str, Callable[[Tensor], Tensor]] = {
    "z": lambda z: z,
    "z^2": torch.square,
    "tanh": torch.tanh,
    "sin": torch.sin,
    "cos": torch.cos,
}


@dataclass(frozen=True, kw_only=True, eq=False)
class DistributionCase:
    r"""One distribution under test: how to make it, and where.

    Args:
        name: Shown in test ids.
        make: Called with the parameters of a point as tensors, by name; a class, or a
            function where a class takes other things than tensors.
        points: Parameter values by label, numbers or nested lists. Include an extreme
            one, and every special value of the formulas (a shape of exactly 0, say).
            The first is a typical one, at which inference is run.
        special: Labels of the points at which a formula changes branch: the gradient
            there must equal its limit.
        reference: An object with functions ``log_prob(value, **parameters)`` and
            ``cdf(value, **parameters)`` in arbitrary precision, or None.
        integrands: Which functions :math:`f` the gradient of :math:`E f(z)` is tested
            with, out of ``INTEGRANDS``: for all points, or by label. Leave out those
            whose gradient estimator has infinite variance, and for a circular law
            those that are not periodic.
        event_dims: For each parameter whose rightmost dimensions are not batch
            dimensions (the logits of a mixture, say), how many.
        period: The length of the circle for a circular law, whose density is that of
            the points of :math:`[-\text{period}/2, \text{period}/2)`.
        unresolved: Labels of points that put more than 1e-9 of the mass within a
            rounding unit of a finite bound other than 0, where values cannot resolve
            it: the laws that need all of the mass leave these points out.
        twice_differentiable: Whether draws have second derivatives; a class without
            must raise rather than return wrong ones.
        fixed: Names of parameters that say only of which shape and type a
            distribution is; draws have no gradient in them.
        draws: How many draws the law of expectations takes, each with parameters of
            its own; fewer for a class whose cost is in its parameters. If it is below
            20,000, the other laws of draws take so many in place of 100,000.
    """

    name: str
    make: Callable[..., TorchDistribution]
    points: Mapping[str, Mapping[str, Any]]
    special: frozenset[str] = field(default_factory=frozenset)
    reference: Any = None
    integrands: tuple[str, ...] | Mapping[str, tuple[str, ...]] = (
        "z",
        "z^2",
        "tanh",
        "sin",
    )
    event_dims: Mapping[str, int] = field(default_factory=dict)
    period: float | None = None
    unresolved: frozenset[str] = field(default_factory=frozenset)
    twice_differentiable: bool = True
    fixed: frozenset[str] = field(default_factory=frozenset)
    draws: int = 100_000

    def __post_init__(self) -> None:
        where = f"DistributionCase {self.name!r}"
        if not self.points or not all(
            isinstance(values, Mapping) for values in self.points.values()
        ):
            raise ValueError(
                f"{where}: points must map at least one label to a mapping from "
                f"parameter names to values; found {dict(self.points)!r}. For example "
                "{'one': {'loc': 0.0, 'scale': 1.0}}."
            )
        labels = {*self.special, *self.unresolved} - set(self.points)
        if labels:
            raise ValueError(
                f"{where}: special and unresolved must name points; found "
                f"{sorted(labels)}. The points are {sorted(self.points)}."
            )

    def parameters(
        self, point: str, dtype: torch.dtype = torch.float64
    ) -> dict[str, Tensor]:
        """The parameters at a point, as tensors that do not require gradients."""
        return {n: torch.tensor(v, dtype=dtype) for n, v in self.points[point].items()}

    def distribution(
        self, point: str, dtype: torch.dtype = torch.float64
    ) -> TorchDistribution:
        """The distribution at a point."""
        return self.make(**self.parameters(point, dtype))

    def leaves(
        self,
        point: str,
        dtype: torch.dtype = torch.float64,
        sample_shape: tuple[int, ...] = (),
    ) -> dict[str, Tensor]:
        """Parameters of their own for each draw and batch element.

        Shape ``sample_shape + batch_shape``, requiring gradients: the gradient of a
        sum over draws in them is the gradient of each draw.
        """
        parameters = self.parameters(point, dtype)
        events = {n: self.event_dims.get(n, 0) for n in parameters}
        batch_shape = torch.broadcast_shapes(
            *(p.shape[: p.dim() - events[n]] for n, p in parameters.items())
        )
        return {
            n: p.expand(
                torch.Size(sample_shape) + batch_shape + p.shape[p.dim() - events[n] :]
            )
            .clone()
            .requires_grad_()
            for n, p in parameters.items()
        }

    def integrands_at(self, point: str) -> tuple[str, ...]:
        """Names of the test functions at a point."""
        if isinstance(self.integrands, Mapping):
            return self.integrands[point]
        return self.integrands

    def constraints(self) -> dict[str, constraints.Constraint]:
        """The domain of each parameter that ``make`` declares independent of others."""
        declared = getattr(self.make, "arg_constraints", None) or {}
        names = next(iter(self.points.values()))
        return {
            n: c
            for n, c in declared.items()
            if n in names and not constraints.is_dependent(c)
        }
