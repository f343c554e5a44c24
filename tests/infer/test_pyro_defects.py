# SPDX-License-Identifier: Apache-2.0
"""Where stock Pyro is silently wrong or raises, and this package is not.

Each test shows the stock behaviour beside ours: should Pyro mend it, the test says so.
"""

import dataclasses

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.infer import SVI, Trace_ELBO, TraceGraph_ELBO, TraceMeanField_ELBO

from pyro_reparam_ext import TraceSwitch_ELBO, estimators
from tests.cases import MODELS
from tests.infer.gradients_of import estimate, exact, prepare
from tests.infer.test_unbiased import significance

CASES = {case.name: case for case in MODELS}
STEPS, COPIES = 30, 3000
WRONG, RIGHT = 1e-8, 1e-6


def p_values(name, stock, ours, handler=None):
    """The significance of the bias of a stock loss under a handler, and of ours."""
    case = CASES[name]
    guide = prepare(case)
    _, truth = exact(case, guide)
    pyro.set_rng_seed(1)
    if handler is None:
        stock_result = estimate(case, guide, stock, STEPS, COPIES)
    else:
        with handler:
            stock_result = estimate(case, guide, stock, STEPS, COPIES)
    pyro.set_rng_seed(1)
    our_result = estimate(case, guide, ours, STEPS, COPIES)
    return (
        significance(stock_result, truth, STEPS),
        significance(our_result, truth, STEPS),
    )


def test_auxiliary_score_sites_enter_the_cost():
    """D3: Trace_ELBO leaves -log q of auxiliary sites out of the score weight."""
    stock, ours = p_values(
        "auxiliary",
        Trace_ELBO(),
        TraceSwitch_ELBO("score", dependency="plate"),
        estimators({"u": "score"}),
    )
    assert stock < WRONG
    assert ours > RIGHT


def test_score_sites_with_validation_off():
    """D5: TraceMeanField_ELBO takes score sites for pathwise ones."""
    with pyro.validation_enabled(False):
        stock, ours = p_values(
            "normal",
            TraceMeanField_ELBO(),
            TraceSwitch_ELBO("score"),
            estimators({"z": "score"}),
        )
    assert stock < WRONG
    assert ours > RIGHT


def test_score_function_through_a_caching_transform():
    """D4: a cached base value hides the transform's parameters from log_prob."""

    class Unreparameterized(dist.TransformedDistribution):
        has_rsample = False

    def guide():
        loc = pyro.param("loc", torch.tensor(0.3))
        log_scale = pyro.param("log_scale", torch.tensor(0.2))
        affine = dist.transforms.AffineTransform(loc, log_scale.exp(), cache_size=1)
        base = dist.Normal(torch.zeros(()), 1.0)
        pyro.sample("z", Unreparameterized(base, [affine]))

    case = CASES["flow"]
    prepare(case)
    _, truth = exact(case, case.guide(case.model))
    pyro.set_rng_seed(1)
    stock = estimate(case, guide, Trace_ELBO(), STEPS, COPIES)
    pyro.set_rng_seed(1)
    ours = estimate(case, guide, TraceSwitch_ELBO("score"), STEPS, COPIES)
    assert significance(stock, truth, STEPS) < WRONG
    assert significance(ours, truth, STEPS) > RIGHT


def test_a_program_that_branches_on_a_draw():
    """TraceGraph_ELBO loses the dependence where a value leaves torch."""
    stock, ours = p_values("branching", TraceGraph_ELBO(), TraceSwitch_ELBO())
    assert stock < WRONG
    assert ours > RIGHT


def test_a_path_downstream_of_a_discrete_draw():
    """TraceGraph_ELBO loses gradients through autograd functions, Beta's among them."""
    stock, ours = p_values("downstream", TraceGraph_ELBO(), TraceSwitch_ELBO())
    assert stock < WRONG
    assert ours > RIGHT


