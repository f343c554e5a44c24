# SPDX-License-Identifier: Apache-2.0
"""Losses as what can be recorded: tensors, without a look at their values."""

from collections.abc import Callable
from typing import Any

from pyro.infer import (
    ELBO,
    JitTrace_ELBO,
    JitTraceMeanField_ELBO,
    Trace_ELBO,
    TraceMeanField_ELBO,
)
from torch import Tensor

from pyro_reparam_ext.infer.elbo import TraceSwitch_ELBO

Differentiable = Callable[..., Tensor]


def recordable(loss: Any) -> Differentiable:
    """The loss as a function of model, guide and their arguments.

    Stock losses read numbers on their way; the same surrogate by
    :class:`~pyro_reparam_ext.TraceSwitch_ELBO` does not.

    Raises:
        NotImplementedError: it makes gradients in some other way.
    """
    if isinstance(loss, TraceSwitch_ELBO):
        return loss.differentiable_loss
    if type(loss) in (Trace_ELBO, JitTrace_ELBO):
        return _switch(loss, None).differentiable_loss
    if type(loss) in (TraceMeanField_ELBO, JitTraceMeanField_ELBO):
        return _mean_field(_switch(loss, "analytic"))
    if isinstance(loss, ELBO):
        function: Differentiable | None = getattr(loss, "differentiable_loss", None)
        if function is None:
            name = type(loss).__name__
            raise NotImplementedError(f"{name} has no differentiable_loss")
        return function
    return loss


def _switch(loss: ELBO, estimator: str | None) -> TraceSwitch_ELBO:
    return TraceSwitch_ELBO(
        estimator,
        dependency="plate",
        num_particles=loss.num_particles,
        vectorize_particles=loss.vectorize_particles,
        max_plate_nesting=loss.max_plate_nesting,
    )


def _mean_field(switch: TraceSwitch_ELBO) -> Differentiable:
    """Closed forms in the value too."""

    def differentiable_loss(model: Any, guide: Any, *args: Any, **kwargs: Any) -> Any:
        return sum(
            switch._value_and_surrogate(runs)[1]
            for runs in switch._independent_runs(model, guide, args, kwargs)
        )

    return differentiable_loss
