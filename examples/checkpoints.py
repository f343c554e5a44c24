# SPDX-License-Identifier: Apache-2.0
"""Checkpoints of an SVI run, from which it continues bit for bit."""

import os
from dataclasses import dataclass
from pathlib import Path

import torch
from pyro.infer import ELBO
from pyro.optim import PyroOptim
from torch import nn


@dataclass(frozen=True)
class Checkpoint:
    """A file with everything the next step depends on.

    Args:
        path: Where it is written; only ever a whole checkpoint, because each is
            written beside and renamed into place.
        settings: What shapes the run, by flag; a run resumes under the same only.
    """

    path: Path
    settings: dict

    def save(
        self, network: nn.Module, optim: PyroOptim, elbo: ELBO, history: list[dict]
    ) -> None:
        """Write weights, optimizer, estimator, random state and history."""
        state = {
            "settings": self.settings,
            "history": history,
            "network": network.state_dict(),
            "optim": optim.get_state(),
            "estimator": elbo.state.state_dict(),
            "rng": torch.get_rng_state(),
        }
        partial = self.path.with_suffix(".partial")
        torch.save(state, partial)
        os.replace(partial, self.path)

    def load(self, network: nn.Module, optim: PyroOptim, elbo: ELBO) -> list[dict]:
        """Put everything back where ``save`` found it; returns the history."""
        if not self.path.exists():
            raise SystemExit(
                f"--resume: expected a checkpoint at {self.path}, found none. "
                "Run without --resume first, or name its folder with --out."
            )
        state = torch.load(self.path, weights_only=True)
        for name, value in self.settings.items():
            written = state["settings"].get(name)
            if written != value:
                raise SystemExit(
                    f"--resume: expected {name}={written}, with which {self.path} was "
                    f"written, found {name}={value}. Use the same settings, or leave "
                    "out --resume to start anew."
                )
        network.load_state_dict(state["network"])
        optim.set_state(state["optim"])
        elbo.state.load_state_dict(state["estimator"])
        torch.set_rng_state(state["rng"])
        return state["history"]
