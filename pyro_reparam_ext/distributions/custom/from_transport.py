# SPDX-License-Identifier: Apache-2.0
r"""A distribution from noise and a map :math:`z = g_\theta(\epsilon)`."""

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.distributions import constraints

from pyro_reparam_ext.distributions import noise as noises
from pyro_reparam_ext.distributions.attach_gradient import attach_gradient
from pyro_reparam_ext.distributions.custom.coordinate import (
    REACH,
    bisect,
    coordinate_of,
)
from pyro_reparam_ext.distributions.custom.define import (
    Breaks,
    CustomDistribution,
    Formula,
    define,
)
from pyro_reparam_ext.distributions.transport import TransportDistribution

_NOISES: dict[str, type[noises.Noise]] = {
    "normal": noises.StandardNormal,
    "uniform": noises.StandardUniform,
    "exponential": noises.StandardExponential,
}
_QUANTILES = (1e-6, 1e-3, 0.05, 0.2, 0.4, 0.6, 0.8, 0.95, 1 - 1e-3, 1 - 1e-6)
_TOLERANCE = 1e-6  # of a root: far above rounding, far below a wrong formula


class MappedNoise(CustomDistribution, TransportDistribution):
    """The classes that :func:`from_transport` and :func:`from_quantile` make."""

    noise_class: ClassVar[type[noises.Noise]]

    @property
    def routes(self) -> dict[str, str]:
        """How each method is computed."""
        given = {name for name, function in self.formulas.items() if function}
        inverse = "given" if "inverse" in given else "transport by bisection"
        log_det = (
            "given" if "log_abs_det_jacobian" in given else "transport by autograd"
        )
        return {
            "rsample": "transport",
            "gradient": "transport by autograd",
            "inverse": inverse,
            "log_abs_det_jacobian": log_det,
            "log_prob": "noise, inverse and log_abs_det_jacobian",
            "cdf": "noise and inverse",
            "icdf": "noise and transport",
        }

    def noise(self) -> noises.Noise:
        """The noise, in float64: it resolves both tails."""
        device = self._options()[1]
        return self.noise_class(self.batch_shape, dtype=torch.float64, device=device)

    def rsample(self, sample_shape: Any = torch.Size()) -> Tensor:  # noqa: B008
        """A draw, differentiable in the parameters."""
        self._check_monotone()
        return self._checked(super().rsample(sample_shape))

    def transport(self, eps: Tensor) -> Tensor:
        """The map, rounded into the support."""
        shape = torch.broadcast_shapes(eps.shape, self.batch_shape)
        return self._into_support(self._map(eps.double()).expand(shape))

    def inverse(self, value: Tensor) -> Tensor:
        """The inverse of the map, in float64; NaN for what is not a value of it."""
        eps, found, _ = self._inverted(value)
        return torch.where(found, eps, math.nan)

    def log_abs_det_jacobian(self, eps: Tensor, value: Tensor) -> Tensor:
        """As given, or the derivative of the map by automatic differentiation."""
        eps = eps.double().expand(torch.broadcast_shapes(eps.shape, self.batch_shape))
        if self.formulas["log_abs_det_jacobian"] is not None:
            result = self._call("log_abs_det_jacobian", eps, value.double())
            return result.expand(eps.shape)
        return self._slope(eps).abs().log()

    def log_density(self, value: Tensor) -> Tensor:
        """Noise density at the inverse, less the log-det, in float64."""
        self._check_monotone()
        eps, found, beyond = self._inverted(value)
        log_det = self.log_abs_det_jacobian(eps, value)
        result = self.noise().log_prob(eps) - log_det
        result = torch.where(found, result, math.nan)
        return self._rounded(torch.where(beyond, -math.inf, result))

    def cdf(self, value: Tensor) -> Tensor:
        """The probability of the noise on the way to the inverse."""
        if self._validate_args:
            self._validate_sample(value)
        side, inside = self._split(value)
        noise, eps = self.noise(), self.inverse(inside)
        falling = self._slope(eps) < 0
        eps = torch.where(falling, noise.reflected(eps), eps)
        probability = torch.where(side == 0, noise.cdf(eps), (side > 0).double())
        return self._rounded(probability)

    def quantile(self, probability: Tensor) -> Tensor:
        """The map at the quantile of the noise."""
        noise = self.noise()
        shape = torch.broadcast_shapes(probability.shape, self.batch_shape)
        eps = noise.icdf(probability.double().expand(shape))
        falling = self._slope(eps) < 0
        return self.transport(torch.where(falling, noise.reflected(eps), eps))

    def _map(self, eps: Tensor) -> Tensor:
        return self._call("transport", eps)

    def _slope(self, eps: Tensor) -> Tensor:
        value, vjp = torch.func.vjp(lambda e: self._map(e).expand(e.shape), eps)[:2]
        (slope,) = vjp(torch.ones_like(value))
        return slope

    def _check_monotone(self) -> None:
        """With validation on, at a few quantiles of the noise."""
        if not self._validate_args:
            return
        u = torch.tensor(_QUANTILES, dtype=torch.float64, device=self._options()[1])
        u = u.reshape((-1,) + (1,) * len(self.batch_shape))
        with torch.no_grad():
            eps = self.noise().icdf(u.expand((-1, *self.batch_shape)))
            steps = self._map(eps).expand(eps.shape).diff(dim=0)
        if ((steps > 0).any(0) & (steps < 0).any(0)).any():
            raise ValueError(
                f"{type(self).__name__}: expected a map of the noise that only rises "
                "or only falls; found one that does both. Split it into monotone "
                "pieces, or derive from ImplicitDistribution."
            )

    def _inverted(self, value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The noise of a value, whether there is any, and whether it is out of reach.

        Where there is none it is the noise of another value, so that no NaN reaches a
        gradient.
        """
        shape = torch.broadcast_shapes(value.shape, self.batch_shape)
        value = value.double().expand(shape)
        if self.formulas["inverse"] is not None:
            eps = self._call("inverse", value).expand(shape)
            here = torch.ones_like(eps, dtype=torch.bool)
            return eps, here, ~here
        names = tuple(self.arg_constraints)

        def pull_back(
            eps: Tensor, held: tuple[Tensor, ...], grad_output: Tensor
        ) -> tuple[Tensor, ...]:
            def at(*parameters: Tensor) -> Tensor:
                new = self.with_parameters(dict(zip(names, parameters, strict=True)))
                return new._map(eps).expand(shape)

            here = self.with_parameters(dict(zip(names, held[1:], strict=True)))
            by_value = grad_output / here._slope(eps)
            vjp = torch.func.vjp(at, *held[1:])[1]
            return by_value, *vjp(-by_value)

        with torch.no_grad():
            eps, found, beyond = self._root(value)
        eps = attach_gradient(eps, pull_back, value, *self.parameters.values())
        return eps, found, beyond

    def _root(self, value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        support = coordinate_of(self.noise_class.support, value.shape, value.device)
        one = torch.ones_like(value)
        falling = self._map(support.value(one)) < self._map(support.value(-one))

        def is_above(s: Tensor) -> Tensor:
            there = self._map(support.value(s))
            above = (there > value) ^ falling
            return torch.where(there.isnan(), s > 0, above)

        s = bisect(is_above, value)
        beyond = s.abs() > REACH - 1
        eps = support.value(torch.where(beyond, 0.0, s))
        miss = (self._map(eps) - value).abs()
        reach = self._slope(eps).abs() * self._spacing(eps) + _TOLERANCE * value.abs()
        return eps, (miss <= reach) & ~beyond, beyond & ~value.isnan()

    def _spacing(self, eps: Tensor) -> Tensor:
        """How closely the map can be expected to tell noise apart."""
        return _TOLERANCE * eps.abs()


def from_transport(
    name: str,
    transport: Formula,
    *,
    arg_constraints: Mapping[str, Any],
    support: Any = constraints.real,
    noise: str = "normal",
    inverse: Formula | None = None,
    log_abs_det_jacobian: Formula | None = None,
    breaks: Breaks = (),
) -> type[MappedNoise]:
    r"""A class of distributions from noise and a monotone map.

    .. math:: z = g_\theta(\epsilon), \qquad \log p_\theta(z) = \log p(\epsilon) -
        \log\left|\partial g_\theta(\epsilon)/\partial\epsilon\right|

    Args:
        name: Name of the class. Give it the name of the variable, so that it pickles.
        transport: :math:`g_\theta` as ``transport(eps, **parameters)``, elementwise in
            torch operations, increasing or decreasing in ``eps``.
        arg_constraints: The domain of each parameter.
        support: A constraint, or a function of the parameters that returns one.
        noise: ``"normal"``, ``"uniform"`` or ``"exponential"``.
        inverse: :math:`g_\theta^{-1}` as ``inverse(value, **parameters)``. Found by
            bisection if not given, and differentiated implicitly.
        log_abs_det_jacobian: As ``log_abs_det_jacobian(eps, value, **parameters)``. By
            automatic differentiation of the map if not given.
        breaks: Points at which the density is not smooth, or a function of the
            parameters that returns a tuple of them; for :func:`verify`.

    Gradient: exact pathwise in every parameter; those of ``log_prob`` too.

    Numerics: all formulas are evaluated in float64. The bisection takes 64 evaluations
    of the map, without a graph, and ends within rounding of the root.

    Example:
        >>> Rayleigh = from_transport(
        ...     "Rayleigh",
        ...     lambda eps, scale: scale * (2 * eps).sqrt(),
        ...     noise="exponential",
        ...     arg_constraints={"scale": constraints.positive},
        ...     support=constraints.positive,
        ... )
        >>> rayleigh = Rayleigh(torch.tensor([1.0, 2.0]))
        >>> rayleigh.rsample((3,)).shape
        torch.Size([3, 2])
        >>> rayleigh.log_prob(torch.tensor(1.0))
        tensor([-0.5000, -1.5113])
    """
    if noise not in _NOISES:
        raise ValueError(
            f"from_transport: noise of {name} must be one of {sorted(_NOISES)}; found "
            f"{noise!r}. For other noise, derive from TransportDistribution."
        )
    return define(
        MappedNoise,
        name,
        arg_constraints,
        support,
        {
            "transport": transport,
            "inverse": inverse,
            "log_abs_det_jacobian": log_abs_det_jacobian,
        },
        breaks,
        noise_class=_NOISES[noise],
    )
