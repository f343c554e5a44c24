# SPDX-License-Identifier: Apache-2.0
"""TraceIW_ELBO in use, and what it refuses."""

import copy

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from pyro.infer import SVI
from pyro.infer.autoguide import AutoIAFNormal, AutoNormal

from pyro_reparam_ext import TraceIW_ELBO, TraceSwitch_ELBO, estimators
from tests import iw_programs as programs
from tests.infer.gradients_of import clear_gradients, parameter_gradients
from tests.infer.test_switch import Guide, Model, module_local_params, train
from tests.programs import (
    auto_model,
    auxiliary_guide,
    branching_guide,
    branching_model,
    flow_guide,
    mixed_guide,
    mixed_model,
    normal_guide,
    normal_model,
    subsampled_guide,
    subsampled_model,
)

__all__ = ["module_local_params"]  # a fixture


@pytest.mark.parametrize("alpha", [0.0, 0.5])
def test_svi_tightens_the_bound_on_minibatches(alpha):
    loss = TraceIW_ELBO(
        alpha=alpha, num_particles=4, vectorize_particles=True, max_plate_nesting=1
    )
    svi = SVI(
        programs.local_model, programs.local_guide, pyro.optim.Adam({"lr": 0.02}), loss
    )
    assert svi.evaluate_loss(size=2) == pytest.approx(svi.evaluate_loss(), rel=0.9)
    losses = [svi.step(size=2) for _ in range(300)]
    assert sum(losses[-100:]) < sum(losses[:100])


@pytest.mark.usefixtures("module_local_params")
@pytest.mark.parametrize("vectorize", [False, True])
def test_torch_optimizers_state_and_copies(vectorize):
    def make():
        torch.manual_seed(0)
        options = {"vectorize_particles": vectorize, "max_plate_nesting": 1}
        elbo = TraceIW_ELBO(sites={"c": "ema"}, num_particles=3, **options)
        return elbo(Model(), Guide())

    module = make()
    before = copy.deepcopy(module.guide.state_dict())
    losses = train(module, torch.optim.Adam(module.parameters(), lr=0.01))
    assert all(torch.tensor(losses).isfinite())
    after = module.guide.state_dict()
    assert all(not torch.equal(before[name], after[name]) for name in before)
    saved = copy.deepcopy(module.state_dict())
    assert "estimator_state.sites.@c.mean" in saved
    other = make()
    other.load_state_dict(saved)
    results = []
    for each in (module, other, copy.deepcopy(other)):
        torch.manual_seed(5)
        optimizer = torch.optim.SGD(each.parameters(), lr=0.01)
        each.load_state_dict(saved)
        results.append(train(each, optimizer, epochs=1))
    assert results[0] == results[1] == results[2]


def test_particles_share_their_minibatch():
    drawn = []

    def model():
        with pyro.plate("data", 50, subsample_size=2) as index:
            drawn.append(index.tolist())
            z = pyro.sample("z", dist.Normal(0.0, 1.0))
            pyro.sample("x", dist.Normal(z, 1.0), obs=index.to(z.dtype))

    def guide():
        with pyro.plate("data", 50, subsample_size=2):
            pyro.sample("z", dist.Normal(0.0, 1.0))

    loss = TraceIW_ELBO(num_particles=3)
    for call in (loss.loss, loss.loss_and_grads, loss.differentiable_loss):
        call(model, guide)
        (first, *others) = drawn[-3:]
        assert others == [first, first]
    assert len({tuple(index) for index in drawn}) == 3


@pytest.mark.parametrize("empty", ["guide", "both"])
def test_programs_without_latent_sites(empty):
    def model():
        if empty == "guide":
            pyro.sample("x", dist.Normal(0.0, 1.0), obs=torch.tensor(0.3))

    expected = pyro.infer.Trace_ELBO().loss(model, lambda: None)
    loss = TraceIW_ELBO(num_particles=3)
    assert loss.loss(model, lambda: None) == pytest.approx(expected)
    assert loss.loss_and_grads(model, lambda: None) == pytest.approx(expected)


def chosen(loss, model, guide):
    """The sites whose path is scaled."""
    runs = next(loss._independent_runs(model, guide, (), {}))
    return {path.name for path in runs[0].paths}


def test_default_scales_the_paths_that_it_may():
    loss = TraceIW_ELBO(num_particles=2)
    assert chosen(loss, normal_model, normal_guide) == {"z"}
    assert chosen(loss, normal_model, flow_guide) == {"z"}
    assert chosen(loss, programs.steps_model, programs.steps_guide) == {"a", "b"}
    pyro.clear_param_store()  # programs share names
    assert chosen(loss, mixed_model, mixed_guide) == {"z3"}  # z1 has a discrete child
    pyro.clear_param_store()
    found = chosen(loss, programs.objects_model, programs.objects_guide)
    assert found == {"where_2"}  # another object is there or not by the first place
    pyro.clear_param_store()
    learned_flow = AutoIAFNormal(auto_model)
    learned_flow()
    assert chosen(loss, auto_model, learned_flow) == set()
    auto_guide = AutoNormal(auto_model)
    auto_guide()
    names = {"s_unconstrained", "z_unconstrained"}
    assert chosen(loss, auto_model, auto_guide) == names


