# SPDX-License-Identifier: Apache-2.0
"""The exact gradient of an importance-weighted bound of a small program."""

import math
from typing import Any

import torch
from torch import Tensor

from pyro_reparam_ext.testing.exact import (
    GRID,
    Points,
    grid_points,
    parameter_gradients,
)


def exact_iw_gradient(
    model: Any,
    guide: Any,
    *args: Any,
    num_particles: int,
    alpha: float = 0.0,
    nodes: int = 40,
    **kwargs: Any,
) -> tuple[Tensor, dict[str, Tensor]]:
    r"""The loss :math:`-\mathcal L` and its gradient, without sampling.

    .. math:: \mathcal L(\theta) = \sum_c s_c \sum_{i_1, \dots, i_K}
        \Big(\prod_k m_{i_k}\Big)\,\frac{1}{1 - \alpha}
        \log\frac1K\sum_k w_{i_k, c}^{1 - \alpha}

    over all K-tuples of the points of :func:`exact_gradient`, with
    :math:`m_i` the mass :math:`q_\theta(z_i)` times the quadrature weight, and cells
    :math:`c` of the plates around all sites.

    Args:
        model: The model, without subsampling.
        guide: The guide, likewise; its auxiliary draws count as latents.
        args: Arguments of both.
        num_particles: K. There are ``points ** K`` terms: keep both small.
        alpha: The order of the bound.
        nodes: Quadrature nodes a dimension.
        kwargs: Keyword arguments of both.

    Returns:
        The loss, and the gradient by name of every (unconstrained) parameter in the
        store.

    Example:
        >>> import pyro
        >>> import pyro.distributions as dist
        >>> pyro.clear_param_store()
        >>> def model():
        ...     pyro.sample("z", dist.Bernoulli(0.5))
        >>> def guide():
        ...     a = pyro.param("a", torch.zeros(()))
        ...     pyro.sample("z", dist.Bernoulli(logits=a))
        >>> loss, gradient = exact_iw_gradient(model, guide, num_particles=2)
        >>> abs(loss.item()) < 1e-6, gradient["a"].item()
        (True, 0.0)
    """
    masses, weights = [], []
    scale: Any = 1.0
    for points in grid_points(model, guide, args, kwargs, nodes):
        log_weight, scale = _log_weight(points)
        masses.append(points.log_mass.expand(len(log_weight)))
        weights.append(log_weight)
    log_mass, log_weight = torch.cat(masses), torch.cat(weights)
    keep = log_mass > -60.0  # what is lighter does not count
    log_mass, power = log_mass[keep], (1 - alpha) * log_weight[keep]
    joint, summed = log_mass, power
    for _ in range(num_particles - 1):
        joint = joint.unsqueeze(-1) + log_mass
        summed = torch.logaddexp(summed.unsqueeze(-2), power)
    bound = (summed - math.log(num_particles)) / (1 - alpha)
    total = -(scale * (joint.exp().unsqueeze(-1) * bound).flatten(0, -2).sum(0)).sum()
    return total.detach(), parameter_gradients(total)


def _log_weight(points: Points) -> tuple[Tensor, Any]:
    """The log-weights, ``[points, cells]``, and the scale of each cell."""
    sites = [
        (sign, site)
        for trace, sign in ((points.model, 1), (points.guide, -1))
        for site in trace.nodes.values()
        if site["type"] == "sample"
    ]
    stacks = [{f for f in s["cond_indep_stack"] if f.vectorized} for _, s in sites]
    kept = {frame.dim for frame in set.intersection(*stacks)}
    total: Any = 0.0
    for sign, site in sites:
        log_prob = site["log_prob"] / site["scale"]
        log_prob = points.outermost(log_prob.expand(_batch_shape(site)))
        rest = [d for d in range(-log_prob.dim(), 0) if d not in kept]
        # (summing over no dimension would be summing over all)
        by_cell = log_prob.sum(rest, keepdim=True) if rest else log_prob
        total = total + sign * by_cell
    size = next(f.size for f in sites[0][1]["cond_indep_stack"] if f.name == GRID)
    total = total.expand(size, *total.shape[1:])
    scale = torch.as_tensor(sites[0][1]["scale"]).expand(total.shape[1:])
    return total.reshape(size, -1), scale.reshape(-1)


def _batch_shape(site: Any) -> Any:
    shape = list(site["log_prob"].shape)
    for frame in site["cond_indep_stack"]:
        if frame.vectorized:
            missing = -frame.dim - len(shape)
            shape = [1] * missing + shape
            shape[frame.dim] = frame.size
    return shape
