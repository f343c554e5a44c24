# SPDX-License-Identifier: Apache-2.0
"""The example people run first: its claim, its checkpoints, its measurements."""

import re
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.infer import Trace_ELBO
from torch import nn

from pyro_reparam_ext import TraceSwitch_ELBO

sys.path.insert(0, str(Path(__file__).parents[1] / "examples"))

import datasets
import vae
import vae_figures
from checkpoints import Checkpoint
from gradient_variance import gradient_variance
from vae_figures import latent_space  # the function itself: see _no_pictures


@pytest.fixture(autouse=True)
def _own_param_store():
    with pyro.get_param_store().scope():
        yield


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    """As the script itself runs."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def _no_pictures(monkeypatch):
    """Most of a smoke run is drawing; tests/test_examples.py looks after that."""
    pictures = ("curves", "reconstructions", "prior_samples", "latent_space")
    for name in (*pictures, "comparison"):
        monkeypatch.setattr(vae_figures, name, lambda *_: None)


@pytest.fixture(scope="module")
def images():
    return datasets.digits().head(num_train=500, num_test=100)


class StockELBO(Trace_ELBO):
    """Pyro's loss, with an empty state for the checkpoint."""

    state = nn.Module()


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_no_lower_than_stock_pyro(images, tmp_path, seed):
    test_elbos = []
    for loss in (TraceSwitch_ELBO, StockELBO):
        elbo = loss(num_particles=4, vectorize_particles=True, max_plate_nesting=1)
        pyro.set_rng_seed(seed)
        network = vae.VAE(images, latent_dim=8)
        checkpoint = Checkpoint(tmp_path / "checkpoint.pt", {})
        vae.train(network, images, elbo, 4, checkpoint)
        test_elbos.append(vae.evaluate(network, images.test))
    switch, stock = test_elbos
    # The same draws and the same gradients: float32 rounding over 20 steps remains.
    assert switch == pytest.approx(stock, abs=0.01)


def smoke(out, *arguments):
    return vae.main(["--smoke", "--out", str(out), *arguments])


def state_of(out):
    return torch.load(out / "checkpoint.pt", weights_only=True)


def assert_same(left, right):
    """Equal bit for bit, tensors inside included."""
    assert type(left) is type(right)
    if isinstance(left, torch.Tensor):
        assert torch.equal(left, right)
    elif isinstance(left, dict):
        assert left.keys() == right.keys()
        for key in left:
            assert_same(left[key], right[key])
    elif isinstance(left, list):
        assert len(left) == len(right)
        for one, other in zip(left, right, strict=True):
            assert_same(one, other)
    else:
        assert left == right


@pytest.mark.parametrize("estimator", ["pathwise", "rloo", "ema"])
def test_resumed_run_equals_uninterrupted_run(tmp_path, estimator):
    whole = smoke(tmp_path / "whole", "--estimator", estimator, "--epochs", "4")
    smoke(tmp_path / "parts", "--estimator", estimator, "--epochs", "2")
    parts = smoke(
        tmp_path / "parts", "--estimator", estimator, "--epochs", "4", "--resume"
    )
    assert whole.history == parts.history
    assert whole.test_elbo == parts.test_elbo
    assert_same(state_of(tmp_path / "whole"), state_of(tmp_path / "parts"))


@pytest.mark.slow
def test_compiled_run_is_the_same(tmp_path):
    plain = smoke(tmp_path / "plain")
    fast = smoke(tmp_path / "fast", "--fast")
    assert fast.test_elbo == pytest.approx(plain.test_elbo, abs=0.01)


def test_resuming_a_finished_run_changes_nothing(tmp_path):
    first = smoke(tmp_path)
    before = state_of(tmp_path)
    again = smoke(tmp_path, "--resume")
    assert first.history == again.history
    assert first.test_elbo == again.test_elbo
    assert_same(before, state_of(tmp_path))


@pytest.mark.parametrize("step", [0, 7])  # in the first epoch, in the second
def test_interrupted_run_resumes(tmp_path, monkeypatch, step):
    whole = smoke(tmp_path / "whole", "--epochs", "3")

    steps = iter(range(100))

    class Interrupted(vae.SVI):
        def step(self, *args):
            if next(steps) == step:
                raise KeyboardInterrupt
            return super().step(*args)

    with monkeypatch.context() as patch:
        patch.setattr(vae, "SVI", Interrupted)
        with pytest.raises(SystemExit, match="--resume goes on from"):
            smoke(tmp_path / "parts", "--epochs", "3")
    parts = smoke(tmp_path / "parts", "--epochs", "3", "--resume")
    assert whole.history == parts.history
    assert_same(state_of(tmp_path / "whole"), state_of(tmp_path / "parts"))


def test_failed_write_keeps_the_checkpoint(tmp_path, monkeypatch):
    smoke(tmp_path)
    before = state_of(tmp_path)

    def broken_save(state, path):
        Path(path).write_bytes(b"half")
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", broken_save)
        with pytest.raises(OSError, match="disk full"):
            smoke(tmp_path, "--epochs", "3", "--resume")
    assert_same(before, state_of(tmp_path))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--estimator", "rloo", "--num-particles", "1"], "rloo"),
        (["--estimator", "reinforce"], "unknown estimator 'reinforce'"),
        (["--latent-dim", "0"], "--latent-dim: expected a positive integer, found 0"),
        (["--num-particles", "0"], "--num-particles: expected a positive integer"),
        (["--epochs", "-1"], "--epochs: expected a positive integer, found -1"),
        (["--compare", "--resume"], "leave out --resume"),
        (["--resume"], "expected a checkpoint at .*checkpoint.pt, found none"),
    ],
    ids=" ".join,
)
def test_bad_flags_are_named(tmp_path, capsys, arguments, message):
    with pytest.raises(SystemExit) as caught:
        smoke(tmp_path, *arguments)
    said = capsys.readouterr().err + str(caught.value)
    assert re.search(message, said), said
    assert not (tmp_path / "checkpoint.pt").exists()


