# SPDX-License-Identifier: Apache-2.0
"""The angular central Gaussian distribution, reparameterized in its factor."""

from typing import Any, final

import torch
from torch import Tensor
from torch.distributions import constraints

from pyro_reparam_ext.distributions.base import ReparameterizedDistribution
from pyro_reparam_ext.distributions.polar_angle import log_area
from pyro_reparam_ext.distributions.rotationally_symmetric import unit
from pyro_reparam_ext.distributions.sphere_support import unit_vectors


@final
class AngularCentralGaussian(ReparameterizedDistribution):
    r"""Angular central Gaussian distribution: an axis, by the direction of a normal.

    .. math:: z = \frac{L\epsilon}{|L\epsilon|}, \quad
        \epsilon \sim N(0, I_d), \qquad
        p(z) = \frac{\Gamma(d/2)}{2\pi^{d/2}\,\det L}\,|L^{-1}z|^{-d} .

    Args:
        scale_tril: :math:`L`, lower triangular with a positive diagonal, of
            :math:`d \ge 2` rows. Its size does not matter.

    Shapes:
        ``scale_tril`` is of shape ``batch_shape + (d, d)``; events are vectors of
        :math:`d` elements.

    Support: unit vectors, :math:`z` and :math:`-z` alike. ``log_prob`` is with respect
    to area on the sphere.

    Gradient: exact pathwise in every element of the factor, and second derivatives.

    Numerics: in float64 inside. A triangular system is solved for each value.

    Source: Tyler (1987), "Statistical analysis for the angular central Gaussian
    distribution on the sphere".

    Example:
        >>> _ = torch.manual_seed(0)
        >>> factor = torch.eye(2).requires_grad_()
        >>> z = AngularCentralGaussian(factor).rsample((10_000,))
        >>> z[:, 0].square().mean().backward()
        >>> factor.grad.diagonal().mul(4).round()
        tensor([ 1., -1.])
    """

    arg_constraints = {  # noqa: RUF012 (torch's declaration)
        "scale_tril": constraints.lower_cholesky
    }
    support = unit_vectors

    def __init__(self, scale_tril: Tensor, validate_args: bool | None = None) -> None:
        if not isinstance(scale_tril, Tensor) or scale_tril.shape[-1:] < (2,):
            is_tensor = isinstance(scale_tril, Tensor)
            found = tuple(scale_tril.shape) if is_tensor else type(scale_tril).__name__
            raise ValueError(
                "AngularCentralGaussian: scale_tril must be a tensor of matrices with "
                f"at least 2 rows; found {found}. Give a Cholesky factor."
            )
        super().__init__(
            event_shape=scale_tril.shape[-1:],
            validate_args=validate_args,
            scale_tril=scale_tril,
        )

    def rsample(self, sample_shape: Any = torch.Size()) -> Tensor:  # noqa: B008
        """A draw, differentiable in the factor."""
        shape = self._extended_shape(torch.Size(sample_shape))
        factor = self.scale_tril.double()
        normal = torch.randn(shape, dtype=factor.dtype, device=factor.device)
        return self._transport(normal)

    def attach_gradient(self, value: Tensor) -> Tensor:
        r"""``value``, made to depend on the factor along the path through it.

        ``value`` has the shape ``sample_shape + batch_shape + (d,)``. The length of
        the normal draw need not be known.
        """
        return self._transport(self._standardize(value.detach()).detach())

    def log_density(self, value: Tensor) -> Tensor:
        r""":math:`-d\log|L^{-1}z| - \log\det L`, less the log of the area."""
        dim = self.event_shape[0]
        diagonal = self.scale_tril.double().diagonal(dim1=-2, dim2=-1)
        square = self._standardize(value).square().sum(-1)
        log_det = diagonal.log().sum(-1)
        return (-0.5 * dim * square.log() - log_det - log_area(dim)).to(
            self.scale_tril.dtype
        )

    @property
    def mode(self) -> Tensor:
        r"""The first principal axis of :math:`LL^\top`, or its opposite."""
        factor = self.scale_tril.double()
        axes = torch.linalg.svd(factor)[0]
        return axes[..., 0].to(self.scale_tril.dtype)

    def _transport(self, normal: Tensor) -> Tensor:
        factor = self.scale_tril.double()
        stretched = (factor @ normal.unsqueeze(-1)).squeeze(-1)
        return unit(stretched).to(self.scale_tril.dtype)

    def _standardize(self, value: Tensor) -> Tensor:
        factor = self.scale_tril.double()
        z = unit(value.double()).unsqueeze(-1)
        shape = torch.broadcast_shapes(factor.shape[:-2], z.shape[:-2])
        factor = factor.expand(shape + factor.shape[-2:])
        z = z.expand(shape + z.shape[-2:])
        return torch.linalg.solve_triangular(factor, z, upper=False).squeeze(-1)
