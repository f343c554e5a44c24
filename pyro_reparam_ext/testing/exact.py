# SPDX-License-Identifier: Apache-2.0
"""The exact ELBO gradient of a small program: the oracle that estimators answer to."""

import itertools
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import pyro
import torch
from pyro.distributions import Delta, MaskedDistribution
from pyro.infer.enum import get_importance_trace
from pyro.poutine.messenger import Messenger
from torch import Tensor
from torch.distributions import ComposeTransform, biject_to

GRID = "_exact_grid"  # the plate of all points
_NEGLIGIBLE = 36.0  # nodes cover where log q is within this of its maximum


def exact_gradient(
    model: Any, guide: Any, *args: Any, nodes: int = 40, **kwargs: Any
) -> tuple[Tensor, dict[str, Tensor]]:
    r"""The loss :math:`-\mathcal L` and its gradient, without sampling.

    .. math:: \mathcal L(\theta) = \sum_i w_i\, q_\theta(z_i)
        \big(\log p_\theta(x, z_i) - \log q_\theta(z_i)\big)

    over all values of the discrete sites and, for the continuous ones, the nodes of a
    trapezoidal rule in an unconstrained coordinate. The nodes :math:`z_i` do not move
    with :math:`\theta`, so the gradient needs no estimator: of the program only
    ``log_prob`` is used.

    Discrete values are tried one run at a time, so the program may branch on them;
    continuous ones are spread along an outermost plate. Keep programs tiny: there are
    ``nodes ** d`` points for ``d`` continuous scalars.

    Args:
        model: The model, without subsampling.
        guide: The guide, likewise.
        args: Arguments of both.
        nodes: Quadrature nodes a dimension.
        kwargs: Keyword arguments of both.

    Returns:
        The loss, and the gradient by name of every (unconstrained) parameter in the
        store.

    Example:
        >>> import pyro.distributions as dist
        >>> pyro.clear_param_store()
        >>> def model():
        ...     pyro.sample("z", dist.Bernoulli(0.5))
        >>> def guide():
        ...     a = pyro.param("a", torch.zeros(()))
        ...     pyro.sample("z", dist.Bernoulli(logits=a))
        >>> loss, gradient = exact_gradient(model, guide)
        >>> abs(loss.item()) < 1e-6, gradient["a"].item()
        (True, 0.0)
    """
    total: Any = 0.0
    for points in grid_points(model, guide, args, kwargs, nodes):
        elbo: Any = 0.0
        for trace, sign in ((points.model, 1), (points.guide, -1)):
            for site in trace.nodes.values():
                if site["type"] == "sample":
                    log_prob = points.outermost(site["log_prob"])
                    elbo = elbo + sign * _sum_rest(log_prob)
        mass = points.log_mass.exp()
        total = total - torch.where(mass > 0, mass * elbo, 0.0).sum()
    return total.detach(), parameter_gradients(total)


def parameter_gradients(total: Tensor) -> dict[str, Tensor]:
    """The gradient of every (unconstrained) parameter in the store, by name."""
    parameters = dict(pyro.get_param_store().named_parameters())
    gradients = torch.autograd.grad(total, list(parameters.values()), allow_unused=True)
    return {
        name: torch.zeros_like(parameter) if gradient is None else gradient
        for (name, parameter), gradient in zip(
            parameters.items(), gradients, strict=True
        )
    }


class Points(NamedTuple):
    """Values of all draws of a program, along an outermost plate of its traces.

    Args:
        model: The model's trace.
        guide: The guide's.
        log_mass: The logarithm of q times the quadrature weight, at each point.
        nesting: Number of plates around a site, this one included.
    """

    model: Any
    guide: Any
    log_mass: Tensor
    nesting: int

    def outermost(self, log_prob: Tensor) -> Tensor:
        """With the points as the first dimension, ``[points or 1, ...]``."""
        missing = self.nesting - log_prob.dim()
        return log_prob.reshape((1,) * missing + log_prob.shape)


def grid_points(
    model: Any, guide: Any, args: Any, kwargs: Any, nodes: int
) -> Iterator[Points]:
    """All points of a program: one joint value of the discrete draws at a time."""
    nesting = _plate_nesting(model, guide, args, kwargs)
    choices: list[int] = []
    continuous = 0
    while True:
        grid = _Grid(choices, continuous, nodes, dim=-nesting - 1)
        points = _run(grid, model, guide, args, kwargs)
        if grid.dimensions != continuous:  # now known for this branch: run it again
            continuous = grid.dimensions
            continue
        yield points
        choices = grid.next_choices()
        if not choices:
            break


def _plate_nesting(model: Any, guide: Any, args: Any, kwargs: Any) -> int:
    with torch.random.fork_rng(devices=[]):
        traces = get_importance_trace("flat", math.inf, model, guide, args, kwargs)
    dims = [
        frame.dim
        for trace in traces
        for site in trace.nodes.values()
        if site["type"] == "sample"
        for frame in site["cond_indep_stack"]
        if frame.vectorized
    ]
    return -min(dims, default=0)


