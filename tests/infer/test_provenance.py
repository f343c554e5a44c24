# SPDX-License-Identifier: Apache-2.0
"""What a cost may depend on is found, however the draw gets there."""

import operator
import warnings

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.ops.provenance import get_provenance

from pyro_reparam_ext import TraceSwitch_ELBO, distributions
from pyro_reparam_ext.infer.provenance import TrackScoreSites
from tests.models import MODELS

CASES = {case.name: case for case in MODELS}


def test_provenance_reaches_through_our_samplers():
    """A discrete draw that parametrizes an implicit sampler is among its causes."""

    def model():
        c = pyro.sample("c", dist.Bernoulli(0.5))
        z = pyro.sample("z", distributions.Kumaraswamy(1.0 + c, 2.0))
        y = pyro.sample("y", distributions.VonMises(z, 1.0 + c))
        pyro.sample("x", dist.Normal(y, 1.0), obs=torch.tensor(0.4))

    def guide():
        c = pyro.sample("c", dist.Bernoulli(logits=pyro.param("l", torch.tensor(0.2))))
        pyro.sample("z", distributions.Kumaraswamy(2.0 + c, 1.5))
        pyro.sample("y", distributions.VonMises(0.0, 2.0 + c))

    with_provenance, by_plate = [], []
    for dependency, found in (("provenance", with_provenance), ("plate", by_plate)):
        loss = TraceSwitch_ELBO(dependency=dependency)
        pyro.set_rng_seed(0)
        pyro.clear_param_store()
        loss.loss_and_grads(model, guide)
        found.append(dict(pyro.get_param_store().named_parameters())["l"].grad)
    assert torch.allclose(with_provenance[0], by_plate[0])  # everything depends on c


def test_provenance_has_less_variance_than_plates():
    case = CASES["chain"]
    guide = case.guide(case.model)

    def variance(dependency):
        pyro.set_rng_seed(0)
        pyro.clear_param_store()
        loss = TraceSwitch_ELBO(dependency=dependency)
        draws = []
        guide()
        for _ in range(300):
            parameter = dict(pyro.get_param_store().named_parameters())["c"]
            parameter.grad = None
            loss.loss_and_grads(case.model, guide)
            draws.append(parameter.grad.clone())
        return torch.stack(draws).var()

    assert variance("provenance") < 0.9 * variance("plate")


ESCAPES = {
    "bool": lambda z: bool(z),
    "item": lambda z: z.item(),
    "int": lambda z: int(z),
    "float": lambda z: float(z),
    "tolist": lambda z: z.tolist(),
    "numpy": lambda z: z.numpy(),
    "index": lambda z: [1, 2][z.long()],
    "range": lambda z: len(range(z.long())),
    "contains": lambda z: 1 in z.reshape(1),
    "format": lambda z: f"{z:.1f}",
    "equal": lambda z: torch.equal(z, torch.ones(())),
    "nonzero": lambda z: len(z.reshape(1).nonzero()),
    "after arithmetic": lambda z: (2 * z + 1 > 2).item(),
    "max": lambda z: max(z, torch.zeros(())).item(),
    "setitem": lambda z: torch.zeros(2).__setitem__(0, z),
    "copy_": lambda z: torch.zeros(()).copy_(z),
    "add_": lambda z: torch.zeros(()).add_(z),
    "augmented": lambda z: operator.iadd(torch.zeros(()), z),
    "out": lambda z: torch.add(z, 1.0, out=torch.zeros(())),
    "scatter_": lambda z: torch.zeros(2).scatter_(0, z.long().reshape(1), 1.0),
    "mask": lambda z: torch.ones(1)[z.reshape(1) > 0].shape,
    "where": lambda z: torch.where(z.reshape(1))[0].shape,
    "one_hot": lambda z: torch.nn.functional.one_hot(z.long()),
    "repeat_interleave": lambda z: torch.ones(1).repeat_interleave(z.long()),
    "new_tensor": lambda z: torch.ones(1).new_tensor(z.tolist()),
    "full": lambda z: torch.full((2,), z),
    "new_full": lambda z: torch.ones(1).new_full((2,), z),
    "arange": lambda z: torch.arange(z),
    "zeros": lambda z: torch.zeros(int(z)),
    "select": lambda z: torch.ones(2).select(0, z.long()),
    "roll": lambda z: torch.ones(2).roll(z.long(), 0),
    "alpha": lambda z: torch.ones(2).add(torch.ones(2), alpha=z),
    "vmap": lambda z: torch.func.vmap(torch.sin)(z.reshape(1)),
    "grad": lambda z: torch.func.grad(torch.sin)(z),
}


