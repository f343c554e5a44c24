# SPDX-License-Identifier: Apache-2.0
"""What importance-weighted bounds make of the weights of K particles."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from pyro_reparam_ext.ops import logsumexp_of_others


@dataclass(frozen=True)
class PowerMean:
    r"""The logarithm of a power mean of weights, over the first dimension.

    .. math:: F(w_1, \dots, w_K) = \frac{1}{1 - \alpha}
        \log \frac{1}{K} \sum_k w_k^{1 - \alpha}

    Args:
        alpha: The order, any real number but 1.
    """

    alpha: float

    def __call__(self, log_weight: Tensor) -> Tensor:
        """F itself, ``[*plates]`` from ``[particles, *plates]``."""
        power = (1 - self.alpha) * log_weight
        mean = power.logsumexp(0) - math.log(len(log_weight))
        return mean / (1 - self.alpha)

    def shares(self, log_weight: Tensor) -> Tensor:
        r"""The derivative of F in each :math:`\log w_k`: positive, their sum is 1."""
        return ((1 - self.alpha) * log_weight).softmax(0)

    def others(self, log_weight: Tensor) -> Tensor:
        """For each particle, what all others bring to ``joined``."""
        return logsumexp_of_others((1 - self.alpha) * log_weight)

    def joined(self, others: Tensor, own: Tensor, number: int) -> Tensor:
        """F of the other particles and one with log-weight ``own``.

        Args:
            others: What ``others`` returned, for all particles or for one.
            own: Its log-weight, which may be another than it had.
            number: K.
        """
        power = 1 - self.alpha
        return (torch.logaddexp(others, power * own) - math.log(number)) / power
