# SPDX-License-Identifier: Apache-2.0
r"""Distributions with a sampler and a standardization :math:`S_\theta(z)`."""

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor

from pyro_reparam_ext.distributions.attach_gradient import attach_gradient
from pyro_reparam_ext.distributions.base import ReparameterizedDistribution
from pyro_reparam_ext.distributions.log_tails import has_resolved_tails, tail_quantile
from pyro_reparam_ext.ops import in_parts
from pyro_reparam_ext.ops.in_parts import is_transformed


class ImplicitDistribution(ReparameterizedDistribution):
    r"""A scalar distribution given by any sampler and its standardization (abstract).

    If :math:`S_\theta(z)` has a law free of :math:`\theta` (a cdf, say), then along
    a path of constant :math:`\epsilon = S_\theta(z)`

    .. math:: \frac{\partial z}{\partial\theta} = -\left(
        \frac{\partial S_\theta(z)}{\partial z}\right)^{-1}
        \frac{\partial S_\theta(z)}{\partial\theta},

    whatever produced :math:`z`: the sampler needs no gradient, and none is taken
    through an accept/reject loop.

    Writing your own: three methods.

    * ``simulate(sample_shape)``: a draw, by any means.
    * ``inverse(value)``: :math:`S_\theta(z)`, in torch operations.
    * ``log_density(value)``.

    Override ``sample_gradient`` where the quotient above has a closed form that is
    more accurate, and ``quick_gradient`` where the same numbers are had faster if they
    are not differentiated again.

    Gradient: exact in every parameter as far as ``inverse`` is accurate; second
    derivatives too.

    Source: Figurnov, Mohamed and Mnih (2018), "Implicit reparameterization gradients".
    """

    @abstractmethod
    def simulate(self, sample_shape: torch.Size) -> Tensor:
        """A draw without gradient, of shape ``sample_shape + batch_shape``."""

    @abstractmethod
    def inverse(self, value: Tensor) -> Tensor:
        r""":math:`S_\theta(z)`, elementwise, increasing in :math:`z`."""

    def sample_gradient(self, value: Tensor) -> dict[str, Tensor]:
        r""":math:`\partial z/\partial\theta` at a fixed quantile, for each parameter.

        The parameters have the shape of ``value``. The result is differentiated
        again for second derivatives, so it must be written in torch operations.
        """
        names = list(self.arg_constraints)

        def standardize(value: Tensor, *parameters: Tensor) -> Tensor:
            new = self.with_parameters(dict(zip(names, parameters, strict=True)))
            return new.inverse(value)

        standardized, vjp = torch.func.vjp(
            standardize, value, *self.parameters.values()
        )[:2]
        by_value, *by_parameter = vjp(torch.ones_like(standardized))
        return {n: -g / by_value for n, g in zip(names, by_parameter, strict=True)}

    def quick_gradient(self, value: Tensor) -> dict[str, Tensor]:
        """``sample_gradient``, where it is not differentiated in turn.

        It must not branch on values. A parameter that all draws share may come as a
        tensor of no dimension, and the value comes in parts.
        """
        return self.sample_gradient(value)

    def attach_gradient(self, value: Tensor) -> Tensor:
        r"""``value``, made to depend on the parameters along a path of fixed quantile.

        ``value`` has the shape ``sample_shape + batch_shape``.
        """
        parameters = [p.expand(value.shape) for p in self.parameters.values()]
        return attach_gradient(value, self._pull_back, *parameters)

    def _pull_back(
        self, value: Tensor, parameters: tuple[Tensor, ...], grad_output: Tensor
    ) -> tuple[Tensor, ...]:
        names = self.arg_constraints
        final = not (torch.is_grad_enabled() or is_transformed())
        if final and type(self).quick_gradient is not _NOT_QUICK:

            def quick(
                value: Tensor, by_value: Tensor, *parameters: Tensor
            ) -> tuple[Tensor, ...]:
                here = self.with_parameters(dict(zip(names, parameters, strict=True)))
                gradient = here.quick_gradient(value)
                return tuple(by_value * gradient[name] for name in names)

            return in_parts(quick, value, grad_output, *parameters)
        here = self.with_parameters(dict(zip(names, parameters, strict=True)))
        gradient = here.sample_gradient(value)
        return tuple(grad_output * gradient[name] for name in names)

    def quantile_gradient(self, value: Tensor) -> dict[str, Tensor]:
        """As ``sample_gradient``, of the quantile: it moves as a draw does."""
        return self.sample_gradient(value)

    def quantile(self, probability: Tensor) -> Tensor:
        """From the tails in logs, where these are known; differentiable in all."""
        if not has_resolved_tails(self):
            return super().quantile(probability)
        shape = torch.broadcast_shapes(probability.shape, self.batch_shape)
        u = probability.double().expand(shape)
        given = self.parameters
        parameters = [p.double().expand(shape) for p in given.values()]
        with torch.no_grad():
            upper = u > 0.5
            log_probability = torch.where(upper, torch.log1p(-u), u.log())
            here = self.with_parameters(dict(zip(given, parameters, strict=True)))
            z = tail_quantile(here, log_probability, upper)

        def pull_back(
            value: Tensor, inputs: tuple[Tensor, ...], grad_output: Tensor
        ) -> tuple[Tensor, ...]:
            here = self.with_parameters(dict(zip(given, inputs[1:], strict=True)))
            gradient = here.quantile_gradient(value)
            by_level = grad_output * (-here.log_density(value)).exp()
            return by_level, *(grad_output * gradient[name] for name in given)

        z = attach_gradient(z, pull_back, u, *parameters)
        dtype: torch.dtype = next(iter(given.values())).dtype
        return z.to(dtype)

    def rsample(self, sample_shape: Any = torch.Size()) -> Tensor:  # noqa: B008
        """A draw, differentiable in the parameters."""
        return self.attach_gradient(self.sample(sample_shape))

    def sample(self, sample_shape: Any = torch.Size()) -> Tensor:  # noqa: B008
        """A draw without gradient; the same as ``rsample`` under the same seed."""
        with torch.no_grad():
            return self.simulate(torch.Size(sample_shape))


_NOT_QUICK = ImplicitDistribution.quick_gradient