@pytest.mark.parametrize("escape", ESCAPES.values(), ids=list(ESCAPES))
def test_a_value_that_leaves_torch_is_noticed(escape):
    tracker = TrackScoreSites()
    with tracker:
        z = pyro.sample("z", dist.Bernoulli(0.5))
        assert not tracker.escaped
        escape(z)
    assert {draw.name for draw in tracker.escaped} == {"z"}


CARRIERS = {
    "stack": lambda z: torch.stack([z, torch.ones(())]),
    "cat": lambda z: torch.cat([z.reshape(1), torch.ones(1)]),
    "where": lambda z: torch.where(z > 0, 1.0, 2.0),
    "indexing": lambda z: torch.arange(2.0)[z.long()],
    "einsum": lambda z: torch.einsum("i,i->", z.reshape(1), torch.ones(1)),
    "linear": lambda z: torch.nn.Linear(1, 1).double()(z.reshape(1)),
    "embedding": lambda z: torch.nn.Embedding(2, 3)(z.long()),
    "split": lambda z: torch.stack([z, z]).split(1)[1],
    "detach": lambda z: z.detach(),
    "keyword": lambda z: torch.add(input=torch.ones(()), other=z),
    "in place": lambda z: torch.zeros(2).double().index_fill(0, z.long(), 1.0),
}


@pytest.mark.parametrize("carry", CARRIERS.values(), ids=list(CARRIERS))
def test_operations_carry_the_draw_along(carry):
    with TrackScoreSites():
        z = pyro.sample("z", dist.Bernoulli(0.5))
        carried = carry(z)
    assert {draw.name for draw in get_provenance(carried)} == {"z"}


def test_validation_is_not_an_escape():
    tracker = TrackScoreSites()
    with tracker, pyro.validation_enabled(True):
        z = pyro.sample("z", dist.Bernoulli(0.5))
        pyro.sample("x", dist.Normal(z, 1.0 + z))
    assert not tracker.escaped


