# SPDX-License-Identifier: Apache-2.0
r"""The unit sphere as a support, with coordinates that samplers and guides can use.

Pyro's constraint has a projection onto the sphere but no bijection. This is the same
set, with the stereographic one.
"""

from typing import Any

import torch
from pyro.distributions import constraints as pyro_constraints
from pyro.distributions.transforms import Normalize
from torch import Tensor
from torch.distributions import Transform, biject_to, constraints, transform_to

Sphere: Any = type(pyro_constraints.sphere)


# torch shows a constraint by its class without the first letter
class _UnitVectors(Sphere):
    """Vectors of length 1, to what is left after a change of precision."""

    def check(self, value: Tensor) -> Tensor:
        """Of length 1 to 1e-5, or to rounding where there are many elements."""
        rounding = 10 * torch.finfo(value.dtype).eps * value.shape[-1] ** 0.5
        away = (torch.linalg.vector_norm(value, dim=-1) - 1).abs()
        return away < max(1e-5, rounding)


unit_vectors = _UnitVectors()


class StereographicTransform(Transform):
    r"""From :math:`\mathbb R^{d-1}` to :math:`S^{d-1}` without its last pole.

    .. math:: z = \left(\frac{2x}{1 + |x|^2}, \frac{|x|^2 - 1}{|x|^2 + 1}\right),
        \qquad dz = \left(\frac{2}{1 + |x|^2}\right)^{d-1} dx .
    """

    domain = constraints.real_vector
    codomain = unit_vectors
    bijective = True

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self)

    __hash__ = Transform.__hash__

    def forward_shape(self, shape: Any) -> torch.Size:
        """One element more."""
        return torch.Size((*shape[:-1], shape[-1] + 1))

    def inverse_shape(self, shape: Any) -> torch.Size:
        """One element less."""
        return torch.Size((*shape[:-1], shape[-1] - 1))

    def _call(self, x: Tensor) -> Tensor:
        square = x.square().sum(-1, keepdim=True)
        return torch.cat([2 * x, square - 1], -1) / (1 + square)

    def _inverse(self, y: Tensor) -> Tensor:
        rest, last = y[..., :-1], y[..., -1:]
        # near the pole 1 - last is not resolved, but |rest|^2 = (1 - last)(1 + last)
        square = rest.square().sum(-1, keepdim=True)
        above = last > 0
        tiny = torch.finfo(y.dtype).tiny
        near = rest * ((1 + last) / torch.where(above, square, 1.0).clamp(min=tiny))
        far = rest / (1 - torch.where(above, 0.0, last))
        return torch.where(above, near, far)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """With respect to area on the sphere."""
        return x.shape[-1] * (0.5 * (1 + x.square().sum(-1))).log().neg()


@biject_to.register(_UnitVectors)  # type: ignore[untyped-decorator]
def _to_unit_vectors(constraint: Any) -> Transform:
    return StereographicTransform()


@transform_to.register(_UnitVectors)  # type: ignore[untyped-decorator]
def _onto_unit_vectors(constraint: Any) -> Transform:
    return Normalize()
