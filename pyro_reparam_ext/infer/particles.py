# SPDX-License-Identifier: Apache-2.0
"""Particles that are drawn side by side, in the outermost plate of a run."""

from dataclasses import replace
from typing import Any

from pyro_reparam_ext.gradients import name_of
from pyro_reparam_ext.gradients.path import CoupledPathEstimator

PARTICLES = "num_particles_vectorized"  # Pyro's name for the plate


def with_particles(
    estimator: CoupledPathEstimator, msg: Any, num_particles: int, in_one_run: bool
) -> CoupledPathEstimator:
    """The estimator as it draws at a site: coupled noise only in the particles' plate.

    Args:
        estimator: With coupled noise or independent one.
        msg: The message of the site.
        num_particles: Of the loss.
        in_one_run: Whether they are all drawn in one run.

    Raises:
        ValueError: the particles cannot be coupled.
    """
    if estimator.noise == "iid":
        return estimator
    where = f"Site {msg['name']!r}: {name_of(estimator)}"
    if not in_one_run:
        raise ValueError(
            f"{where} couples particles that are drawn in one run, but the loss draws "
            "each in its own. Say vectorize_particles=True and num_particles=2 or "
            "more, or noise='iid'."
        )
    if estimator.noise == "antithetic" and num_particles % 2:
        raise ValueError(
            f"{where} needs an even number of particles; found {num_particles}. "
            f"Say num_particles={num_particles + 1}, or noise='sobol'."
        )
    batch_shape = msg["fn"].batch_shape
    frames = [f for f in msg["cond_indep_stack"] if f.name == PARTICLES]
    if not frames or len(batch_shape) > -frames[0].dim:
        # a run to look at shapes, or one with a plate around that of the particles
        return replace(estimator, noise="iid")
    if len(batch_shape) < -frames[0].dim or batch_shape[0] != num_particles:
        raise ValueError(
            f"{where} expected {num_particles} particles on the left of the batch "
            f"shape; found {tuple(batch_shape)}. Say noise='iid' for this site."
        )
    return estimator
