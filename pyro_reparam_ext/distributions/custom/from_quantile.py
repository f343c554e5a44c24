# SPDX-License-Identifier: Apache-2.0
r"""A distribution from its quantile function."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.distributions import constraints

from pyro_reparam_ext.distributions.custom.define import Breaks, Formula, define
from pyro_reparam_ext.distributions.custom.from_transport import MappedNoise
from pyro_reparam_ext.distributions.noise import StandardExponential
from pyro_reparam_ext.ops import log1mexp

_BELOW_ONE = 1 - 2.0**-53


class FromQuantile(MappedNoise):
    r"""The classes that :func:`from_quantile` makes.

    The noise is exponential: :math:`1 - u = e^{-\epsilon}`, both tails of which one
    float resolves.
    """

    noise_class = StandardExponential

    @property
    def routes(self) -> dict[str, str]:
        """How each method is computed."""
        given = {name for name, function in self.formulas.items() if function}
        quantile = "icdf" if "icdf" in given else "icdf_of_logs"
        inverse = "log_sf" if "log_sf" in given else f"{quantile} by bisection"
        return {
            "rsample": quantile,
            "gradient": f"{quantile} by autograd",
            "inverse": inverse,
            "log_abs_det_jacobian": f"{quantile} by autograd",
            "log_prob": "inverse and log_abs_det_jacobian",
            "cdf": "inverse",
            "icdf": quantile,
        }

    def _inverted(self, value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        if self.formulas["log_sf"] is None:
            return super()._inverted(value)
        shape = torch.broadcast_shapes(value.shape, self.batch_shape)
        eps = -self._call("log_sf", value.double().expand(shape)).expand(shape)
        here = torch.ones_like(eps, dtype=torch.bool)
        return eps, here, ~here

    def _map(self, eps: Tensor) -> Tensor:
        if self.formulas["icdf"] is not None:
            return self._call("icdf", (-torch.expm1(-eps)).clamp(max=_BELOW_ONE))
        return self._call("icdf_of_logs", log1mexp(eps), -eps)

    def _spacing(self, eps: Tensor) -> Tensor:
        spacing = super()._spacing(eps)
        if self.formulas["icdf"] is None:
            return spacing
        return spacing + torch.exp(eps) * (1 - _BELOW_ONE)


def from_quantile(
    name: str,
    icdf: Formula | None = None,
    *,
    arg_constraints: Mapping[str, Any],
    support: Any = constraints.real,
    icdf_of_logs: Formula | None = None,
    log_sf: Formula | None = None,
    breaks: Breaks = (),
) -> type[FromQuantile]:
    r"""A class of distributions from a quantile function.

    .. math:: z = Q_\theta(u), \quad u \sim \mathrm{Uniform}(0, 1), \qquad
        \log p_\theta(z) = -\log Q_\theta'(F_\theta(z))

    Args:
        name: Name of the class. Give it the name of the variable, so that it pickles.
        icdf: :math:`Q_\theta` as ``icdf(u, **parameters)``, elementwise in torch
            operations, increasing in ``u``. Or, better in far tails:
        arg_constraints: The domain of each parameter.
        support: A constraint, or a function of the parameters that returns one.
        icdf_of_logs: :math:`Q_\theta` as ``icdf_of_logs(log_u, log1m_u,
            **parameters)``, from :math:`\log u` and :math:`\log(1 - u)`: use the one
            that your formula has, and neither tail loses digits.
        log_sf: :math:`\log(1 - F_\theta)` as ``log_sf(value, **parameters)``. Found
            by bisection of the quantile function if not given.
        breaks: Points at which the density is not smooth, or a function of the
            parameters that returns a tuple of them; for :func:`verify`.

    Gradient: exact pathwise in every parameter; those of ``log_prob`` too.

    Numerics: all formulas are evaluated in float64, so draws in float32 have the right
    tails too. Given ``icdf``, the density is 0 above the :math:`1 - 10^{-16}`
    quantile, which no ``u`` reaches; given ``icdf_of_logs``, it is right there.

    Example:
        >>> Gumbel = from_quantile(
        ...     "Gumbel",
        ...     icdf_of_logs=lambda log_u, log1m_u, loc: loc - torch.log(-log_u),
        ...     arg_constraints={"loc": constraints.real},
        ... )
        >>> gumbel = Gumbel(torch.tensor(1.0))
        >>> gumbel.log_prob(torch.tensor([1.0, 41.0]))
        tensor([ -1., -40.])
    """
    if (icdf is None) == (icdf_of_logs is None):
        given = "neither" if icdf is None else "both"
        raise TypeError(
            f"from_quantile: {name} needs icdf or icdf_of_logs; found {given}. Give "
            "icdf=lambda u, ...: ... or icdf_of_logs=lambda log_u, log1m_u, ...: ..."
        )
    return define(
        FromQuantile,
        name,
        arg_constraints,
        support,
        {"icdf": icdf, "icdf_of_logs": icdf_of_logs, "log_sf": log_sf}
        | {"inverse": None, "log_abs_det_jacobian": None},
        breaks,
    )
