# SPDX-License-Identifier: Apache-2.0
"""Which estimator a site gets, and what is said when it cannot have it."""

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.infer import Trace_ELBO
from pyro.infer.autoguide import AutoDelta, AutoDiagonalNormal, AutoNormal

from pyro_reparam_ext import TraceSwitch_ELBO, config_estimators, estimators
from pyro_reparam_ext.gradients import LeaveOneOut, MovingAverage, ScoreFunction
from pyro_reparam_ext.infer.site import estimator_of


def model():
    w = pyro.sample("w", dist.Normal(0.0, 1.0))
    z = pyro.sample("z", dist.Normal(w, 1.0))
    pyro.sample("x", dist.Normal(z, 1.0), obs=torch.tensor(1.0))


def guide(z_infer=None, c=None):
    loc = pyro.param("loc", torch.tensor(0.2))
    w = pyro.sample("w", dist.Normal(loc, 1.0))
    pyro.sample("z", dist.Normal(w, 1.0), infer=z_infer or {})


def chosen(loss, guide=guide, model=model):
    """The estimator at each site of the guide."""
    found = {}

    class Spy(pyro.poutine.messenger.Messenger):
        def _pyro_post_sample(self, msg):
            if not msg["is_observed"] and msg["name"] not in found:
                found[msg["name"]] = estimator_of(msg["fn"])

    with Spy():
        loss.loss(model, guide)
    return found


SCORE, EMA = ScoreFunction(), ScoreFunction("ema")


def annotated(estimator):
    return lambda: guide(z_infer={"estimator": estimator})


def test_default_leaves_distributions_alone():
    assert chosen(TraceSwitch_ELBO()) == {"w": None, "z": None}


def test_default_estimator_applies_everywhere():
    assert chosen(TraceSwitch_ELBO("score")) == {"w": SCORE, "z": SCORE}


def test_annotation_goes_before_the_default():
    found = chosen(TraceSwitch_ELBO("score"), annotated("ema"))
    assert found == {"w": SCORE, "z": EMA}


def test_sites_go_before_annotations():
    found = chosen(TraceSwitch_ELBO(sites={"z": "score"}), annotated("ema"))
    assert found == {"w": None, "z": SCORE}


def test_a_context_goes_before_all():
    with estimators({"z": "score"}):
        found = chosen(TraceSwitch_ELBO("ema", sites={"z": "ema"}))
    assert found == {"w": EMA, "z": SCORE}


def test_the_innermost_context_decides():
    with estimators("ema"), estimators({"z": "score"}):
        assert chosen(TraceSwitch_ELBO()) == {"w": EMA, "z": SCORE}


def test_a_context_as_a_decorator_of_the_guide():
    found = chosen(TraceSwitch_ELBO("ema"), estimators(guide, {"z": "score"}))
    assert found == {"w": EMA, "z": SCORE}
    decorated = estimators({"z": "score"})(guide)
    assert chosen(TraceSwitch_ELBO(), decorated) == {"w": None, "z": SCORE}


def test_a_decorated_guide_with_vectorized_particles_and_a_baseline():
    loss = TraceSwitch_ELBO(num_particles=3, vectorize_particles=True)
    found = chosen(loss, estimators(guide, {"z": "rloo"}))
    assert found["z"] == ScoreFunction("rloo")


def test_none_for_a_site_leaves_it_alone():
    loss = TraceSwitch_ELBO("score", sites={"z": None})
    assert chosen(loss) == {"w": SCORE, "z": None}


def test_an_exact_name_goes_before_a_glob_and_an_earlier_glob_before_a_later():
    sites = {"*": "score", "[z]": None, "w": "ema"}
    assert chosen(TraceSwitch_ELBO(sites=sites)) == {"w": EMA, "z": SCORE}


def test_a_function_of_the_site():
    loss = TraceSwitch_ELBO(sites={"*": lambda m: "ema" if m["name"] == "z" else None})
    assert chosen(loss) == {"w": None, "z": EMA}


def test_config_estimators_keeps_annotations():
    configured = config_estimators(annotated("ema"), default="score")
    assert chosen(TraceSwitch_ELBO(), configured) == {"w": SCORE, "z": EMA}
    configured = config_estimators(sites={"w": "ema"})(guide)
    assert chosen(TraceSwitch_ELBO(), configured) == {"w": EMA, "z": None}


def test_autonormal_sites_go_by_the_names_of_the_model():
    auto = AutoNormal(model)
    found = chosen(TraceSwitch_ELBO(sites={"z": "score"}), auto)
    assert found["z_unconstrained"] == SCORE
    assert found["w_unconstrained"] is None


def test_point_masses_are_left_alone():
    found = chosen(TraceSwitch_ELBO("score"), AutoDelta(model))
    assert found == {"w": None, "z": None}


def test_pathwise_overrides_has_rsample_():
    def detached():
        loc = pyro.param("loc", torch.tensor(0.2))
        w = pyro.sample("w", dist.Normal(loc, 1.0).has_rsample_(False))
        pyro.sample("z", dist.Normal(w, 1.0))

    pyro.clear_param_store()
    loss = TraceSwitch_ELBO("pathwise")
    assert chosen(loss, detached)["w"] is not None


def discrete_guide():
    pyro.sample("w", dist.Normal(pyro.param("loc", torch.tensor(0.2)), 1.0))
    logits = pyro.param("logits", torch.zeros(3))
    pyro.sample("z", dist.Categorical(logits=logits))


def flow_guide():
    pyro.sample("w", dist.Normal(pyro.param("loc", torch.tensor(0.2)), 1.0))
    base = dist.Normal(torch.zeros(2), 1.0).to_event(1)
    flow = dist.transforms.Planar(2)
    pyro.sample("z", dist.TransformedDistribution(base, [flow]))


