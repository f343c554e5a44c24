# SPDX-License-Identifier: Apache-2.0
"""A variational autoencoder whose gradient estimator is a flag
============================================================

What does the reparameterization trick buy? This script trains one network on
handwritten digits and lets you choose how the gradient through the latent variable is
estimated. The model, the guide and the training loop are plain Pyro; the switch is the
``loss`` given to ``SVI``.

    z ~ Normal(0, I),    counts ~ Binomial(levels, logits = decoder(z))

A pixel of these digits counts the inked dots in a block of 16, so the binomial is a
probability of what was measured. (Bernoulli on grey values in [0, 1], often seen, is
not one.) With one dot per pixel it is the Bernoulli of binarized MNIST. To run it::

    python examples/vae.py                            # pathwise, about 20 s
    python examples/vae.py --estimator rloo           # any name the switch knows
    python examples/vae.py --compare                  # three of them in one picture
    python examples/vae.py --fast                     # the step compiled: see the docs
    python examples/vae.py --data mnist --epochs 20
    python examples/vae.py --epochs 400 --resume      # go on from the checkpoint

Expected: a test ELBO above -108 nats per image, against -250 for independent pixels,
with pictures of it in ``out/vae``.
"""  # noqa: D205, D415 (the title of a gallery page)

import argparse
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pyro
import pyro.distributions as dist
import torch
import vae_figures as figures
from checkpoints import Checkpoint
from datasets import DATASETS, Images
from gradient_variance import gradient_variance
from pyro.infer import SVI, Trace_ELBO
from pyro.optim import Adam
from torch import Tensor, nn
from tqdm.auto import tqdm

from pyro_reparam_ext import CompiledSVI, TraceSwitch_ELBO

COMPARED = ("pathwise", "rloo", "score")
EXPECTED_TEST_ELBO = -108.0  # of the default run, in nats per image
BATCH_SIZE = 100
LEARNING_RATE = 1e-3


class VAE(nn.Module):
    """An amortized Gaussian guide (encoder) and a binomial model (decoder)."""

    def __init__(self, images: Images, latent_dim: int, hidden_dim: int = 256) -> None:
        super().__init__()
        pixels = images.train.shape[-1]
        self.levels = images.levels
        self.latent_dim = latent_dim
        self.encoder = nn.Sequential(
            nn.Linear(pixels, hidden_dim),
            nn.Softplus(),
            nn.Linear(hidden_dim, 2 * latent_dim),
        )
        self.decoder = nn.Sequential(
            nn.Linear(latent_dim, hidden_dim),
            nn.Softplus(),
            nn.Linear(hidden_dim, pixels),
        )

    def model(self, counts: Tensor) -> None:
        """p(z) p(counts | z)."""
        pyro.module("decoder", self.decoder)
        prior = dist.Normal(torch.zeros(self.latent_dim), 1.0).to_event(1)
        with pyro.plate("images", len(counts)):
            z = pyro.sample("z", prior)
            likelihood = dist.Binomial(self.levels, logits=self.decoder(z))
            pyro.sample("counts", likelihood.to_event(1), obs=counts)

    def guide(self, counts: Tensor) -> None:
        """q(z | counts)."""
        pyro.module("encoder", self.encoder)
        with pyro.plate("images", len(counts)):
            loc, scale = self.encode(counts)
            pyro.sample("z", dist.Normal(loc, scale).to_event(1))

    def encode(self, counts: Tensor) -> tuple[Tensor, Tensor]:
        """Location and scale of q(z | counts)."""
        loc, raw_scale = self.encoder(counts / self.levels).chunk(2, dim=-1)
        return loc, nn.functional.softplus(raw_scale)

    def decode(self, z: Tensor) -> Tensor:
        """Expected intensity of each pixel, in [0, 1]."""
        return self.decoder(z).sigmoid()


