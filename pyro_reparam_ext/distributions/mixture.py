# SPDX-License-Identifier: Apache-2.0
"""Mixtures of one family, reparameterized in weights and components."""

from typing import Any, final

import pyro.distributions as dist
import torch
from torch import Tensor
from torch.distributions import Distribution, constraints

from pyro_reparam_ext.distributions.extended_interval import ExtendedInterval
from pyro_reparam_ext.distributions.log_tails import log_tails_and_density
from pyro_reparam_ext.distributions.missing import SaysWhatIsMissing
from pyro_reparam_ext.distributions.mixture_components import (
    scalar_factor,
    why_no_conditionals,
)
from pyro_reparam_ext.distributions.mixture_draw import choose, draw_chosen
from pyro_reparam_ext.distributions.mixture_gradient import attach_mixture_gradient


@final
class MixtureSameFamily(dist.MixtureSameFamily, SaysWhatIsMissing):
    r"""A mixture of :math:`K` components, with pathwise gradients in everything.

    For multimodal guides and priors, on the line or in :math:`\mathbb{R}^D`.

    .. math:: p(z) = \sum_k \pi_k\, p_k(z) =
        \sum_k \pi_k \prod_i p_{k,i}(z_i \mid z_{<i})

    Draws choose a component; their gradient does not. It is that of the
    distributional transform, under which the law of every :math:`T_i` is uniform:

    .. math:: T_i(z) = \sum_k w_{k,i}\, F_{k,i}(z_i \mid z_{<i}), \qquad
        w_{k,i} \propto \pi_k \prod_{j<i} p_{k,j}(z_j \mid z_{<j}), \qquad
        \frac{\partial z}{\partial\theta} = -\left(\frac{\partial T}{\partial z}
        \right)^{-1} \frac{\partial T}{\partial\theta},

    a triangular solve. A component's own path is followed in proportion to its
    responsibility for the draw; mass moves between components along the rest. For
    normal components with Cholesky factors :math:`L_k`, correlated or not,
    :math:`F_{k,i} = \Phi(r_{k,i})` at :math:`r_k = L_k^{-1}(z - \mu_k)`.

    Args:
        mixture_distribution: a ``Categorical`` of :math:`K` categories.
        component_distribution: a distribution whose rightmost batch dimension is
            :math:`K`. For the pathwise gradient it must be a ``MultivariateNormal``,
            ``LowRankMultivariateNormal`` or (Pyro's) ``MultivariateStudentT``, or have
            scalar or independent events (``.to_event``, ``Independent``) with a
            differentiable ``cdf``: torch's and Pyro's own families and this package's
            alike, ``Gamma``, ``Beta`` and ``StudentT`` included.
        validate_args: As in torch.

    Shapes:
        ``batch_shape`` is that of the two arguments, broadcast, without :math:`K`.

    Support: that of the components, by itself if it is the same for all of them, so
    that NUTS and autoguides can use it. It must be connected: no path leads over a gap
    that has no mass, which is refused (if validation is on) where bounds show it.
    ``log_prob`` is torch's, for components that share their support.

    Gradient: exact pathwise in the logits or probabilities and in whatever tensors the
    components hold; first and higher derivatives. Where no component is near, the
    path is long: the variance of the gradient in the weights grows as
    :math:`1/p(z)` does between far components. The path, and with it the variance,
    depends on the order of the coordinates; the expectation does not. With other
    components ``has_rsample`` is False and ``rsample`` says why.

    Numerics: computed in float64, in logs, from the smaller tail. Relative error below
    1e-12 for components whose tails are known in logs (those that
    :class:`~pyro_reparam_ext.distributions.Truncated` takes as a base), anywhere
    between and outside of them; for other families as accurate as their ``cdf``, so
    that :math:`1 + \mathrm{erf}` and the like lose their small tail. Cost: :math:`K`
    cdfs and densities for each coordinate and an :math:`O(D^2)` solve for each draw of
    :math:`D` coordinates; :math:`O(K D^2)` time and memory a draw for correlated ones.
    Normal components that are scalar or independent have a closed form in
    :math:`O(KD)`, and only the chosen one of them is drawn.

    Source: Figurnov, Mohamed and Mnih (2018), "Implicit reparameterization gradients",
    section 4. Arguments as in :class:`torch.distributions.MixtureSameFamily`.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> logits = torch.zeros(2, requires_grad=True)
        >>> components = dist.Normal(torch.tensor([-1.0, 2.0]), 1.0)
        >>> mixture = MixtureSameFamily(dist.Categorical(logits=logits), components)
        >>> mixture.rsample((50_000,)).mean().backward()
        >>> torch.allclose(logits.grad, torch.tensor([-0.75, 0.75]), atol=0.02)
        True
    """

    def __init__(
        self,
        mixture_distribution: Distribution,
        component_distribution: Distribution,
        validate_args: bool | None = None,
    ) -> None:
        if not component_distribution.batch_shape:
            raise ValueError(
                "MixtureSameFamily: the rightmost batch dimension of "
                "component_distribution must be that of the components; found batch "
                f"shape () of {type(component_distribution).__name__}. Give its "
                "parameters one value for each component."
            )
        super().__init__(mixture_distribution, component_distribution, validate_args)
        batch_shape = torch.broadcast_shapes(
            mixture_distribution.batch_shape, component_distribution.batch_shape[:-1]
        )
        if mixture_distribution.batch_shape != batch_shape:
            mixture_distribution = mixture_distribution.expand(batch_shape)
        if component_distribution.batch_shape[:-1] != batch_shape:
            component_distribution = component_distribution.expand(
                (*batch_shape, self._num_component)
            )
        super().__init__(mixture_distribution, component_distribution, validate_args)
        self._obstacle = _obstacle(component_distribution, self._validate_args)

    @property
    def has_rsample(self) -> bool:
        """Whether the components allow a pathwise gradient."""
        return self._obstacle is None

    @constraints.dependent_property
    def support(self) -> constraints.Constraint:
        """The components' common support; it can be transformed to, as NUTS needs."""
        support = self.component_distribution.support
        if _is_fixed(support):
            return support
        shared = _shared_interval(self.component_distribution)
        return super().support if shared is None else shared

    def expand(self, batch_shape: Any, _instance: Any = None) -> "MixtureSameFamily":
        """The same mixture, both arguments expanded to ``batch_shape``."""
        new = self._get_checked_instance(MixtureSameFamily, _instance)
        new._obstacle = self._obstacle
        return super().expand(batch_shape, _instance=new)

    def rsample(self, sample_shape: Any = torch.Size()) -> Tensor:  # noqa: B008
        """A draw, differentiable in the weights and the components' parameters."""
        if self._obstacle is not None:
            raise NotImplementedError(self._obstacle)
        return self.attach_gradient(self.sample(torch.Size(sample_shape)))

    def sample(self, sample_shape: Any = torch.Size()) -> Tensor:  # noqa: B008
        """A draw without gradient; the same as ``rsample`` under the same seed."""
        shape = torch.Size(sample_shape)
        if 0 in shape:  # torch's Categorical draws at least one
            some = self.sample([max(n, 1) for n in shape])
            return some[tuple(slice(n) for n in shape)]
        with torch.no_grad():
            chosen = choose(self.mixture_distribution, shape)
            return draw_chosen(self.component_distribution, chosen, shape)

    def attach_gradient(self, value: Tensor) -> Tensor:
        r"""``value``, made to depend on the parameters along the path through it.

        ``value`` has the shape ``sample_shape + batch_shape + event_shape``.
        """
        if self._obstacle is not None:
            raise NotImplementedError(self._obstacle)
        logits = self.mixture_distribution.logits
        lead = value.shape[: value.dim() - self._event_ndims]
        return attach_mixture_gradient(
            value.detach(),
            logits.expand(*lead, self._num_component),
            self.component_distribution,
        )

    def cdf(self, value: Tensor) -> Tensor:
        r""":math:`\sum_k \pi_k F_k(z)` for scalar events, its small values resolved."""
        if self.event_shape:
            return SaysWhatIsMissing.cdf(self, value)
        if self._obstacle is not None:
            return super().cdf(value)
        factor = scalar_factor(self.component_distribution)
        tails, _ = log_tails_and_density(factor, value.unsqueeze(-1))
        return (self.mixture_distribution.logits + tails.lower).logsumexp(-1).exp()


