# SPDX-License-Identifier: Apache-2.0
"""What every reparameterized distribution shares: parameters, shapes and `expand`."""

import copy
import math
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import torch
from pyro.distributions import TorchDistribution
from torch import Tensor
from torch.distributions import Distribution, biject_to, constraints

from pyro_reparam_ext.distributions.any_precision import (
    METHODS,
    in_one_precision,
    of_any_precision,
)
from pyro_reparam_ext.distributions.missing import SaysWhatIsMissing
from pyro_reparam_ext.distributions.real_line import Real

Parameter = Tensor | float


class ReparameterizedDistribution(TorchDistribution, SaysWhatIsMissing):
    r"""A distribution whose samples are differentiable in its parameters (abstract).

    Writing your own: derive from
    :class:`~pyro_reparam_ext.distributions.TransportDistribution` if you have an
    explicit :math:`z = g_\theta(\epsilon)`, or from
    :class:`~pyro_reparam_ext.distributions.ImplicitDistribution` if you have a
    sampler and a cdf. Either way, name the parameters and their domains in
    ``arg_constraints``, pass them to ``super().__init__`` by name, and store nothing
    else: broadcasting, ``expand``, ``sample`` and ``log_prob`` are derived from them.

    Args:
        event_shape: Shape of one draw.
        validate_args: As in torch.
        parameters: The distribution's parameters by name: tensors or numbers. Numbers
            take the dtype and device of the tensors.

    Raises:
        TypeError: a parameter is neither a real number nor a floating-point tensor.
        ValueError: the parameters do not broadcast, or (with validation on) one is
            outside its domain.
    """

    arg_constraints: ClassVar[Mapping[str, Any]]
    has_rsample: bool = True

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name in cls.__dict__.get("arg_constraints", {}):
            if hasattr(TorchDistribution, name):
                raise TypeError(
                    f"{cls.__name__}: a parameter may not be called {name!r}, which "
                    "every distribution has for something else. Choose another name."
                )
        for name in METHODS:
            if name in cls.__dict__:
                setattr(cls, name, of_any_precision(cls.__dict__[name]))

    def __init__(
        self,
        *,
        event_shape: torch.Size = torch.Size(),  # noqa: B008 (an immutable value)
        validate_args: bool | None = None,
        **parameters: Parameter,
    ) -> None:
        tensors = _as_tensors(type(self).__name__, parameters)
        batch_shape, tensors = _broadcast(
            type(self).__name__, self.arg_constraints, tensors
        )
        for name, tensor in tensors.items():
            setattr(self, name, tensor)
        if any(0 in tensor.shape for tensor in tensors.values()):
            # nothing to validate, and torch's checks of events need something
            self._batch_shape, self._event_shape = batch_shape, event_shape
            if validate_args is not None:
                self._validate_args = validate_args
        else:
            super().__init__(batch_shape, event_shape, validate_args=validate_args)

    @property
    def parameters(self) -> dict[str, Tensor]:
        """The parameters by name, broadcast to ``batch_shape``."""
        return {name: getattr(self, name) for name in self.arg_constraints}

    @property
    def reparameterized_params(self) -> frozenset[str]:
        """Names of the parameters in which ``rsample`` is differentiable."""
        return frozenset(self.arg_constraints)

    def with_parameters(self, parameters: Mapping[str, Tensor]) -> Self:
        """A copy with these parameters instead; shapes must be those of ``self``."""
        new = copy.copy(self)
        new.__dict__.update(parameters)
        return new

    @property
    def dtype_of_draws(self) -> torch.dtype:
        """That of the parameters; without any, torch's default."""
        for parameter in self.parameters.values():
            return parameter.dtype
        return torch.get_default_dtype()

    def in_dtype(self, dtype: torch.dtype) -> Self:
        """The same distribution with parameters of another precision."""
        return self.with_parameters(
            {name: p.to(dtype) for name, p in self.parameters.items()}
        )

    def expand(self, batch_shape: Any, _instance: Any = None) -> Self:
        """The same distribution with parameters expanded to ``batch_shape``."""
        batch_shape = torch.Size(batch_shape)
        new = type(self).__new__(type(self)) if _instance is None else _instance
        for name, constraint in self.arg_constraints.items():
            value = getattr(self, name)
            event = value.shape[value.dim() - constraint.event_dim :]
            setattr(new, name, value.expand(batch_shape + event))
        Distribution.__init__(new, batch_shape, self.event_shape, validate_args=False)
        new._validate_args = self._validate_args
        return new

    def sample(self, sample_shape: Any = torch.Size()) -> Tensor:  # noqa: B008
        """A draw without gradient; the same as ``rsample`` under the same seed."""
        with torch.no_grad():
            return self.rsample(torch.Size(sample_shape))

    @abstractmethod
    def log_density(self, value: Tensor) -> Tensor:
        r""":math:`\log p_\theta(z)` at points inside the support, unchecked."""

    def log_prob(self, value: Tensor) -> Tensor:
        r""":math:`\log p_\theta(z)`.

        Outside the support: an error with validation on, else :math:`-\infty`. A value
        of another precision than the parameters gives a result in the wider one.
        """
        d, value = in_one_precision(self, value, "log_prob")
        if 0 in value.shape:  # nothing to check or to add up
            lead = value.shape[: value.dim() - len(self.event_shape)]
            return value.new_zeros(torch.broadcast_shapes(lead, self.batch_shape))
        if self._validate_args:
            d._validate_sample(value)
            return d.log_density(value)
        support: Any = d.support
        if isinstance(support, Real):
            return d.log_density(value)
        event = support.event_dim
        inside = support.check(value) | _any_of_event(value.isnan(), event)
        with torch.no_grad():  # no gradient from where it is not wanted
            to_support = biject_to(support)
            origin = value.new_zeros(to_support.inverse_shape(value.shape))
            interior = to_support(origin)
        whole = inside.reshape(inside.shape + (1,) * event)
        log_density = d.log_density(torch.where(whole, value, interior))
        return torch.where(inside, log_density, -math.inf)

    def quantile(self, probability: Tensor) -> Tensor:
        r""":math:`F_\theta^{-1}(u)` for :math:`0 < u < 1`, unchecked."""
        self._lack("icdf", "Take a quantile of draws instead.")

    def icdf(self, value: Tensor) -> Tensor:
        r"""The quantile :math:`F_\theta^{-1}(u)`.

        The ends of the support at 0 and 1; NaN outside of [0, 1].
        """
        d, value = in_one_precision(self, value, "icdf")
        inside = (value > 0) & (value < 1)
        z = d.quantile(torch.where(inside, value, 0.5))
        low, high = (end.to(z) for end in declared_ends(d))
        z = torch.where(inside, z, math.nan)
        return torch.where(value == 0, low, torch.where(value == 1, high, z))