@pytest.mark.parametrize(
    "other", [["--seed", "1"], ["--latent-dim", "2"], ["--estimator", "score"]]
)
def test_resume_needs_the_same_settings(tmp_path, other):
    smoke(tmp_path)
    before = state_of(tmp_path)
    with pytest.raises(SystemExit, match=f"expected {other[0][2:].replace('-', '_')}="):
        smoke(tmp_path, *other, "--resume")
    assert_same(before, state_of(tmp_path))


def test_evaluation_leaves_the_training_draws_alone(images):
    network = vae.VAE(images, latent_dim=2)
    pyro.set_rng_seed(3)
    expected = torch.rand(5)
    pyro.set_rng_seed(3)
    first = vae.evaluate(network, images.test)
    assert torch.equal(torch.rand(5), expected)
    assert vae.evaluate(network, images.test) == first


def test_gradient_variance_of_a_known_gradient():
    """∂/∂m (log q − log p) = m + ε along the path, of variance 1 in each dimension."""
    dim, num_draws = 3, 2000

    class Guide(nn.Module):
        def __init__(self):
            super().__init__()
            self.loc = nn.Parameter(torch.ones(dim))

        def forward(self, batch):
            pyro.module("guide", self)
            pyro.sample("z", dist.Normal(self.loc, 1.0).to_event(1))

    def model(batch):
        pyro.sample("z", dist.Normal(torch.zeros(dim), 1.0).to_event(1))

    guide = Guide()
    pyro.set_rng_seed(5)
    expected_draw = torch.rand(1)
    pyro.set_rng_seed(5)
    for batch_size in (1, 10):  # per image: the gradient is divided by the batch size
        variance = gradient_variance(
            TraceSwitch_ELBO("pathwise"),
            model,
            guide,
            torch.zeros(batch_size),
            guide,
            num_draws,
        )
        # A sample variance of N normal draws has standard error sqrt(2 / (N - 1)).
        five_sigma = 5 * (2 * dim / (num_draws - 1)) ** 0.5
        assert variance * batch_size**2 == pytest.approx(dim, abs=five_sigma)
    assert guide.loc.grad is None
    assert torch.equal(torch.rand(1), expected_draw)


def test_comparison_orders_the_variances(tmp_path):
    comparison = smoke(tmp_path, "--compare")
    starts = []
    for name in vae.COMPARED:
        points = comparison.variances[name]
        assert [epoch for epoch, _ in points] == [0, 1, 2]
        starts.append(points[0][1])
    # Each step is a factor of ten or more here, far beyond the error of eight draws.
    assert 3 * starts[0] < starts[1] < starts[2] / 3


def test_comparison_does_not_change_the_run(tmp_path):
    alone = smoke(tmp_path / "alone")
    compared = smoke(tmp_path / "compared", "--compare")
    assert compared.runs["pathwise"].history == alone.history


@pytest.mark.parametrize("latent_dim", [1, 2, 3])
def test_latent_space_is_drawn_in_any_dimension(images, tmp_path, latent_dim):
    latent_space(vae.VAE(images, latent_dim), images, tmp_path / "latent.png")
    assert (tmp_path / "latent.png").stat().st_size > 5_000


def test_digits_are_counts_with_a_fixed_split():
    pyro.set_rng_seed(0)
    first = datasets.digits()
    pyro.set_rng_seed(1)
    second = datasets.digits()
    assert torch.equal(first.test, second.test)
    assert (len(first.train), len(first.test)) == (1500, 297)
    everything = torch.cat([first.train, first.test])
    assert torch.equal(everything, everything.round())
    assert everything.min() == 0
    assert everything.max() == first.levels
    # The two splits together are the data set, each image once.
    whole = torch.tensor(datasets.load_digits().data, dtype=torch.float32)
    assert sorted(everything.tolist()) == sorted(whole.tolist())


def test_mnist_is_binarized_once(monkeypatch):
    grey = np.repeat(np.array([[0], [255], [128]] * 100, dtype=np.int64), 784, axis=1)
    labels = np.array(["7"] * len(grey), dtype=object)
    data = SimpleNamespace(data=grey, target=labels)
    monkeypatch.setattr(datasets, "fetch_openml", lambda *_, **__: data)
    first, second = datasets.mnist(num_test=60), datasets.mnist(num_test=60)
    assert torch.equal(first.train, second.train)
    assert first.levels == 1
    assert (len(first.train), len(first.test)) == (240, 60)
    assert set(first.train.unique().tolist()) == {0.0, 1.0}
    means = first.train.reshape(-1, 3, 784).mean((0, 2))
    assert means[0] == 0
    assert means[1] == 1
    # 80 images of 784 pixels: 5σ is 5 · 0.5 / sqrt(62720) < 0.01.
    assert means[2] == pytest.approx(128 / 255, abs=0.01)


def test_mnist_without_network_says_what_to_do(monkeypatch):
    def no_network(*args, **kwargs):
        raise OSError("Name or service not known")

    monkeypatch.setattr(datasets, "fetch_openml", no_network)
    with pytest.raises(SystemExit, match=r"openml\.org.*--data digits"):
        datasets.mnist()