def test_a_masked_draw_that_matters_downstream():
    """Independent(Masked) hides the score of draws that the model goes on to use."""

    class Unreparameterized(dist.Normal):
        has_rsample = False

    case = CASES["masked"]
    guide = prepare(case)
    _, truth = exact(case, guide)
    mask = torch.tensor([True, False])

    def stock_guide():
        loc = pyro.param("loc")
        with pyro.plate("data", 2):
            z = Unreparameterized(loc.unsqueeze(-1), 0.8)
            pyro.sample("z", z.mask(mask.unsqueeze(-1)).to_event(1))

    def stock_model():
        with pyro.plate("data", 2):
            prior = dist.Normal(torch.zeros(1), 1.0).mask(mask.unsqueeze(-1))
            z = pyro.sample("z", prior.to_event(1))
            obs = torch.tensor([1.0, 2.0])
            pyro.sample("x", dist.Normal(z.squeeze(-1), 1.0), obs=obs)

    vector_case = dataclasses.replace(case, model=stock_model)
    pyro.set_rng_seed(1)
    stock = estimate(vector_case, stock_guide, Trace_ELBO(), STEPS, COPIES)
    pyro.set_rng_seed(1)
    loss = TraceSwitch_ELBO("score")
    ours = estimate(vector_case, stock_guide, loss, STEPS, COPIES)
    assert significance(stock, truth, STEPS) < WRONG
    assert significance(ours, truth, STEPS) > RIGHT


WRAPPED = {
    "to_event": lambda: dist.Normal(torch.zeros(2), 1.0).to_event(1),
    "mask": lambda: dist.Normal(torch.zeros(2), 1.0).mask(torch.tensor([True, False])),
    "transformed": lambda: dist.LogNormal(torch.zeros(2), 1.0),
}


@pytest.mark.parametrize("wrapper", ["to_event", "mask"])
def test_switching_wrapped_distributions(wrapper):
    """D6: has_rsample_ raises on Independent and MaskedDistribution."""
    with pytest.raises(AttributeError):
        WRAPPED[wrapper]().has_rsample_(False)


@pytest.mark.parametrize("wrapper", list(WRAPPED))
def test_ours_switches_wrapped_distributions_in_a_plate(wrapper):
    """D6: ours works on them, under a plate, and leaves the object alone."""
    made = WRAPPED[wrapper]()

    def model():
        with pyro.plate("plate", 2):
            pyro.sample("z", made)

    with estimators({"z": "score"}):
        trace = pyro.poutine.trace(model).get_trace()
    assert not trace.nodes["z"]["fn"].has_rsample
    assert made.has_rsample
    assert isinstance(trace.nodes["z"]["fn"], type(made))


def test_expand_keeps_the_switch():
    """D6: has_rsample_(False) is lost by expand."""
    from pyro_reparam_ext.gradients import ScoreFunction
    from pyro_reparam_ext.infer.site import switch

    assert dist.Normal(0.0, 1.0).has_rsample_(False).expand([3]).has_rsample
    assert not switch(dist.Normal(0.0, 1.0), ScoreFunction()).expand([3]).has_rsample


def ragged_program():
    x = torch.arange(6.0)

    def model(index):
        with pyro.plate("data", 6, subsample=index):
            z = pyro.sample("z", dist.Bernoulli(0.5))
            pyro.sample("x", dist.Normal(z, 1.0), obs=x[index])

    def guide(index, infer):
        logits = pyro.param("logits", torch.zeros(6))
        with pyro.plate("data", 6, subsample=index):
            pyro.sample("z", dist.Bernoulli(logits=logits[index]), infer=infer)

    return model, guide


def test_a_shorter_last_minibatch():
    """D8: the stock moving average crashes on it, and leaks into the param store."""
    batches = [torch.arange(4), torch.arange(4, 6)]
    model, guide = ragged_program()

    def step(loss, infer):
        pyro.clear_param_store()
        optimizer = pyro.optim.SGD({"lr": 0.1})
        svi = SVI(model, lambda index: guide(index, infer), optimizer, loss=loss)
        for index in batches:
            svi.step(index)

    stock_infer = {"baseline": {"use_decaying_avg_baseline": True}}
    with pytest.raises(RuntimeError, match="must match"):
        step(TraceGraph_ELBO(), stock_infer)
    assert "__baseline_avg_downstream_cost_z" in pyro.get_param_store()

    loss = TraceSwitch_ELBO()
    step(loss, {"estimator": "ema"})
    assert set(pyro.get_param_store()) == {"logits"}
    assert set(loss.state.state_dict()) == {"sites.@z.mean", "sites.@z.weight"}


def test_a_baseline_is_never_ignored():
    """D8: Trace_ELBO ignores baselines silently; here a loss without them raises."""
    model, guide = ragged_program()
    index = torch.arange(6)
    with estimators({"z": "ema"}), pytest.raises(ValueError, match="TraceSwitch_ELBO"):
        Trace_ELBO().loss_and_grads(model, lambda i: guide(i, {}), index)
