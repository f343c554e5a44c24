# SPDX-License-Identifier: Apache-2.0
r"""Draws whose path is scaled by what their particle turns out to weigh (DReG).

The densities and the model see :math:`\tilde z`, the draw with a factor on its
gradient; the guide saw the draw itself when it went on drawing. So the path from a
draw through later draws to the weight is scaled once, where it ends. If the guide's
densities depend on its draws, it is run again with :math:`\tilde z` in their place.
"""

from dataclasses import dataclass
from typing import Any

import torch
from pyro.distributions import Delta, MaskedDistribution
from torch import Tensor

from pyro_reparam_ext.gradients import DoublyReparameterized
from pyro_reparam_ext.gradients.base import density_at, innermost
from pyro_reparam_ext.infer.graph import reached
from pyro_reparam_ext.infer.site import estimator_of, plain
from pyro_reparam_ext.infer.terms import samples


class ScaledPath:
    r"""A draw :math:`\tilde z` and the factor on its gradient, once that is known.

    Args:
        site: The guide site that was drawn, before its value is replaced.
    """

    def __init__(self, site: Any) -> None:
        self.name: str = site["name"]
        self.drawn: Tensor = site["value"]
        self.factor: Tensor | None = None
        self.event_dim: int = site["fn"].event_dim
        self.by_default: bool = site["infer"].get("_by_default", False)
        # What a mask hides of log q is no score to be taken off: pathwise is right.
        self.mask = _mask_of(site)
        self.value: Tensor = _Scale.apply(self.drawn, self)

    @property
    def node(self) -> Any:
        """Of the draw, in the autograd graph."""
        return self.drawn.grad_fn

    @property
    def held(self) -> Tensor:
        """The draw, detached where its path is scaled."""
        if self.mask is None:
            return self.drawn.detach()
        return torch.where(self._events(self.mask), self.drawn.detach(), self.drawn)

    def scale(self, gradient: Tensor) -> Tensor:
        """The gradient as it goes on up the path."""
        if self.factor is None:
            return gradient
        scaled = gradient * self._events(self.factor)
        if self.mask is None:
            return scaled
        return torch.where(self._events(self.mask), scaled, gradient)

    def _events(self, cellwise: Tensor) -> Tensor:
        return cellwise.reshape(cellwise.shape + (1,) * self.event_dim)


class _Scale(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor, path: ScaledPath) -> Tensor:
        ctx.path = path
        return value.view_as(value)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return ctx.path.scale(gradient), None


def _mask_of(site: Any) -> Tensor | None:
    masks = [site["mask"]]
    fn = site["fn"]
    if isinstance(fn, MaskedDistribution):
        masks.append(fn._mask)
    mask: Tensor | None = None
    for each in masks:
        if each is not None and each is not True:
            each = torch.as_tensor(each, device=site["value"].device)
            mask = each if mask is None else mask & each
    return mask


@dataclass(frozen=True)
class ScaledGuide:
    r"""A guide run with scaled paths.

    Args:
        paths: By site.
        scores: The :math:`\log q_s` at detached draws, to be taken off, by site.
        run_again: Whether the guide's densities depend on scaled draws: then ``scores``
            is empty, and the guide is to be run with ``values`` and with ``held``.
        values: What every site drew, scaled where it has a path that is.
        held: The same, detached where it has.
    """

    paths: dict[str, ScaledPath]
    scores: dict[str, Tensor]
    run_again: bool
    values: dict[str, Tensor]
    held: dict[str, Tensor]


def scale_paths(guide: Any, refuse: str | None = None) -> ScaledGuide:
    """Replace the draws of ``"dreg"`` sites in a guide's trace by scaled ones.

    The trace then has its log-densities at these. Sites that are so by default are left
    on the plain path where theirs must not be scaled.

    Args:
        guide: The trace.
        refuse: A reason not to scale at all.

    Raises:
        ValueError: a path that was asked for by name must not be scaled.
    """
    latent = {
        name: site
        for name, site in samples(guide)
        if not site["is_observed"] and not isinstance(innermost(site["fn"]), Delta)
    }
    values = {name: site["value"] for name, site in latent.items()}
    paths: dict[str, ScaledPath] = {}
    for name, site in latent.items():
        chosen = isinstance(estimator_of(site["fn"]), DoublyReparameterized)
        if chosen and refuse is not None and not site["infer"].get("_by_default"):
            raise ValueError(f"Site {name!r}: {refuse} Use 'pathwise' for this site.")
        if chosen and refuse is None and site["value"].grad_fn is not None:
            paths[name] = ScaledPath(site)
            site["value"] = paths[name].value
    guide.compute_score_parts()
    scores = {name: _score(latent[name], path.held) for name, path in paths.items()}
    again = False
    if paths and len(list(samples(guide))) > 1:
        again = _leave_out(guide, paths, scores)
    return ScaledGuide(
        paths,
        {} if again else {name: scores[name] for name in paths},
        again,
        {name: latent[name]["value"] for name in values},
        values | {name: path.held for name, path in paths.items()},
    )


def _score(site: Any, value: Tensor) -> Tensor:
    return density_at(plain(site["fn"]), value, *site["args"], **site["kwargs"])


def _leave_out(
    guide: Any, paths: dict[str, ScaledPath], scores: dict[str, Tensor]
) -> bool:
    """Take out the paths that must not be scaled; whether densities depend on others.

    Of the sites that depend on a scaled draw all must have scaled paths themselves:
    else what they add to the score of the draw would be lost.
    """
    names = {path.node: name for name, path in paths.items()}
    depends: dict[str, set[str]] = {}
    for name, site in samples(guide):
        if name in paths:
            above = [node for node, _ in paths[name].node.next_functions]
            found = reached([scores[name], *above], names)
        else:
            parts = site["score_parts"]
            tensors = [site["value"], parts.log_prob, parts.score_function]
            found = reached([t for t in tensors if isinstance(t, Tensor)], names)
        depends[name] = {names[node] for node in found} - {name}
    while True:
        wrong = next(
            (
                (name, other)
                for name, site in samples(guide)
                for other in depends[name] & set(paths)
                if not _follows(name, site, paths)
            ),
            None,
        )
        if wrong is None:
            return any(found & set(paths) for found in depends.values())
        name, other = wrong
        if not paths[other].by_default:
            raise ValueError(
                f"Site {other!r}: dreg needs that only other dreg sites without a mask "
                f"depend on the draw, but {name!r} does. Use 'pathwise' for {other!r}."
            )
        del paths[other]


def _follows(name: str, site: Any, paths: dict[str, ScaledPath]) -> bool:
    """Whether a site may depend on scaled draws."""
    if site["is_observed"] or isinstance(innermost(site["fn"]), Delta):
        return True  # a function of them
    return name in paths and paths[name].mask is None