def test_no_guide_is_run_again_for_independent_sites():
    runs = []

    def guide():
        runs.append(None)
        programs.local_guide()

    TraceIW_ELBO(sites={"z": "dreg"}, num_particles=2).loss_and_grads(
        programs.local_model, guide
    )
    assert len(runs) == 2


def test_annotations_and_contexts_choose():
    loss = TraceIW_ELBO(num_particles=2)
    with estimators({"z": "pathwise"}):
        assert chosen(loss, normal_model, normal_guide) == set()
    annotated = poutine.infer_config(normal_guide, lambda site: {"estimator": "vimco"})
    assert chosen(loss, normal_model, annotated) == set()


def test_deterministic_sites_have_no_plate_to_be_in():
    def model():
        pyro.deterministic("outside", torch.tensor(1.0))
        programs.local_model(size=2)

    TraceIW_ELBO(num_particles=2).loss_and_grads(
        model, lambda: programs.local_guide(size=2)
    )


def test_annealed_programs_have_one_scale():
    def scaled(scale):
        with poutine.scale(scale=scale):
            programs.local_model(size=2)

    def guide(scale):
        with poutine.scale(scale=scale):
            programs.local_guide(size=2)

    loss = TraceIW_ELBO(num_particles=2)
    cellwise = torch.tensor([1.0, 2.0])
    for scale in (0.3, cellwise):
        clear_gradients()
        loss.loss_and_grads(scaled, guide, scale)
        assert parameter_gradients().isfinite().all()
    with pytest.raises(ValueError, match="one scale for all sites"):
        loss.loss_and_grads(scaled, lambda scale: guide(0.4), 0.3)


BAD_OPTIONS = {
    "alpha of one": ({"alpha": 1}, "Use TraceSwitch_ELBO for the limit 1"),
    "infinite alpha": ({"alpha": float("inf")}, "alpha must be a real number"),
    "no auxiliary draws": ({"num_aux": 0}, "num_aux must be a positive integer"),
}


@pytest.mark.parametrize("bad", BAD_OPTIONS)
def test_bad_options(bad):
    options, message = BAD_OPTIONS[bad]
    with pytest.raises(ValueError, match=message):
        TraceIW_ELBO(**options)


REFUSED = {
    "rloo": (normal_model, normal_guide, {"estimator": "rloo"}, "Use 'vimco'"),
    "stl": (normal_model, normal_guide, {"estimator": "stl"}, "Use 'dreg'"),
    "vimco alone": (
        normal_model,
        normal_guide,
        {"estimator": "vimco", "num_particles": 1},
        "needs num_particles >= 2",
    ),
    "dreg without a path": (
        programs.coin_model,
        programs.coin_guide,
        {"estimator": "dreg"},
        "needs a distribution with rsample",
    ),
    "dreg with a discrete child": (
        mixed_model,
        mixed_guide,
        {"sites": {"z1": "dreg"}},
        "but 'z2' does. Use 'pathwise' for 'z1'",
    ),
    "dreg with a pathwise child": (
        programs.steps_model,
        programs.steps_guide,
        {"sites": {"a": "dreg", "b": "pathwise"}},
        "but 'b' does. Use 'pathwise' for 'a'",
    ),
    "dreg beside averaged draws": (
        normal_model,
        programs.mixture_guide,
        {"sites": {"z": "dreg"}},
        "auxiliary draws are marginalized",
    ),
    "mvd beside averaged draws": (
        normal_model,
        programs.switching_guide,
        {"sites": {"u": "mvd"}},
        "replays the program",
    ),
    "nothing to average out": (
        normal_model,
        normal_guide,
        {"num_aux": 3},
        "but it has none",
    ),
    "draws that carry over": (
        normal_model,
        auxiliary_guide,
        {"num_aux": 3},
        "'z' is a Delta",
    ),
    "auxiliary in the model": (
        lambda: (normal_model(), pyro.sample("u", dist.Normal(0.0, 1.0))),
        programs.mixture_guide,
        {},
        "'u': expected an auxiliary site to be in the guide alone",
    ),
    "minibatch without all sites": (
        subsampled_model,
        subsampled_guide,
        {},
        "plate 'data' draws a minibatch but excludes 'm'",
    ),
}


@pytest.mark.filterwarnings("ignore:Found auxiliary vars in the model")
@pytest.mark.parametrize("case", REFUSED)
def test_refused(case):
    model, guide, options, message = REFUSED[case]
    loss = TraceIW_ELBO(**{"num_particles": 2, **options})
    with pytest.raises(ValueError, match=message):
        loss.loss_and_grads(model, guide)


def test_dreg_and_vimco_are_for_weights():
    for name, instead in (("dreg", "'stl'"), ("vimco", "'rloo'")):
        with pytest.raises(ValueError, match=f"does not go with .* Use {instead}"):
            TraceSwitch_ELBO(name, num_particles=2).loss(normal_model, normal_guide)
        with (
            estimators({"z": name}),
            pytest.raises(ValueError, match="needs a loss that works with it"),
        ):
            pyro.infer.Trace_ELBO().loss(normal_model, normal_guide)


def test_programs_that_branch_run_once_a_particle():
    loss = TraceIW_ELBO(num_particles=5)
    for _ in range(5):
        assert torch.tensor(loss.loss_and_grads(branching_model, branching_guide)) > 0