def test_a_draw_made_outside_of_pyro_answers_for_everything():
    """A factor without rsample in the guide: the gradient is that of the draw."""
    q = torch.tensor([0.2, 0.5, 0.3])
    values = torch.tensor([0.0, 1.0, 2.0])

    def log_joint(c):
        return dist.Normal(values[c], 1.0).log_prob(torch.tensor(1.5))

    def guide():
        logits = pyro.param("logits", q.log())
        c = int(torch.multinomial(logits.detach().softmax(0), 1))
        pyro.factor("c", logits.log_softmax(0)[c], has_rsample=False)
        chosen.append(c)

    def model():
        pyro.factor("x", log_joint(chosen[-1]))

    chosen: list[int] = []
    pyro.param("logits", q.log())
    logits = q.log().requires_grad_()
    log_q = logits.log_softmax(0)
    loss = (log_q.exp() * (log_q - torch.stack([log_joint(c) for c in range(3)]))).sum()
    (exact,) = torch.autograd.grad(loss, logits)
    draws = []
    elbo = TraceSwitch_ELBO()
    parameter = dict(pyro.get_param_store().named_parameters())["logits"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the guide's factor is not in the model
        for _ in range(3000):
            parameter.grad = None
            elbo.loss_and_grads(model, guide)
            draws.append(parameter.grad.clone())
    stacked = torch.stack(draws)
    error = stacked.std(0) / len(draws) ** 0.5
    assert ((stacked.mean(0) - exact).abs() < 5 * error).all()


class WrittenOutside(dist.TorchDistribution):
    """A density that is not computed by torch operations on its parameters."""

    arg_constraints = {"loc": dist.constraints.real}  # noqa: RUF012
    support = dist.constraints.real

    def __init__(self, loc):
        self.loc = loc
        super().__init__(loc.shape, validate_args=False)

    def log_prob(self, value):
        return torch.tensor(-0.5 * (value.item() - self.loc.item()) ** 2)


def test_a_density_computed_outside_of_torch_depends_on_its_parameters():
    def model():
        z = pyro.sample("z", dist.Bernoulli(0.5))
        pyro.sample("x", WrittenOutside(2 * z), obs=torch.tensor(2.5))

    def guide():
        pyro.sample("z", dist.Bernoulli(logits=pyro.param("l", torch.tensor(0.3))))

    gradients = []
    for dependency in ("provenance", "plate"):
        pyro.set_rng_seed(0)
        pyro.clear_param_store()
        TraceSwitch_ELBO(dependency=dependency).loss_and_grads(model, guide)
        gradients.append(dict(pyro.get_param_store().named_parameters())["l"].grad)
    assert torch.equal(*gradients)


def test_what_an_earlier_run_left_behind_is_a_constant():
    kept = []

    def model():
        z = pyro.sample("z", dist.Bernoulli(0.5))
        kept.append(0.5 * (kept[-1] if kept else 0.0) + z)
        pyro.sample("x", dist.Normal(kept[-1], 1.0), obs=torch.tensor(1.0))

    def guide():
        pyro.sample("z", dist.Bernoulli(logits=pyro.param("l", torch.tensor(0.3))))

    loss = TraceSwitch_ELBO()
    for _ in range(5):
        loss.loss_and_grads(model, guide)
    assert len(get_provenance(kept[-1])) == 1


def test_a_guide_that_turns_to_score_sites_is_right_at_once():
    """Not being watched, the plates decide."""
    turned = []

    def guide():
        loc = pyro.param("loc", torch.tensor(0.3))
        infer = {"estimator": "score"} if turned else {}
        pyro.sample("z", dist.Normal(loc, 1.0), infer=infer)

    def model():
        z = pyro.sample("z", dist.Normal(0.0, 1.0))
        pyro.sample("x", dist.Normal(z, 1.0), obs=torch.tensor(1.0))

    loss, by_plate = TraceSwitch_ELBO(), TraceSwitch_ELBO(dependency="plate")
    loss.loss_and_grads(model, guide)
    turned.append(True)
    gradients = []
    parameter = dict(pyro.get_param_store().named_parameters())["loc"]
    for elbo in (loss, by_plate, loss):
        parameter.grad = None
        pyro.set_rng_seed(0)
        elbo.loss_and_grads(model, guide)
        gradients.append(parameter.grad)
    assert torch.allclose(gradients[0], gradients[1])
    assert torch.allclose(gradients[0], gradients[2])


def test_a_copy_by_torch_tensor_is_noticed():
    tracker = TrackScoreSites()
    with tracker, pytest.warns(UserWarning, match="copy construct"):
        torch.tensor(pyro.sample("z", dist.Bernoulli(0.5)))
    assert len(tracker.escaped) == 1


DOWNSTREAM = {
    "Beta": lambda theta, c: dist.Beta(theta + c, 2.0),
    "Gamma": lambda theta, c: dist.Gamma(theta + c, 2.0),
    "Normal": lambda theta, c: dist.Normal(theta * (c + 1), 1.0),
    "Kumaraswamy": lambda theta, c: distributions.Kumaraswamy(theta + c, 2.0),
    "TruncatedNormal": lambda theta, c: distributions.TruncatedNormal(
        theta + c, 1.0, 0.0, 3.0
    ),
    "GeneralizedPareto": lambda theta, c: distributions.GeneralizedPareto(
        0.0, theta + c, 0.1
    ),
    "VonMises": lambda theta, c: distributions.VonMises(0.0, theta + c),
    "InverseGaussian": lambda theta, c: distributions.InverseGaussian(theta + c, 2.0),
    "MixtureSameFamily": lambda theta, c: distributions.MixtureSameFamily(
        dist.Categorical(torch.ones(2)),
        dist.Normal((theta + c).unsqueeze(-1) * torch.tensor([1.0, -1.0]), 1.0),
    ),
}


@pytest.mark.parametrize("make", DOWNSTREAM.values(), ids=list(DOWNSTREAM))
def test_a_path_downstream_of_a_score_site_keeps_its_gradient(make):
    """Through autograd functions too: as without tracking, where all depends on c."""

    def model():
        c = pyro.sample("c", dist.Bernoulli(0.4))
        p = pyro.sample("p", make(torch.tensor(1.5), c))
        pyro.sample("x", dist.Normal(3 * p * (1 + c), 0.3), obs=torch.tensor(1.0))

    def guide():
        c = pyro.sample("c", dist.Bernoulli(logits=pyro.param("l", torch.tensor(0.2))))
        pyro.sample("p", make(pyro.param("theta", torch.tensor(1.3)), c))

    gradients = []
    for dependency in ("provenance", "plate"):
        pyro.set_rng_seed(0)
        pyro.clear_param_store()
        TraceSwitch_ELBO(dependency=dependency).loss_and_grads(model, guide)
        parameters = dict(pyro.get_param_store().named_parameters())
        gradients.append([parameters[name].grad for name in ("l", "theta")])
    assert gradients[0][1] != 0
    assert all(type(gradient) is torch.Tensor for gradient in gradients[0])
    torch.testing.assert_close(*gradients)
