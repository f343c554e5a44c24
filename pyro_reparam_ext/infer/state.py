# SPDX-License-Identifier: Apache-2.0
"""What estimators remember between steps."""

from collections.abc import Iterator, Mapping
from itertools import count
from typing import Any
from urllib.parse import quote, unquote

import pyro
from torch import nn

from pyro_reparam_ext.gradients import NeuralBaseline, SiteState


class EstimatorState(nn.Module):
    """Averages and coefficients that estimators keep, by site.

    Part of ``state_dict`` and moved by ``.to``. In evaluation mode it is read but not
    updated. Sites appear as they are first needed, and as a ``state_dict`` has them.
    """

    def __init__(self) -> None:
        super().__init__()
        self.sites = nn.ModuleDict()

    def of(self, site: str) -> SiteState:
        """The state of a site, empty at first."""
        # a site may be called "type" or "a.b", a module may not
        key = "@" + quote(site, safe="").replace(".", "%2E")
        if key not in self.sites:
            self.sites[key] = SiteState().train(self.training)
        state = self.sites[key]
        assert isinstance(state, SiteState)
        return state

    def items(self) -> Iterator[tuple[str, SiteState]]:
        """The sites, by name, and their states."""
        for key, state in self.sites.items():
            assert isinstance(state, SiteState)
            yield unquote(key.removeprefix("@")), state

    def adopt(self, estimators: Mapping[str, Any]) -> None:
        """Take in the networks of named sites, before there is a state to load."""
        for site, estimator in estimators.items():
            baseline = getattr(estimator, "baseline", None)
            if isinstance(baseline, NeuralBaseline) and not set("*?[") & set(site):
                self.of(site).add_module("baseline", baseline.network)

    def register_networks(self) -> None:
        """Show the networks to Pyro's parameter store, and so to who optimizes it."""
        store = pyro.get_param_store()
        for site, state in self.items():
            for child, network in state.named_children():
                for number in count(1):  # another loss may have one for the same site
                    name = f"{child} of {site}" + (f" ({number})" if number > 1 else "")
                    held = [(f"{name}$$${n}", p) for n, p in network.named_parameters()]
                    if all(n not in store or store[n] is p for n, p in held):
                        break
                pyro.module(name, network)

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        # networks stay, and are loaded by what follows; averages that are not in the
        # state_dict start afresh
        networks = {name: dict(state.named_children()) for name, state in self.items()}
        self.sites = nn.ModuleDict()
        for site, modules in networks.items():
            for name, module in modules.items():
                self.of(site).add_module(name, module)
        start = f"{prefix}sites.@"
        for key, value in state_dict.items():
            site, _, name = key.removeprefix(start).partition(".")
            if key.startswith(start) and name and "." not in name:
                self.of(unquote(site)).scalar(name, value)
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)