def make_elbo(estimator: str, num_particles: int) -> TraceSwitch_ELBO:
    # The plate nesting is stated because finding it out costs draws, and a resumed run
    # must make the same draws as an uninterrupted one.
    return TraceSwitch_ELBO(
        estimator,
        num_particles=num_particles,
        vectorize_particles=True,
        max_plate_nesting=1,
    )


def evaluate(vae: VAE, counts: Tensor, num_particles: int = 16) -> float:
    """ELBO in nats per image, the same draws each time, training draws untouched."""
    elbo = Trace_ELBO(num_particles, vectorize_particles=True, max_plate_nesting=1)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        batches = counts.split(BATCH_SIZE)
        loss = sum(elbo.loss(vae.model, vae.guide, batch) for batch in batches)
    return -loss / len(counts)


def train(
    vae: VAE,
    images: Images,
    elbo: TraceSwitch_ELBO,
    epochs: int,
    checkpoint: Checkpoint,
    resume: bool = False,
    after_epoch: Callable[[int, VAE], None] | None = None,
    fast: bool = False,
) -> list[dict]:
    """Maximize the ELBO; one record per epoch, in nats per image."""
    pyro.clear_param_store()  # else pyro.module finds an earlier network's weights
    optim = Adam({"lr": LEARNING_RATE})
    svi = (CompiledSVI if fast else SVI)(vae.model, vae.guide, optim, loss=elbo)
    history: list[dict] = []
    if resume:
        history = checkpoint.load(vae, optim, elbo)
    else:
        checkpoint.save(vae, optim, elbo, history)
    steps = math.ceil(len(images.train) / BATCH_SIZE)

    with tqdm(total=epochs * steps, initial=len(history) * steps) as progress:
        for epoch in range(len(history) + 1, epochs + 1):
            loss, seen = 0.0, 0
            order = torch.randperm(len(images.train))
            for batch in images.train[order].split(BATCH_SIZE):
                loss += svi.step(batch)
                seen += len(batch)
                progress.set_postfix_str(f"ELBO {-loss / seen:.1f}", refresh=False)
                progress.update()

            test_elbo = evaluate(vae, images.test)
            history.append(
                {"epoch": epoch, "train_elbo": -loss / seen, "test_elbo": test_elbo}
            )
            progress.set_description_str(f"epoch {epoch}, test ELBO {test_elbo:.1f}")
            checkpoint.save(vae, optim, elbo, history)
            if after_epoch is not None:
                after_epoch(epoch, vae)
    return history


@dataclass(frozen=True)
class Run:
    """A trained network, its learning curve and its final test ELBO."""

    vae: VAE
    history: list[dict]
    test_elbo: float


@dataclass(frozen=True)
class Comparison:
    """One run per estimator, and their gradient variances at common weights."""

    runs: dict[str, Run]
    variances: dict[str, list[tuple[int, float]]]