def _is_fixed(support: constraints.Constraint) -> bool:
    """Whether a support is the same for all components, whatever their parameters."""
    while isinstance(support, constraints.independent):
        support = support.base_constraint
    return all(isinstance(v, int | float) for v in vars(support).values())


def _shared_interval(component: Distribution) -> constraints.Constraint | None:
    """The interval on which all components live, if it is the same for all."""
    support: Any = scalar_factor(component).support
    bounds: list[Any] = [
        getattr(support, f"{end}_bound", None) for end in ("lower", "upper")
    ]
    if not all(isinstance(bound, Tensor) for bound in bounds):
        return None
    event_ndims = len(component.event_shape)
    dim = -1 - event_ndims
    batch_shape = scalar_factor(component).batch_shape
    lower, upper = (bound.expand(batch_shape) for bound in bounds)
    ends = lower.select(dim, 0), upper.select(dim, 0)
    if not all(
        torch.equal(bound, end.unsqueeze(dim).expand(batch_shape))
        for bound, end in zip((lower, upper), ends, strict=True)
    ):
        return None
    interval = ExtendedInterval(*ends)
    return constraints.independent(interval, event_ndims) if event_ndims else interval


def _obstacle(component: Distribution, validate: bool) -> str | None:
    """What keeps a mixture of such components from a pathwise gradient, or None."""
    factor = scalar_factor(component)
    found = why_no_conditionals(component)
    if found is None and validate and _has_gap(factor, len(component.event_shape)):
        found = f"{type(factor).__name__} components on intervals with a gap between"
    if found is None:
        return None
    return (
        "MixtureSameFamily.rsample: expected components with scalar events (or "
        "independent ones, by .to_event), a differentiable cdf and a connected "
        "support, or MultivariateNormal, LowRankMultivariateNormal or "
        f"MultivariateStudentT ones; found {found}. Use sample() and a score function "
        "estimator."
    )


def _has_gap(factor: Distribution, event_ndims: int) -> bool:
    """Whether the components' supports, known intervals, leave a gap."""
    try:
        support = factor.support
    except NotImplementedError:
        return False
    lower = getattr(support, "lower_bound", None)
    upper = getattr(support, "upper_bound", None)
    if not (isinstance(lower, Tensor) and isinstance(upper, Tensor)):
        return False
    lower, upper = lower.expand(factor.batch_shape), upper.expand(factor.batch_shape)
    lower, order = lower.movedim(-1 - event_ndims, -1).sort(-1)
    upper = upper.movedim(-1 - event_ndims, -1).gather(-1, order).cummax(-1).values
    return bool((upper[..., :-1] < lower[..., 1:]).any())
