# SPDX-License-Identifier: Apache-2.0
"""The house: rooms import upwards, files stay small, importing changes nothing."""

import ast
import inspect
import json
import subprocess
import sys
from pathlib import Path

import pytest
from torch.distributions import Distribution

import pyro_reparam_ext
from pyro_reparam_ext import distributions, gradients
from tests.cases import DISTRIBUTIONS, IW_MODELS, MODELS, RELAXED_MODELS

PACKAGE = Path(pyro_reparam_ext.__file__).parent
ROOT = PACKAGE.parent
ROOMS = ["ops", "distributions", "gradients", "infer", "diagnostics", "plotting"]
FILES = sorted(PACKAGE.rglob("*.py"))
SOURCES = [
    f
    for folder in ("pyro_reparam_ext", "tests", "examples", "docs")
    for f in sorted((ROOT / folder).rglob("*.py"))
]


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def imported_rooms(path: Path) -> set[str]:
    """Rooms of the package that a file imports, at any depth."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        modules: list[str] = []
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name(path)} has a relative import"
            modules = [f"{node.module}.{alias.name}" for alias in node.names]
        for module in modules:
            parts = module.split(".")
            if parts[0] == "pyro_reparam_ext" and len(parts) > 1:
                found.add(parts[1])
    return found


@pytest.mark.parametrize("path", FILES, ids=name)
def test_rooms_import_only_rooms_above(path: Path) -> None:
    room = path.relative_to(PACKAGE).parts[0]
    if room in ROOMS:
        allowed = {*ROOMS[: ROOMS.index(room) + 1]}
        assert imported_rooms(path) <= allowed
    elif room == "testing":
        assert imported_rooms(path) <= {*ROOMS, "testing"} - {"plotting"}


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_file_is_short_and_licensed(path: Path) -> None:
    lines = path.read_text().splitlines()
    if lines:
        first = lines[1] if lines[0].startswith("#!") else lines[0]
        assert first == "# SPDX-License-Identifier: Apache-2.0"
    assert len(lines) <= 320, "find its second subject"


def is_concrete(cls: type) -> bool:
    return issubclass(cls, Distribution) and not inspect.isabstract(cls)


def test_every_distribution_is_registered() -> None:
    public = {
        cls
        for cls in (getattr(distributions, n) for n in distributions.__all__)
        if inspect.isclass(cls) and is_concrete(cls)
    }
    registered = {
        type(case.distribution(point))
        for case in DISTRIBUTIONS
        for point in case.points
    }
    missing = {cls.__name__ for cls in public - registered}
    assert not missing, f"add to tests/cases.py: {sorted(missing)}"


def test_registry_names_are_unique() -> None:
    names = [case.name for case in DISTRIBUTIONS]
    assert len(names) == len(set(names))
    models = [case.name for case in [*MODELS, *(r.case for r in RELAXED_MODELS)]]
    assert len(models) == len(set(models)), "exact gradients are kept by name"


IMPORT_CHANGES_NOTHING = """
import json, random, sys
import numpy, pyro, torch
import pyro.distributions, pyro.infer, pyro.optim, pyro.poutine
import torch.distributions
from torch.distributions import kl, transforms

SPACES = [torch, torch.nn, torch.distributions, torch.distributions.Distribution,
          kl, transforms, torch.distributions.constraint_registry.biject_to._registry,
          torch.distributions.constraint_registry.transform_to._registry,
          pyro, pyro.distributions, pyro.distributions.TorchDistribution,
          pyro.distributions.torch_distribution.TorchDistributionMixin,
          pyro.infer, pyro.infer.Trace_ELBO, pyro.poutine, pyro.poutine.runtime]
SPACES += [c for c in vars(torch.distributions).values() if isinstance(c, type)]
SPACES += [c for c in vars(pyro.distributions).values() if isinstance(c, type)]

def attributes():
    spaces = [s if isinstance(s, dict) else vars(s) for s in SPACES]
    return [{k: id(v) for k, v in s.items()} for s in spaces]

def state():
    return [torch.get_rng_state().tolist(), str(random.getstate()),
            str(numpy.random.get_state()), str(torch.get_default_dtype()),
            torch.is_grad_enabled(), torch.get_num_threads(),
            torch.distributions.Distribution._validate_args,
            pyro.settings.get(), list(pyro.get_param_store()),
            len(pyro.poutine.runtime._PYRO_STACK)]

pairs, before, settings = dict(kl._KL_REGISTRY), attributes(), state()
import pyro_reparam_ext
from pyro_reparam_ext import distributions, gradients, infer, ops, testing

def changed(old, new):
    return sorted(str(k) for k in {*old, *new} if old.get(k) != new.get(k))

def ignored(key):  # our own keys in torch's registries, and caches
    return "pyro_reparam_ext." in key or key in ("_KL_MEMOIZE", "_abc_impl")

ours = lambda c: c.__module__.startswith("pyro_reparam_ext")
print(json.dumps({
    "attributes": [[str(s)[:60], c] for s, old, new in zip(SPACES, before, attributes())
                   if (c := [k for k in changed(old, new) if not ignored(k)])],
    "state": settings != state(),
    "kl": [str(k) for k, v in kl._KL_REGISTRY.items()
           if pairs.get(k) is not v and not (ours(k[0]) or ours(k[1]))],
    "matplotlib": "matplotlib" in sys.modules,
    "pytest": "pytest" in sys.modules,
}, default=str))
"""


def test_import_changes_nothing() -> None:
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", IMPORT_CHANGES_NOTHING],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert json.loads(result.stdout) == {
        "attributes": [],
        "state": False,
        "kl": [],
        "matplotlib": False,
        "pytest": False,
    }


def test_every_estimator_has_a_name_and_is_tried_on_models() -> None:
    public = {
        cls
        for cls in (getattr(gradients, n) for n in gradients.__all__)
        if inspect.isclass(cls)
        and issubclass(cls, gradients.GradientEstimator)
        and not inspect.isabstract(cls)
    }
    assert {type(e) for e in gradients.NAMED_ESTIMATORS.values()} == public
    registered = [*MODELS, *IW_MODELS]
    tried = {c.get("estimator") for m in registered for c in m.choices.values()}
    biased_choices = [
        c for m in RELAXED_MODELS for c in [*m.right.values(), *m.wrong.values()]
    ]
    biased_tried = {c.get("estimator") for c in biased_choices}
    named = gradients.NAMED_ESTIMATORS
    assert {n for n, e in named.items() if e.unbiased} <= tried
    assert {n for n, e in named.items() if not e.unbiased} <= biased_tried