def compare(images: Images, args: argparse.Namespace) -> Comparison:
    """The same network, weights, batches and particles under several estimators.

    The variances belong to the weights along the first estimator's run, so that
    nothing but the estimator differs.
    """
    elbos = {name: make_elbo(name, args.num_particles) for name in COMPARED}
    variances: dict[str, list[tuple[int, float]]] = {name: [] for name in COMPARED}
    batch = images.train[:BATCH_SIZE]

    def measure(epoch: int, vae: VAE) -> None:
        if epoch % max(1, args.epochs // 20) == 0:
            for name, elbo in elbos.items():
                variance = gradient_variance(
                    elbo, vae.model, vae.guide, batch, vae.encoder, args.num_draws
                )
                variances[name].append((epoch, variance))

    runs = {}
    for name in COMPARED:
        print(f"Training with {name}")
        pyro.set_rng_seed(args.seed)
        vae = VAE(images, args.latent_dim)
        if name == COMPARED[0]:
            measure(0, vae)
        history = train(
            vae,
            images,
            make_elbo(name, args.num_particles),
            args.epochs,
            Checkpoint(args.out / f"{name}.pt", settings_of(args)),
            after_epoch=measure if name == COMPARED[0] else None,
        )
        test_elbo = evaluate(vae, images.test, args.test_particles)
        print(f"{name}: test ELBO {test_elbo:.2f} nats per image")
        runs[name] = Run(vae, history, test_elbo)
    return Comparison(runs, variances)


def settings_of(args: argparse.Namespace) -> dict:
    """What shapes a run, except its length: what --resume must agree on."""
    names = ("data", "estimator", "num_particles", "latent_dim", "seed", "smoke")
    return {name: getattr(args, name) for name in names}


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--estimator", default="pathwise", help="of the gradient (%(default)s)")
    add("--num-particles", type=int, default=4, help="draws per image (%(default)s)")
    add("--epochs", type=int, help="in total, also when resuming (200)")
    add("--seed", type=int, default=0, help="of weights, batches and draws")
    add("--latent-dim", type=int, default=8, help="(%(default)s)")
    add("--data", choices=DATASETS, default="digits", help="(%(default)s)")
    add("--out", type=Path, default=Path("out/vae"), help="folder (%(default)s)")
    add("--resume", action="store_true", help="continue from the checkpoint in --out")
    add("--fast", action="store_true", help="record the step once, and compile it")
    add("--compare", action="store_true", help=f"train with {', '.join(COMPARED)}")
    add("--smoke", action="store_true", help="a few seconds: few images, few epochs")
    args = parser.parse_args(argv)

    if args.epochs is None:
        args.epochs = 2 if args.smoke else 200
    for flag in ("num_particles", "epochs", "latent_dim"):
        if getattr(args, flag) < 1:
            parser.error(
                f"--{flag.replace('_', '-')}: expected a positive integer, "
                f"found {getattr(args, flag)}."
            )
    if args.compare and args.resume:
        parser.error("--compare always starts anew: leave out --resume.")
    args.num_draws = 8 if args.smoke else 64
    args.test_particles = 16 if args.smoke else 256
    return args


def check_estimators(images: Images, args: argparse.Namespace) -> None:
    """Try one image, so that an unfit estimator is named before anything is written."""
    vae = VAE(images, args.latent_dim)
    for name in COMPARED if args.compare else (args.estimator,):
        try:
            elbo = make_elbo(name, args.num_particles)
            elbo.differentiable_loss(vae.model, vae.guide, images.train[:1])
        except ValueError as error:
            sys.exit(f"--estimator {name}: {error}")


def main(argv: list[str] | None = None) -> Run | Comparison:
    args = parse(argv)
    images = DATASETS[args.data]()
    if args.smoke:
        images = images.head(num_train=500, num_test=100)
    check_estimators(images, args)
    args.out.mkdir(parents=True, exist_ok=True)
    if args.compare:
        comparison = compare(images, args)
        figures.comparison(comparison, images, args.out / "compare.png")
        return comparison

    pyro.set_rng_seed(args.seed)
    vae = VAE(images, args.latent_dim)
    elbo = make_elbo(args.estimator, args.num_particles)
    checkpoint = Checkpoint(args.out / "checkpoint.pt", settings_of(args))
    try:
        history = train(
            vae, images, elbo, args.epochs, checkpoint, args.resume, fast=args.fast
        )
    except KeyboardInterrupt:
        sys.exit(f"Interrupted: --resume goes on from {checkpoint.path}.")
    test_elbo = evaluate(vae, images.test, args.test_particles)
    print(f"test ELBO {test_elbo:.2f} nats per image; pictures in {args.out}")

    figures.curves(history, images, args.out / "curves.png")
    figures.reconstructions(vae, images, args.out / "reconstructions.png")
    figures.prior_samples(vae, images, args.out / "samples.png")
    figures.latent_space(vae, images, args.out / "latent.png")

    default = parse([])
    if settings_of(args) == settings_of(default) and args.epochs >= default.epochs:
        assert test_elbo > EXPECTED_TEST_ELBO
    return Run(vae, history, test_elbo)


if __name__ == "__main__":
    torch.set_num_threads(1)  # matrices this small gain nothing from a second core
    main()
