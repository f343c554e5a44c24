# SPDX-License-Identifier: Apache-2.0
r"""Any distribution with an explicit path, seen as noise, transport and inverse."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, final

import torch
from torch import Tensor
from torch.distributions import Distribution

from pyro_reparam_ext.distributions.transport import TransportDistribution


@final
@dataclass(frozen=True, kw_only=True)
class Transport:
    r"""A distribution seen as :math:`z = g_\theta(\epsilon)`.

    Returned by :func:`as_transport`; build one yourself only to register a family
    with :func:`register_transport`.

    Args:
        distribution: The distribution that is viewed; it gives the shapes.
        noise: The law of :math:`\epsilon`, free of the parameters, of the same
            batch shape.
        transport: :math:`g_\theta`, from noise to values.
        inverse: :math:`g_\theta^{-1}`, from values to noise.
        log_abs_det_jacobian: :math:`\log|\partial g_\theta(\epsilon)/
            \partial\epsilon|` of ``(eps, value)``, one number per event.
    """

    distribution: Distribution
    noise: Distribution
    transport: Callable[[Tensor], Tensor]
    inverse: Callable[[Tensor], Tensor]
    log_abs_det_jacobian: Callable[[Tensor, Tensor], Tensor]

    @property
    def batch_shape(self) -> torch.Size:
        """Batch shape of the distribution, and of its noise."""
        return torch.Size(self.distribution.batch_shape)

    @property
    def event_shape(self) -> torch.Size:
        """Shape of one value; that of the noise may differ (on a simplex, say)."""
        return torch.Size(self.distribution.event_shape)

    def rsample(self, sample_shape: Any = torch.Size()) -> Tensor:  # noqa: B008
        r"""A draw :math:`g_\theta(\epsilon)`, differentiable in the parameters."""
        return self.transport(self.noise.sample(torch.Size(sample_shape)))

    def sample(self, sample_shape: Any = torch.Size()) -> Tensor:  # noqa: B008
        """A draw without gradient; the same as ``rsample`` under the same seed."""
        with torch.no_grad():
            return self.rsample(sample_shape)

    def log_prob(self, value: Tensor) -> Tensor:
        """Noise density at the inverse, less the log-det; inside the support."""
        eps = self.inverse(value)
        return self.noise.log_prob(eps) - self.log_abs_det_jacobian(eps, value)


Builder = Callable[[Any], Transport]

_BUILDERS: dict[type[Distribution], Builder] = {}


def registered_transports() -> dict[type[Distribution], Builder]:
    """The classes :func:`as_transport` knows, with the function for each; a copy."""
    return dict(_BUILDERS)


def register_transport(cls: type[Distribution]) -> Callable[[Builder], Builder]:
    """Teach :func:`as_transport` a class of distributions and its subclasses.

    Only for classes that are not yours to change: a subclass of
    :class:`~pyro_reparam_ext.distributions.TransportDistribution` needs no entry. A
    subclass that overrides ``rsample`` is not taken for its parent, since its law may
    be another; it needs its own entry.

    Args:
        cls: The class. A later entry for the same class replaces the earlier.

    Example:
        >>> from torch.distributions import Normal
        >>> from pyro_reparam_ext.distributions import Transport, register_transport
        >>> from pyro_reparam_ext.distributions.noise import StandardNormal
        >>> class Shifted(Normal):
        ...     def rsample(self, sample_shape=torch.Size()):
        ...         return super().rsample(sample_shape) + 1
        >>> @register_transport(Shifted)
        ... def shifted(dist):
        ...     return Transport(
        ...         distribution=dist,
        ...         noise=StandardNormal.like(dist.loc),
        ...         transport=lambda eps: dist.loc + 1 + dist.scale * eps,
        ...         inverse=lambda value: (value - 1 - dist.loc) / dist.scale,
        ...         log_abs_det_jacobian=lambda eps, value: dist.scale.log(),
        ...     )
        >>> as_transport(Shifted(0.0, 2.0)).inverse(torch.tensor(5.0))
        tensor(2.)
    """

    def register(builder: Builder) -> Builder:
        _BUILDERS[cls] = builder
        return builder

    return register


def as_transport(dist: Distribution) -> Transport:
    r"""See a stock distribution as noise, transport and inverse.

    .. math:: z = g_\theta(\epsilon), \quad \epsilon \sim p(\epsilon), \qquad
        \epsilon = g_\theta^{-1}(z).

    Use it to fix, couple or replace the noise of a distribution you already have:
    common random numbers, antithetic or quasi-random draws, residuals, copulas.
    :doc:`/classic_transports` lists noise and :math:`g_\theta` of every family.

    Args:
        dist: A torch or Pyro distribution, or one of ours: a family of the list,
            ``TransformedDistribution`` with bijective transforms over one, or a
            :class:`~pyro_reparam_ext.distributions.TransportDistribution`; each also
            through ``to_event``, ``expand`` and ``mask``. A mask scales densities and
            is no part of the path: the view is that of the unmasked distribution.

    Returns:
        A :class:`Transport` of the same shapes, whose draws have the law of ``dist``.
        They are not the draws of ``dist.rsample()`` under the same seed: the noise
        is chosen for accuracy in both tails, and torch's may be another.

    Gradient: exact pathwise in every parameter, at a fixed :math:`\epsilon`.

    Raises:
        NotImplementedError: no explicit path is known for ``dist``.

    Example:
        >>> from torch.distributions import Gumbel
        >>> from pyro_reparam_ext.distributions import as_transport
        >>> loc = torch.tensor(1.0, requires_grad=True)
        >>> view = as_transport(Gumbel(loc, torch.tensor(2.0)))
        >>> _ = torch.manual_seed(0)
        >>> eps = view.noise.sample((1000,))
        >>> view.transport(eps).sum().backward()
        >>> loc.grad
        tensor(1000.)
        >>> torch.allclose(view.inverse(view.transport(eps)), eps, rtol=1e-5)
        True
    """
    view = _build(dist)

    def log_abs_det_jacobian(eps: Tensor, value: Tensor) -> Tensor:
        # a log-det free of eps comes in its parameters' shape: sums need it in full
        log_det = view.log_abs_det_jacobian(eps, value)
        shape = value.shape[: value.dim() - len(view.event_shape)]
        return log_det.expand(torch.broadcast_shapes(log_det.shape, shape))

    if view.noise.batch_shape != view.batch_shape:
        raise ValueError(
            f"as_transport: expected noise of batch shape {tuple(view.batch_shape)} "
            f"for {type(dist).__name__}; found "
            f"{tuple(view.noise.batch_shape)}. Correct the function registered for it."
        )
    return replace(view, log_abs_det_jacobian=log_abs_det_jacobian)


def _build(dist: Distribution) -> Transport:
    if isinstance(dist, TransportDistribution):
        return Transport(
            distribution=dist,
            noise=dist.noise(),
            transport=dist.transport,
            inverse=dist.inverse,
            log_abs_det_jacobian=dist.log_abs_det_jacobian,
        )
    found = type(dist).__name__
    known = next((c for c in type(dist).__mro__ if c in _BUILDERS), None)
    if known is None:
        supported = ", ".join(sorted(c.__name__ for c in _BUILDERS))
        raise NotImplementedError(
            "as_transport: expected a distribution with an explicit path "
            f"z = g(eps); found {found}. Use rsample() if {found} has it, or give "
            "its path with register_transport. Supported: "
            f"{supported}, and every TransportDistribution."
        )
    if type(dist).rsample is not known.rsample:
        raise NotImplementedError(
            f"as_transport: expected a {known.__name__} that samples as its class "
            f"does; found {found}, which overrides rsample, so its law may be "
            f"another. Give its path with register_transport({found})."
        )
    return _BUILDERS[known](dist)
