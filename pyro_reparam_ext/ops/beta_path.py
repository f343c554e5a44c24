# SPDX-License-Identifier: Apache-2.0
r"""How the logit of a Beta variate moves with its concentrations."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from pyro_reparam_ext.ops.by_regime import by_regime
from pyro_reparam_ext.ops.fitted_rules import BETA_COARSE, BETA_FINE
from pyro_reparam_ext.ops.gamma_path import Rule, fitted_rule, stretched_rule
from pyro_reparam_ext.ops.in_chunks import in_chunks
from pyro_reparam_ext.ops.stirling import log_minus_digamma

_SMALL = 0.2  # below, terms as large as 1 / min(a, b) cancel
# by being small, and being in float64
_RULES = {
    (True, True): stretched_rule(40, 40.0),
    (True, False): stretched_rule(24, 30.0),
    (False, True): fitted_rule(BETA_FINE),
    (False, False): fitted_rule(BETA_COARSE),
}
_OF_SLOPE = stretched_rule(28, 34.0)
_TOGETHER = 5
_NEARLY_ONE = 1 - 1e-15

Integrand = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, ...]]


def beta_path(
    a: Tensor, b: Tensor, logit: Tensor, careful: bool = False
) -> tuple[Tensor, Tensor]:
    r""":math:`\partial y/\partial a` and :math:`\partial y/\partial b` at a fixed
    quantile of :math:`\sigma(y) \sim \mathrm{Beta}(a, b)`.

    With :math:`x = \sigma(y)`, these are minus the integrals of the scores
    :math:`\log t + \psi(a+b) - \psi(a)` and :math:`\log(1-t) + \psi(a+b) - \psi(b)`
    over the tail below :math:`y`, or the integrals over the tail above, divided by the
    density of :math:`y`. Below, they are computed at :math:`a + 1`, which takes the
    pole of a small concentration out of the integral, by

    .. math:: \frac{\partial y}{\partial a}(a, b) = \frac1a\Bigl(
        xn\,\frac{\partial y}{\partial a}(a+1, b)
        - \log x - \psi(n) + \psi(a+1)\Bigr), \qquad n = a + b,

    and above in the same way at :math:`b + 1`.

    Args:
        a: The power at 0, positive; its dtype is that of the result.
        b: The power at 1, positive.
        logit: :math:`y`, any real number: both ends to their own digits. Computed with
            in float64, and better given so.
        careful: Whether to use 28 nodes where no concentration is below 0.2: for sums
            in which the paths cancel.

    Gradient: in all arguments, to any order, of the quadrature itself.

    Numerics: 15 nodes of a fitted rule, 6 for float32, and many more where a
    concentration is below 0.2; relative error below 1e-8, and 5e-5 for float32, for
    :math:`a, b \in [10^{-4}, 10^6]` and all quantiles from 1e-12 to 1 - 1e-12.

    Source: Figurnov, Mohamed and Mnih (2018), "Implicit reparameterization gradients".

    Example:
        >>> one = torch.ones((), dtype=torch.float64)
        >>> beta_path(one, one, 0 * one)
        (tensor(1.3863, dtype=torch.float64), tensor(-1.3863, dtype=torch.float64))
    """  # noqa: D205
    path_a, path_b = _BetaPath.apply(
        "careful" if careful else "both", *_broadcast(a, b, logit)
    )
    return path_a, path_b


def beta_path_of_first(a: Tensor, b: Tensor, logit: Tensor) -> Tensor:
    r""":math:`\partial y/\partial a` of :func:`beta_path` alone, in half the time.

    That in :math:`b` is minus this one at :math:`(b, a, -y)`.

    Example:
        >>> one = torch.ones((), dtype=torch.float64)
        >>> beta_path_of_first(one, one, 0 * one)
        tensor(1.3863, dtype=torch.float64)
    """
    (path,) = _BetaPath.apply("first", *_broadcast(a, b, logit))
    return path


def log_ratio_path(a: Tensor, b: Tensor, logit: Tensor) -> Tensor:
    r""":math:`\partial y/\partial b + 1/b`: how :math:`y + \log(b/a)`, the logarithm
    of an F-distributed variate, moves with :math:`b`.

    It falls as :math:`1/b^2`. With

    .. math:: S(t; p, q) = \log(1 - t) + t + \psi(p+q) - \psi(q) - \frac pq(1 - t)

    it is :math:`-(xn\!\int\! S(t; a+1, b) + S(x; a, b))/a` over the tail below, and
    :math:`((1-x)n\!\int\! S(t; a, b+1) + S(x; a-1, b+1))/b` over that above, in units
    of the density at :math:`x`.

    Numerics: relative error below 1e-8, and 1e-4 for float32, for :math:`a = 1/2` and
    :math:`b` up to :math:`5\cdot 10^5`. For a larger :math:`a` the path changes its
    sign, and has fewer digits near there; for one of 1e-4, 1e-6.

    Example:
        >>> b = torch.tensor([1.0, 1e6], dtype=torch.float64)
        >>> log_ratio_path(0.5 * torch.ones_like(b), b, -b.log())
        tensor([-6.5384e-01, -7.5000e-13], dtype=torch.float64)
    """  # noqa: D205
    (path,) = _BetaPath.apply("ratio", *_broadcast(a, b, logit))
    return path


def _broadcast(*inputs: Tensor) -> tuple[Tensor, ...]:
    return tuple(torch.broadcast_tensors(*inputs))


class _BetaPath(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(what: str, a: Tensor, b: Tensor, logit: Tensor) -> tuple[Tensor, ...]:
        found = _OPERATORS[what](a, b, logit)
        return tuple(found.unbind(0)) if what in _OF_TWO else (found,)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        ctx.what, *arguments = inputs
        ctx.save_for_backward(*arguments)

    @staticmethod
    def backward(ctx: Any, *by_paths: Tensor) -> tuple[Tensor | None, ...]:
        pull_back = partial(_pull_back, ctx.what)
        return None, *in_chunks(pull_back, *ctx.saved_tensors, *by_paths)


def _pull_back(
    what: str, a: Tensor, b: Tensor, logit: Tensor, *by_paths: Tensor
) -> tuple[Tensor, ...]:
    def paths(*arguments: Tensor) -> tuple[Tensor, ...]:
        found = _PATHS[what](*(x.double() for x in arguments), _OF_SLOPE)
        return tuple(path.to(a.dtype) for path in found)

    gradients: tuple[Tensor, ...] = torch.func.vjp(paths, a, b, logit)[1](by_paths)
    return gradients


def _both(a: Tensor, b: Tensor, logit: Tensor, rule: Rule) -> tuple[Tensor, Tensor]:
    tail = _tail(a, b, logit, rule)
    moments = _moments(tail, a + b, _of_shrink)
    other = tail._replace(low=~tail.low)
    path_a = _of_first(a, b, logit, tail, moments)
    return path_a, -_of_first(b, a, -logit, other, moments)


def _first(a: Tensor, b: Tensor, logit: Tensor, rule: Rule) -> tuple[Tensor]:
    tail = _tail(a, b, logit, rule)
    return (_of_first(a, b, logit, tail, _moments(tail, a + b, _of_shrink)),)


def _ratio(a: Tensor, b: Tensor, logit: Tensor, rule: Rule) -> tuple[Tensor]:
    return (_of_ratio(a, b, logit, _tail(a, b, logit, rule)),)


_PATHS: dict[str, Any] = {
    "both": _both,
    "careful": _both,
    "first": _first,
    "ratio": _ratio,
}
_OF_TWO = ("both", "careful")


def _of_regime(what: str, small: bool, a: Tensor, b: Tensor, logit: Tensor) -> Tensor:
    rule = _RULES[small, a.dtype == torch.float64]
    if what == "careful" and not small:
        rule = _OF_SLOPE
    paths = partial(_PATHS[what], rule=rule)
    found = in_chunks(paths, a.double(), b.double(), logit.double())
    one, *other = (path.to(a.dtype) for path in found)
    return torch.stack([one, *other]) if other else one


def _operator(what: str) -> Any:
    return by_regime(
        f"beta_path_{what}",
        lambda a, b, logit: torch.minimum(a, b) < _SMALL,
        partial(_of_regime, what, True),
        partial(_of_regime, what, False),
        outputs=1 + (what in _OF_TWO),
    )


_OPERATORS = {what: _operator(what) for what in _PATHS}


class _Tail(NamedTuple):
    """One tail of the logit, as if it were the lower one.

    Args:
        low: If it is.
        end: The power at its end.
        x: Where it begins.
        reach: How far it goes in the logit.
        rule: For integrals over it.
    """

    low: Tensor
    end: Tensor
    x: Tensor
    reach: Tensor
    rule: Rule


def _tail(a: Tensor, b: Tensor, logit: Tensor, rule: Rule) -> _Tail:
    low = (a + 1) * torch.exp(-logit) > b + 1
    end = torch.where(low, a, b)
    x = torch.where(low, logit, -logit).sigmoid()
    powers = (end + 1).detach(), (a + b + 1).detach()
    return _Tail(low, end, x, _reach(*powers, x.detach(), rule.depth), rule)


def _moments(tail: _Tail, n: Tensor, integrand: Integrand) -> tuple[Tensor, ...]:
    """Integrals over the tail, in units of the density where it begins.

    Of 1, of the logit's distance in units of reach, and of the integrands. The power at
    the end is one larger.
    """
    total: Any = 0.0
    nodes, weights = n.new_tensor(tail.rule.nodes), n.new_tensor(tail.rule.weights[:2])
    # a few nodes at a time: the temporaries stay small enough to be used again
    for some, weight in zip(
        nodes.unsqueeze(-1).split(_TOGETHER), weights.split(_TOGETHER, 1), strict=True
    ):
        back = -tail.reach * some
        decay = torch.expm1(back)
        shrink = torch.log1p(tail.x * decay)  # log(1 - t) less that at the beginning
        ratio = torch.exp((tail.end + 1) * back - (n + 1) * shrink)
        others = (weight[0] @ (ratio * f) for f in integrand(back, decay, shrink))
        total = total + torch.stack([*(weight @ ratio), *others])
    return total.unbind(0)


def _of_shrink(back: Tensor, decay: Tensor, shrink: Tensor) -> tuple[Tensor]:
    return (shrink,)


def _of_first(
    a: Tensor, b: Tensor, logit: Tensor, tail: _Tail, moments: tuple[Tensor, ...]
) -> Tensor:
    n, (zeroth, first, by_rest) = a + b, moments
    # log x, and digamma(n + 1) less digamma(a + 1)
    score = (
        logsigmoid(logit)
        + (b / (a + 1)).log1p()
        + (log_minus_digamma(a + 1) - log_minus_digamma(n + 1))
        + torch.where(tail.low, 0.0, 1 / a)
    )
    moment = by_rest - score * zeroth + torch.where(tail.low, tail.reach * first, 0.0)
    size = (tail.x * n * tail.reach * moment - score + 1 / n) / tail.end
    return torch.where(tail.low, size, -size)


def _of_ratio(a: Tensor, b: Tensor, logit: Tensor, tail: _Tail) -> Tensor:
    n = a + b
    x, log_rest = logit.sigmoid(), logsigmoid(-logit)
    below, far = tail.low.to(n.dtype), (~tail.low & (x > 0.5)).to(n.dtype)
    far_rest, near = far * log_rest, 1 - far

    def bend(back: Tensor, decay: Tensor, shrink: Tensor) -> tuple[Tensor, Tensor]:
        """log(1 - t) + t, to its digits both where t and where 1 - t is small."""
        t = x * (below * decay + 1) / (tail.x * decay + 1)
        at_near = torch.log1p(-(near * t).clamp(max=_NEARLY_ONE))
        return t + at_near + (far_rest + far * (back - shrink)), t

    zeroth, _, by_bend, by_t = _moments(tail, n, bend)
    p, q = torch.where(tail.low, a + 1, a), torch.where(tail.low, b, b + 1)
    share = p / q
    drift = share.log1p() - share + log_minus_digamma(q) - log_minus_digamma(n + 1)
    total = by_bend + drift * zeroth + share * by_t
    here = log_rest + x + drift + (p - 1) / q * (1 / n + x)
    size = (tail.x * n * tail.reach * total + here) / tail.end
    return torch.where(tail.low, -size, size)


def _reach(a: Tensor, n: Tensor, x: Tensor, depth: float) -> Tensor:
    """Where the exponent is about ``depth``: a Padé approximant, then Newton's steps.

    The exponent is convex, so that these do not fall short.
    """
    slope, curvature = a - n * x, n * x * (1 - x)
    bend = (1 - x) / 3
    p, q = slope * bend + 0.5 * curvature, slope - depth * bend
    reach = 2 * depth / (q + (q.square() + 4 * depth * p).sqrt())
    for _ in range(3 if depth > 10 else 2):
        lost = x * torch.expm1(-reach)
        exponent = a * reach + n * torch.log1p(lost)
        reach = reach + (depth - exponent) / (a - n * (x + lost) / (1 + lost))
    return reach
