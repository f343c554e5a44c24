# SPDX-License-Identifier: Apache-2.0
r"""The implicit gradient of a mixture, through its distributional transform.

With :math:`\ell_{k,i} = \log\pi_k + \sum_{j<i}\log p_{k,j}(z_j)`, weights
:math:`w_{k,i} = \mathrm{softmax}_k\,\ell_{k,i}`, the conditional density
:math:`p_i = \sum_k w_{k,i}\, p_{k,i}(z_i)` and :math:`T_i = \sum_k w_{k,i}
F_{k,i}(z_i)`, keeping :math:`T` fixed means

.. math:: dz_i = -\sum_k \frac{w_{k,i}}{p_i}\, \partial_\theta F_{k,i}\, d\theta +
    \sum_k c_{k,i}\, d\ell_{k,i}, \qquad c_{k,i} = \frac{w_{k,i}}{p_i}\,
    (T_i - F_{k,i}),

where :math:`d\ell_{k,i}` contains :math:`dz_j` for :math:`j < i`. A backward pass
solves the transposed triangular system first.
"""

import torch
from torch import Tensor
from torch.distributions import Distribution

from pyro_reparam_ext.distributions.attach_gradient import attach_gradient
from pyro_reparam_ext.distributions.mixture_components import (
    Components,
    FactorizedComponents,
    components_of,
    has_normal_factors,
)
from pyro_reparam_ext.distributions.normal_mixture_gradient import (
    normal_mixture_backward,
)


def attach_mixture_gradient(
    value: Tensor, logits: Tensor, component: Distribution
) -> Tensor:
    r"""``value``, made to depend on the logits and on all tensors of the components.

    Args:
        value: Draws, of shape ``lead + event_shape``.
        logits: Log-weights of the components, of shape ``lead + (K,)``.
        component: The components, of batch shape broadcasting with ``lead + (K,)``.
    """
    components, tensors = components_of(component)
    is_normal = has_normal_factors(component)
    if isinstance(components, FactorizedComponents) and components.structure.opaque:
        points = components.points(value, logits.shape[-1])
        components.require_no_other(points, tensors)

    def generic(
        value: Tensor, logits: Tensor, *tensors_and_grad: Tensor
    ) -> tuple[Tensor, ...]:
        *tensors, grad_output = tensors_and_grad
        return _backward(components, value, logits, tensors, grad_output)

    def pull_back(
        value: Tensor, parameters: tuple[Tensor, ...], grad_output: Tensor
    ) -> tuple[Tensor, ...]:
        if is_normal:
            logits, loc, scale = parameters
            return normal_mixture_backward(
                generic, value, logits, loc, scale, grad_output
            )
        return generic(value, *parameters, grad_output)

    return attach_gradient(value, pull_back, logits, *tensors)


def _backward(
    components: Components,
    value: Tensor,
    logits: Tensor,
    tensors: list[Tensor],
    grad_output: Tensor,
) -> tuple[Tensor, ...]:
    """Gradients in the logits and tensors, in differentiable operations."""
    points = components.points(value, logits.shape[-1])
    resolved = True

    def evaluate(points: Tensor, *tensors: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        nonlocal resolved
        lower, upper, log_density, resolved = components.evaluate(points, list(tensors))
        return lower, upper, log_density

    outputs, vjp = torch.func.vjp(evaluate, points, *tensors)[:2]
    log_lower, log_upper, log_density = outputs
    log_joint = logits.double().unsqueeze(-1) + _before(log_density)
    log_weight = log_joint.log_softmax(-2)
    log_mixture = (log_weight + log_density).logsumexp(-2, keepdim=True)

    # c, from the smaller tail of the mixture
    below = (log_weight + log_lower).logsumexp(-2, keepdim=True)
    above = (log_weight + log_upper).logsumexp(-2, keepdim=True)
    left = below < above
    of_mixture = torch.where(left, below, above)
    of_component = torch.where(left, log_lower, log_upper)
    shift = log_weight - log_mixture
    c = (shift + of_mixture).exp() - (shift + of_component).exp()
    c = torch.where(left, c, -c)

    adjoint = grad_output.double().reshape(*c.shape[:-2], c.shape[-1])
    if c.shape[-1] > 1:
        zero = torch.zeros_like(c)
        feedback = components.feedback(
            points,
            tensors,
            c,
            (shift + log_density).exp(),
            lambda: vjp((zero, zero, torch.ones_like(c)))[0],
        )
        identity = torch.eye(c.shape[-1], dtype=c.dtype, device=c.device)
        adjoint = torch.linalg.solve_triangular(
            (identity - feedback.tril(-1)).transpose(-1, -2),
            adjoint.unsqueeze(-1),
            upper=True,
        ).squeeze(-1)
    adjoint = adjoint.unsqueeze(-2)

    # each component's own cdf, through the logarithm whose derivative is sound
    own_left = (log_lower < log_upper) if resolved else (log_lower >= log_upper)
    own = adjoint * (shift + torch.where(own_left, log_lower, log_upper)).exp()
    by_joint = adjoint * c
    _, *by_tensors = vjp(
        (
            torch.where(own_left, -own, 0.0),
            torch.where(own_left, 0.0, own),
            _after(by_joint),
        )
    )
    return by_joint.sum(-1).to(logits.dtype), *by_tensors


def _before(x: Tensor) -> Tensor:
    """Sums over the coordinates before each."""
    return torch.cat([torch.zeros_like(x[..., :1]), x[..., :-1].cumsum(-1)], -1)


def _after(x: Tensor) -> Tensor:
    """Sums over the coordinates after each."""
    return _before(x.flip(-1)).flip(-1)
