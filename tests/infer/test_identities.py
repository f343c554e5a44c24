# SPDX-License-Identifier: Apache-2.0
"""What must hold exactly, and not on average, between estimators."""

import copy
import gc

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.infer import SVI, TraceEnum_ELBO, TraceMeanField_ELBO, config_enumerate

from pyro_reparam_ext import TraceSwitch_ELBO
from pyro_reparam_ext.gradients import Adaptive
from tests.cases import MODELS
from tests.infer.gradients_of import clear_gradients, parameter_gradients, prepare

CASES = {case.name: case for case in MODELS}
CONTINUOUS = [
    "normal",
    "flow",
    "plated",
    "masked",
    "AutoNormal",
    "AutoMultivariateNormal",
    "reversed",
]
T = torch.tensor


def gradient(loss, case, guide, seed=4):
    clear_gradients()
    pyro.set_rng_seed(seed)
    loss.loss_and_grads(case.model, guide)
    return parameter_gradients()


def fix_coefficients(loss, case, guide, value):
    """Let an adaptive loss believe it has learned ``value`` everywhere."""
    gradient(loss, case, guide)
    for name, buffer in loss.state.named_buffers():
        if name.endswith("_score_score"):
            buffer.fill_(1.0)
        elif name.endswith("_gradient_score"):
            buffer.fill_(value)
    loss.state.eval()


@pytest.mark.parametrize("stl", ["site", "replay"])
@pytest.mark.parametrize("name", CONTINUOUS)
def test_adaptive_is_pathwise_at_zero_and_stl_at_one(name, stl):
    case = CASES[name]
    guide = prepare(case)
    for value, other in ((0.0, "pathwise"), (1.0, "stl")):
        adaptive = TraceSwitch_ELBO("adaptive", stl=stl)
        fix_coefficients(adaptive, case, guide, value)
        torch.testing.assert_close(
            gradient(adaptive, case, guide),
            gradient(TraceSwitch_ELBO(other, stl=stl), case, guide),
            rtol=1e-12,
            atol=1e-12,
        )


@pytest.mark.parametrize("name", [n for n in CONTINUOUS if n != "reversed"])
def test_replay_changes_nothing_where_sites_do_not_depend_on_each_other(name):
    case = CASES[name]
    guide = prepare(case)
    site, replay = (
        gradient(TraceSwitch_ELBO("stl", stl=stl), case, guide)
        for stl in ("site", "replay")
    )
    torch.testing.assert_close(site, replay, rtol=1e-12, atol=1e-12)


# z1 ~ N(0, 1), z2 | z1 ~ N(z1, 1), x ~ N(z2, 1) at 1: the guide is the posterior.
def ladder_model():
    z1 = pyro.sample("z1", dist.Normal(0.0, 1.0))
    z2 = pyro.sample("z2", dist.Normal(z1, 1.0))
    pyro.sample("x", dist.Normal(z2, 1.0), obs=T(1.0))


def posterior():
    p = pyro.param("p", T([1 / 3, 2 / 3, 0.5, 0.5, 0.5]))
    z1 = pyro.sample("z1", dist.Normal(p[0], p[1].sqrt()))
    pyro.sample("z2", dist.Normal(p[2] + p[3] * z1, p[4].sqrt()))


def variance(model, guide, loss, steps=20):
    pyro.clear_param_store()
    pyro.set_rng_seed(0)
    rows = []
    for _ in range(steps):
        loss.loss_and_grads(model, guide)
        rows.append(parameter_gradients())
        clear_gradients()
    return torch.stack(rows).var(0).sum().item()


@pytest.mark.parametrize(
    ("options", "zero"),
    [
        ({"estimator": "stl", "stl": "replay"}, True),
        ({"estimator": "stl"}, False),
        ({"estimator": "mvd"}, True),
        # the whole log p - log q is constant there, a site's share of it is not
        ({"estimator": "rloo", "num_particles": 2, "dependency": "plate"}, True),
        ({"estimator": "rloo", "num_particles": 2}, False),
        ({"estimator": "pathwise"}, False),
        ({"estimator": "score"}, False),
    ],
)
def test_no_variance_where_the_guide_is_the_posterior(options, zero):
    found = variance(ladder_model, posterior, TraceSwitch_ELBO(**options))
    assert (found < 1e-20) == zero


def test_adaptive_learns_to_stick_the_landing():
    loss = TraceSwitch_ELBO("adaptive", stl="replay")
    variance(ladder_model, posterior, loss, steps=10)
    assert variance(ladder_model, posterior, loss) < 1e-20
    found = loss.coefficients()
    assert set(found) == {"z1", "z2"}
    for values in found.values():
        assert values == pytest.approx({"loc": 1.0, "scale": 1.0})


