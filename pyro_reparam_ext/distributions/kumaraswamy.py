# SPDX-License-Identifier: Apache-2.0
"""The Kumaraswamy distribution, computed in logs."""

from typing import final

import torch
from torch import Tensor
from torch.distributions import constraints

from pyro_reparam_ext.distributions.base import Parameter
from pyro_reparam_ext.distributions.noise import StandardExponential
from pyro_reparam_ext.distributions.transport import TransportDistribution
from pyro_reparam_ext.ops import log1mexp


@final
class Kumaraswamy(TransportDistribution):
    r"""Kumaraswamy distribution: a Beta-like law on (0, 1) with an explicit path.

    .. math:: z = \left(1 - e^{-\epsilon/b}\right)^{1/a},
        \qquad \epsilon \sim \mathrm{Exponential}(1)

    .. math:: p(z) = a b z^{a-1} (1 - z^a)^{b-1}

    Args:
        concentration1: :math:`a > 0`, the power at :math:`z = 0`.
        concentration0: :math:`b > 0`, the power at :math:`z = 1`.

    Shapes:
        The parameters broadcast to ``batch_shape``; events are scalars.

    Support: :math:`z \in (0, 1)`; draws are kept off the endpoints by at most one
    rounding unit.

    Gradient: exact pathwise in both parameters.

    Source: Kumaraswamy (1980), J. Hydrology 46; the logarithmic form as in Wasserman
    and Mateos (2024), arXiv:2410.00660. Arguments as in
    :class:`torch.distributions.Kumaraswamy`.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> a = torch.tensor(0.1, requires_grad=True)
        >>> Kumaraswamy(a, 0.1).rsample((1000,)).sum().backward()
        >>> bool(a.grad.isfinite())
        True
    """

    arg_constraints = {  # noqa: RUF012 (torch's declaration)
        "concentration1": constraints.positive,
        "concentration0": constraints.positive,
    }
    support = constraints.unit_interval

    def __init__(
        self,
        concentration1: Parameter,
        concentration0: Parameter,
        validate_args: bool | None = None,
    ) -> None:
        super().__init__(
            concentration1=concentration1,
            concentration0=concentration0,
            validate_args=validate_args,
        )

    def noise(self) -> StandardExponential:
        """Exponential noise: it resolves both ends of the unit interval."""
        return StandardExponential.like(self.concentration1)

    def transport(self, eps: Tensor) -> Tensor:
        r""":math:`(1 - e^{-\epsilon/b})^{1/a}`, through its logarithm."""
        log_value = log1mexp(eps / self.concentration0) / self.concentration1
        info = torch.finfo(log_value.dtype)
        return log_value.exp().clamp(min=info.tiny, max=1 - info.eps / 2)

    def inverse(self, value: Tensor) -> Tensor:
        r""":math:`-b\log(1 - z^a)`."""
        return -self.concentration0 * log1mexp(-self.concentration1 * value.log())

    def log_abs_det_jacobian(self, eps: Tensor, value: Tensor) -> Tensor:
        r""":math:`\log|\partial z/\partial\epsilon|`."""
        a, b = self.concentration1, self.concentration0
        return -eps / b - a.log() - b.log() - (a - 1) * value.log()
