# SPDX-License-Identifier: Apache-2.0
"""Estimators that compare a draw with other values, one by one."""

import pyro
import pyro.distributions as dist
import pytest
import torch
from torch.distributions import Poisson

from pyro_reparam_ext import TraceSwitch_ELBO
from pyro_reparam_ext.gradients import DisARM
from tests.infer.gradients_of import clear_gradients, parameter_gradients

T = torch.tensor


@pytest.mark.parametrize("logit", [-2.0, -0.3, 0.0, 0.7, 1.8])
def test_disarm_is_the_mean_of_arm_given_the_pair(logit):
    phi = T(logit, dtype=torch.float64, requires_grad=True)
    base = dist.Bernoulli(logits=phi)
    f = {0.0: 0.3, 1.0: 1.9}
    u = (torch.arange(200_000, dtype=torch.float64) + 0.5) / 200_000
    p = base.probs.detach()
    one, two = (u < p).double(), (1 - u < p).double()
    values = f[0.0] + (f[1.0] - f[0.0]) * torch.stack([one, two])
    # b = [u < p] makes the twin of ARM's [u > 1 - p] our first
    arm = (values[1] - values[0]) * (u - 0.5)
    for b in (0.0, 1.0):
        for twin in (0.0, 1.0):
            chosen = (one == b) & (two == twin)
            if chosen.sum() < 10:
                continue
            (ours,) = torch.autograd.grad(
                DisARM().surrogate(
                    base,
                    T(b, dtype=torch.float64),
                    T([twin], dtype=torch.float64),
                    T([f[twin] - f[b]], dtype=torch.float64),
                ),
                phi,
                retain_graph=True,
            )
            assert arm[chosen].mean().item() == pytest.approx(ours.item(), abs=2e-5)


def test_the_twin_of_disarm_has_the_law_of_the_draw():
    base = dist.Bernoulli(probs=T([0.2, 0.5, 0.9]))
    pyro.set_rng_seed(0)
    draw = base.sample((100_000,))
    twin = DisARM().alternatives(base.expand([100_000, 3]), draw)[0]
    error = (twin.mean(0) - base.probs).abs() / (base.variance / 100_000).sqrt()
    assert error.max() < 5
    together = (draw * twin).mean(0)  # both: u in (1 - p, p)
    expected = (2 * base.probs - 1).clamp(min=0)
    assert (together - expected).abs().max() < 0.01


def test_measure_valued_poisson():
    """Against the sum over the support, which has no end."""
    z = torch.arange(80.0, dtype=torch.float64)

    def model():
        z = pyro.sample("z", dist.Poisson(2.0))
        pyro.sample("x", dist.Normal(z, 2.0), obs=T(4.0))

    def guide():
        rate = pyro.param("rate", T(1.7)).expand(4000)
        with pyro.plate("copies", 4000), pyro.poutine.scale(scale=1 / 4000):
            pyro.sample("z", dist.Poisson(rate))

    def copies():
        with pyro.plate("copies", 4000), pyro.poutine.scale(scale=1 / 4000):
            model()

    rate = T(1.7, dtype=torch.float64, requires_grad=True)
    q = Poisson(rate).log_prob(z)
    p = Poisson(T(2.0, dtype=torch.float64)).log_prob(z) + dist.Normal(z, 2.0).log_prob(
        T(4.0, dtype=torch.float64)
    )
    (exact,) = torch.autograd.grad((q.exp() * (q - p)).sum(), rate)
    pyro.clear_param_store()
    pyro.set_rng_seed(0)
    rows = []
    for _ in range(20):
        TraceSwitch_ELBO("mvd").loss_and_grads(copies, guide)
        rows.append(parameter_gradients())
        clear_gradients()
    found = torch.stack(rows)
    error = found.mean() - exact
    assert abs(error) < 5 * found.std() / 20**0.5
    assert found.std() / 20**0.5 < 0.02 * abs(exact)


def three(x=None):
    z = pyro.sample("z", dist.Bernoulli(torch.full((3,), 0.4)).to_event(1))
    loc = 2 * z.sum() if x is None else x(z)
    pyro.sample("x", dist.Normal(loc, 1.0), obs=T(1.5))


def three_guide():
    logits = pyro.param("logits", T([0.3, -0.5, 0.8]))
    pyro.sample("z", dist.Bernoulli(logits=logits).to_event(1))


@pytest.mark.parametrize("estimator", ["mvd", "disarm", "enum"])
@pytest.mark.parametrize("mix", [torch.sum, lambda z: 2 * z[0] - z[1] + 3 * z[2]])
def test_a_program_that_mixes_what_is_tried_apart_is_told(mix, estimator):
    """It would run, and get a wrong gradient."""
    for validate in (True, False):
        with pyro.validation_enabled(validate):
            loss = TraceSwitch_ELBO(estimator)

            def steps(loss=loss):
                for _ in range(20):  # draws that are all 0 do not tell
                    loss.loss_and_grads(lambda: three(mix), three_guide)

            with pytest.raises(ValueError, match="vectorize_replays=False"):
                steps()
            one_by_one = TraceSwitch_ELBO(estimator, vectorize_replays=False)
            one_by_one.loss_and_grads(lambda: three(mix), three_guide)


@pytest.mark.parametrize(
    "use",
    [
        lambda z: 2 * z,  # one value for all cells is enough
        lambda z: z.reshape(*z.shape[:-1], 3),  # an error without all of them
        lambda z: z * (1.0 + torch.arange(z.shape[-1])),  # a wrong value without
    ],
    ids=["alike", "raises", "differs"],
)
def test_a_program_may_need_a_value_in_each_cell(use):
    x = T([1.5, -0.3, 0.7])

    def model():
        with pyro.plate("d", 3):
            z = pyro.sample("z", dist.Bernoulli(0.4))
            pyro.sample("x", dist.Normal(use(z), 1.0), obs=x)

    def guide():
        logits = pyro.param("logits", T([0.3, -0.5, 0.8]))
        with pyro.plate("d", 3):
            pyro.sample("z", dist.Bernoulli(logits=logits))

    results = []
    for together in (True, False):
        clear_gradients()
        loss = TraceSwitch_ELBO("enum", vectorize_replays=together)
        loss.loss_and_grads(model, guide)
        results.append(parameter_gradients())
    torch.testing.assert_close(*results)


def test_one_by_one_a_program_need_not_broadcast():
    results = []
    for program, together in ((torch.sum, False), (lambda z: z.sum(-1), True)):
        clear_gradients()
        loss = TraceSwitch_ELBO("enum", vectorize_replays=together)
        loss.loss_and_grads(lambda p=program: three(p), three_guide)
        results.append(parameter_gradients())
    torch.testing.assert_close(*results)


def test_impossible_values_do_no_harm():
    never = T([0.0, 0.0, -torch.inf])

    def model():
        c = pyro.sample("c", dist.Categorical(logits=never))
        pyro.sample("x", dist.Normal(1.0 * c, 1.0), obs=T(0.7))

    def guide():
        a = pyro.param("a", T([0.3, -0.2, 0.1]))
        pyro.sample("c", dist.Categorical(logits=a + never))

    for estimator in ("mvd", "enum"):
        clear_gradients()
        TraceSwitch_ELBO(estimator).loss_and_grads(model, guide)
        torch.testing.assert_close(
            parameter_gradients(), T([0.1645, -0.1645, 0.0]), atol=1e-4, rtol=0
        )
