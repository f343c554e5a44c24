# SPDX-License-Identifier: Apache-2.0
"""The chi-squared distribution."""

from typing import final

import torch
from torch import Tensor
from torch.distributions import constraints

from pyro_reparam_ext.distributions.base import Parameter
from pyro_reparam_ext.distributions.gamma import Gamma
from pyro_reparam_ext.distributions.implicit import ImplicitDistribution


@final
class Chi2(Gamma):
    r"""Chi-squared distribution: sums of squares, any number of degrees of freedom.

    .. math:: z \sim \mathrm{Gamma}(\nu/2, 1/2), \qquad
        p(z) = \frac{z^{\nu/2-1} e^{-z/2}}{2^{\nu/2}\,\Gamma(\nu/2)}

    Args:
        df: the degrees of freedom :math:`\nu > 0`.

    Shapes:
        ``df`` has shape ``batch_shape``; events are scalars.

    Support: :math:`z \ge 0`; draws are at least the smallest positive number.

    Gradient: exact pathwise, as for
    :class:`~pyro_reparam_ext.distributions.Gamma`; second derivatives too.

    Numerics: as for :class:`~pyro_reparam_ext.distributions.Gamma`, whose properties
    ``concentration`` and ``rate`` it has.

    Source: arguments as in :class:`torch.distributions.Chi2`.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> df = torch.tensor(3.0, requires_grad=True)
        >>> Chi2(df).rsample((10_000,)).mean().backward()
        >>> round(df.grad.item(), 1)
        1.0
    """

    arg_constraints = {"df": constraints.positive}  # noqa: RUF012 (torch's declaration)

    def __init__(self, df: Parameter, validate_args: bool | None = None) -> None:
        ImplicitDistribution.__init__(self, df=df, validate_args=validate_args)

    @property
    def concentration(self) -> Tensor:
        r""":math:`\nu/2`."""
        return 0.5 * self.df

    @property
    def rate(self) -> Tensor:
        """1/2."""
        return torch.full_like(self.df, 0.5)

    def sample_gradient(self, value: Tensor) -> dict[str, Tensor]:
        """Half of that in the concentration."""
        return {"df": 0.5 * super().sample_gradient(value)["concentration"]}
