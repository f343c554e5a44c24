# SPDX-License-Identifier: Apache-2.0
"""The cells of the plates that enclose a whole program: each has weights of its own."""

import copy
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from pyro.distributions.util import scale_and_mask
from torch import Tensor

from pyro_reparam_ext.infer.costs import plate_of, plates_of, sum_to_plates
from pyro_reparam_ext.infer.holds import holds
from pyro_reparam_ext.infer.particles import PARTICLES


class Cells:
    """The plates that enclose every site of some runs, and the scale of their cells.

    Args:
        traces: Traces of model and guide.
        owner: What begins an error message.

    Raises:
        ValueError: a minibatch outside of which there are sites, or sites of one cell
            with different scales: the bound would be none.
    """

    def __init__(self, traces: Iterable[Any], owner: str) -> None:
        sites = [site for trace in traces for site in weighed_sites(trace)]
        stacks = [plates_of(site) for site in sites]
        shared = frozenset.intersection(*stacks) if stacks else frozenset()
        self.plates = frozenset(f for f in shared if f.name != PARTICLES)
        self._kept = shared
        for site in sites:
            for frame in site["cond_indep_stack"]:
                if frame.full_size not in (None, frame.size):
                    self._check_encloses(frame, sites, owner)
        self.scale = self._common_scale(sites, owner)

    def including(self, frame: Any) -> "Cells":
        """The same, with one plate more that is not summed over."""
        new = copy.copy(self)
        new._kept = self._kept | {plate_of(frame)}
        return new

    def sum(self, value: Tensor) -> Tensor:
        """Summed over all but cells and vectorized particles, right-aligned."""
        return sum_to_plates(value, self._kept)

    def log_prob(self, site: Any) -> Tensor:
        """The log-density of a site by cell: masked, but without its scale."""
        return self.sum(scale_and_mask(site["unscaled_log_prob"], 1.0, site["mask"]))

    def _check_encloses(self, frame: Any, sites: list[Any], owner: str) -> None:
        if plate_of(frame) in self.plates:
            return
        outside = next(
            (s["name"] for s in sites if frame not in s["cond_indep_stack"]), None
        )
        where = "is a sequential plate" if outside is None else f"excludes {outside!r}"
        raise ValueError(
            f"{owner}: plate {frame.name!r} draws a minibatch but {where}: the average "
            "of weights over a minibatch bounds nothing. Put every site into the "
            "plate, use all of the data, or use TraceSwitch_ELBO."
        )

    def _common_scale(self, sites: list[Any], owner: str) -> Any:
        first: Any = None
        for site in sites:
            scale = site["scale"]
            if isinstance(scale, Tensor):
                cellwise = [f.dim for f in self.plates]
                extents = enumerate(reversed(scale.shape), 1)
                varies = any(n > 1 and -i not in cellwise for i, n in extents)
            else:
                varies = False
            if first is None:
                first = site
            if varies or not _equal(scale, first["scale"]):
                raise ValueError(
                    f"{owner}: expected one scale for all sites of a plate cell; found "
                    f"{_shown(first['scale'])} at {first['name']!r} and "
                    f"{_shown(scale)} at {site['name']!r}. Scale the whole program, or "
                    "use TraceSwitch_ELBO."
                )
        return 1.0 if first is None else first["scale"]


def weighed_sites(trace: Any) -> Iterator[Any]:
    """The sites of a trace that have a density: not those of ``pyro.deterministic``."""
    for site in trace.nodes.values():
        if site["type"] == "sample" and not site["infer"].get("_deterministic"):
            yield site


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor) or isinstance(other, Tensor):
        both = torch.as_tensor(one), torch.as_tensor(other)
        return holds(both[0] == both[1])
    return bool(one == other)


def _shown(scale: Any) -> Any:
    return scale.tolist() if isinstance(scale, Tensor) else scale
