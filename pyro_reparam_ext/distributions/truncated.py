# SPDX-License-Identifier: Apache-2.0
"""Any distribution with known tails, conditioned on an interval."""

import functools
import math
from typing import Any, Self, final

import torch
from torch import Tensor
from torch.distributions import Distribution, Normal, constraints

from pyro_reparam_ext.distributions.attach_gradient import attach_gradient
from pyro_reparam_ext.distributions.base import Parameter
from pyro_reparam_ext.distributions.extended_interval import (
    ExtendedInterval,
    first_where,
    require_order,
)
from pyro_reparam_ext.distributions.held_tensors import split_tensors
from pyro_reparam_ext.distributions.log_tails import (
    has_resolved_tails,
    support_ends,
    tail_density,
    why_no_tails,
)
from pyro_reparam_ext.distributions.noise import StandardUniform
from pyro_reparam_ext.distributions.transport import TransportDistribution
from pyro_reparam_ext.distributions.truncated_normal import TruncatedNormal
from pyro_reparam_ext.distributions.truncated_path import (
    TruncatedPath,
    log_mass,
    probabilities,
)
from pyro_reparam_ext.ops import clamp_to_interior


@final
class Truncated(TransportDistribution):
    r"""A distribution conditioned on an interval, whose ends may be parameters too.

    For bounded effects, censored data and heavy-tailed priors that must stay in range.
    With the base's cdf :math:`F`, density :math:`p` and :math:`G = F^{-1}`,

    .. math:: z = G\bigl((1 - \epsilon)F(l) + \epsilon F(h)\bigr), \qquad
        \epsilon \sim \mathrm{Uniform}(0, 1)

    .. math:: p_{l,h}(z) = \frac{p(z)}{F(h) - F(l)}, \qquad l \le z \le h

    Args:
        base_dist: a scalar distribution whose tails are known in logs: ``Normal``,
            ``Cauchy``, ``Laplace``, ``Logistic``, ``Gumbel``, ``Exponential``,
            ``Weibull``, ``Pareto``, ``HalfNormal``, ``HalfCauchy``, ``LogNormal``,
            ``Uniform``, ``Kumaraswamy``, ``GeneralizedPareto``, ``Gamma``, ``Chi2``,
            ``InverseGamma``, ``LogGamma``, ``Beta``, ``StudentT``,
            ``FisherSnedecor``, ``InverseGaussian``, ``ReciprocalInverseGaussian``,
            ``VonMises``; bijective transforms of them;
            every :class:`~pyro_reparam_ext.distributions.TransportDistribution`
            of scalars; classes with ``log_cdf`` and ``log_sf``; and those given to
            :func:`~pyro_reparam_ext.distributions.register_log_tails`.
        low: :math:`l`, possibly :math:`-\infty` or below the base's support.
        high: :math:`h > l`, possibly :math:`\infty` or above it.

    Shapes:
        ``batch_shape`` is that of the base, broadcast with the bounds.

    Support: :math:`[l, h]` within the base's; draws are kept strictly inside by at most
    one rounding unit.

    Gradient: exact pathwise in both bounds and in every tensor that the base holds;
    second derivatives too. In the bounds it is

    .. math:: \frac{\partial z}{\partial l} = (1 - \epsilon)\frac{p(l)}{p(z)}, \qquad
        \frac{\partial z}{\partial h} = \epsilon\,\frac{p(h)}{p(z)},

    and 0 in a bound that is infinite or outside of the base's support; in the base's
    parameters it is implicit, from the smaller tail :math:`T` of the base,
    :math:`(\alpha\,\partial_\theta\log T(l) + \beta\,\partial_\theta\log T(h) -
    \partial_\theta\log T(z))/\partial_z\log T(z)` with :math:`\alpha + \beta = 1`. The
    support moves with the bounds: a score function estimator is not valid in them.

    Numerics: everything is computed in float64, in logs of the smaller tail, and
    returned in the dtype of the base. A ``Normal`` base is a
    :class:`~pyro_reparam_ext.distributions.TruncatedNormal`, with its moments and
    its accuracy in narrow intervals far out. For other bases :math:`z` is found to the
    rounding of float64 at :math:`z`, not at its distance from a bound. The Gamma
    family, ``InverseGaussian`` and ``VonMises`` have no closed-form quantile: some ten
    evaluations of the tails a draw, or twenty. Where the law on the interval has little
    mass beside both tails (``VonMises`` in the valley of its density), that is lost to
    rounding. There is no closed-form mean, variance or entropy.

    Raises:
        NotImplementedError: the base's tails are not known.
        ValueError: ``low >= high`` somewhere. Checked without validation too, where
            the values can be read at no cost (see
            :class:`~pyro_reparam_ext.distributions.TruncatedNormal`).

    Source: the gradient follows from the implicit function theorem, Figurnov, Mohamed
    and Mnih (2018), arXiv:1805.08498. Argument names as in NumPyro's
    ``TruncatedDistribution``.

    Example:
        >>> import pyro.distributions as dist
        >>> _ = torch.manual_seed(0)
        >>> scale = torch.tensor(1.0, requires_grad=True)
        >>> z = Truncated(dist.Cauchy(0.0, scale), low=0.0, high=100.0).rsample((9999,))
        >>> z.mean().backward()
        >>> z.mean().item(), scale.grad.item()
        (3.0..., 2.3...)
    """

    arg_constraints = {  # noqa: RUF012 (torch's declaration)
        "low": constraints.real,  # contains the infinities
        "high": constraints.real,
    }

    def __init__(
        self,
        base_dist: Distribution,
        low: Parameter = -math.inf,
        high: Parameter = math.inf,
        validate_args: bool | None = None,
    ) -> None:
        _require_tails(base_dist)
        held = split_tensors(base_dist)[1] or [torch.zeros(())]
        held += [bound for bound in (low, high) if isinstance(bound, Tensor)]
        options: Any = {
            "dtype": functools.reduce(torch.promote_types, (t.dtype for t in held)),
            "device": held[0].device,
        }
        bounds = [torch.as_tensor(bound, **options) for bound in (low, high)]
        shape = _common_shape(base_dist, *bounds)
        low, high = (b if b.shape == shape else b.expand(shape) for b in bounds)
        matches = base_dist.batch_shape == shape
        self.base = base_dist if matches else base_dist.expand(shape)
        super().__init__(low=low, high=high, validate_args=validate_args)
        require_order("Truncated", self.low, self.high)
        _require_overlap(self)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Self:
        """The same distribution, base and bounds expanded to ``batch_shape``."""
        new = super().expand(batch_shape, _instance)
        new.base = self.base.expand(torch.Size(batch_shape))
        return new

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self) -> ExtendedInterval:
        """The interval between the bounds, within the base's support."""
        ends = (end.to(self.low) for end in support_ends(self.base))
        lowest, highest = ends
        low = torch.where(self.low < lowest, lowest, self.low)
        return ExtendedInterval(
            low, torch.where(self.high > highest, highest, self.high)
        )

    def noise(self) -> StandardUniform:
        """Uniform noise, in float64: near 1 float32 resolves too little."""
        return StandardUniform(
            self.batch_shape, dtype=torch.float64, device=self.low.device
        )

    def transport(self, eps: Tensor) -> Tensor:
        r"""The :math:`\epsilon`-quantile, kept off the bounds."""
        if (same := self._truncated_normal()) is not None:
            return same.transport(eps)
        support = self.support
        return clamp_to_interior(
            self._quantile(eps), support.lower_bound, support.upper_bound
        )

    def inverse(self, value: Tensor) -> Tensor:
        r""":math:`(F(z) - F(l))/(F(h) - F(l))`, in float64."""
        if (same := self._truncated_normal()) is not None:
            return same.inverse(value)
        below, above = self._log_tails(value)
        return torch.where(below < above, below.exp(), -torch.expm1(above))

    def log_abs_det_jacobian(self, eps: Tensor, value: Tensor) -> Tensor:
        r""":math:`\log|\partial z/\partial\epsilon| = -\log p_{l,h}(z)`."""
        return -self.log_density(value)

    def log_density(self, value: Tensor) -> Tensor:
        """The base's, less the log of its mass between the bounds."""
        if (same := self._truncated_normal()) is not None:
            return same.log_density(value)
        base = TruncatedPath.over(self.base).base()
        low, high = (probabilities(base, x.double()) for x in (self.low, self.high))
        result = tail_density(base, value.double()) - log_mass(low, high)
        return result.to(self.low.dtype)

    def cdf(self, value: Tensor) -> Tensor:
        """0 below the support, 1 above."""
        if self._validate_args:
            self._validate_sample(value)
        low, high = self.support.lower_bound, self.support.upper_bound
        inside = ((value > low) & (value < high)) | value.isnan()
        with torch.no_grad():  # no gradient from where it is not wanted
            median = self.transport(torch.full_like(self.low, 0.5).double())
        probability = self.inverse(torch.where(inside, value, median)).clamp(0, 1)
        ends = (value >= high).double()
        return torch.where(inside, probability, ends).to(self.low.dtype)

    def log_cdf(self, value: Tensor) -> Tensor:
        r""":math:`\log F_{l,h}(z)`, in float64; its small values are resolved."""
        return self._log_tails(value)[0]

    def log_sf(self, value: Tensor) -> Tensor:
        r""":math:`\log(1 - F_{l,h}(z))`, in float64, likewise."""
        return self._log_tails(value)[1]

    def quantile(self, probability: Tensor) -> Tensor:
        """As a draw."""
        return self.transport(probability)

    @property
    def mode(self) -> Tensor:
        """That of a base with one mode, or the bound nearest to it."""
        low, high = self.support.lower_bound, self.support.upper_bound
        return torch.minimum(torch.maximum(self.base.mode, low), high)

    def entropy(self) -> Tensor:
        """Of a normal base."""
        return self._require_normal("entropy").entropy()

    @property
    def mean(self) -> Tensor:
        """Of a normal base."""
        return self._require_normal("mean").mean

    @property
    def variance(self) -> Tensor:
        """Of a normal base."""
        return self._require_normal("variance").variance

    def _require_normal(self, what: str) -> TruncatedNormal:
        same = self._truncated_normal()
        if same is None:
            raise NotImplementedError(
                f"Truncated.{what}: expected a Normal base; found "
                f"{type(self.base).__name__}, for which there is no closed form. "
                "Average over draws instead."
            )
        return same

    def _truncated_normal(self) -> TruncatedNormal | None:
        base: Any = self.base
        if not isinstance(base, Normal) or type(base).cdf is not Normal.cdf:
            return None
        return TruncatedNormal(
            base.loc, base.scale, self.low, self.high, validate_args=False
        )

    def _log_tails(self, value: Tensor) -> tuple[Tensor, Tensor]:
        base = TruncatedPath.over(self.base).base()
        low, z, high = (
            probabilities(base, x.double()) for x in (self.low, value, self.high)
        )
        whole = log_mass(low, high)
        return log_mass(low, z) - whole, log_mass(z, high) - whole

    def _quantile(self, eps: Tensor) -> Tensor:
        path = TruncatedPath.over(self.base)
        u = eps.double().clamp(1e-300, 1 - 2**-53)
        with torch.no_grad():
            value = path.quantile(u, self.low, self.high)
        value = attach_gradient(
            value,
            path.pull_back,
            u.expand(value.shape),
            *(self.low, self.high),
            *path.tensors,
        )
        return value.to(self.low.dtype)


