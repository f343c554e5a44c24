# SPDX-License-Identifier: Apache-2.0
"""The pages say what the code says. (Their examples are run by ``--doctest-glob``.)"""

import importlib
import inspect
import json
import re
import sys
from pathlib import Path

import pyro.distributions as dist
import pytest
import torch

from pyro_reparam_ext import distributions
from pyro_reparam_ext.gradients import NAMED_ESTIMATORS
from pyro_reparam_ext.testing.law import is_scalar, offers
from tests.cases import DISTRIBUTIONS

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.glob("*.md"))
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *PAGES]
ROOMS = ["distributions", "gradients", "infer", "testing", "ops"]
IN_PROSE = {"NAMED_ESTIMATORS", "DISTRIBUTION_LAWS", "custom"}  # no page of theirs


def tables(page: Path) -> list[list[dict[str, str]]]:
    """The tables of a page: for each a list of rows, from heading to cell."""
    found: list[list[dict[str, str]]] = []
    heading: list[str] | None = None
    for line in [*page.read_text().splitlines(), ""]:
        if not line.startswith("|"):
            heading = None
            continue
        cells = [c.strip() for c in re.split(r"(?<!\\)\|", line)[1:-1]]
        if heading is None:
            heading = cells
            found.append([])
        elif not set("".join(cells)) <= set("-: "):
            assert len(cells) == len(heading), f"{page.name}: {line}"
            found[-1].append(dict(zip(heading, cells, strict=True)))
    return found


def table(page: Path, heading: str) -> dict[str, dict[str, str]]:
    """The first table whose first column is ``heading``, by what that column names."""
    rows = next(t for t in tables(page) if t and next(iter(t[0])) == heading)
    named = [re.search(r'`~?(?:[\w.]*\.)?"?(\w+)"?`', row[heading]) for row in rows]
    assert all(named), f"{page.name}: a row whose {heading} is not in backquotes"
    return {n[1]: row for n, row in zip(named, rows, strict=True) if n is not None}


def concrete() -> set[str]:
    """The names of the public distributions."""
    classes = {n: getattr(distributions, n) for n in distributions.__all__}
    return {
        name
        for name, cls in classes.items()
        if inspect.isclass(cls)
        and issubclass(cls, torch.distributions.Distribution)
        and not inspect.isabstract(cls)
    }


@pytest.mark.parametrize("page", ["docs/choosing_an_estimator.md", "README.md"])
def test_every_named_estimator_has_a_row(page: str) -> None:
    assert set(table(ROOT / page, "name")) == set(NAMED_ESTIMATORS)


@pytest.mark.parametrize("name", list(NAMED_ESTIMATORS))
def test_the_row_is_the_property_sheet(name: str) -> None:
    estimator = NAMED_ESTIMATORS[name]
    row = table(DOCS / "choosing_an_estimator.md", "name")[name]
    assert row["unbiased"] == ("yes" if estimator.unbiased else "no")
    assert int(row["particles"]) == estimator.min_particles
    discrete = estimator.supports(dist.Bernoulli(0.5)) is None
    example = dist.Bernoulli(0.5) if discrete else dist.Normal(0.0, 1.0)
    assert estimator.supports(example) is None
    assert int(row["evaluations"]) == 1 + estimator.extra_evals(example)
    assert (not discrete) == ("`rsample`" in row["requires"])
    words = {"both": {"elbo", "iw"}, "ELBO": {"elbo"}, "IW": {"iw"}}
    assert words[row["objective"]] == estimator.objectives


def test_every_distribution_has_a_row() -> None:
    assert set(table(DOCS / "distributions.md", "class")) == concrete()


def test_every_distribution_states_its_accuracy() -> None:
    last = tables(DOCS / "distributions.md")[-1]
    assert {row["class"].split("`")[1] for row in last} == concrete()


METHODS = {
    "cdf": ["cdf"],
    "icdf": ["icdf"],
    "entropy": ["entropy"],
    "moments": ["mean", "variance"],
    "mode": ["mode"],
    "KL": ["kl_divergence"],
}


