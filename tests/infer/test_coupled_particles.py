# SPDX-License-Identifier: Apache-2.0
"""What noise that is coupled between particles does to a loss."""

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.infer import Trace_ELBO
from pyro.infer.autoguide import AutoIAFNormal

from pyro_reparam_ext import TraceIW_ELBO, TraceSwitch_ELBO, estimators
from pyro_reparam_ext.gradients import Adaptive, Pathwise, StickingTheLanding
from tests.infer.gradients_of import clear_gradients, replicated

T = torch.tensor
ALL = [Pathwise, StickingTheLanding, Adaptive]


def model():
    z = pyro.sample("z", dist.Normal(torch.zeros(3), 1.0).to_event(1))
    pyro.sample("x", dist.Normal(z.sum(-1), 1.0), obs=T(2.0))


def smooth_model():
    z = pyro.sample("z", dist.Normal(torch.zeros(3), 1.0).to_event(1))
    pyro.sample("x", dist.Normal((0.5 * z).exp().sum(-1), 1.0), obs=T(2.0))


def guide():
    loc = pyro.param("loc", T([0.3, -0.2, 0.5]))
    log_scale = pyro.param("log_scale", T([-0.3, 0.1, 0.0]))
    pyro.sample("z", dist.Normal(loc, log_scale.exp()).to_event(1))


def coupled(noise, particles, cls=Pathwise, **options):
    return TraceSwitch_ELBO(
        cls(noise=noise), num_particles=particles, vectorize_particles=True, **options
    )


def variance(program, loss, name, steps=150):
    rows = []
    for _ in range(steps):
        clear_gradients()
        loss.loss_and_grads(program, guide)
        rows.append(pyro.param(name).grad.clone())
    return torch.stack(rows).var(0).sum().item()


def test_pairs_leave_no_variance_in_the_location_of_a_quadratic():
    """The derivative in the location is linear in the noise: a pair adds up to 0."""
    assert variance(model, coupled("iid", 2), "loc") > 0.1
    assert variance(model, coupled("antithetic", 2), "loc") < 1e-25
    # that in the scale has an even part, in which pairs are as good as one particle
    two = variance(model, coupled("iid", 2), "log_scale")
    assert 1.2 * two < variance(model, coupled("antithetic", 2), "log_scale") < 2 * two


def test_sobol_points_take_the_variance_of_a_smooth_target_down():
    for name, factor in (("loc", 7), ("log_scale", 2.5)):  # measured: 12 and 3.6
        independent = variance(smooth_model, coupled("iid", 32), name)
        antithetic = variance(smooth_model, coupled("antithetic", 32), name)
        sobol = variance(smooth_model, coupled("sobol", 32), name)
        assert sobol < independent / factor
        assert sobol < antithetic / 2


def test_sites_and_cells_have_noise_of_their_own():
    def many():
        for name in "ab":
            with pyro.plate(f"plate_{name}", 4):
                z = pyro.sample(name, dist.Normal(pyro.param("p", T(0.0)), 1.0))
                drawn[name] = z

    for noise in ("antithetic", "sobol"):
        drawn = {}
        coupled(noise, 4, max_plate_nesting=1).loss_and_grads(many, many)
        values = torch.cat(list(drawn.values()))
        assert len(values.unique()) == values.numel() == 32


def test_independent_noise_changes_nothing():
    found = []
    for chosen in (Pathwise(), Pathwise(noise="iid"), None):
        pyro.set_rng_seed(5)
        clear_gradients()
        loss = TraceSwitch_ELBO(chosen, num_particles=3, vectorize_particles=True)
        found.append(loss.loss_and_grads(model, guide))
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize("cls", ALL)
@pytest.mark.parametrize("noise", ["antithetic", "sobol"])
def test_it_says_what_it_needs(cls, noise):
    chosen = cls(noise=noise)
    with pytest.raises(ValueError, match=r"Site 'z'.*num_particles >= 2"):
        TraceSwitch_ELBO(chosen).loss_and_grads(model, guide)
    with pytest.raises(ValueError, match="vectorize_particles=True"):
        TraceSwitch_ELBO(chosen, num_particles=2).loss_and_grads(model, guide)
    bound = TraceIW_ELBO(chosen, num_particles=2, vectorize_particles=True)
    with pytest.raises(ValueError, match="does not go with TraceIW_ELBO"):
        bound.loss_and_grads(model, guide)
    with pytest.raises(ValueError, match="a stock one does"), estimators(chosen):
        Trace_ELBO(num_particles=2).loss_and_grads(model, guide)


def test_pairs_need_an_even_number():
    with pytest.raises(ValueError, match="even number of particles; found 3"):
        coupled("antithetic", 3).loss_and_grads(model, guide)


def test_an_implicit_path_is_refused_by_name():
    def gamma():
        pyro.sample("g", dist.Gamma(pyro.param("a", T(2.0)), 1.0))

    with pytest.raises(ValueError, match=r"Site 'g'.*not Gamma. Use noise='iid'"):
        coupled("sobol", 2).loss_and_grads(gamma, gamma)


def test_a_context_couples_particles_too():
    loss = TraceSwitch_ELBO(num_particles=2, vectorize_particles=True)
    with estimators({"z": Pathwise(noise="antithetic")}):
        assert variance(model, loss, "loc", steps=5) < 1e-25


def test_flows_without_an_inverse_find_their_draws():
    guide = AutoIAFNormal(model, num_transforms=2)
    loss = coupled("antithetic", 4)
    loss.loss_and_grads(model, guide)
    assert all(p.grad.isfinite().all() for p in guide.parameters())


def test_evaluation_is_coupled_too():
    values = []
    for noise in ("iid", "sobol"):
        loss = coupled(noise, 16)
        values.append(T([loss.loss(model, guide) for _ in range(200)]).var())
    assert values[1] < values[0] / 3


def test_copies_in_plates_are_independent():
    def noting_model():
        drawn["z"] = pyro.sample("z", dist.Normal(torch.zeros(3), 1.0).to_event(1))

    drawn = {}
    loss = coupled("antithetic", 2, max_plate_nesting=1)
    loss.loss_and_grads(replicated(noting_model, 500, -1), replicated(guide, 500, -1))
    z = drawn["z"]
    assert z.shape == (2, 500, 3)
    torch.testing.assert_close(z.sum(0), 2 * pyro.param("loc").expand(500, 3))
    assert len(z.unique()) == z.numel()