def _run(grid: "_Grid", model: Any, guide: Any, args: Any, kwargs: Any) -> Points:
    size = grid.nodes**grid.expected
    plate = pyro.plate(GRID, size, dim=grid.dim)
    # the grid is outermost, so that it sees distributions as the plates expand them
    model_trace, guide_trace = get_importance_trace(
        "flat", -grid.dim, plate(model), grid(plate(guide)), args, kwargs
    )
    points = Points(model_trace, guide_trace, torch.zeros(()), -grid.dim)
    log_q: Any = 0.0
    for name in grid.drawn:
        site = guide_trace.nodes[name]
        fn = site["fn"]
        while isinstance(fn, MaskedDistribution):  # a mask hides log_prob, not draws
            fn = fn.base_dist
        log_q = log_q + _sum_rest(points.outermost(fn.log_prob(site["value"])))
    return points._replace(log_mass=torch.as_tensor(log_q + grid.log_weight))


class _Grid(Messenger):
    """Assigns values to the draws of a guide: one discrete choice, all nodes at once.

    ``choices`` are the indices of the discrete sites so far; new sites start at 0.
    """

    def __init__(self, choices: list[int], expected: int, nodes: int, dim: int) -> None:
        super().__init__()
        self.choices = list(choices)
        self.expected, self.nodes, self.dim = expected, nodes, dim
        self.sizes: list[int] = []
        self.dimensions = 0
        self.drawn: list[str] = []
        self.log_weight: Any = 0.0

    def next_choices(self) -> list[int]:
        """The next combination, the last site fastest; empty after the last."""
        choices = self.choices[: len(self.sizes)]
        while choices and choices[-1] + 1 == self.sizes[len(choices) - 1]:
            choices.pop()
        return [*choices[:-1], choices[-1] + 1] if choices else []

    def _pyro_sample(self, msg: Any) -> None:
        fn = msg["fn"]
        if msg["is_observed"] or msg["value"] is not None or isinstance(fn, Delta):
            return
        if type(fn).__name__ == "_Subsample":
            return
        base = innermost(fn)
        if base.has_enumerate_support:
            value = self._discrete(fn, base)
        else:
            value = self._continuous(fn, base)
        self.drawn.append(msg["name"])
        msg["value"] = value
        msg["done"] = True

    def _discrete(self, fn: Any, base: Any) -> Tensor:
        support = base.enumerate_support(expand=False)
        support = support.reshape(len(support), *base.event_shape)
        # the grid's own dimension is the first; every cell behind it has a value
        cells = fn.shape()[1 : len(fn.shape()) - len(base.event_shape)]
        combinations = list(
            itertools.product(range(len(support)), repeat=math.prod(cells))
        )
        position = len(self.sizes)
        self.sizes.append(len(combinations))
        if position == len(self.choices):
            self.choices.append(0)
        chosen = torch.tensor(combinations[self.choices[position]], dtype=torch.long)
        # not expanded along the grid, so that the program may branch on the value
        return support[chosen].reshape(cells + base.event_shape)

    def _continuous(self, fn: Any, base: Any) -> Tensor:
        shape = fn.shape()
        number = math.prod(shape[1:])
        start = self.dimensions
        self.dimensions += number
        if self.dimensions > self.expected:  # a trial run, to count the dimensions
            with torch.no_grad():
                return fn.sample()
        index = torch.arange(self.nodes**self.expected)
        axes = [
            index // self.nodes**j % self.nodes for j in range(start, start + number)
        ]
        position = torch.stack(axes, -1).reshape(shape) / (self.nodes - 1)
        with torch.no_grad():
            # through a flow, whose own support is not to be relied on, from its base
            flow = getattr(base, "transforms", [])
            base = innermost(base.base_dist) if flow else base
            constrain = ComposeTransform([biject_to(base.support), *flow])
            low, high = _range_of_mass(fn, base, biject_to(base.support))
            unconstrained = low + (high - low) * position
            value = constrain(unconstrained)
            log_weight = ((high - low) / (self.nodes - 1)).log()
            jacobian = constrain.log_abs_det_jacobian(unconstrained, value)
            log_weight = _sum_rest(log_weight.expand(shape))
            self.log_weight = self.log_weight + log_weight
            self.log_weight = self.log_weight + _sum_rest(jacobian)
        return value.clone()  # not the tensor that a caching transform remembers


def _sum_rest(tensor: Tensor) -> Tensor:
    """The sum over all dimensions but the first."""
    return tensor.reshape(len(tensor), -1).sum(1)


def innermost(fn: Any) -> Any:
    """The distribution under Independent, Masked and Expanded."""
    while hasattr(fn, "base_dist") and not hasattr(fn, "transforms"):
        fn = fn.base_dist
    return fn


def _range_of_mass(fn: Any, base: Any, constrain: Any) -> tuple[Tensor, Tensor]:
    """Where, in the unconstrained coordinate, the density is not negligible."""
    if base.event_shape:  # a multivariate normal: from its moments
        width = math.sqrt(2 * _NEGLIGIBLE) * base.variance.sqrt()
        return base.mean - width, base.mean + width
    scan = torch.linspace(-20.0, 20.0, 401, dtype=base.sample().dtype)
    scan = scan.reshape(-1, *(1 for _ in base.shape()))
    value = constrain(scan)
    density = base.log_prob(value) + constrain.log_abs_det_jacobian(scan, value)
    density = density.nan_to_num(nan=-math.inf)
    mass = density > density.amax(0) - _NEGLIGIBLE
    low = torch.where(mass, scan, math.inf).amin(0)
    high = torch.where(mass, scan, -math.inf).amax(0)
    return low.expand(fn.shape()), high.expand(fn.shape())
