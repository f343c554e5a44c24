# SPDX-License-Identifier: Apache-2.0
"""SVI whose steps are recorded once, and then run without the program."""

import copy
from collections.abc import Callable, Iterable
from typing import Any

import torch
from pyro.infer.util import torch_item
from pyro.util import warn_if_nan
from torch import Tensor

from pyro_reparam_ext.infer.compiled.backends import BACKENDS
from pyro_reparam_ext.infer.compiled.optimizers import AnyOptimizer
from pyro_reparam_ext.infer.compiled.stepper import Stepper


class CompiledSVI:
    r"""Stochastic variational inference at the speed of the tensor operations.

    Used like :class:`pyro.infer.SVI`. The first step runs model and guide as ever; the
    second one records every tensor operation of loss and gradient while it runs; from
    then on a step runs the recorded operations, with those of the optimizer, compiled
    into a few loops. The third step, and those after 2, 4, 8, … more, are made both
    ways from one seed and compared.

    What was recorded belongs to shapes, dtypes and devices of the tensor arguments, to
    the values of all other arguments, and to the numbers that the program refers to
    (in closures, globals, attributes of modules; training mode). Where these change, a
    new recording is made, and an older one used again where it fits. A program that
    cannot be recorded (which branches on a draw; counts its own calls; draws from
    numpy) runs as it is, after one :class:`CaptureWarning` that says why and where.

    The draws are those of :class:`pyro.infer.SVI` under the same seed.

    Args:
        model: As for SVI.
        guide: As for SVI.
        optim: A Pyro optimizer, a torch one, or a function that makes a torch one of a
            list of parameters: ``functools.partial(torch.optim.Adam, lr=1e-3)``. Adam,
            AdamW, SGD, RMSprop and ClippedAdam run inside the recorded step, with
            Pyro's gradient clipping, and whatever the learning rate is by then; any
            other makes its step after it.
        loss: :class:`~pyro_reparam_ext.TraceSwitch_ELBO` with any estimators,
            :class:`~pyro_reparam_ext.TraceIW_ELBO`, :class:`~pyro.infer.Trace_ELBO`,
            :class:`~pyro.infer.TraceMeanField_ELBO`, or another one whose
            ``differentiable_loss`` looks at no values.
        backend: ``"inductor"`` compiles, which takes seconds and a C++ compiler;
            ``"replay"`` runs the recorded operations one by one; ``"eager"`` records
            nothing; ``"auto"`` compiles if that is known to work here, and else
            replays, and says so once.

    Raises:
        TypeError: an optimizer or a loss of a kind not known.

    Example:
        >>> import pyro, torch
        >>> import pyro.distributions as dist
        >>> from pyro_reparam_ext import TraceSwitch_ELBO
        >>> def model(x):
        ...     z = pyro.sample("z", dist.Normal(0.0, 1.0))
        ...     with pyro.plate("data", len(x)):
        ...         pyro.sample("x", dist.Normal(z, 1.0), obs=x)
        >>> def guide(x):
        ...     loc = pyro.param("loc", torch.tensor(0.0))
        ...     pyro.sample("z", dist.Normal(loc, 0.1))
        >>> pyro.clear_param_store()
        >>> optim = pyro.optim.Adam({"lr": 0.05})
        >>> svi = CompiledSVI(model, guide, optim, TraceSwitch_ELBO(), backend="replay")
        >>> losses = svi.run(300, torch.full((100,), 2.0))
        >>> round(pyro.param("loc").item(), 1)
        2.0
    """

    def __init__(
        self,
        model: Any,
        guide: Any,
        optim: Any,
        loss: Any,
        backend: str = "auto",
    ) -> None:
        if backend not in BACKENDS:
            raise ValueError(
                f"CompiledSVI: backend must be one of {BACKENDS}; found {backend!r}."
            )
        if not callable(loss):
            raise TypeError(
                "CompiledSVI: loss must be an ELBO or a function of model and guide; "
                f"found {loss!r}. Give TraceSwitch_ELBO(), say."
            )
        self.model = model
        self.guide = guide
        self.loss = loss
        given = isinstance(optim, AnyOptimizer)
        self._optim = optim if given else AnyOptimizer(optim)
        self._stepper = Stepper(model, guide, self._optim, loss, backend)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        """A copy, which records anew."""
        parts = copy.deepcopy((self.model, self.guide, self._optim, self.loss), memo)
        return type(self)(*parts, backend=self.backend)

    def __reduce__(self) -> Any:
        raise TypeError(
            "CompiledSVI: expected to stay in its process; found that it is pickled, "
            "which would leave its parameters behind. Save these and the state of the "
            "optimizer, pyro.get_param_store().save(path) and optim.save(path), and "
            "make another CompiledSVI where they are loaded."
        )

    @property
    def backend(self) -> str:
        """What runs the steps, after ``"auto"`` has been decided."""
        return self._stepper.backend

    @property
    def optim(self) -> Any:
        """The optimizer; None if it is still to be made, in the first step."""
        return self._optim.optimizer

    def evaluate_loss(self, *args: Any, **kwargs: Any) -> float:
        """The loss without a step, as :meth:`pyro.infer.SVI.evaluate_loss`."""
        function = getattr(self.loss, "loss", self.loss)
        with torch.no_grad():
            return torch_item(function(self.model, self.guide, *args, **kwargs))

    def step(self, *args: Any, **kwargs: Any) -> Any:
        """Take a step; the estimate of the loss.

        A number; off the processor, a tensor that the device may still be busy with.
        """
        return self._reported(self._stepper.step(args, kwargs))

    def run(
        self,
        num_steps: int,
        *args: Any,
        progress: Callable[[Iterable[int]], Iterable[int]] | None = None,
        **kwargs: Any,
    ) -> Tensor:
        """Take steps on the same arguments; their losses.

        Args:
            num_steps: How many.
            args: Of model and guide.
            progress: Wraps the iterator, as ``tqdm`` does.
            kwargs: Of model and guide.
        """
        numbers: Iterable[int] = range(num_steps)
        losses = [self._stepper.step(args, kwargs) for _ in (progress or iter)(numbers)]
        if not losses:
            return torch.empty(0)
        found = torch.stack([torch.as_tensor(x).detach().cpu() for x in losses])
        warn_if_nan(float(found.sum()), "loss")
        return found

    def _reported(self, loss: Any) -> Any:
        if isinstance(loss, Tensor) and loss.device.type != "cpu":
            return loss
        loss = torch_item(loss)
        return warn_if_nan(loss, "loss") if loss != loss else loss
