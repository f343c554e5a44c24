# SPDX-License-Identifier: Apache-2.0
"""Laws of use: function transforms, variational inference, Hamiltonian Monte Carlo."""

import copy
import math
from typing import Any

import pyro
import torch
from pyro.infer import MCMC, NUTS, SVI, Trace_ELBO
from pyro.optim import Adam
from torch import Tensor
from torch.distributions import Independent, TransformedDistribution, constraints

from pyro_reparam_ext.testing.cases import DistributionCase
from pyro_reparam_ext.testing.gradient_laws import anchored
from pyro_reparam_ext.testing.law import (
    DOUBLE,
    Law,
    close,
    follows_value,
    has_gradients,
    is_first,
    is_transport,
    seeded,
    unvalidated,
)


def vmap(case: DistributionCase, point: str, dtype: torch.dtype) -> None:
    """Under vmap over parameters, draws differ and log densities are the same."""
    parameters = {
        n: torch.stack([p, p, p]) for n, p in case.parameters(point, dtype).items()
    }
    with unvalidated():
        d = case.distribution(point, dtype)
        draws = torch.func.vmap(
            lambda p: case.make(**p).rsample((5,)), randomness="different"
        )(parameters)
        assert draws.shape == (3, 5, *d.batch_shape, *d.event_shape)
        assert draws.isfinite().all()
        assert len(draws.flatten(1).unique(dim=0)) == 3
        log_prob = torch.func.vmap(lambda p, z: case.make(**p).log_prob(z))(
            parameters, draws
        )
    close(log_prob, d.log_prob(draws), 1e-9, 1e-9, what="log_prob under vmap")


def vmap_gradient(case: DistributionCase, point: str, dtype: torch.dtype) -> None:
    """Under vmap and grad, the pathwise derivative is that of autograd."""
    leaves = case.leaves(point, dtype, (3,))
    with unvalidated():
        anchor, path = anchored(case, point, dtype, (3,))
        expected = torch.autograd.grad(
            path(leaves, anchor).sum(), list(leaves.values())
        )
        actual = torch.func.vmap(
            torch.func.grad(lambda p, a: path(p, a).sum()), randomness="different"
        )({n: p.detach() for n, p in leaves.items()}, anchor)
    for name, g in zip(leaves, expected, strict=True):
        close(actual[name], g, 1e-9, 1e-12, what=f"dz/d{name} under vmap")


def grad(case: DistributionCase, point: str, dtype: torch.dtype) -> None:
    """``torch.func.grad`` gives the derivatives of autograd, of draws and densities."""
    leaves = case.leaves(point, dtype)
    value = case.distribution(point, dtype).sample((4,))

    def draw(parameters: dict[str, Tensor]) -> Tensor:
        return seeded(case.make(**parameters), (4,)).sum()

    def log_prob(parameters: dict[str, Tensor]) -> Tensor:
        return case.make(**parameters).log_prob(value).sum()

    with unvalidated():
        for function in (draw, log_prob):
            expected = torch.autograd.grad(function(leaves), list(leaves.values()))
            actual = torch.func.grad(function)(
                {n: p.detach() for n, p in leaves.items()}
            )
            for name, g in zip(leaves, expected, strict=True):
                close(actual[name], g, 1e-9, 1e-12, f"{function.__name__}: {name}")