def test_what_is_learned_does_not_depend_on_how_the_loss_is_scaled():
    case = CASES["normal"]
    found = []
    for factor in (1.0, 1000.0):
        guide = prepare(case)
        loss = TraceSwitch_ELBO("adaptive", num_particles=2)
        pyro.set_rng_seed(0)
        for _ in range(5):
            (factor * loss.differentiable_loss(case.model, guide)).backward()
        found.append(loss.coefficients()["z"])
    assert found[0] == pytest.approx(found[1], rel=1e-9)
    assert found[0]["loc"] > 0


def test_coefficients_are_saved_copied_and_kept_in_evaluation():
    case = CASES["AutoNormal"]
    guide = prepare(case)
    loss = TraceSwitch_ELBO("adaptive")
    for seed in range(4):
        gradient(loss, case, guide, seed)
    again = TraceSwitch_ELBO("adaptive")
    again.state.load_state_dict(loss.state.state_dict())
    expected = loss.coefficients()
    assert set(expected) == {"s_unconstrained", "z_unconstrained"}
    assert again.coefficients() == expected == copy.deepcopy(loss).coefficients()
    loss.state.eval()
    gradient(loss, case, guide)
    assert loss.coefficients() == expected


def test_adaptive_does_not_mind_a_shorter_last_minibatch():
    def model(x):
        with pyro.plate("data", 7, subsample=x):
            z = pyro.sample("z", dist.Normal(torch.zeros(2), 1.0).to_event(1))
            pyro.sample("x", dist.Normal(z.sum(-1), 1.0), obs=x)

    def guide(x):
        loc = pyro.param("loc", torch.zeros(2))
        with pyro.plate("data", 7, subsample=x):
            pyro.sample("z", dist.Normal(loc + x[:, None], 1.0).to_event(1))

    pyro.clear_param_store()
    svi = SVI(
        model, guide, pyro.optim.Adam({"lr": 0.01}), loss=TraceSwitch_ELBO("adaptive")
    )
    for batch in torch.arange(7.0).split(3):
        svi.step(batch)


def test_horizon_is_checked():
    with pytest.raises(ValueError, match="Adaptive: horizon must be at least 2"):
        Adaptive(horizon=1)


@pytest.mark.parametrize("name", ["chain", "two plates", "elements", "integers"])
def test_enumeration_of_every_site_has_no_variance(name):
    case = CASES[name]
    guide = prepare(case)
    found = [gradient(TraceSwitch_ELBO("enum"), case, guide, seed) for seed in range(3)]
    for other in found[1:]:
        torch.testing.assert_close(found[0], other, rtol=1e-9, atol=1e-12)


def test_enumeration_agrees_with_pyro():
    """Where TraceEnum_ELBO sums exactly, so do we, and to the same gradient."""
    case = CASES["chain"]
    guide = prepare(case)
    ours = gradient(TraceSwitch_ELBO("enum"), case, guide)
    clear_gradients()
    stock = TraceEnum_ELBO(max_plate_nesting=case.nesting)
    stock.loss_and_grads(case.model, config_enumerate(guide, "parallel"))
    torch.testing.assert_close(ours, parameter_gradients(), rtol=1e-9, atol=1e-12)


def test_analytic_agrees_with_the_mean_field_loss():
    """With every divergence closed, both differentiate the same expression."""
    case = CASES["plated"]
    guide = prepare(case)
    ours = TraceSwitch_ELBO("analytic")
    found = gradient(ours, case, guide)
    assert ours.closed_forms == {"s": "kl", "z": "kl"}
    expected = gradient(TraceMeanField_ELBO(), case, guide)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_analytic_says_where_it_fell_back():
    def forms(name):
        case = CASES[name]
        guide = prepare(case)
        loss = TraceSwitch_ELBO("analytic")
        gradient(loss, case, guide)
        return loss.closed_forms

    reverse = forms("reversed")
    assert (
        reverse["z2"] == "entropy: the model draws 'z1' before it, the guide after it"
    )
    assert reverse["z1"] == "kl"
    assert forms("annealed")["z"].startswith("entropy: model and guide scale")
    assert forms("AutoNormal")["z_unconstrained"] == (
        "entropy: the model has no such site"
    )
    assert forms("flow")["z"].startswith("sampled: no divergence")


@pytest.mark.parametrize("options", [{"stl": "site"}, {"stl": "replay"}])
def test_a_step_leaves_no_tensors_behind(options):
    """Hooks that hold what they hang on would keep every graph alive."""
    case = CASES["normal"]
    guide = prepare(case)
    loss = TraceSwitch_ELBO("adaptive", **options)
    counts = []
    for _ in range(2):
        for seed in range(20):
            gradient(loss, case, guide, seed)
        gc.collect()
        counts.append(sum(type(o) is torch.Tensor for o in gc.get_objects()))
    assert counts[0] == counts[1]
