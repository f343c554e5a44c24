# SPDX-License-Identifier: Apache-2.0
"""One library in one process, timed on request by ``distributions.py``.

Reads requests, one line of JSON each, and answers with seconds or with an error::

    {"family": "Gamma", "gradient": true}
"""

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Make = Callable[..., Any]


@dataclass(frozen=True)
class Family:
    """What is drawn from.

    Args:
        ranges: The parameters are uniform on these.
        event: The shape of one value of each parameter, if it is no number.
        per_draw: Numbers in one draw, so that all families draw equally many.
        make: How a library makes it of the parameters, where that is not the class of
            the same name.
        lacking: Libraries that do not have it.
    """

    ranges: tuple[tuple[float, float], ...]
    event: dict[int, tuple[int, ...]] = field(default_factory=dict)
    per_draw: int = 1
    make: dict[str, Make] = field(default_factory=dict)
    lacking: tuple[str, ...] = ()

    def parameters(self, numbers: int) -> list[np.ndarray]:
        """Of as many draws as have that many numbers."""
        random = np.random.default_rng(0)
        draws = max(1, numbers // self.per_draw)
        return [
            random.uniform(*bounds, size=(draws, *self.event.get(i, ())))
            for i, bounds in enumerate(self.ranges)
        ]


def _normals(module: Any, logits: Any, loc: Any, scale: Any) -> Any:
    components = module.Normal(loc, scale)
    return module.MixtureSameFamily(module.Categorical(logits=logits), components)


def _our_normals(module: Any, logits: Any, loc: Any, scale: Any) -> Any:
    from torch.distributions import Categorical, Normal

    return module.MixtureSameFamily(Categorical(logits=logits), Normal(loc, scale))


def _tfp_normals(module: Any, logits: Any, loc: Any, scale: Any) -> Any:
    return module.MixtureSameFamily(
        module.Categorical(logits=logits),
        module.Normal(loc, scale),
        reparameterize=True,
    )


def _to_sphere(vector: Any) -> Any:
    return vector / (vector**2).sum(-1, keepdims=True) ** 0.5


def _on_sphere(name: str) -> Make:
    def make(module: Any, mean: Any, concentration: Any) -> Any:
        return getattr(module, name)(_to_sphere(mean), concentration)

    return make


FAMILIES = {
    "Gamma": Family(((0.3, 5.0), (0.5, 2.0))),
    "InverseGamma": Family(((0.3, 5.0), (0.5, 2.0))),
    "Beta": Family(((0.3, 5.0), (0.3, 5.0))),
    "Dirichlet": Family(((0.3, 3.0),), event={0: (10,)}, per_draw=10),
    "StudentT": Family(((2.0, 10.0), (-1.0, 1.0), (0.5, 2.0))),
    "FisherSnedecor": Family(((2.0, 10.0), (3.0, 10.0)), lacking=("numpyro", "tfp")),
    "LogGamma": Family(
        ((0.3, 5.0), (0.5, 2.0)),
        make={"tfp": lambda module, *given: module.ExpGamma(*given)},
        lacking=("torch", "numpyro"),
    ),
    "Kumaraswamy": Family(((0.5, 3.0), (0.5, 3.0))),
    "GeneralizedPareto": Family(
        ((-1.0, 1.0), (0.5, 2.0), (-0.3, 0.5)), lacking=("numpyro",)
    ),
    "InverseGaussian": Family(((0.5, 2.0), (0.5, 5.0)), lacking=("torch", "numpyro")),
    "NormalInverseGaussian": Family(
        ((-1.0, 1.0), (0.5, 2.0), (2.0, 4.0), (-1.0, 1.0)), lacking=("torch", "numpyro")
    ),
    "VonMises": Family(((-3.0, 3.0), (0.3, 8.0))),
    "VonMisesFisher": Family(
        ((-1.0, 1.0), (0.3, 8.0)),
        event={0: (3,)},
        per_draw=3,
        make=dict.fromkeys(("ours", "tfp"), _on_sphere("VonMisesFisher")),
        lacking=("torch", "numpyro"),
    ),
    "PowerSpherical": Family(
        ((-1.0, 1.0), (0.3, 8.0)),
        event={0: (3,)},
        per_draw=3,
        make=dict.fromkeys(("ours", "tfp"), _on_sphere("PowerSpherical")),
        lacking=("torch", "numpyro"),
    ),
    "LKJCholesky": Family(
        ((0.5, 3.0),),
        per_draw=10,
        make={
            "ours": lambda module, eta: module.LKJCholesky(5, eta),
            "torch": lambda module, eta: module.LKJCholesky(5, eta),
            "numpyro": lambda module, eta: module.LKJCholesky(5, eta),
            "tfp": lambda module, eta: module.CholeskyLKJ(5, eta),
        },
    ),
    "TruncatedNormal": Family(
        ((-1.0, 1.0), (0.5, 2.0), (-2.0, 0.0), (1.0, 3.0)),
        make={
            "numpyro": lambda m, a, b, *ends: m.TruncatedNormal(
                a, b, low=ends[0], high=ends[1]
            )
        },
        lacking=("torch",),
    ),
    "MixtureSameFamily": Family(
        ((-1.0, 1.0), (-2.0, 2.0), (0.5, 1.5)),
        event={0: (4,), 1: (4,), 2: (4,)},
        make={
            "ours": _our_normals,
            "torch": _normals,
            "numpyro": _normals,
            "tfp": _tfp_normals,
        },
    ),
}


def torch_timer(library: str, dtype: str, numbers: int) -> Callable[..., Make]:
    """Of the package, or of torch itself."""
    import torch

    module: Any = torch.distributions
    if library == "ours":
        from pyro_reparam_ext import distributions as module
    torch.set_num_threads(1)
    torch.distributions.Distribution.set_default_validate_args(False)
    torch.manual_seed(0)

    def timer(name: str, gradient: bool) -> Make:
        family = FAMILIES[name]
        cls = getattr(module, name, None)
        make = family.make.get(library, lambda _, *given: cls(*given))
        given = [
            torch.tensor(p, dtype=getattr(torch, dtype), requires_grad=gradient)
            for p in family.parameters(numbers)
        ]
        if not gradient:
            return lambda: make(module, *given).sample()
        return lambda: torch.autograd.grad(make(module, *given).rsample().sum(), given)

    return timer


def jax_timer(library: str, dtype: str, numbers: int) -> Callable[..., Make]:
    """Of NumPyro, or of TensorFlow Probability on JAX: compiled functions."""
    import jax

    jax.config.update("jax_enable_x64", dtype == "float64")
    if library == "numpyro":
        import numpyro.distributions as module

        def drawn(law: Any, key: Any) -> Any:
            return law.sample(key)

    else:
        from tensorflow_probability.substrates.jax import distributions as module

        def drawn(law: Any, key: Any) -> Any:
            return law.sample(seed=key)

    def timer(name: str, gradient: bool) -> Make:
        family = FAMILIES[name]
        cls = getattr(module, name, None)
        make = family.make.get(library, lambda _, *given: cls(*given))
        given = [jax.numpy.asarray(p, dtype) for p in family.parameters(numbers)]
        key = jax.random.PRNGKey(0)

        def draw(given: list[Any], key: Any) -> Any:
            return drawn(make(module, *given), key)

        run = draw
        if gradient:
            run = jax.grad(lambda given, key: draw(given, key).sum())
        run = jax.jit(run)
        return lambda: jax.block_until_ready(run(given, key))

    return timer


def serve(library: str, dtype: str, numbers: int) -> None:
    """Answer requests until there are no more."""
    timers = jax_timer if library in ("numpyro", "tfp") else torch_timer
    timer = timers(library, dtype, numbers)
    ready: dict[tuple[str, bool], Make] = {}
    print(json.dumps({"ready": library}), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        key = request["family"], request["gradient"]
        try:
            if key not in ready:
                ready[key] = timer(*key)
                ready[key]()
            start = time.process_time()
            ready[key]()
            answer: dict[str, Any] = {"seconds": time.process_time() - start}
        except Exception as error:  # the peer's, to be shown in its cell
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)
