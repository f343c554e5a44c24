# SPDX-License-Identifier: Apache-2.0
"""What holds exactly for importance-weighted losses, and mistakes that are caught."""

import math

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine

from pyro_reparam_ext import TraceIW_ELBO, TraceSwitch_ELBO
from pyro_reparam_ext.gradients import DoublyReparameterized, Vimco
from pyro_reparam_ext.infer import scaled_paths
from pyro_reparam_ext.infer.cells import weighed_sites
from pyro_reparam_ext.infer.power_mean import PowerMean
from pyro_reparam_ext.infer.weighted_run import WeightedRun
from tests.cases import IW_MODELS
from tests.infer.gradients_of import clear_gradients, parameter_gradients, prepare
from tests.infer.iw_gradients_of import exact, iw_estimate, iw_loss
from tests.infer.test_unbiased import significance

CASES = {case.name: case for case in IW_MODELS}
WRONG, RIGHT = 1e-8, 1e-6


def one_step(loss, model, guide, seed=3):
    clear_gradients()
    pyro.set_rng_seed(seed)
    value = loss.loss_and_grads(model, guide)
    return value, parameter_gradients()


@pytest.mark.parametrize("name", ["normal", "flow", "steps", "masked"])
def test_dreg_of_one_particle_sticks_the_landing(name):
    case = CASES[name]
    guide = prepare(case)
    dreg = one_step(TraceIW_ELBO("dreg", num_particles=1), case.model, guide)
    stl = one_step(TraceSwitch_ELBO("stl", stl="replay"), case.model, guide)
    assert dreg[0] == pytest.approx(stl[0], rel=1e-12)
    torch.testing.assert_close(dreg[1], stl[1], rtol=1e-10, atol=1e-12)


def test_dreg_of_one_particle_is_pathwise_less_the_score():
    case = CASES["normal"]
    guide = prepare(case)
    _, dreg = one_step(TraceIW_ELBO("dreg", num_particles=1), case.model, guide)
    _, pathwise = one_step(TraceIW_ELBO("pathwise", num_particles=1), case.model, guide)
    pyro.set_rng_seed(3)
    site = poutine.trace(guide).get_trace().nodes["z"]
    clear_gradients()
    site["fn"].log_prob(site["value"].detach()).backward()
    torch.testing.assert_close(dreg, pathwise - parameter_gradients())


@pytest.mark.parametrize("alpha", [-1.0, 0.0, 0.5, 3.0])
def test_vimco_of_two_particles_compares_with_the_other(alpha):
    log_weight = torch.randn(2, 3)
    bound = PowerMean(alpha)
    for mean in ("geometric", "arithmetic"):
        stand_in = Vimco(mean).stand_in(log_weight, alpha)
        torch.testing.assert_close(stand_in, log_weight.flip(0))
        without = bound.joined(bound.others(log_weight), stand_in, 2)
        torch.testing.assert_close(without, log_weight.flip(0))


@pytest.mark.parametrize("mean", ["geometric", "arithmetic"])
def test_vimco_leaves_one_out(mean):
    alpha, log_weight = 0.3, 5 * torch.randn(6, 2)
    stand_in = Vimco(mean).stand_in(log_weight, alpha)
    bound = PowerMean(alpha)
    without = bound.joined(bound.others(log_weight), stand_in, 6)
    for k in range(6):
        rest = torch.cat([log_weight[:k], log_weight[k + 1 :]])
        own = rest.mean(0) if mean == "geometric" else bound(rest)
        torch.testing.assert_close(stand_in[k], own)
        torch.testing.assert_close(without[k], bound(torch.cat([rest, own[None]])))


def test_a_weight_of_zero_is_no_trouble():
    log_weight = torch.tensor([0.3, -math.inf, 1.2, 900.0])
    bound = PowerMean(0.0)
    for mean in ("geometric", "arithmetic"):
        stand_in = Vimco(mean).stand_in(log_weight, 0.0)
        without = bound.joined(bound.others(log_weight), stand_in, 4)
        assert not without.isnan().any()
    assert bound(log_weight) == pytest.approx(900 - math.log(4))


@pytest.mark.parametrize("name", [n for n in CASES if CASES[n].static])
def test_value_is_the_same_for_all_estimators(name):
    case = CASES[name]
    values = {}
    for label, choice in case.choices.items():
        guide = prepare(case)
        loss = iw_loss(case, **choice)
        key = tuple(choice.get(k) for k in ("num_particles", "alpha", "num_aux"))
        value, _ = one_step(loss, case.model, guide)
        pyro.set_rng_seed(3)
        assert loss.loss(case.model, guide) == pytest.approx(value, rel=1e-12)
        pyro.set_rng_seed(3)
        tensor = loss.differentiable_loss(case.model, guide)
        assert tensor.item() == pytest.approx(value, rel=1e-12), label
        values.setdefault(key, []).append(value)
    for same in values.values():
        assert same == pytest.approx([same[0]] * len(same), rel=1e-12)