def declared_ends(distribution: Any) -> tuple[Tensor, Tensor]:
    """The ends of the support, infinite where there is none.

    A circular law is declared on all of the line; its class says ``ends`` itself.
    """
    support = distribution.support
    declared = getattr(distribution, "ends", None) or [
        getattr(support, f"{end}_bound", None) for end in ("lower", "upper")
    ]
    low, high = (
        end if isinstance(end, Tensor) else torch.tensor(end, dtype=torch.float64)
        for end in (
            -math.inf if declared[0] is None else declared[0],
            math.inf if declared[1] is None else declared[1],
        )
    )
    return low, high


def _any_of_event(flags: Tensor, event_dim: int) -> Tensor:
    """Whether any element of an event is flagged."""
    return flags.flatten(flags.dim() - event_dim).any(-1) if event_dim else flags


def _as_tensors(owner: str, parameters: Mapping[str, Parameter]) -> dict[str, Tensor]:
    given = [p for p in parameters.values() if isinstance(p, Tensor)]
    for name, value in parameters.items():
        if isinstance(value, Tensor) and not value.is_floating_point():
            raise TypeError(
                f"{owner}: {name} must be a floating-point tensor; found "
                f"{value.dtype}. Convert it with {name}.float()."
            )
        if not isinstance(value, Tensor | int | float):
            raise TypeError(
                f"{owner}: {name} must be a number or a tensor; found "
                f"{type(value).__name__}. Wrap it in torch.tensor(...)."
            )
    dtype = torch.get_default_dtype()
    device = None
    if given:
        device = given[0].device
        dtype = given[0].dtype
        for tensor in given[1:]:
            dtype = torch.promote_types(dtype, tensor.dtype)
    return {
        name: value.to(dtype)
        if isinstance(value, Tensor)
        else torch.tensor(value, dtype=dtype, device=device)
        for name, value in parameters.items()
    }


def _broadcast(
    owner: str, arg_constraints: Mapping[str, Any], tensors: Mapping[str, Tensor]
) -> tuple[torch.Size, dict[str, Tensor]]:
    if set(tensors) != set(arg_constraints):
        raise TypeError(
            f"{owner}: expected the parameters {sorted(arg_constraints)}; "
            f"found {sorted(tensors)}."
        )
    if not tensors:  # torch.jit has no shape for nothing
        return torch.Size(), {}
    split = {n: t.dim() - arg_constraints[n].event_dim for n, t in tensors.items()}
    for name, dim in split.items():
        if dim < 0:
            raise ValueError(
                f"{owner}: {name} must have at least "
                f"{arg_constraints[name].event_dim} dimension(s); found shape "
                f"{tuple(tensors[name].shape)}."
            )
    try:
        batch_shape = torch.broadcast_shapes(
            *(t.shape[: split[n]] for n, t in tensors.items())
        )
    except RuntimeError:
        shapes = ", ".join(
            f"{n} has shape {tuple(t.shape)}" for n, t in tensors.items()
        )
        raise ValueError(f"{owner}: parameters do not broadcast: {shapes}.") from None
    shapes_of = {n: batch_shape + t.shape[split[n] :] for n, t in tensors.items()}
    return batch_shape, {
        # what fits is kept as it is: a leaf stays a leaf, for deepcopy
        n: t if t.shape == shapes_of[n] else t.expand(shapes_of[n])
        for n, t in tensors.items()
    }


def is_discrete(fn: Distribution) -> bool:
    """Whether draws of ``fn`` are discrete; distributions that do not say are not."""
    try:
        support: Any = fn.support
        return bool(support.is_discrete)
    except (NotImplementedError, AttributeError):
        return False


__all__ = [
    "Parameter",
    "ReparameterizedDistribution",
    "constraints",
    "declared_ends",
    "is_discrete",
]
