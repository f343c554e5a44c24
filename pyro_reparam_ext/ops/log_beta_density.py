# SPDX-License-Identifier: Apache-2.0
"""The density of the logit of a Beta variate."""

import math

import torch
from torch import Tensor

from pyro_reparam_ext.ops.stirling import log_minus_digamma, stirling_remainder


def log_beta_density(a: Tensor, b: Tensor, log_x: Tensor, log_rest: Tensor) -> Tensor:
    r""":math:`a\log x + b\log(1-x) - \log\mathrm{B}(a, b)`: the log-density of
    :math:`y`, :math:`\sigma(y) = x \sim \mathrm{Beta}(a, b)`.

    Written as a relative entropy from the mean :math:`a/(a+b)` and remainders of
    Stirling's formula, so that no large numbers cancel. That of :math:`x` itself has
    :math:`\log x + \log(1-x)` less.

    Args:
        a: The power at 0, positive.
        b: The power at 1, positive.
        log_x: :math:`\log x`.
        log_rest: :math:`\log(1-x)`, to its own digits.

    Example:
        >>> a = torch.tensor(2e6, dtype=torch.float64)
        >>> half = torch.tensor(0.5, dtype=torch.float64).log()
        >>> log_beta_density(a, a, half, half)
        tensor(5.9888, dtype=torch.float64)
    """  # noqa: D205
    n = a + b
    mean, other = a / n, b / n
    away = log_x.exp() * other - log_rest.exp() * mean
    near = away.abs() < 0.5 * torch.minimum(mean, other)
    step = torch.where(near, away, 0.0)
    divergence = torch.where(
        near,
        a * torch.log1p(step / mean) + b * torch.log1p(-step / other),
        a * (log_x + torch.log1p(b / a)) + b * (log_rest + torch.log1p(a / b)),
    )
    return divergence - _log_peak(a, b, n)


def log_beta(a: Tensor, b: Tensor) -> Tensor:
    r""":math:`\log\mathrm{B}(a, b)`, without the cancellation of large terms.

    Example:
        >>> log_beta(torch.tensor(1e8).double(), torch.tensor(0.5).double())
        tensor(-8.6380, dtype=torch.float64)
    """
    return _log_peak(a, b, a + b) - a * torch.log1p(b / a) - b * torch.log1p(a / b)


def beta_cross_entropy(
    a: Tensor, b: Tensor, mean_log_x: Tensor, mean_log_rest: Tensor
) -> Tensor:
    r"""Minus the mean of :func:`log_beta_density`, from those of both logarithms.

    With :func:`beta_mean_logs` of the same concentrations it is the entropy of the
    logit; with those of another law, the cross-entropy.

    Example:
        >>> one = torch.ones(())
        >>> beta_cross_entropy(one, one, *beta_mean_logs(one, one))
        tensor(2.0000)
    """
    n = a + b
    log_mean, log_other = -torch.log1p(b / a), -torch.log1p(a / b)
    divergence = a * (log_mean - mean_log_x) + b * (log_other - mean_log_rest)
    return divergence + _log_peak(a, b, n)


def beta_mean_logs(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    r""":math:`E\log x = \psi(a) - \psi(a+b)` and :math:`E\log(1-x)`.

    Example:
        >>> beta_mean_logs(torch.tensor(1.0), torch.tensor(1.0))
        (tensor(-1.0000), tensor(-1.0000))
    """
    of_sum = log_minus_digamma(a + b)
    return (
        of_sum - log_minus_digamma(a) - torch.log1p(b / a),
        of_sum - log_minus_digamma(b) - torch.log1p(a / b),
    )


def _log_peak(a: Tensor, b: Tensor, n: Tensor) -> Tensor:
    """Minus the log-density of the logit at the mean."""
    return (
        stirling_remainder(a)
        + stirling_remainder(b)
        - stirling_remainder(n)
        - 0.5 * (a / n * (b / (2 * math.pi))).log()
    )
