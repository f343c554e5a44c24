# SPDX-License-Identifier: Apache-2.0
r"""Tails in logs of the von Mises law on :math:`[-\pi, \pi)`."""

import math

import torch
from torch import Tensor

from pyro_reparam_ext.distributions.circle import turns
from pyro_reparam_ext.distributions.log_tails import LogTails, register_log_tails
from pyro_reparam_ext.distributions.von_mises import VonMises
from pyro_reparam_ext.ops import gauss_legendre

_NODES = 32
_DEPTH = 40.0  # where the density is taken to have ended, in logs


@register_log_tails(VonMises)
def von_mises(d: VonMises) -> LogTails:
    r"""The arcs from :math:`-\pi` and to :math:`\pi`, cut where the density turns."""

    def both(value: Tensor) -> tuple[Tensor, Tensor]:
        value, loc, kappa = torch.broadcast_tensors(value, d.loc, d.concentration)
        start, _ = turns(-math.pi - loc)
        middle = start + (value + math.pi).clamp(0, math.tau)
        log_whole = math.log(math.tau) + torch.special.i0e(kappa).log()
        return (
            _log_arc(start, middle, kappa) - log_whole,
            _log_arc(middle, start + math.tau, kappa) - log_whole,
        )

    return LogTails(both=both, log_density=d.log_density)


def _log_arc(start: Tensor, end: Tensor, kappa: Tensor) -> Tensor:
    r""":math:`\log\int e^{\kappa(\cos t - 1)}\,dt`, from angles above :math:`-\pi`."""
    pieces = []
    for half_turn in range(-1, 3):
        low, high = half_turn * math.pi, (half_turn + 1) * math.pi
        first, last = start.clamp(low, high), end.clamp(low, high)
        # distances from the mode, at which the half turn begins or ends
        near, far = (
            (high - last, high - first) if half_turn % 2 else (first - low, last - low)
        )
        empty = far <= near
        near, far = torch.where(empty, 0.0, near), torch.where(empty, 1.0, far)
        pieces.append(
            torch.where(empty, -math.inf, _log_falling_piece(near, far, kappa))
        )
    return torch.stack(pieces).logsumexp(0)


def _log_falling_piece(near: Tensor, far: Tensor, kappa: Tensor) -> Tensor:
    """Relative to the density at the end nearer to the mode."""
    with torch.no_grad():
        reach = torch.acos((near.cos() - _DEPTH / kappa).clamp(min=-1))
    k, at = kappa.unsqueeze(-1), near.unsqueeze(-1)
    integral = gauss_legendre(
        lambda t: torch.exp(-2 * k * (0.5 * (t + at)).sin() * (0.5 * (t - at)).sin()),
        near,
        torch.minimum(far, reach),
        _NODES,
    )
    return integral.log() - 2 * kappa * (0.5 * near).sin().square()