@pytest.mark.parametrize(
    "name", ["steps", "local", "subsampled", "objects", "switching"]
)
def test_vectorizing_does_not_matter_in_the_mean(name):
    case = CASES[name]
    choice = {"num_particles": 2, "vectorize_particles": False}
    guide = prepare(case)
    _, truth = exact(case, guide, choice)
    result, _ = iw_estimate(case, guide, iw_loss(case, **choice), 20, 1500)
    assert significance(result, truth, 20) > RIGHT


def test_the_limit_of_order_one_is_the_elbo():
    case = CASES["steps"]
    guide = prepare(case)
    options = {"num_particles": 4, "vectorize_particles": True, "max_plate_nesting": 0}
    elbo = one_step(TraceSwitch_ELBO("pathwise", **options), case.model, guide)
    for alpha in (1 - 1e-7, 1 + 1e-7):
        loss = TraceIW_ELBO("pathwise", alpha=alpha, **options)
        near = one_step(loss, case.model, guide)
        assert near[0] == pytest.approx(elbo[0], rel=1e-5)
        torch.testing.assert_close(near[1], elbo[1], rtol=1e-5, atol=1e-6)


def chain_posterior_model():
    a = pyro.sample("a", dist.Normal(0.0, 1.0))
    b = pyro.sample("b", dist.Normal(a, 1.0))
    pyro.sample("x", dist.Normal(b, 1.0), obs=torch.tensor(3.0))


def chain_posterior_guide():
    p = pyro.param(
        "p", torch.tensor([2.0, math.log(2 / 3) / 2, 0.5, math.log(0.5) / 2])
    )
    b = pyro.sample("b", dist.Normal(p[0], p[1].exp()))
    pyro.sample("a", dist.Normal(p[2] * b, p[3].exp()))


@pytest.mark.parametrize("alpha", [0.0, 0.5])
def test_dreg_has_no_variance_at_the_posterior(alpha):
    chain_posterior_guide()
    for seed in range(3):
        loss = TraceIW_ELBO(num_particles=4, alpha=alpha)
        _, gradient = one_step(loss, chain_posterior_model, chain_posterior_guide, seed)
        assert gradient.square().sum() < 1e-20


def test_a_scale_around_the_program_scales_loss_and_gradient():
    case = CASES["mixed"]
    guide = prepare(case)
    loss = TraceIW_ELBO(num_particles=3)
    value, gradient = one_step(loss, case.model, guide)
    half = [poutine.scale(program, 0.5) for program in (case.model, guide)]
    half_value, half_gradient = one_step(loss, *half)
    assert half_value == pytest.approx(value / 2)
    torch.testing.assert_close(half_gradient, gradient / 2)


def unsquared(share, alpha):
    return torch.ones_like(share)


def guide_terms_dropped(self, cells):
    total = sum(cells.log_prob(site) for site in weighed_sites(self.model))
    for site in weighed_sites(self.guide):
        total = total - cells.log_prob(site).detach()
    return total


MISTAKES = {
    "sticking the landing": (
        ("normal", "three"),
        (DoublyReparameterized, "on_path", staticmethod(unsquared)),
    ),
    "explicit derivative dropped": (
        ("coin", "vimco"),
        (WeightedRun, "log_weight", guide_terms_dropped),
    ),
    "baseline with the draw itself": (
        ("coin", "vimco"),
        (Vimco, "stand_in", lambda self, log_weight, alpha: log_weight),
    ),
    "dependent paths scaled one by one": (
        ("steps", "dreg"),
        (scaled_paths, "_leave_out", lambda *args: False),
    ),
    "path of a score site's parent scaled": (
        ("mixed", "default"),
        (scaled_paths, "_leave_out", lambda *args: True),
    ),
    "masked path scaled": (
        ("masked", "dreg"),
        (scaled_paths, "_mask_of", lambda site: None),
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_planted_mistakes_are_caught(monkeypatch, mistake):
    (name, label), (owner, attribute, wrong) = MISTAKES[mistake]
    case, choice = CASES[name], CASES[name].choices[label]
    guide = prepare(case)
    _, truth = exact(case, guide, choice)
    loss = iw_loss(case, **choice)
    right, _ = iw_estimate(case, guide, loss, 20, 6000)
    assert significance(right, truth, 20) > RIGHT
    monkeypatch.setattr(owner, attribute, wrong)
    result, _ = iw_estimate(case, guide, loss, 20, 6000)
    assert significance(result, truth, 20) < WRONG
