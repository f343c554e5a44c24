# SPDX-License-Identifier: Apache-2.0
"""What the classes of all four routes share, and how they are made."""

import inspect
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor
from torch.distributions import constraints

from pyro_reparam_ext.distributions.base import ReparameterizedDistribution
from pyro_reparam_ext.distributions.custom.coordinate import Coordinate, coordinate_of
from pyro_reparam_ext.ops import clamp_to_interior, clamp_value

Formula = Callable[..., Tensor]
Breaks = tuple[float, ...] | Callable[..., tuple[Any, ...]]


class CustomDistribution(ReparameterizedDistribution):
    """A scalar distribution whose formulas were given as functions (abstract).

    The functions are called in float64 whatever the dtype of the parameters is;
    results are returned in the dtype of the parameters.
    """

    formulas: ClassVar[Mapping[str, Formula | None]]
    breaks: ClassVar[Breaks] = ()

    @property
    def routes(self) -> dict[str, str]:
        """How each method is computed: by which formula, or by which numerics."""
        raise NotImplementedError

    @property
    def ends(self) -> tuple[Tensor, Tensor]:
        """The ends of the support."""
        lower, upper = self._coordinate()
        return lower, upper

    def _exact(self) -> dict[str, Tensor]:
        return {name: p.double() for name, p in self.parameters.items()}

    def _call(self, formula: str, *leading: Tensor) -> Tensor:
        function = self.formulas[formula]
        assert function is not None
        return function(*leading, **self._exact())

    def _options(self) -> tuple[torch.dtype, torch.device | None]:
        """The dtype of results and the device; the default ones without parameters."""
        for parameter in self.parameters.values():
            return parameter.dtype, parameter.device
        return torch.get_default_dtype(), None

    def _rounded(self, tensor: Tensor) -> Tensor:
        return tensor.to(self._options()[0])

    def _coordinate(self) -> Coordinate:
        return coordinate_of(self.support, self.batch_shape, self._options()[1])

    def _break_values(self) -> Tensor | None:
        """Where the density is not smooth, of shape ``batch_shape + (B,)``."""
        breaks = self.breaks
        if callable(breaks):
            breaks = breaks(**self._exact())
        device = self._options()[1]
        columns = [
            torch.as_tensor(b, dtype=torch.float64, device=device).expand(
                self.batch_shape
            )
            for b in breaks
        ]
        return torch.stack(columns, -1) if columns else None

    def _into_support(self, value: Tensor) -> Tensor:
        """A draw in float64, rounded to a number strictly inside the support."""
        info = torch.finfo(self._options()[0])
        value = clamp_value(value, -info.max, info.max)
        if self.support is constraints.real:
            return self._rounded(value)
        lower, upper = self._coordinate()
        # what is further outside than rounding takes it is a mistake
        slack = 64 * info.eps
        outside = value < lower - slack * (1 + lower.abs())
        outside = outside | (value > upper + slack * (1 + upper.abs()))
        inside = clamp_to_interior(
            self._rounded(value), self._rounded(lower), self._rounded(upper)
        )
        return torch.where(outside, math.nan, inside)

    def _checked(self, draws: Tensor) -> Tensor:
        """Draws, unless validation is on and they cannot be draws."""
        if self._validate_args:
            wrong = ~(self.support.check(draws) & draws.isfinite())
            if wrong.any():
                raise ValueError(
                    f"{type(self).__name__}: expected draws in the support "
                    f"{self.support}; found {draws[wrong].flatten()[0].item():g} and "
                    f"{int(wrong.sum())} such draws of {draws.numel()}. Run "
                    "verify(...) on it to see which formula is wrong."
                )
        return draws

    def _split(self, value: Tensor) -> tuple[Tensor, Tensor]:
        """Where a value is above 0, below or in the support, and a point inside."""
        coordinate = self._coordinate()
        value = value.double()
        above = (value >= coordinate.upper).double()
        side = above - (value <= coordinate.lower).double()
        middle = coordinate.value(torch.zeros_like(coordinate.lower)).detach()
        return side, torch.where(side == 0, value, middle)


_OF_TWO = ("log_abs_det_jacobian", "icdf_of_logs")

Kind = TypeVar("Kind", bound=CustomDistribution)


def define(
    base: type[Kind],
    name: str,
    arg_constraints: Mapping[str, Any],
    support: Any,
    formulas: Mapping[str, Formula | None],
    breaks: Breaks = (),
    **attributes: Any,
) -> type[Kind]:
    """A subclass of ``base`` in the module that called the caller."""
    names = tuple(arg_constraints)
    for parameter in names:
        if hasattr(base, parameter):
            raise TypeError(
                f"{name}: a parameter may not be called {parameter!r}, which the class "
                "has for something else. Choose another name."
            )
    for formula, function in formulas.items():
        if function is not None:
            leading = 2 if formula in _OF_TWO else 1
            _check_takes(name, formula, function, leading, names)
    if callable(breaks):
        _check_takes(name, "breaks", breaks, 0, names)
        attributes["breaks"] = staticmethod(breaks)
    else:
        attributes["breaks"] = tuple(breaks)
    if callable(support) and not isinstance(support, constraints.Constraint):
        _check_takes(name, "support", support, 0, names)

        def support_of(self: CustomDistribution, of: Any = support) -> Any:
            return of(**self.parameters)

        support = constraints.dependent_property(
            support_of, is_discrete=False, event_dim=0
        )
    elif support is not constraints.real and not (
        hasattr(support, "lower_bound") or hasattr(support, "upper_bound")
    ):
        raise TypeError(
            f"{name}: support must be an interval of the real line, or a function of "
            f"the parameters that returns one; found {support}. Use constraints.real, "
            "constraints.positive, constraints.interval(low, high), or lambda loc: "
            "constraints.greater_than(loc)."
        )

    def init(
        self: CustomDistribution,
        *args: Any,
        validate_args: bool | None = None,
        **parameters: Any,
    ) -> None:
        given = dict(zip(names, args, strict=False))
        twice = sorted({*given} & {*parameters})
        if len(args) > len(names) or twice:
            raise TypeError(
                f"{name}: expected the parameters {list(names)}; found "
                f"{len(args)} positional arguments and {sorted(parameters)}."
            )
        ReparameterizedDistribution.__init__(
            self, validate_args=validate_args, **given, **parameters
        )

    init.__signature__ = _signature(names)  # type: ignore[attr-defined]
    module = sys._getframe(2).f_globals.get("__name__", "__main__")
    namespace = {
        "__init__": init,
        "__module__": module,
        "__qualname__": name,
        "arg_constraints": dict(arg_constraints),
        "support": support,
        "formulas": dict(formulas),
        **attributes,
    }
    metaclass: Any = type(base)
    return metaclass(name, (base,), namespace)


def _signature(names: Sequence[str]) -> inspect.Signature:
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    parameters = [inspect.Parameter(name, kind) for name in ("self", *names)]
    last = inspect.Parameter("validate_args", kind, default=None)
    return inspect.Signature([*parameters, last])


def _check_takes(
    owner: str,
    formula: str,
    function: Callable[..., Any],
    leading: int,
    names: Sequence[str],
) -> None:
    """Whether a formula can be called as it will be."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # a built-in function does not say
        return
    try:
        signature.bind(*[None] * leading, **dict.fromkeys(names))
    except TypeError:
        expected = ", ".join([*["..."] * leading, *names])
        raise TypeError(
            f"{owner}: {formula} must take {leading} tensor(s) and then the parameters "
            f"by name, as in {formula}({expected}); found {formula}{signature}. "
            "Rename its arguments, or the keys of arg_constraints."
        ) from None