def svi(case: DistributionCase, point: str, dtype: torch.dtype) -> None:
    """As a guide, it takes finite variational steps that change the parameters."""
    parameters = _first_element(case, case.parameters(point, dtype))
    domains = case.constraints()
    fixed = {n: p for n, p in parameters.items() if not p.isfinite().all()}

    def model() -> None:
        with pyro.plate("data", 3):
            d = case.make(**parameters).expand([3])
            z = pyro.sample("z", d)
            x = torch.full_like(z, 0.2)
            noisy = pyro.distributions.Normal(z.tanh(), 0.5).to_event(d.event_dim)
            pyro.sample("x", noisy, obs=x)

    def guide() -> None:
        moving = {
            n: pyro.param(n, p.clone(), constraint=domains.get(n, constraints.real))
            for n, p in parameters.items()
            if n not in fixed
        }
        with pyro.plate("data", 3):
            pyro.sample("z", case.make(**moving, **fixed).expand([3]))

    with pyro.get_param_store().scope():
        inference = SVI(model, guide, Adam({"lr": 1e-3}), Trace_ELBO())
        losses = [inference.step() for _ in range(5)]
        after = {n: p.detach() for n, p in pyro.get_param_store().items()}
    assert torch.tensor(losses).isfinite().all(), f"losses {losses}"
    for name, value in after.items():
        assert value.isfinite().all(), f"{name} became {value}"
        moved = bool((value != parameters[name]).any())
        assert moved or name in case.fixed, f"{name} did not move"


def nuts(case: DistributionCase, point: str, dtype: torch.dtype) -> None:
    """As a prior, it gives finite posterior draws inside its support."""
    d = case.distribution(point, dtype)

    def model() -> None:
        z = pyro.sample("z", d.to_event(len(d.batch_shape)))
        pyro.sample(
            "x",
            pyro.distributions.Normal(z.tanh(), 1.0).to_event(z.dim()),
            obs=torch.full_like(z, 0.2),
        )

    kernel = NUTS(model, max_tree_depth=3)
    mcmc = MCMC(kernel, num_samples=10, warmup_steps=10, disable_progbar=True)
    mcmc.run()
    draws = mcmc.get_samples()["z"]
    assert draws.shape == (10, *d.batch_shape, *d.event_shape)
    assert d.support.check(draws).all()
    assert len(draws.reshape(10, -1).unique(dim=0)) > 1


def not_a_wrapper(case: DistributionCase, point: str, dtype: torch.dtype) -> None:
    """Programs do not take it for another distribution that it was made from.

    Pyro and our estimators look through whatever has a ``base_dist``.
    """
    d = case.distribution(point, dtype)
    wraps = isinstance(d, Independent | TransformedDistribution)
    assert wraps or not hasattr(d, "base_dist"), "base_dist means a wrapper"


def standardized_by_pyro(
    case: DistributionCase, point: str, dtype: torch.dtype
) -> None:
    """Where Pyro's AutoReparam standardizes, ``loc`` and ``scale`` move and stretch."""
    # these change what is imported, which importing this module does not
    from pyro.infer.reparam import LocScaleReparam
    from pyro.infer.reparam.strategies import AutoReparam

    d = case.distribution(point, dtype)
    site: Any = {"name": "z", "fn": d, "is_observed": False}
    strategy = AutoReparam(centered=0.0)
    if not isinstance(strategy.configure(site), LocScaleReparam):
        return
    stretched = copy.copy(d)
    for name, value in (("loc", 3 * d.loc + 1), ("scale", 3 * d.scale)):
        setattr(stretched, name, value)
    z = d.sample((5,))
    log_prob = stretched.log_prob(3 * z + 1) + math.log(3) * d.event_shape.numel()
    close(log_prob, d.log_prob(z), 1e-9, 1e-9, "log_prob")


def _first_element(
    case: DistributionCase, parameters: dict[str, Tensor]
) -> dict[str, Tensor]:
    """The parameters of the first batch element."""
    return {
        n: p.reshape((-1, *p.shape[p.dim() - case.event_dims.get(n, 0) :]))[0]
        for n, p in parameters.items()
    }


def _has_a_path(case: DistributionCase, point: str) -> bool:
    return is_transport(case, point) or follows_value(case, point)


LAWS = [
    Law(vmap, dtypes=DOUBLE),
    Law(vmap_gradient, applies=_has_a_path, dtypes=DOUBLE),
    Law(grad, applies=has_gradients, dtypes=DOUBLE),
    Law(not_a_wrapper, applies=is_first, dtypes=DOUBLE),
    Law(standardized_by_pyro, dtypes=DOUBLE),
    Law(svi, applies=is_first),
    Law(nuts, applies=is_first, dtypes=DOUBLE),
]
