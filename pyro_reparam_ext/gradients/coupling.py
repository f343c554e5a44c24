# SPDX-License-Identifier: Apache-2.0
r"""Noise :math:`\epsilon` that depends from particle to particle.

In each particle it has the law that it would have alone, so that whatever is estimated
by a mean over particles keeps its mean.
"""

import functools
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution
from torch.quasirandom import SobolEngine

from pyro_reparam_ext.distributions.noise import Noise, inside_unit_interval
from pyro_reparam_ext.gradients.base import innermost

NOISES = ("iid", "antithetic", "sobol")


def coupled(noise: str, law: Any) -> Tensor:
    """A draw of ``law``, whose leftmost batch dimension are the particles."""
    return _antithetic(law) if noise == "antithetic" else _sobol(law)


def can_be_coupled(law: Distribution) -> bool:
    """Whether ``law`` is a :class:`Noise`, maybe with event dimensions."""
    return isinstance(innermost(law), Noise)


def _antithetic(law: Any) -> Tensor:
    particles, *plates = law.batch_shape
    half = law.expand([particles // 2, *plates]).sample()
    return torch.cat([half, _kind(law).reflected(half)])


def _sobol(law: Any) -> Tensor:
    particles = law.batch_shape[0]
    cells, dimension = law.batch_shape[1:].numel(), law.event_shape.numel()
    kind = _kind(law)
    u = scrambled_sobol(particles, cells, dimension, kind.device)
    return kind.icdf(u).to(kind.dtype).reshape(law.batch_shape + law.event_shape)


def _kind(law: Distribution) -> Any:
    return innermost(law)


def scrambled_sobol(
    number: int, cells: int, dimension: int, device: torch.device | None = None
) -> Tensor:
    r"""Independent scrambled Sobol sets, ``[number, cells, dimension]``, in float64.

    Each point is uniform on the open unit cube. Digits are scrambled by nested random
    permutations; once all points differ they are independent uniform ones, so that few
    are drawn. The points of a set come in random order: two sets are coupled as in
    Latin hypercube sampling.

    Args:
        number: Points of a set. Powers of two are balanced best.
        cells: How many sets.
        dimension: Of the cube. Blocks of 21,201 dimensions, the most that the
            sequence is known for, are coupled as different sets are.
        device: Where to draw.

    Source: Owen (1997), "Monte Carlo variance of scrambled net quadrature"; Owen
    (1998), "Latin supercube sampling for very high-dimensional simulations".
    """
    most = SobolEngine.MAXDIM
    blocks = [
        _scrambled(number, cells, min(most, dimension - start), device)
        for start in range(0, dimension, most)
    ]
    return torch.cat(blocks, -1)


def _scrambled(
    number: int, cells: int, dimension: int, device: torch.device | None
) -> Tensor:
    bits = (number - 1).bit_length()
    points = _sobol_integers(number, dimension).to(device).unsqueeze(1)
    points = points.expand(number, cells, dimension)
    order = torch.rand(number, cells, 1, device=device).argsort(0)
    points = points.gather(0, order.expand(points.shape))
    scrambled = torch.zeros_like(points)
    for level in range(bits):
        # one permutation of a digit for each choice of the digits before it
        flips = torch.randint(2, (2**level, cells, dimension), device=device)
        flip = flips.gather(0, points >> (bits - level))
        digit = (points >> (bits - level - 1)) & 1
        scrambled = 2 * scrambled + (digit ^ flip)
    within = torch.rand(scrambled.shape, dtype=torch.float64, device=device)
    return inside_unit_interval((scrambled + within) / 2**bits)


@functools.lru_cache(maxsize=8)
def _sobol_integers(number: int, dimension: int) -> Tensor:
    """The leading digits of a Sobol sequence, as many as tell its points apart."""
    bits = (number - 1).bit_length()
    points = SobolEngine(dimension).draw(number, dtype=torch.float64)
    return (points * 2**bits).long()
