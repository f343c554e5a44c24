# SPDX-License-Identifier: Apache-2.0
"""Log-probabilities of both tails of a scalar distribution, stock families included."""

import math
from dataclasses import dataclass
from typing import Any

import pyro.distributions as dist
import torch
from torch import Tensor
from torch.distributions import Distribution, TransformedDistribution
from torch.nn.functional import logsigmoid

from pyro_reparam_ext.distributions import noise
from pyro_reparam_ext.distributions.base import is_discrete
from pyro_reparam_ext.distributions.transport import TransportDistribution
from pyro_reparam_ext.ops import log1mexp, log_normal_cdf


@dataclass(frozen=True)
class LogTails:
    r""":math:`\log F(z)` and :math:`\log(1 - F(z))`.

    Args:
        lower: :math:`\log F(z)`.
        upper: :math:`\log(1 - F(z))`.
        resolved: Whether a small tail keeps its digits. If not, both were taken from
            ``cdf``, and only the larger one has a trustworthy derivative.
    """

    lower: Tensor
    upper: Tensor
    resolved: bool


def log_tails(distribution: Distribution, value: Tensor) -> LogTails:
    r"""Both tails at ``value``, by the best formula known for the family.

    Resolved for the normal, logistic, Laplace, Cauchy and exponential families, for
    transforms and transports of them, and for distributions with methods ``log_cdf``
    and ``log_sf``; from ``cdf`` for all others.
    """
    d: Any = distribution
    if isinstance(d, TransportDistribution):
        return _transport_tails(d, value)
    if isinstance(d, noise.StandardNormal):
        lower, upper = log_normal_cdf(value), log_normal_cdf(-value)
        return LogTails(lower, upper, True)
    if isinstance(d, noise.StandardExponential):
        return LogTails(log1mexp(value), -value, True)
    if isinstance(d, torch.distributions.Normal):
        x = (value - d.loc) / d.scale
        return LogTails(log_normal_cdf(x), log_normal_cdf(-x), True)
    if isinstance(d, dist.Logistic):
        x = (value - d.loc) / d.scale
        return LogTails(logsigmoid(x), logsigmoid(-x), True)
    if isinstance(d, torch.distributions.Laplace):
        x = (value - d.loc) / d.scale
        return LogTails(_laplace(x), _laplace(-x), True)
    if isinstance(d, torch.distributions.Cauchy):
        x = (value - d.loc) / d.scale
        one = torch.ones_like(x)
        lower, upper = torch.atan2(one, -x), torch.atan2(one, x)
        return LogTails((lower / math.pi).log(), (upper / math.pi).log(), True)
    if isinstance(d, torch.distributions.Exponential):
        x = d.rate * value
        return LogTails(log1mexp(x), -x, True)
    if _is_monotone_transform(d):
        flipped = torch.zeros((), dtype=torch.bool, device=value.device)
        for transform in reversed(d.transforms):
            flipped = flipped ^ (torch.as_tensor(transform.sign) < 0)
            value = transform.inv(value)
        return _flipped(log_tails(d.base_dist, value), flipped)
    if hasattr(d, "log_cdf") and hasattr(d, "log_sf"):
        return LogTails(d.log_cdf(value), d.log_sf(value), True)
    cdf = d.cdf(value)
    return LogTails(_log(cdf), _log(1 - cdf), False)


def log_tails_and_density(d: Any, value: Tensor) -> tuple[LogTails, Tensor]:
    """Both tails and the log-density, at points outside of the support too.

    A component of a mixture is asked for these where another one has drawn.
    """
    bounds = [getattr(d.support, f"{end}_bound", None) for end in ("lower", "upper")]
    if not any(isinstance(bound, Tensor) for bound in bounds):
        return log_tails(d, value), d.log_prob(value)
    lower = torch.as_tensor(-math.inf if bounds[0] is None else bounds[0]).detach()
    upper = torch.as_tensor(math.inf if bounds[1] is None else bounds[1]).detach()
    inner = torch.where(
        lower.isfinite() & upper.isfinite(),
        0.5 * (lower + upper),
        torch.where(lower.isfinite(), lower + 1, upper.clamp(max=1.0) - 1),
    ).to(value)
    outside = ~d.support.check(value)
    # formulas see only points inside: no NaN in the unused gradient
    inside = torch.where(outside, inner, value)
    tails, log_density = log_tails(d, inside), d.log_prob(inside)
    below, above = outside & (value < inner), outside & (value > inner)
    lower_tail = torch.where(above, 0.0, tails.lower.where(~below, -math.inf))
    upper_tail = torch.where(below, 0.0, tails.upper.where(~above, -math.inf))
    log_density = torch.where(outside, -math.inf, log_density)
    return LogTails(lower_tail, upper_tail, tails.resolved), log_density


def why_no_tails(distribution: Any) -> str | None:
    """What keeps :func:`log_tails` from a differentiable answer, or None."""
    name = type(distribution).__name__
    if distribution.event_shape:
        shape = tuple(distribution.event_shape)
        return f"{name}, whose events of shape {shape} do not factorize"
    if is_discrete(distribution):
        return f"{name}, which is discrete"
    if _is_monotone_transform(distribution):
        return why_no_tails(distribution.base_dist)
    if isinstance(distribution, TransportDistribution):
        return why_no_tails(distribution.noise())
    cdf = type(distribution).cdf
    if cdf is Distribution.cdf or cdf is TransformedDistribution.cdf:
        return f"{name}, which has no cdf"
    if cdf in (torch.distributions.Gamma.cdf, torch.distributions.InverseGamma.cdf):
        return f"{name}, whose cdf has no derivative in the concentration"
    return None


def _is_monotone_transform(d: Any) -> bool:
    return (
        type(d).cdf is TransformedDistribution.cdf
        and not d.base_dist.event_shape
        and all(t.bijective for t in d.transforms)
    )


def _transport_tails(d: TransportDistribution, value: Tensor) -> LogTails:
    eps, vjp = torch.func.vjp(d.inverse, value)[:2]
    (slope,) = vjp(torch.ones_like(eps))
    return _flipped(log_tails(d.noise(), eps), slope < 0)


def _flipped(tails: LogTails, flipped: Tensor) -> LogTails:
    return LogTails(
        torch.where(flipped, tails.upper, tails.lower),
        torch.where(flipped, tails.lower, tails.upper),
        tails.resolved,
    )


def _laplace(x: Tensor) -> Tensor:
    below = x < 0
    inner = torch.log1p(-0.5 * torch.exp(-torch.where(below, 0.0, x)))
    return torch.where(below, x - math.log(2), inner)


def _log(x: Tensor) -> Tensor:
    positive = x > 0
    return torch.where(positive, torch.where(positive, x, 1.0).log(), -math.inf)
