# SPDX-License-Identifier: Apache-2.0
"""The variance of a gradient estimate, for ``vae.py``."""

from collections.abc import Callable

import torch
from pyro.infer import ELBO
from torch import Tensor, nn


def gradient_variance(
    elbo: ELBO,
    model: Callable,
    guide: Callable,
    batch: Tensor,
    network: nn.Module,
    num_draws: int,
) -> float:
    r"""Variance of the gradient of the ELBO, at fixed weights and a fixed batch.

    .. math:: \sum_i \frac{1}{N-1} \sum_{n=1}^N (g_{ni} - \bar g_i)^2

    Unbiased; of one estimate rather than of the mean of ``num_draws``; summed over the
    weights of ``network``. The ELBO is per image, in nats, so the unit is nats².
    The gradients and the random stream of a training run are left as they were.
    """
    weights = list(network.parameters())
    gradients = []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for _ in range(num_draws):
            loss = elbo.differentiable_loss(model, guide, batch) / len(batch)
            gradient = torch.autograd.grad(loss, weights)
            gradients.append(torch.cat([part.flatten() for part in gradient]))
    return torch.stack(gradients).var(dim=0).sum().item()
