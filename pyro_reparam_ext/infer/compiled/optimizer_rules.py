# SPDX-License-Identifier: Apache-2.0
"""Optimizer updates as functions of tensors, for the inside of a compiled step.

Each is the update of the optimizer of the same name, over all elements of many
parameters at once. Those of other optimizers, or of rare options, stay outside.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from pyro.optim.clipped_adam import ClippedAdam
from torch import Tensor

Options = Mapping[str, Any]
State = dict[str, Tensor]
# from values, gradients, averages, number of this step, learning rate, options
Update = Callable[
    [Tensor, Tensor, State, Tensor, Tensor, Options], tuple[Tensor, State]
]


@dataclass(frozen=True)
class Rule:
    """How an optimizer updates.

    Attributes:
        update: To new values and averages.
        options: Names of the options it reads, beside the learning rate.
        averages: Names of what it remembers for each element, given the options.
        why_not: Which option stands in the way, if one does.
        decays: Whether a step multiplies the learning rate by the option ``lrd``.
    """

    update: Update
    options: tuple[str, ...]
    averages: Callable[[Options], tuple[str, ...]]
    why_not: Callable[[Options], str | None]
    decays: bool = False


def _adam(
    value: Tensor, g: Tensor, state: State, step: Tensor, lr: Tensor, options: Options
) -> tuple[Tensor, State]:
    g = -g if options["maximize"] else g
    beta1, beta2 = options["betas"]
    decay = options["weight_decay"]
    if decay and options["decoupled_weight_decay"]:
        value = value * (1 - lr * decay)
    elif decay:
        g = g + decay * value
    mean = torch.lerp(state["exp_avg"], g, 1 - beta1)
    square = torch.addcmul(state["exp_avg_sq"] * beta2, g, g, value=1 - beta2)
    size = lr / (1 - beta1**step)
    deviation = square.sqrt() / (1 - beta2**step).sqrt() + options["eps"]
    return value - size * (mean / deviation), {"exp_avg": mean, "exp_avg_sq": square}


def _clipped_adam(
    value: Tensor, g: Tensor, state: State, step: Tensor, lr: Tensor, options: Options
) -> tuple[Tensor, State]:
    g = g.clamp(-options["clip_norm"], options["clip_norm"])
    beta1, beta2 = options["betas"]
    if options["weight_decay"]:
        g = g + options["weight_decay"] * value
    mean = torch.add(state["exp_avg"] * beta1, g, alpha=1 - beta1)
    apart = g - mean if options["centered_variance"] else g
    square = torch.addcmul(state["exp_avg_sq"] * beta2, apart, apart, value=1 - beta2)
    size = lr * (1 - beta2**step).sqrt() / (1 - beta1**step)
    value = value - size * (mean / (square.sqrt() + options["eps"]))
    return value, {"exp_avg": mean, "exp_avg_sq": square}


def _sgd(
    value: Tensor, g: Tensor, state: State, step: Tensor, lr: Tensor, options: Options
) -> tuple[Tensor, State]:
    g = -g if options["maximize"] else g
    if options["weight_decay"]:
        g = g + options["weight_decay"] * value
    momentum = options["momentum"]
    if not momentum:
        return value - lr * g, {}
    weight = 1 - options["dampening"]
    buffer = torch.add(state["momentum_buffer"] * momentum, g, alpha=weight)
    g = torch.add(g, buffer, alpha=momentum) if options["nesterov"] else buffer
    return value - lr * g, {"momentum_buffer": buffer}


def _rmsprop(
    value: Tensor, g: Tensor, state: State, step: Tensor, lr: Tensor, options: Options
) -> tuple[Tensor, State]:
    g = -g if options["maximize"] else g
    if options["weight_decay"]:
        g = g + options["weight_decay"] * value
    alpha = options["alpha"]
    square = torch.addcmul(state["square_avg"] * alpha, g, g, value=1 - alpha)
    new = {"square_avg": square}
    if options["centered"]:
        new["grad_avg"] = torch.lerp(state["grad_avg"], g, 1 - alpha)
        square = torch.addcmul(square, new["grad_avg"], new["grad_avg"], value=-1)
    direction = g / (square.sqrt() + options["eps"])
    if options["momentum"]:
        direction = state["momentum_buffer"] * options["momentum"] + direction
        new["momentum_buffer"] = direction
    return value - lr * direction, new


def _rmsprop_averages(options: Options) -> tuple[str, ...]:
    names = ["square_avg"]
    names += ["grad_avg"] if options["centered"] else []
    return (*names, *(["momentum_buffer"] if options["momentum"] else []))


def _refuse(*flags: str) -> Callable[[Options], str | None]:
    def why_not(options: Options) -> str | None:
        set_flags = [flag for flag in flags if options.get(flag)]
        if isinstance(options["lr"], Tensor):
            return "a tensor for lr"
        return f"{set_flags[0]}=True" if set_flags else None

    return why_not


_ADAM = Rule(
    _adam,
    ("betas", "eps", "weight_decay", "decoupled_weight_decay", "maximize", "amsgrad"),
    lambda options: ("exp_avg", "exp_avg_sq"),
    _refuse("amsgrad", "differentiable"),
)
RULES: dict[type, Rule] = {
    torch.optim.Adam: _ADAM,
    torch.optim.AdamW: _ADAM,
    ClippedAdam: Rule(
        _clipped_adam,
        ("betas", "eps", "weight_decay", "clip_norm", "lrd", "centered_variance"),
        lambda options: ("exp_avg", "exp_avg_sq"),
        _refuse(),
        decays=True,
    ),
    torch.optim.SGD: Rule(
        _sgd,
        ("momentum", "dampening", "weight_decay", "nesterov", "maximize"),
        lambda options: ("momentum_buffer",) if options["momentum"] else (),
        _refuse("differentiable"),
    ),
    torch.optim.RMSprop: Rule(
        _rmsprop,
        ("alpha", "eps", "weight_decay", "momentum", "centered", "maximize"),
        _rmsprop_averages,
        _refuse("differentiable"),
    ),
}


def clipped(gradient: Tensor, clip_args: Options) -> Tensor:
    """A gradient as ``PyroOptim`` clips it: that of one parameter."""
    if clip_args.get("clip_norm") is not None:
        factor = clip_args["clip_norm"] / (torch.linalg.vector_norm(gradient) + 1e-6)
        gradient = gradient * factor.clamp(max=1)
    if clip_args.get("clip_value") is not None:
        gradient = gradient.clamp(-clip_args["clip_value"], clip_args["clip_value"])
    return gradient
