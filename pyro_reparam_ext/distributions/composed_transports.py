# SPDX-License-Identifier: Apache-2.0
r"""Paths of wrapped distributions: independent, expanded, masked, transformed."""

from dataclasses import replace

import torch
from pyro.distributions import Independent as PyroIndependent
from pyro.distributions.torch_distribution import (
    ExpandedDistribution,
    MaskedDistribution,
)
from torch import Tensor
from torch.distributions import (
    Independent,
    Transform,
    TransformedDistribution,
)

from pyro_reparam_ext.distributions.as_transport import (
    Transport,
    as_transport,
    register_transport,
)


@register_transport(Independent)
def independent(dist: Independent) -> Transport:
    """The path of the base, its log-det summed over the new event dimensions."""
    base = as_transport(dist.base_dist)
    n = dist.reinterpreted_batch_ndims

    def log_abs_det_jacobian(eps: Tensor, value: Tensor) -> Tensor:
        return _sum_last(base.log_abs_det_jacobian(eps, value), n)

    return replace(
        base,
        distribution=dist,
        noise=PyroIndependent(base.noise, n),
        log_abs_det_jacobian=log_abs_det_jacobian,
    )


@register_transport(ExpandedDistribution)
def expanded(dist: ExpandedDistribution) -> Transport:
    """The path of the base, with noise for every cell of the larger batch."""
    base = as_transport(dist.base_dist)
    noise = base.noise.expand(torch.Size(dist.batch_shape))
    return replace(base, distribution=dist, noise=noise)


@register_transport(MaskedDistribution)
def masked(dist: MaskedDistribution) -> Transport:
    """The path of the base: a mask is no part of it."""
    return replace(as_transport(dist.base_dist), distribution=dist)


@register_transport(TransformedDistribution)
def transformed(dist: TransformedDistribution) -> Transport:
    """The path of the base, then the transforms.

    The log-det follows the values forward from the noise. A transform that keeps the
    last pair it computed is called on fresh tensors, so that a pair from another
    graph is never reused: under ``cache_size=1`` that reuse loses the gradient in the
    transform's parameters (pytorch#59822).
    """
    for transform in dist.transforms:
        if not transform.bijective:
            raise NotImplementedError(
                "as_transport: expected bijective transforms, for z = g(eps) to have "
                f"an inverse; found {type(transform).__name__} in "
                f"{type(dist).__name__}. Use rsample(), or give a path with "
                "register_transport."
            )
    base = as_transport(dist.base_dist)

    def transport(eps: Tensor) -> Tensor:
        value = base.transport(eps)
        value = value.view_as(value)
        for transform in dist.transforms:  # links that log_prob may find in its cache
            value = transform(value)
        return value

    def inverse(value: Tensor) -> Tensor:
        for transform in reversed(dist.transforms):
            value = _apply(transform.inv, value)
        return base.inverse(value)

    def log_abs_det_jacobian(eps: Tensor, value: Tensor) -> Tensor:
        before = base.transport(eps)
        log_det = base.log_abs_det_jacobian(eps, before)
        event_dim = len(base.event_shape)
        for transform in dist.transforms:
            # the same object goes to both calls: some transforms keep their log-det
            before = before.view_as(before)
            after = transform(before)
            domain_dim = transform.domain.event_dim
            log_det = log_det + _sum_last(
                transform.log_abs_det_jacobian(before, after), event_dim - domain_dim
            )
            event_dim += transform.codomain.event_dim - domain_dim
            before = after
        return log_det

    return Transport(
        distribution=dist,
        noise=base.noise,
        transport=transport,
        inverse=inverse,
        log_abs_det_jacobian=log_abs_det_jacobian,
    )


def _apply(transform: Transform, value: Tensor) -> Tensor:
    return transform(value.view_as(value))


def _sum_last(x: Tensor, n: int) -> Tensor:
    return x.flatten(x.dim() - n).sum(-1) if n > 0 else x
