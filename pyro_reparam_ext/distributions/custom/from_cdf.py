# SPDX-License-Identifier: Apache-2.0
r"""A distribution from its cdf, inverted numerically."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.distributions import constraints

from pyro_reparam_ext.distributions.custom.coordinate import bisect
from pyro_reparam_ext.distributions.custom.define import (
    Breaks,
    CustomDistribution,
    Formula,
    define,
)
from pyro_reparam_ext.distributions.implicit import ImplicitDistribution
from pyro_reparam_ext.distributions.noise import StandardExponential
from pyro_reparam_ext.ops import log1mexp

_TOLERANCE = 1e-6  # of a level: far above rounding, far below a wrong formula


class FromCdf(CustomDistribution, ImplicitDistribution):
    """The classes that :func:`from_cdf` makes."""

    @property
    def routes(self) -> dict[str, str]:
        """How each method is computed."""
        tails = "log_cdf and log_sf" if self._in_logs else "cdf"
        given = self.formulas["log_density"] is not None
        return {
            "rsample": f"{tails} by bisection",
            "gradient": f"{tails}, implicit",
            "log_prob": "log_density" if given else f"{tails} by autograd",
            "cdf": tails,
            "icdf": f"{tails} by bisection",
        }

    @property
    def _in_logs(self) -> bool:
        return self.formulas["cdf"] is None

    def simulate(self, sample_shape: torch.Size) -> Tensor:
        """The quantile of exponential noise, which resolves both tails."""
        noise = StandardExponential(
            self.batch_shape, dtype=torch.float64, device=self._options()[1]
        )
        return self._into_support(self._quantile(noise.sample(sample_shape)))

    def sample(self, sample_shape: Any = torch.Size()) -> Tensor:  # noqa: B008
        """A draw without gradient; the same as ``rsample`` under the same seed."""
        return self._checked(super().sample(sample_shape))

    def inverse(self, value: Tensor) -> Tensor:
        """The cdf."""
        if self._in_logs:
            return self._rounded(self._call("log_cdf", value.double()).exp())
        return self._rounded(self._call("cdf", value.double()))

    def sample_gradient(self, value: Tensor) -> dict[str, Tensor]:
        r""":math:`-\partial_\theta F/p`, in the logarithm of the smaller tail."""
        names = tuple(self.arg_constraints)

        def standardize(value: Tensor, *parameters: Tensor) -> Tensor:
            new = self.with_parameters(dict(zip(names, parameters, strict=True)))
            return new._standardized(value).expand(value.shape)

        parameters = self._exact().values()
        level, vjp = torch.func.vjp(standardize, value.double(), *parameters)[:2]
        by_value, *by_parameter = vjp(torch.ones_like(level))
        return {
            n: (-g / by_value).to(value.dtype)
            for n, g in zip(names, by_parameter, strict=True)
        }

    def log_density(self, value: Tensor) -> Tensor:
        """As given, or the derivative of the cdf by automatic differentiation."""
        shape = torch.broadcast_shapes(value.shape, self.batch_shape)
        value = value.double().expand(shape)
        if self.formulas["log_density"] is not None:
            return self._rounded(self._call("log_density", value).expand(shape))
        level, vjp = torch.func.vjp(
            lambda z: self._standardized(z).expand(shape), value
        )[:2]
        (slope,) = vjp(torch.ones_like(level))
        result = _log(slope)
        if self._in_logs:
            result = result - level.abs()  # the level is the log of the smaller tail
        return self._rounded(result)

    def cdf(self, value: Tensor) -> Tensor:
        """As given; 0 below the support, 1 above."""
        if self._validate_args:
            self._validate_sample(value)
        side, inside = self._split(value)
        probability = self.inverse(inside)
        return torch.where(side == 0, probability, (side > 0).to(probability.dtype))

    def quantile(self, probability: Tensor) -> Tensor:
        """The root of the cdf, differentiable in the parameters and the probability."""
        shape = torch.broadcast_shapes(probability.shape, self.batch_shape)
        u = probability.double().expand(shape)
        with torch.no_grad():
            z = self._into_support(self._quantile(-torch.log1p(-u)))
        # the path of a fixed quantile, and along it the quantile itself
        slope = self.log_density(z.detach()).exp()
        by_level = (u - u.detach()) / slope.double()
        return self.attach_gradient(z) + by_level.to(z.dtype)

    def _standardized(self, value: Tensor) -> Tensor:
        """The cdf, or log F below the median and -log(1 - F) above."""
        if not self._in_logs:
            return self._call("cdf", value)
        below, above = self._call("log_cdf", value), self._call("log_sf", value)
        return torch.where(below < above, below, -above)

    def _quantile(self, eps: Tensor) -> Tensor:
        r"""The value with :math:`1 - F(z) = e^{-\epsilon}`, or NaN; in float64."""
        coordinate = self._coordinate()
        left = eps < math.log(2)

        def excess(s: Tensor) -> Tensor:
            value = coordinate.value(s)
            if not self._in_logs:
                return self._call("cdf", value) + torch.expm1(-eps)
            below = self._call("log_cdf", value) - log1mexp(eps)
            return torch.where(left, below, -eps - self._call("log_sf", value))

        s = bisect(lambda s: excess(s) > 0, eps)
        # a level that the cdf jumps over, or never reaches, is not the cdf's
        allowed = _TOLERANCE * (eps.clamp(min=1) if self._in_logs else 1)
        found = excess(s).abs() <= allowed
        return torch.where(found, coordinate.value(s), math.nan)


def _log(x: Tensor) -> Tensor:
    positive = (x > 0) | x.isnan()
    return torch.where(positive, torch.where(positive, x, 1.0).log(), -math.inf)


def from_cdf(
    name: str,
    cdf: Formula | None = None,
    *,
    arg_constraints: Mapping[str, Any],
    support: Any = constraints.real,
    log_cdf: Formula | None = None,
    log_sf: Formula | None = None,
    log_density: Formula | None = None,
    breaks: Breaks = (),
) -> type[FromCdf]:
    r"""A class of distributions from a cdf.

    .. math:: F_\theta(z) = u, \quad u \sim \mathrm{Uniform}(0, 1), \qquad
        \frac{\partial z}{\partial\theta} =
        -\frac{\partial_\theta F_\theta(z)}{p_\theta(z)}

    Args:
        name: Name of the class. Give it the name of the variable, so that it pickles.
        cdf: :math:`F_\theta` as ``cdf(value, **parameters)``, elementwise in torch
            operations. Or, better in far tails, the next two:
        arg_constraints: The domain of each parameter.
        support: A constraint, or a function of the parameters that returns one.
        log_cdf: :math:`\log F_\theta`, finite inside of the support.
        log_sf: :math:`\log(1 - F_\theta)`, finite inside of the support.
        log_density: :math:`\log p_\theta`. By automatic differentiation of the cdf if
            not given.
        breaks: Points at which the density is not smooth, or a function of the
            parameters that returns a tuple of them; for :func:`verify`.

    Gradient: exact pathwise in every parameter, as far as the formulas are; second
    derivatives too.

    Numerics: all formulas are evaluated in float64. The bracket is the whole support,
    64 bisections end within rounding of the root. Given ``cdf``, the upper tail is as
    good as :math:`1 - F` is in float64.

    Example:
        >>> Logistic = from_cdf(
        ...     "Logistic",
        ...     lambda value, loc: torch.sigmoid(value - loc),
        ...     arg_constraints={"loc": constraints.real},
        ... )
        >>> loc = torch.tensor(0.5, requires_grad=True)
        >>> _ = torch.manual_seed(0)
        >>> Logistic(loc).rsample((100,)).sum().backward()
        >>> loc.grad
        tensor(100.)
    """
    if (cdf is None) == (log_cdf is None) or (log_cdf is None) != (log_sf is None):
        tails = {"cdf": cdf, "log_cdf": log_cdf, "log_sf": log_sf}
        found = ", ".join(n for n, f in tails.items() if f is not None) or "none"
        raise TypeError(
            f"from_cdf: {name} needs either cdf, or log_cdf and log_sf; found {found}."
        )
    formulas = {"cdf": cdf, "log_cdf": log_cdf, "log_sf": log_sf}
    return define(
        FromCdf,
        name,
        arg_constraints,
        support,
        formulas | {"log_density": log_density},
        breaks,
    )
