# SPDX-License-Identifier: Apache-2.0
r"""The components of a mixture, one coordinate at a time.

What the gradient of a mixture needs of a component is its Rosenblatt factorization
:math:`p_k(z) = \prod_i p_{k,i}(z_i \mid z_{<i})`: both tails and the density of each
coordinate given those before it, and how these move with the coordinates before.
Independent coordinates have it at once. A normal component has it in the coordinates
of its Cholesky factor, :math:`r = L^{-1}(z - \mu)`, where :math:`z_i` given
:math:`z_{<i}` is a normal with standard score :math:`r_i` and scale :math:`L_{ii}`; for
a Student component with :math:`\nu` degrees of freedom it is a Student law with
:math:`\nu + i`, scale :math:`c_i L_{ii}` and score :math:`r_i/c_i`, where
:math:`c_i^2 = (\nu + \sum_{j<i} r_j^2)/(\nu + i)` and :math:`i` counts from 0.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from pyro.distributions import MultivariateStudentT
from torch import Tensor
from torch.distributions import (
    Distribution,
    Independent,
    LowRankMultivariateNormal,
    MultivariateNormal,
    Normal,
    StudentT,
)

from pyro_reparam_ext.distributions.held_tensors import (
    Structure,
    require_no_other,
    split_tensors,
)
from pyro_reparam_ext.distributions.log_tails import (
    log_tails,
    log_tails_and_density,
    tail_density,
    why_no_tails,
)
from pyro_reparam_ext.distributions.noise import StandardNormal


class Conditionals(NamedTuple):
    """Of each component and coordinate, given the coordinates before it.

    Args:
        lower: Log-probability below the point.
        upper: Log-probability above it.
        log_density: Log-density there.
        resolved: Whether a small tail keeps its digits.
    """

    lower: Tensor
    upper: Tensor
    log_density: Tensor
    resolved: bool


class Components(ABC):
    """The conditionals of all components as functions of the tensors they hold.

    Args:
        event_ndims: The number of dimensions of an event.
    """

    event_ndims: int

    def points(self, value: Tensor, num_components: int) -> Tensor:
        """``value`` at each component, in float64."""
        dim = value.dim() - self.event_ndims
        value = value.unsqueeze(dim)
        shape = (*value.shape[:dim], num_components, *value.shape[dim + 1 :])
        return value.double().expand(shape)

    @abstractmethod
    def evaluate(self, points: Tensor, tensors: list[Tensor]) -> Conditionals:
        """The conditionals at the points, events flat: shape ``lead + (K, D)``."""

    @abstractmethod
    def feedback(
        self,
        points: Tensor,
        tensors: list[Tensor],
        shift: Tensor,
        responsibility: Tensor,
        slope: Callable[[], Tensor],
    ) -> Tensor:
        r""":math:`\partial z_i/\partial z_j` for :math:`j < i`, at fixed quantiles.

        Args:
            points: As in ``evaluate``.
            tensors: Likewise.
            shift: How much :math:`z_i` moves with the log-weight of a component.
            responsibility: Of a component for :math:`z_i`, given what is before it.
            slope: Returns the derivative in ``points`` of the log-densities' sum.
        """


@dataclass(frozen=True)
class FactorizedComponents(Components):
    """Independent coordinates of a scalar distribution with known tails."""

    structure: Structure
    event_ndims: int

    def evaluate(self, points: Tensor, tensors: list[Tensor]) -> Conditionals:
        """The tails and density of each coordinate, whatever comes before it."""
        factor = self.structure.filled([t.double() for t in tensors])
        tails, log_density = log_tails_and_density(factor, points)
        lead = points.shape[: points.dim() - self.event_ndims]
        lower, upper, log_density = (
            t.expand(points.shape).reshape(*lead, -1)
            for t in (tails.lower, tails.upper, log_density)
        )
        return Conditionals(lower, upper, log_density, tails.resolved)

    def feedback(
        self,
        points: Tensor,
        tensors: list[Tensor],
        shift: Tensor,
        responsibility: Tensor,
        slope: Callable[[], Tensor],
    ) -> Tensor:
        """What comes before enters the weights alone."""
        return shift.transpose(-1, -2) @ slope().reshape(shift.shape)

    def require_no_other(self, points: Tensor, tensors: list[Tensor]) -> None:
        """Refuse a gradient that would silently miss a parameter."""
        with torch.enable_grad():
            outputs = self.evaluate(points, [t.detach() for t in tensors])[:3]
        require_no_other(
            "MixtureSameFamily.rsample", "components", self.structure, outputs
        )


@dataclass(frozen=True)
class NormalComponents(Components):
    """Multivariate normals; the tensors are their means and Cholesky factors."""

    event_ndims: int = 1

    def evaluate(self, points: Tensor, tensors: list[Tensor]) -> Conditionals:
        """Those of the standard scores."""
        loc, scale_tril = (t.double() for t in tensors)
        score = _scores(points, loc, scale_tril)
        tails = log_tails(StandardNormal(), score)
        log_density = StandardNormal().log_prob(score)
        log_density = log_density - scale_tril.diagonal(dim1=-2, dim2=-1).log()
        return Conditionals(tails.lower, tails.upper, log_density, True)

    def feedback(
        self,
        points: Tensor,
        tensors: list[Tensor],
        shift: Tensor,
        responsibility: Tensor,
        slope: Callable[[], Tensor],
    ) -> Tensor:
        """What comes before enters the weights and the conditional means."""
        loc, scale_tril = (t.double() for t in tensors)
        whitening, scale, before = _whitened(points, loc, scale_tril)
        own = responsibility.unsqueeze(-1) * (scale * whitening)
        return (-shift.unsqueeze(-1) * before - own).sum(-3)


@dataclass(frozen=True)
class StudentComponents(Components):
    """Multivariate Student laws; the tensors are df, means and Cholesky factors."""

    event_ndims: int = 1

    def evaluate(self, points: Tensor, tensors: list[Tensor]) -> Conditionals:
        """Those of Student laws of growing degrees of freedom."""
        df, loc, scale_tril = (t.double() for t in tensors)
        score = _scores(points, loc, scale_tril)
        degrees, spread = _conditional_scale(df, score)
        standard = StudentT(degrees, validate_args=False)
        tails = log_tails(standard, score / spread)
        log_density = tail_density(standard, score / spread) - spread.log()
        log_density = log_density - scale_tril.diagonal(dim1=-2, dim2=-1).log()
        return Conditionals(tails.lower, tails.upper, log_density, True)

    def feedback(
        self,
        points: Tensor,
        tensors: list[Tensor],
        shift: Tensor,
        responsibility: Tensor,
        slope: Callable[[], Tensor],
    ) -> Tensor:
        """What comes before enters the conditional scales, too."""
        df, loc, scale_tril = (t.double() for t in tensors)
        score = _scores(points, loc, scale_tril)
        degrees, spread = _conditional_scale(df, score)
        whitening, scale, before = _whitened(points, loc, scale_tril)
        # half the derivative of log(nu + sum of squares)
        growth = before / (degrees * spread.square()).unsqueeze(-1)
        moved = scale * (whitening - score.unsqueeze(-1) * growth)
        weights = shift * degrees
        own = responsibility.unsqueeze(-1) * moved
        return (-weights.unsqueeze(-1) * growth - own).sum(-3)


def _conditional_scale(df: Tensor, score: Tensor) -> tuple[Tensor, Tensor]:
    """Degrees of freedom and relative scale of each coordinate given those before."""
    count = torch.arange(score.shape[-1], dtype=score.dtype, device=score.device)
    degrees = (df.unsqueeze(-1) + count).expand(score.shape)
    squares = score.square()
    total = df.unsqueeze(-1) + squares.cumsum(-1) - squares
    return degrees, (total / degrees).sqrt()


def _whitened(
    points: Tensor, loc: Tensor, scale_tril: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    r""":math:`W = L^{-1}`, the diagonal of :math:`L`, and
    :math:`\sum_{m<i} r_m W_{mj}`.
    """  # noqa: D205
    identity = torch.eye(loc.shape[-1], dtype=loc.dtype, device=loc.device)
    whitening = torch.linalg.solve_triangular(scale_tril, identity, upper=False)
    terms = _scores(points, loc, scale_tril).unsqueeze(-1) * whitening
    scale = scale_tril.diagonal(dim1=-2, dim2=-1).unsqueeze(-1)
    return whitening, scale, terms.cumsum(-2) - terms


def _scores(points: Tensor, loc: Tensor, scale_tril: Tensor) -> Tensor:
    """Draws as columns of one right-hand side: no copies of the factor."""
    centred = points - loc
    draws = centred.dim() - scale_tril.dim() + 1
    columns = centred.reshape(-1, *centred.shape[draws:]).movedim(0, -1)
    scores = torch.linalg.solve_triangular(scale_tril, columns, upper=False)
    return scores.movedim(-1, 0).reshape(centred.shape)


def components_of(component: Distribution) -> tuple[Components, list[Tensor]]:
    """The components' conditionals and the tensors they are functions of."""
    event_ndims = len(component.event_shape)
    if isinstance(component, MultivariateNormal):
        # not the public one, which has a copy for every batch element
        return NormalComponents(), [component.loc, component._unbroadcasted_scale_tril]
    if isinstance(component, LowRankMultivariateNormal):
        return NormalComponents(), [component.loc, component.scale_tril]
    if isinstance(component, MultivariateStudentT):
        tril = component._unbroadcasted_scale_tril
        return StudentComponents(), [component.df, component.loc, tril]
    structure, tensors = split_tensors(scalar_factor(component))
    return FactorizedComponents(structure, event_ndims), tensors


def scalar_factor(component: Distribution) -> Distribution:
    """The scalar distribution of which the component is a product."""
    while isinstance(component, Independent):
        component = component.base_dist
    return component


def has_normal_factors(component: Distribution) -> bool:
    """Whether the tensors it holds are the locations and scales of scalar normals."""
    factor = scalar_factor(component)
    own = type(factor)
    return (
        isinstance(factor, Normal)
        and own.log_prob is Normal.log_prob
        and own.cdf is Normal.cdf
        and len(split_tensors(factor)[1]) == 2
    )


def why_no_conditionals(component: Distribution) -> str | None:
    """What keeps the conditionals of such components from being known, or None."""
    if isinstance(
        component, MultivariateNormal | LowRankMultivariateNormal | MultivariateStudentT
    ):
        return None
    return why_no_tails(scalar_factor(component))