def _common_shape(base: Distribution, low: Tensor, high: Tensor) -> torch.Size:
    try:
        return torch.broadcast_shapes(base.batch_shape, low.shape, high.shape)
    except RuntimeError:
        raise ValueError(
            "Truncated: parameters do not broadcast: base_dist has batch shape "
            f"{tuple(base.batch_shape)}, low has shape {tuple(low.shape)}, high has "
            f"shape {tuple(high.shape)}."
        ) from None


def _require_tails(base: Distribution) -> None:
    if not isinstance(base, Distribution):
        raise TypeError(
            "Truncated: base_dist must be a distribution; found "
            f"{type(base).__name__}. Give Normal(loc, scale), say, or use "
            "TruncatedNormal."
        )
    found = why_no_tails(base)
    if found is None and not has_resolved_tails(base):
        found = f"{type(base).__name__}, whose tails are known from its cdf alone"
    if found is not None:
        raise NotImplementedError(
            "Truncated: expected a scalar distribution whose tails are known in logs; "
            f"found {found}. Give them by register_log_tails, or by methods log_cdf "
            "and log_sf of the class."
        )


def _require_overlap(distribution: Truncated) -> None:
    support = distribution.support
    low, high = support.lower_bound, support.upper_bound
    wrong = first_where(~(low < high), distribution.low, distribution.high)
    if wrong is not None:
        raise ValueError(
            "Truncated: the interval must contain points of the support of "
            f"{type(distribution.base).__name__}; found low={wrong[0]} and high="
            f"{wrong[1]}. Move the interval."
        )
