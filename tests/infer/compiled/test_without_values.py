# SPDX-License-Identifier: Apache-2.0
"""What a recording puts in place of operations that look at values."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.fx.experimental.proxy_tensor import make_fx

from pyro_reparam_ext.infer.compiled.without_values import WithoutValues

X = torch.arange(120.0).reshape(2, 3, 4, 5)
LIST = torch.tensor([0, 2, 1])
MASK = torch.tensor([True, False, True])

# by two integers, which are tensors while a step is recorded
INDICES: dict[str, Callable[[Any, Any], Any]] = {
    "first": lambda i, j: i,
    "last": lambda i, j: (..., i),
    "last but one": lambda i, j: (..., i, slice(None)),
    "all but one": lambda i, j: (slice(None), i, slice(1, 3)),
    "two": lambda i, j: (i, j),
    "two apart": lambda i, j: (i, slice(None), j),
    "two at the ends": lambda i, j: (i, ..., j),
    "all": lambda i, j: (i, j, i, j),
    "new dimension": lambda i, j: (None, i, None, ..., j, None),
    "plain number": lambda i, j: (i, 1, ..., 2),
    "negative": lambda i, j: (..., i - 1, j - 2),
    "list": lambda i, j: (i, [0, 2], j),
    "tensor": lambda i, j: (i, LIST, ..., j),
    "tensors apart": lambda i, j: (slice(None), LIST, i, LIST),
    "array": lambda i, j: (i, MASK.numpy(), j),
    "mask": lambda i, j: (i, MASK, j),
    "wide mask": lambda i, j: (X[..., 0, 0] > 30, i),
    "slice alone": lambda i, j: (slice(None), slice(1, 2)),
}


@pytest.mark.parametrize("name", INDICES)
def test_an_integer_in_a_tensor(name: str) -> None:
    x = X.to(torch.get_default_dtype())
    index = INDICES[name]
    expected = x[index(1, 0)]

    def function(i: Tensor, j: Tensor) -> Tensor:
        with WithoutValues():
            return x[index(i, j)]

    numbers = torch.tensor(1), torch.tensor(0)
    assert torch.equal(function(*numbers), expected)
    if "mask" not in name and name != "array":  # the shape is that of the values
        graph = make_fx(function)(torch.tensor(0), torch.tensor(1))
        assert torch.equal(graph(*numbers), expected)


def filled(x: Tensor) -> Tensor:
    found = x.clone()
    found[x > 0] = 7.0
    return found


LAW = torch.distributions.Normal(0.0, 1.0, validate_args=True)
RECORDED: dict[str, tuple[Callable[[Tensor], Tensor], list[Any], list[Any]]] = {
    "one hot": (lambda c: nn.functional.one_hot(c, 3), [0, 1, 1], [2, 0, 1]),
    "filled where": (filled, [-1.0, 1.0], [1.0, -1.0]),
    "validated": (lambda x: LAW.log_prob(x), [-1.0, 1.0], [1.0, -1.0]),
}


@pytest.mark.parametrize("name", RECORDED)
def test_recorded_with_other_values(name: str) -> None:
    function, first, second = RECORDED[name]

    def recorded(x: Tensor) -> Tensor:
        with WithoutValues():
            return function(x)

    graph = make_fx(recorded)(torch.tensor(first))
    assert torch.equal(graph(torch.tensor(second)), function(torch.tensor(second)))


@pytest.mark.parametrize("name", ["one hot", "validated"])
def test_refused_otherwise(name: str) -> None:
    function, first, _ = RECORDED[name]
    with pytest.raises(RuntimeError, match="get value out of a tracing tensor"):
        make_fx(function)(torch.tensor(first))
