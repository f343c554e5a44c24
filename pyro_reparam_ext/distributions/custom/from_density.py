# SPDX-License-Identifier: Apache-2.0
r"""A distribution from an unnormalized log-density on the line."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.distributions import constraints

from pyro_reparam_ext.distributions.attach_gradient import attach_gradient
from pyro_reparam_ext.distributions.custom.define import (
    Breaks,
    CustomDistribution,
    Formula,
    define,
)
from pyro_reparam_ext.distributions.custom.panels import (
    Panels,
    panels_at,
    place_panels,
)
from pyro_reparam_ext.distributions.custom.remembered import Found, remembered
from pyro_reparam_ext.distributions.implicit import ImplicitDistribution
from pyro_reparam_ext.distributions.noise import StandardExponential

_SETTLED = 1e-10  # of an integral: what the last nodes may contribute


class FromDensity(CustomDistribution, ImplicitDistribution):
    """The classes that :func:`from_density` makes."""

    @property
    def routes(self) -> dict[str, str]:
        """How each method is computed."""
        panels = "log_density by quadrature"
        return {
            "rsample": f"{panels}, table and Newton",
            "gradient": f"{panels}, implicit",
            "log_prob": "log_density, normalized by quadrature",
            "cdf": panels,
            "icdf": f"{panels}, table and Newton",
            "moments": panels,
        }

    @property
    def log_normalizer(self) -> Tensor:
        r""":math:`\log\int\tilde p_\theta(z)\,dz`, NaN where it diverges."""
        return self._rounded(self._panels().log_mass)

    def simulate(self, sample_shape: torch.Size) -> Tensor:
        """The quantile of exponential noise, which resolves both tails."""
        noise = StandardExponential(
            self.batch_shape, dtype=torch.float64, device=self._options()[1]
        )
        eps = noise.sample(sample_shape)
        return self._quantile(-torch.expm1(-eps), torch.exp(-eps))

    def sample(self, sample_shape: Any = torch.Size()) -> Tensor:  # noqa: B008
        """A draw without gradient; the same as ``rsample`` under the same seed."""
        return self._checked(super().sample(sample_shape))

    def inverse(self, value: Tensor) -> Tensor:
        """The cdf."""
        tail, is_lower = self._tail(value.double())
        return self._rounded(torch.where(is_lower, tail, 1 - tail))

    def attach_gradient(self, value: Tensor) -> Tensor:
        r"""``value``, made to depend on the parameters along a path of fixed quantile.

        All draws share the panels of their parameters.
        """
        names = tuple(self.arg_constraints)

        def pull_back(
            value: Tensor, parameters: tuple[Tensor, ...], grad_output: Tensor
        ) -> tuple[Tensor, ...]:
            def tail(*parameters: Tensor) -> tuple[Tensor, Tensor]:
                new = self.with_parameters(dict(zip(names, parameters, strict=True)))
                return new._tail(value.double(), placed)

            exact = self.with_parameters(dict(zip(names, parameters, strict=True)))
            placed = remembered(self, parameters, exact._place)
            density = exact._log_density(value.double(), placed).exp()
            result: Any = torch.func.vjp(tail, *parameters, has_aux=True)
            _, vjp, is_lower = result
            sign = 1 - 2 * is_lower.double()
            return tuple(vjp(sign * grad_output.double() / density))

        return attach_gradient(value, pull_back, *self.parameters.values())

    def log_density(self, value: Tensor) -> Tensor:
        """The log-density given, less the logarithm of its integral."""
        return self._rounded(self._log_density(value.double()))

    def cdf(self, value: Tensor) -> Tensor:
        """The integral up to the value."""
        if self._validate_args:
            self._validate_sample(value)
        side, inside = self._split(value)
        probability = self.inverse(inside)
        return torch.where(side == 0, probability, (side > 0).to(probability.dtype))

    def quantile(self, probability: Tensor) -> Tensor:
        """The quantile, differentiable in the parameters and the probability."""
        shape = torch.broadcast_shapes(probability.shape, self.batch_shape)
        u = probability.double().expand(shape)
        with torch.no_grad():
            z = self._quantile(u, 1 - u)
        slope = self._log_density(z.double().detach()).exp()
        by_level = (u - u.detach()) / slope
        return self.attach_gradient(z) + by_level.to(z.dtype)

    def entropy(self) -> Tensor:
        r""":math:`-E\log p(z)`."""
        panels = self._panels()
        return self._rounded(
            panels.log_mass - self._mean_of(panels, self._unnormalized)
        )

    @property
    def mean(self) -> Tensor:
        r""":math:`E z`, NaN where the integral does not settle."""
        return self._rounded(self._mean_of(self._panels(), lambda z: z))

    @property
    def variance(self) -> Tensor:
        r""":math:`E(z - E z)^2`, NaN where the integral does not settle."""
        panels = self._panels()
        center = self._mean_of(panels, lambda z: z).unsqueeze(-1)
        return self._rounded(self._mean_of(panels, lambda z: (z - center).square()))

    def _mean_of(self, panels: Panels, function: Callable[[Tensor], Tensor]) -> Tensor:
        """NaN where the ends of the panels still contribute."""
        coordinate = self._coordinate().unsqueezed()

        def at(s: Tensor) -> Tensor:
            return function(coordinate.value(s))

        size = panels.expectation(lambda s: at(s).abs())
        ends = torch.stack([panels.nodes[..., 0], panels.nodes[..., -1]], -1)
        last = torch.stack([panels.weights[..., 0], panels.weights[..., -1]], -1)
        settled = (at(ends).abs() * last <= _SETTLED * size.unsqueeze(-1)).all(-1)
        return torch.where(settled, panels.expectation(at), math.nan)

    def _quantile(self, below: Tensor, above: Tensor) -> Tensor:
        panels = self._panels()
        self._check_integrable(panels)
        z = self._coordinate().value(panels.position(below, above))
        return self._into_support(torch.where(panels.log_mass.isnan(), math.nan, z))

    def _log_density(self, value: Tensor, placed: Found | None = None) -> Tensor:
        panels = self._panels(placed)
        self._check_integrable(panels)
        return self._call("log_density", value) - panels.log_mass

    def _tail(
        self, value: Tensor, placed: Found | None = None
    ) -> tuple[Tensor, Tensor]:
        shape = torch.broadcast_shapes(value.shape, self.batch_shape)
        panels = self._panels(placed)
        return panels.tail(self._coordinate().position(value).expand(shape))

    def _panels(self, placed: Found | None = None) -> Panels:
        """Their weights with a graph; where they are is found once."""
        if placed is None:
            placed = remembered(self, self.parameters.values(), self._place)
        breaks = self._break_values()
        if breaks is not None:
            breaks = self._coordinate().unsqueezed().position(breaks)
        return panels_at(placed, self._log_q, breaks)

    def _place(self) -> Found:
        like = torch.zeros_like(self._coordinate().lower)
        return place_panels(self._log_q, like)

    def _log_q(self, s: Tensor) -> Tensor:
        """The log-density of the coordinate."""
        coordinate = self._coordinate().unsqueezed()
        log_density = self._unnormalized(coordinate.value(s)).expand(s.shape)
        return log_density + coordinate.log_slope(s)

    def _unnormalized(self, value: Tensor) -> Tensor:
        """At points of shape ``(...) + batch_shape + (n,)``."""
        function = self.formulas["log_density"]
        assert function is not None
        return function(value, **{n: p.unsqueeze(-1) for n, p in self._exact().items()})

    def _check_integrable(self, panels: Panels) -> None:
        if self._validate_args and panels.log_mass.isnan().any():
            raise ValueError(
                f"{type(self).__name__}: expected exp(log_density) to be integrable "
                f"over the support {self.support}; found that it does not fall off "
                "towards an end, or is finite nowhere. Narrow the support, or correct "
                "log_density."
            )


def from_density(
    name: str,
    log_density: Formula,
    *,
    arg_constraints: Mapping[str, Any],
    support: Any = constraints.real,
    breaks: Breaks = (),
) -> type[FromDensity]:
    r"""A class of distributions from a log-density that need not be normalized.

    .. math:: p_\theta(z) = \tilde p_\theta(z) \Big/ \int\tilde p_\theta, \qquad
        \frac{\partial z}{\partial\theta} = -\int_{-\infty}^z
        (s_\theta(t) - E s_\theta)\,\frac{\tilde p_\theta(t)}{\tilde p_\theta(z)}\,dt,
        \quad s_\theta = \partial_\theta\log\tilde p_\theta

    Args:
        name: Name of the class. Give it the name of the variable, so that it pickles.
        log_density: :math:`\log\tilde p_\theta` as ``log_density(value,
            **parameters)``, elementwise in torch operations, and a function of these
            alone.
        arg_constraints: The domain of each parameter.
        support: A constraint, or a function of the parameters that returns one.
        breaks: Points at which the density is not smooth (a kink, a jump): numbers, or
            a function of the parameters that returns a tuple. Without them, an
            accuracy of 1e-5 is what to expect of a density with a kink.

    Gradient: exact pathwise in every parameter, to the accuracy of the quadrature;
    second derivatives too. The smaller tail is the one that is integrated.

    Numerics: 48 panels of 16 Gauss-Legendre nodes, in float64. They are placed once for
    each distribution, and again when its parameters are changed in place, at a cost of
    about 2000 evaluations of the density; a call costs 1500, each draw 16 more for its
    gradient, and a Newton iteration on a table. Accurate to about
    1e-12 for a smooth density with a few modes, which must be visible from afar: a
    peak narrower than 1e-3 of its distance from a higher one may be missed. Where the
    integral diverges, or a tail is heavier than :math:`|z|^{-1.05}`, an error with
    validation on, else NaN.

    Example:
        >>> DoubleWell = from_density(
        ...     "DoubleWell",
        ...     lambda value, depth: -depth * (value**2 - 1) ** 2,
        ...     arg_constraints={"depth": constraints.positive},
        ... )
        >>> depth = torch.tensor([1.0, 30.0], requires_grad=True)
        >>> DoubleWell(depth).variance.detach()
        tensor([0.8327, 0.9914])
        >>> DoubleWell(depth).rsample((5,)).shape
        torch.Size([5, 2])
    """
    return define(
        FromDensity,
        name,
        arg_constraints,
        support,
        {"log_density": log_density},
        breaks,
    )
