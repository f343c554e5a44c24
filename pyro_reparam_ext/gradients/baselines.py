# SPDX-License-Identifier: Apache-2.0
r"""Baselines: what may be subtracted from a cost without changing the mean gradient.

Since :math:`\mathrm{E}[\nabla_\theta \log q_\theta(z)] = 0`, any :math:`b` that does
not depend on :math:`z` leaves :math:`\mathrm{E}[(f(z) - b)\nabla\log q(z)]` as it is.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn


class SiteState(nn.Module):
    """Named scalars that an estimator keeps for one site, saved in a ``state_dict``."""

    def scalar(self, name: str, like: Tensor) -> Tensor:
        """The buffer ``name``: at first 0, in dtype and on device of ``like``."""
        if name not in self._buffers:
            self.register_buffer(name, like.new_zeros(()))
        buffer = self._buffers[name]
        assert buffer is not None
        return buffer


@dataclass(frozen=True, eq=False)
class Baseline(ABC):
    """A baseline for the cost of one site (abstract).

    Writing your own: a frozen dataclass, compared by its options. ``value`` must not
    depend on the draw whose cost it is subtracted from; ``update`` may then take the
    new costs into account.

    Attributes:
        objectives: Names of the objectives whose costs it may be subtracted from.
    """

    objectives: ClassVar[frozenset[str]] = frozenset({"elbo", "iw"})

    @property
    def min_particles(self) -> int:
        """Fewest particles the baseline works with."""
        return 1

    @abstractmethod
    def value(self, cost: Tensor, state: SiteState) -> Tensor:
        """The baseline for ``cost``, of shape ``[particles, *plates]``."""

    def update(self, cost: Tensor, state: SiteState) -> None:  # noqa: B027
        """Take the costs of this step into account, for later steps."""


@dataclass(frozen=True)
class MovingAverage(Baseline):
    r"""The exponentially weighted mean of the costs of earlier steps.

    .. math:: m_t = \beta m_{t-1} + (1 - \beta)\,\bar f_t, \qquad
        b_t = m_{t-1} / (1 - \beta^{t-1}), \quad b_1 = 0,

    with :math:`\bar f_t` the mean over particles and plates: one scalar a site, so a
    shorter last minibatch is no trouble. Unbiased, because :math:`b_t` is made of
    earlier draws only.

    Args:
        decay: :math:`\beta \in [0, 1)`.

    Source: Mnih and Gregor (2014), "Neural variational inference and learning in
    belief networks", §2.3.
    """

    decay: float = 0.9

    def __post_init__(self) -> None:
        if not 0 <= self.decay < 1:
            raise ValueError(
                f"MovingAverage: decay must be in [0, 1); found {self.decay}."
            )

    def value(self, cost: Tensor, state: SiteState) -> Tensor:
        """The debiased average of earlier steps."""
        weight = state.scalar("weight", cost)
        tiny = torch.finfo(weight.dtype).tiny
        return state.scalar("mean", cost) / weight.clamp(min=tiny)

    def update(self, cost: Tensor, state: SiteState) -> None:
        """Fold in the mean cost of this step."""
        mean, weight = state.scalar("mean", cost), state.scalar("weight", cost)
        new = cost.mean()
        finite = new.isfinite()  # one infinite cost is not to spoil all later steps
        step = torch.where(finite, 1 - self.decay, 0.0).to(mean.dtype)
        mean.lerp_(torch.where(finite, new, 0.0).to(mean.dtype), step)
        weight.lerp_(torch.ones_like(weight), step)


@dataclass(frozen=True)
class LeaveOneOut(Baseline):
    r"""The mean cost of the other particles.

    .. math:: b_k = \frac{1}{K - 1} \sum_{j \ne k} f_j

    Unbiased, because the particles are independent; cell by cell within plates.

    Source: Kool, van Hoof and Welling (2019), "Buy 4 REINFORCE samples, get a
    baseline for free!"; Salimans and Knowles (2014).
    """

    # an importance-weighted bound is a cost that all particles share
    objectives: ClassVar[frozenset[str]] = frozenset({"elbo"})

    @property
    def min_particles(self) -> int:
        """Two: there must be another particle."""
        return 2

    def value(self, cost: Tensor, state: SiteState) -> Tensor:
        """The mean over the other particles."""
        others = cost.shape[0] - 1
        if others == 0:  # this site was drawn in one particle only
            return torch.zeros_like(cost)
        return (cost.sum(0, keepdim=True) - cost) / others
