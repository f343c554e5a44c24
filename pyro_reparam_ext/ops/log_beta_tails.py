# SPDX-License-Identifier: Apache-2.0
"""Both tails of the Beta law: in logs, and as a probability."""

from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from pyro_reparam_ext.ops.gamma_path import Rule, stretched_rule
from pyro_reparam_ext.ops.in_chunks import differentiable_in_chunks
from pyro_reparam_ext.ops.log1mexp import log1mexp
from pyro_reparam_ext.ops.log_beta_density import log_beta_density

FINE = stretched_rule(32, 36.0)
ROUGH = stretched_rule(12, 20.0)
_SMALLEST = 1e-17


def log_beta_tails(
    a: Tensor, b: Tensor, logit: Tensor, rough: bool = False
) -> tuple[Tensor, Tensor]:
    r""":math:`\log I_{\sigma(y)}(a, b)` and :math:`\log I_{\sigma(-y)}(b, a)`.

    However small. With :math:`x = \sigma(y)` and the density :math:`p` of the logit,

    .. math:: I_x(a, b) = \frac{p(y)}{a}\bigl(1 + x(a + b)\,r\bigr)

    where :math:`r` is the tail at :math:`a + 1, b` relative to the density there, an
    integral over it without the pole of a small :math:`a`. The tail on the other side
    of the center is that of the mirror image, and the larger one is the complement of
    the lesser.

    Args:
        a: The power at 0, positive, float64.
        b: The power at 1, positive, float64.
        logit: :math:`y`, any real number, float64: both ends to their own digits.
        rough: To some six digits, and faster, for a search.

    Gradient: in all arguments, to any order, of the quadrature itself.

    Numerics: 32 nodes of a stretched Gauss-Legendre rule. Error below 2e-12 relative to
    :math:`\max(1, |\log|)` for arguments from 1e-4 to 1e5.

    Example:
        >>> a, b, z = torch.tensor([400.0, 2.0, 0.01], dtype=torch.float64)
        >>> log_beta_tails(a, b, z.logit())[0]
        tensor(-1836.0841, dtype=torch.float64)
    """
    rule = ROUGH if rough else FINE
    lower, upper, _ = differentiable_in_chunks(
        partial(beta_tails_and_density, rule=rule), a, b, logit
    )
    return lower, upper


def betainc(a: Tensor, b: Tensor, x: Tensor) -> Tensor:
    r""":math:`I_x(a, b) = \mathrm{B}(a, b)^{-1}\int_0^x t^{a-1}(1-t)^{b-1}\,dt`.

    The probability of a Beta variate below :math:`x`. The other tail is
    :math:`I_{1-x}(b, a)`; from a logit, :func:`log_beta_tails` has both to their own
    digits.

    Args:
        a: The power at 0, positive.
        b: The power at 1, positive.
        x: In [0, 1].

    Gradient: in all arguments, to any order, in the open interval.

    Example:
        >>> a = torch.tensor(2.0, requires_grad=True)
        >>> value = betainc(a, torch.tensor(1.0), torch.tensor(0.5))
        >>> torch.autograd.grad(value, a)
        (tensor(-0.1733),)
    """
    inside = ((x > 0) & (x < 1)) | x.isnan()
    z = torch.where(inside, x, 0.5).double()
    logit = z.log() - torch.log1p(-z)
    lower = log_beta_tails(a.double(), b.double(), logit)[0].exp()
    end = (x >= 1).to(lower.dtype)
    dtype = torch.promote_types(a.dtype, torch.promote_types(b.dtype, x.dtype))
    return torch.where(inside, lower, end).to(dtype)


def beta_tails_and_density(
    a: Tensor, b: Tensor, logit: Tensor, rule: Rule
) -> tuple[Tensor, Tensor, Tensor]:
    """In logs, of the law of the logit; tensors of one dimension."""
    # not quite the center: where one is small, the lesser tail is not on its own side
    low = (b + 0.3) * logit.sigmoid() < (a + 0.3) * (-logit).sigmoid()
    power, other = torch.where(low, a, b), torch.where(low, b, a)
    at = torch.where(low, logit, -logit)
    growth = at.sigmoid() * (a + b) * _relative_tail(power + 1, other, at, rule)
    density = log_beta_density(a, b, logsigmoid(logit), logsigmoid(-logit))
    small = density + torch.log1p(growth) - power.log()
    small = small.clamp(max=-_SMALLEST)
    rest = log1mexp(-small)
    return torch.where(low, small, rest), torch.where(low, rest, small), density


def _relative_tail(a: Tensor, b: Tensor, logit: Tensor, rule: Rule) -> Tensor:
    r"""The tail below over the density of the logit, by quadrature in the logit.

    The exponent :math:`-as - n\log(1 - x + xe^{-s})` is written from the nearer end.
    """
    n = a + b
    far = logit > 0
    power, x = torch.where(far, -b, a), torch.where(far, -logit, logit).sigmoid()
    sign = torch.where(far, -1.0, 1.0).to(a)
    with torch.no_grad():
        reach = _reach(a, b, logit, power, sign, x, rule.depth)
    nodes = a.new_tensor(rule.nodes).unsqueeze(-1)
    back = -reach * nodes
    exponent = power * back - n * torch.log1p(x * torch.expm1(sign * back))
    area: Tensor = a.new_tensor(rule.weights[0]) @ exponent.exp()
    return reach * area


def _reach(
    a: Tensor,
    b: Tensor,
    logit: Tensor,
    power: Tensor,
    sign: Tensor,
    x: Tensor,
    depth: float,
) -> Tensor:
    """Where the integrand has fallen by about exp(-depth).

    A Padé approximant, and two of Newton's steps: the exponent is convex.
    """
    n = a + b
    below, rest = logit.sigmoid(), (-logit).sigmoid()
    slope, bend = a * rest - b * below, rest / 3
    p, q = slope * bend + 0.5 * n * below * rest, slope - depth * bend
    reach = 2 * depth / (q + (q.square() + 4 * depth * p).sqrt())
    largest = (depth - n * logsigmoid(-logit)) / a
    reach = torch.where((reach > 0) & (reach < largest), reach, largest)
    for _ in range(2):
        exponent = power * reach + n * torch.log1p(x * torch.expm1(-sign * reach))
        steepness = a - n * (logit - reach).sigmoid()
        reach = torch.minimum(reach + (depth - exponent) / steepness, largest)
    return reach
