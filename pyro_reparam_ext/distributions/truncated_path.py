# SPDX-License-Identifier: Apache-2.0
r"""The path of a truncated distribution, from the tails of its base.

With T the smaller of the tails :math:`F` and :math:`1 - F` at :math:`z`, a draw solves

.. math:: T(z) = (1 - \epsilon)\,T(l) + \epsilon\,T(h)

in either case. In logs, with :math:`\alpha = (1 - \epsilon)T(l)/T(z)` and
:math:`\beta = \epsilon T(h)/T(z) = 1 - \alpha`,

.. math:: \partial_z \log T(z)\,dz = \alpha\,d\log T(l) + \beta\,d\log T(h) -
    \partial_\theta \log T(z)\,d\theta,

in which nothing of the size of :math:`\log T` cancels.
"""

from dataclasses import dataclass
from typing import NamedTuple, Self

import torch
from torch import Tensor
from torch.distributions import Distribution

from pyro_reparam_ext.distributions.held_tensors import (
    Structure,
    require_no_other,
    split_tensors,
)
from pyro_reparam_ext.distributions.log_tails import (
    log_tails,
    support_ends,
    tail_density,
    tail_quantile,
)
from pyro_reparam_ext.ops import log1mexp

_SPACING = 2.0**-52
_TINY = 1e-300


class LogProbabilities(NamedTuple):
    """Log-probabilities below and above a point."""

    below: Tensor
    above: Tensor


def log_mass(low: LogProbabilities, high: LogProbabilities) -> Tensor:
    """Log-probability between two points, from the side on which both are small."""
    left = high.below < low.above
    outer = torch.where(left, high.below, low.above)
    inner = torch.where(left, low.below, high.above)
    return outer + log1mexp(outer - inner)


@dataclass(frozen=True)
class TruncatedPath:
    """A base distribution in float64, as a function of the tensors it holds."""

    structure: Structure
    tensors: list[Tensor]

    @classmethod
    def over(cls, base: Distribution) -> Self:
        """The path over a base; its parameters must be in sight."""
        path = cls(*split_tensors(base))
        if path.structure.opaque:
            bare = path.base([t.detach() for t in path.tensors])
            with torch.enable_grad():
                outputs = probabilities(bare, bare.sample().detach())
            require_no_other("Truncated.rsample", "base", path.structure, outputs)
        return path

    def base(self, tensors: list[Tensor] | None = None) -> Distribution:
        """The base, with other tensors in their place if given."""
        tensors = self.tensors if tensors is None else tensors
        filled: Distribution = self.structure.filled([t.double() for t in tensors])
        return filled

    def quantile(self, eps: Tensor, low: Tensor, high: Tensor) -> Tensor:
        """The value at ``eps``, without gradient, in float64."""
        base, low, high = self.base(), low.double(), high.double()
        at_low, at_high = probabilities(base, low), probabilities(base, high)
        log_eps, log_rest = eps.log(), torch.log1p(-eps)
        below, above = (
            torch.logaddexp(log_rest + one, log_eps + other)
            for one, other in zip(at_low, at_high, strict=True)
        )
        upper = above < below
        value = tail_quantile(base, torch.where(upper, above, below), upper)
        return torch.minimum(torch.maximum(value, low), high)

    def pull_back(
        self, value: Tensor, parameters: tuple[Tensor, ...], grad_output: Tensor
    ) -> tuple[Tensor, ...]:
        """Gradients in the noise, the bounds and the base's tensors."""
        eps, low, high, *tensors = parameters

        def evaluate(*tensors: Tensor) -> tuple[Tensor, ...]:
            base = self.base(list(tensors))
            points = value, low.double(), high.double()
            return sum((probabilities(base, x) for x in points), ())

        outputs, vjp = torch.func.vjp(evaluate, *tensors)[:2]
        here, at_low, at_high = (
            LogProbabilities(*outputs[i : i + 2]) for i in (0, 2, 4)
        )
        upper = here.above < here.below
        tails = [torch.where(upper, p.above, p.below) for p in (here, at_low, at_high)]
        alpha = torch.sigmoid(torch.log1p(-eps) + tails[1] - torch.log(eps) - tails[2])
        base = self.base(tensors)
        density, density_low, density_high = (
            log_density(base, x.double()) for x in (value, low, high)
        )
        step = grad_output * (tails[0] - density).exp()
        step = torch.where(upper, -step, step)
        cotangents: list[Tensor] = []
        for factor, point in (
            (-step, here),
            (step * alpha, at_low),
            (step * (1 - alpha), at_high),
        ):
            sides = torch.where(upper, 0.0, factor), torch.where(upper, factor, 0.0)
            cotangents += [side.sum_to_size(point.below.shape) for side in sides]
        by_eps = (log_mass(at_low, at_high) - density).exp()
        by_low = grad_output * (1 - eps) * (density_low - density).exp()
        by_high = grad_output * eps * (density_high - density).exp()
        return (
            grad_output * by_eps,
            by_low.sum_to_size(low.shape).to(low.dtype),
            by_high.sum_to_size(high.shape).to(high.dtype),
            *vjp(tuple(cotangents)),
        )


def probabilities(base: Distribution, value: Tensor) -> LogProbabilities:
    """Of both sides of a point anywhere on the line, infinity included."""
    inside, below, above = _inside(base, value)
    tails = log_tails(base, inside)
    lower = torch.where(below, -torch.inf, torch.where(above, 0.0, tails.lower))
    upper = torch.where(above, -torch.inf, torch.where(below, 0.0, tails.upper))
    return LogProbabilities(lower, upper)


def log_density(base: Distribution, value: Tensor) -> Tensor:
    """Of a point anywhere on the line, infinity included."""
    inside, below, above = _inside(base, value)
    return torch.where(below | above, -torch.inf, tail_density(base, inside))


def _inside(base: Distribution, value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """A point at which formulas and their derivatives are finite, and where it is not
    the given one. An end of the support is moved inwards by a rounding unit.
    """  # noqa: D205
    ends = (end.detach().to(value) for end in support_ends(base))
    low, high = torch.broadcast_tensors(*ends)
    below = (value < low) | (value == -torch.inf)
    above = (value > high) | (value == torch.inf)
    has_low, has_high = low.isfinite(), high.isfinite()
    start = torch.where(has_low, low, torch.where(has_high, high - 2, -1.0))
    end = torch.where(has_high, high, torch.where(has_low, low + 2, 1.0))
    inside = torch.where(below | above, 0.5 * (start + end), value)
    unit = (_SPACING * inside.detach().abs()).clamp(min=_TINY)
    inside = torch.where(inside <= low, inside + unit, inside)
    return torch.where(inside >= high, inside - unit, inside), below, above
