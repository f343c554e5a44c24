# SPDX-License-Identifier: Apache-2.0
"""SVI whose steps are recorded once, and then run without the program."""

import copy
import time
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from pyro.infer.util import torch_item
from pyro.util import warn_if_nan
from torch import Tensor
from torch.utils.data import DataLoader
from tqdm import tqdm

from pyro_reparam_ext.infer.compiled.backends import BACKENDS
from pyro_reparam_ext.infer.compiled.optimizers import AnyOptimizer
from pyro_reparam_ext.infer.compiled.stepper import Stepper

_TURN = 0.1  # seconds, after which a bar moves on, or an interrupt is heard


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
            replays, and says so once. ``"cudagraphs"`` also makes what was compiled
            one CUDA graph, for programs that are all on one CUDA device.

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
        self, num_steps: int, *args: Any, progress: bool = False, **kwargs: Any
    ) -> Tensor:
        """Take steps; their losses.

        On the same arguments, many steps are one call: the loop is inside of what was
        compiled. With a :class:`~torch.utils.data.DataLoader` in place of the
        arguments, each step is on its next minibatch, from the start again when all
        have been seen; a minibatch that is a list or tuple makes several arguments.

        Args:
            num_steps: How many.
            args: Of model and guide, or one DataLoader.
            progress: Whether to show a bar, with the mean loss of the last steps.
            kwargs: Of model and guide.

        Raises:
            TypeError: ``num_steps`` is not an integer, or a DataLoader is not the only
                positional argument.
            ValueError: ``num_steps`` is negative, or the DataLoader is empty.
        """
        if not isinstance(num_steps, int):
            raise TypeError(
                "CompiledSVI.run: num_steps must be an integer; found "
                f"{type(num_steps).__name__}. Give it first: run(1000, data)."
            )
        if num_steps < 0:
            raise ValueError(
                f"CompiledSVI.run: num_steps must be 0 or more; found {num_steps!r}."
            )
        if any(isinstance(x, DataLoader) for x in (*args, *kwargs.values())):
            if len(args) != 1 or not isinstance(args[0], DataLoader):
                raise TypeError(
                    "CompiledSVI.run: a DataLoader must be the only positional "
                    f"argument; found {len(args)} of them. Put all that changes from "
                    "step to step into its minibatches, and give the rest by name."
                )
            turns = self._over_minibatches(num_steps, args[0], kwargs)
        else:
            turns = self._over(num_steps, args, kwargs)
        found: list[Tensor] = []
        with tqdm(total=num_steps, disable=not progress, unit="step") as bar:
            for losses in turns:
                found.append(losses.detach().cpu())
                if progress:
                    bar.update(len(losses))
                    bar.set_postfix(loss=f"{float(found[-1].mean()):.5g}")
        if not found:
            return torch.empty(0)
        all_losses = torch.cat(found)
        warn_if_nan(float(all_losses.sum()), "loss")
        return all_losses

    def _over(
        self, num_steps: int, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Iterator[Tensor]:
        """Losses of steps on the same arguments, in turns of a fraction of a second."""
        taken, most = 0, 8
        while taken < num_steps:
            start = time.perf_counter()
            losses = self._stepper.run(min(most, num_steps - taken), args, kwargs)
            if len(losses) == most and time.perf_counter() - start < _TURN:
                most *= 2
            taken += len(losses)
            yield losses

    def _over_minibatches(
        self, num_steps: int, loader: Iterable[Any], kwargs: dict[str, Any]
    ) -> Iterator[Tensor]:
        """Losses of steps on one minibatch after the other."""
        taken = 0
        while taken < num_steps:
            before = taken
            for batch in loader:
                args = tuple(batch) if isinstance(batch, list | tuple) else (batch,)
                yield self._stepper.run(1, args, kwargs)
                taken += 1
                if taken == num_steps:
                    return
            if taken == before:
                raise ValueError(
                    "CompiledSVI.run: the DataLoader has no minibatches. Is its data "
                    "set empty, or smaller than a minibatch with drop_last=True?"
                )

    def _reported(self, loss: Any) -> Any:
        if isinstance(loss, Tensor) and loss.device.type != "cpu":
            return loss
        loss = torch_item(loss)
        return warn_if_nan(loss, "loss") if loss != loss else loss