def flow_model():
    pyro.sample("w", dist.Normal(0.0, 1.0))
    pyro.sample("z", dist.Normal(torch.zeros(2), 1.0).to_event(1))


def baseline_under_stock():
    with estimators({"z": "ema"}):
        Trace_ELBO().loss_and_grads(model, guide)


def unmatched_context():
    with estimators({"zz": "score"}):
        Trace_ELBO().loss_and_grads(model, guide)


def step(loss, guide=guide, model=model):
    return lambda: loss().loss_and_grads(model, guide)


ERRORS = {
    "unknown site": (
        step(lambda: TraceSwitch_ELBO(sites={"zz": "score"})),
        ValueError,
        r"sites names 'zz', which the guide does not have. Guide sites: 'w', 'z'",
    ),
    "unknown site in a context": (
        unmatched_context,
        ValueError,
        r"estimators: sites names 'zz', which the guide does not have",
    ),
    "unknown site in config_estimators": (
        lambda: config_estimators(guide, sites={"zz": "score"})(),
        ValueError,
        r"config_estimators: sites names 'zz'",
    ),
    "joint latent": (
        step(
            lambda: TraceSwitch_ELBO(sites={"z": "score"}),
            AutoDiagonalNormal(model),
        ),
        ValueError,
        r"'z', which the guide computes from another site .* '_AutoDiagonalNormal_lat",
    ),
    "pathwise discrete": (
        step(lambda: TraceSwitch_ELBO("pathwise"), discrete_guide),
        ValueError,
        r"Site 'z': pathwise needs a distribution with rsample, but Categorical has "
        r"none. Use 'score' or 'rloo'",
    ),
    "score of a flow without inverse": (
        step(lambda: TraceSwitch_ELBO(sites={"z": "score"}), flow_guide, flow_model),
        ValueError,
        r"(?s)site 'z'.*has no inverse. Use 'pathwise'",
    ),
    "too few particles": (
        step(lambda: TraceSwitch_ELBO("rloo")),
        ValueError,
        r"Site 'w': rloo needs num_particles >= 2; found 1. Raise num_particles",
    ),
    "baseline under a stock loss": (
        baseline_under_stock,
        ValueError,
        r"Site 'z': ema needs a loss that works with it.* Use TraceSwitch_ELBO",
    ),
    "unknown estimator": (
        lambda: TraceSwitch_ELBO("pathwize"),
        ValueError,
        r"TraceSwitch_ELBO: unknown estimator 'pathwize'. Known: 'pathwise', 'stl'",
    ),
    "unknown estimator at a site": (
        step(TraceSwitch_ELBO, annotated("foo")),
        ValueError,
        r"Site 'z': unknown estimator 'foo'",
    ),
    "a class instead of an instance": (
        lambda: TraceSwitch_ELBO(ScoreFunction),
        TypeError,
        r"found <class .*ScoreFunction'>; did you mean to call it\?",
    ),
    "a mapping as the estimator": (
        lambda: TraceSwitch_ELBO({"z": "score"}),
        TypeError,
        r"TraceSwitch_ELBO: expected an estimator or its name; found {'z'",
    ),
    "sites not a mapping": (
        lambda: TraceSwitch_ELBO(sites="score"),
        TypeError,
        r"sites must map site names to estimators; found 'score'",
    ),
    "no config": (estimators, TypeError, r"estimators: expected an estimator"),
    "no default and no sites": (
        config_estimators,
        TypeError,
        r"config_estimators: expected default= or sites=",
    ),
    "dependency": (
        lambda: TraceSwitch_ELBO(dependency="graph"),
        ValueError,
        r"dependency must be one of .*; found 'graph'",
    ),
    "num_particles": (
        lambda: TraceSwitch_ELBO(num_particles=0),
        ValueError,
        r"num_particles must be a positive integer; found 0",
    ),
    "baseline": (
        lambda: ScoreFunction(baseline="average"),
        ValueError,
        r"baseline must be one of \['ema', 'rloo'\].*; found 'average'",
    ),
    "decay": (
        lambda: MovingAverage(decay=1.0),
        ValueError,
        r"decay must be in \[0, 1\); found 1.0",
    ),
}


@pytest.mark.parametrize(
    ("call", "error", "message"), ERRORS.values(), ids=list(ERRORS)
)
@pytest.mark.parametrize("validate", [True, False], ids=["validated", "unvalidated"])
def test_errors(call, error, message, validate):
    with pyro.validation_enabled(validate), pytest.raises(error, match=message):
        call()


def test_strings_and_instances_are_the_same():
    assert ScoreFunction("rloo") == ScoreFunction(LeaveOneOut())
    assert len({ScoreFunction("rloo"), ScoreFunction(LeaveOneOut())}) == 1


class ModuleGuide(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.loc = torch.nn.Parameter(torch.tensor(0.2))

    def forward(self):
        w = pyro.sample("w", dist.Normal(self.loc, 1.0))
        pyro.sample("z", dist.Normal(w, 1.0))


@pytest.mark.parametrize(
    "handle",
    [
        lambda guide: config_estimators(guide, default="score"),
        lambda guide: estimators(guide, "score"),
    ],
    ids=["config_estimators", "estimators"],
)
def test_a_module_stays_a_module(handle):
    handled = handle(ModuleGuide())
    elbo = TraceSwitch_ELBO()
    assert chosen(elbo, handled) == {"w": SCORE, "z": SCORE}
    module = elbo(torch.nn.Module(), handled)
    assert [name for name, _ in module.named_parameters()] == ["guide.module.loc"]