@pytest.mark.parametrize(
    "case",
    [case for case in DISTRIBUTIONS if "(" not in case.name],  # one of each class
    ids=lambda case: case.name,
)
def test_the_row_has_the_methods_of_the_class(case) -> None:
    row = table(DOCS / "distributions.md", "class")[case.name]
    cell = row["besides `log_prob` and `rsample`"].replace("circular ", "")
    offered = [word for word, names in METHODS.items() if offers_all(case, names)]
    assert cell.split(", ") == offered


@pytest.mark.parametrize("name", sorted(concrete()))
def test_the_row_has_the_arguments_of_the_class(name: str) -> None:
    row = table(DOCS / "distributions.md", "class")[name]
    arguments = list(inspect.signature(getattr(distributions, name)).parameters)
    assert re.findall(r"`(\w+)`", row["parameters"]) == arguments[:-1]
    assert arguments[-1] == "validate_args"


def offers_all(case, names: list[str]) -> bool:
    return all(offers(case, name) for name in names)


@pytest.mark.parametrize("room", ROOMS)
def test_every_public_name_is_in_the_api(room: str) -> None:
    text = (DOCS / "api.md").read_text()
    module = importlib.import_module(f"pyro_reparam_ext.{room}")
    section = text.split(f"\n## {room}\n")[1].split("\n## ")[0]
    listed = set(re.findall(r"^   (\w+)$", section, re.MULTILINE))
    missing = set(module.__all__) - IN_PROSE - listed
    assert not missing, f"add to docs/api.md: {sorted(missing)}"
    assert all(f"`{name}`" in section for name in IN_PROSE & set(module.__all__))
    unknown = {name for name in listed if not exists(room, name)}
    assert not unknown, f"not in pyro_reparam_ext.{room}: {sorted(unknown)}"


def exists(room: str, name: str) -> bool:
    module = importlib.import_module(f"pyro_reparam_ext.{room}")
    return name in module.__all__ or (Path(module.__path__[0]) / f"{name}.py").exists()


def test_every_page_is_in_one_toctree() -> None:
    listed: list[str] = []
    for page in PAGES:
        for body in re.findall(r"```\{toctree\}\n(.*?)```", page.read_text(), re.S):
            lines = [line.strip() for line in body.splitlines()]
            listed += [line for line in lines if line and not line.startswith(":")]
    expected = {page.stem for page in PAGES} - {"index"} | {"gallery/index"}
    assert len(listed) == len(set(listed)), "a page is in two toctrees"
    assert set(listed) == expected


@pytest.mark.parametrize("page", DOCUMENTS, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.S)
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text):
        if not target.startswith(("http://", "https://", "mailto:")):
            path = page.parent / target
            assert path.exists() or path.with_suffix(".md").exists(), target


@pytest.mark.parametrize("page", DOCUMENTS, ids=lambda page: page.name)
def test_every_example_is_one_that_is_run(page: Path) -> None:
    """Doctests stand in python fences, and end with a blank line before the fence."""
    text = page.read_text()
    fenced = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    examples = [body for body in fenced if body.startswith(">>>")]
    outside = text
    for body in examples:
        assert body.endswith("\n\n"), f"{page.name}: the fence would be output: {body}"
        outside = outside.replace(body, "")
    assert ">>>" not in outside


def test_the_coverage_is_of_every_distribution() -> None:
    found = json.loads((DOCS / "who_has_what.json").read_text())
    assert set(table(DOCS / "who_has_what.md", "class")) == concrete()
    assert all(set(answers) == concrete() for answers in found.values())
    sys.path.insert(0, str(DOCS))
    try:
        import who_has_what
    finally:
        sys.path.remove(str(DOCS))
    assert (DOCS / "who_has_what.md").read_text() == who_has_what.page(found)
    assert who_has_what.ask("torch", found["torch"]) == found["torch"]
    assert who_has_what.ask("pyro", found["pyro"]) == found["pyro"]


def test_every_scalar_family_is_drawn() -> None:
    source = (ROOT / "examples" / "plot_distributions.py").read_text()
    drawn = set(re.findall(r'^    "(\w+)": Panel\(', source, re.MULTILINE))
    scalar = {
        case.name
        for case in DISTRIBUTIONS
        if case.name in concrete() and is_scalar(case, next(iter(case.points)))
    }
    assert drawn == scalar
