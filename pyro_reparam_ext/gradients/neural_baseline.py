# SPDX-License-Identifier: Apache-2.0
"""A baseline that a network computes from the data."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, final

import torch
from torch import Tensor, nn

from pyro_reparam_ext.gradients.baselines import Baseline, SiteState


@final
@dataclass(frozen=True, eq=False)
class NeuralBaseline(Baseline):
    r"""What a network expects the cost to be, given what was known before the draw.

    .. math:: b = h_\psi(x), \qquad \psi \text{ learns to lower } (h_\psi(x) - f)^2,

    on the same steps and with the same optimizer as the rest. Unbiased if :math:`x`
    does not depend on the draw. For amortized guides, whose costs differ from one data
    point to the next more than from one draw to the next.

    Its input is, first found: ``infer={"baseline_input": x}`` of the site; ``features``
    of the arguments of the loss; the first of these arguments.

    ``SVI`` trains the network as it does ``pyro.module``. A module
    ``elbo(model, guide)`` has it among its parameters after the first call, as it has
    what the guide creates: call it once before making the optimizer.

    Args:
        network: From the input to a baseline for each cell of the site's plates; a last
            dimension of size 1 is dropped.
        features: From the arguments of model and guide to the input.

    Source: Mnih and Gregor (2014), "Neural variational inference and learning in
    belief networks", §2.3.

    Example:
        >>> from pyro_reparam_ext import TraceSwitch_ELBO
        >>> from pyro_reparam_ext.gradients import ScoreFunction
        >>> network = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 1))
        >>> estimator = ScoreFunction(baseline=NeuralBaseline(network))
        >>> elbo = TraceSwitch_ELBO(sites={"c": estimator})
    """

    # what an importance-weighted bound leaves is better taken by "vimco"
    objectives: ClassVar[frozenset[str]] = frozenset({"elbo"})

    network: nn.Module
    features: Callable[..., Tensor] | None = None

    def input_of(self, site: Any, args: Any, kwargs: Any) -> Tensor:
        """What the network is shown at a site.

        Raises:
            ValueError: there is nothing to show it.
        """
        x = site["infer"].get("baseline_input")
        if x is None and self.features is not None:
            x = self.features(*args, **kwargs)
        if x is None and args:
            x = args[0]
        if not isinstance(x, Tensor):
            raise ValueError(
                f"Site {site['name']!r}: the neural baseline needs a tensor as input; "
                f"found {type(x).__name__}. Annotate the site with "
                "infer={'baseline_input': x}, or give NeuralBaseline(features=...)."
            )
        return x

    def prediction(self, x: Tensor, cost: Tensor) -> Tensor:
        """The baseline for ``cost``, differentiable in the network.

        Raises:
            ValueError: the network's output does not go with the plates of the site.
        """
        found = self.network(x.detach())
        for b in (found.squeeze(-1), found):
            b = b.reshape(_without_leading_ones(b.shape, cost.dim()))
            if _goes_with(b.shape, cost.shape):
                return b.expand(cost.shape)
        raise ValueError(
            f"the neural baseline's output has shape {tuple(found.shape)}; "
            f"expected one number for each of the costs, {tuple(cost.shape)}."
        )

    def value(self, cost: Tensor, state: SiteState) -> Tensor:
        """Zero: what the network says is in ``prediction``."""
        return torch.zeros_like(cost)


def _without_leading_ones(shape: torch.Size, dims: int) -> torch.Size:
    while len(shape) > dims and shape[0] == 1:
        shape = shape[1:]
    return shape


def _goes_with(shape: torch.Size, cost: torch.Size) -> bool:
    sizes = zip(reversed(shape), reversed(cost), strict=False)
    return len(shape) <= len(cost) and all(n in (1, size) for n, size in sizes)
