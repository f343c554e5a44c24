# SPDX-License-Identifier: Apache-2.0
"""Writes ``who_has_what.md``: which distributions other libraries have, and in what.

Each library is asked itself, in an interpreter that has it; what is not given keeps
what was last found (``who_has_what.json``). From the root of the repository::

    python docs/who_has_what.py
    python docs/who_has_what.py --numpyro venv1/bin/python --tfp venv2/bin/python
"""

import argparse
import inspect
import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

FOUND = Path(__file__).with_name("who_has_what.json")
PAGE = Path(__file__).with_name("who_has_what.md")
LIBRARIES = {
    "torch": "torch",
    "pyro": "Pyro",
    "numpyro": "NumPyro",
    "tfp": "TFP",
    "scipy": "scipy",
}

# where it goes by another name
NAMES = {
    "LogGamma": {"tfp": "ExpGamma", "scipy": "loggamma"},
    "LKJ": {"torch": "", "scipy": ""},
    "LKJCholesky": {"tfp": "CholeskyLKJ", "scipy": ""},
    "MatrixStudentT": {"tfp": "MatrixTLinearOperator", "scipy": "matrix_t"},
    "MatrixNormal": {"tfp": "MatrixNormalLinearOperator", "scipy": "matrix_normal"},
    "Wishart": {"tfp": "WishartTriL"},
    "WishartCholesky": {"tfp": "WishartTriL", "scipy": ""},
    "VonMisesFisher": {"scipy": "vonmises_fisher"},
    "SphericalUniform": {"scipy": "uniform_direction"},
    "InverseGaussian": {"scipy": "invgauss"},
    "ReciprocalInverseGaussian": {"scipy": "recipinvgauss"},
    "NormalInverseGaussian": {"scipy": "norminvgauss"},
    "GeneralizedPareto": {"scipy": "genpareto"},
    "TruncatedNormal": {"scipy": "truncnorm"},
    "Truncated": {"numpyro": "TruncatedDistribution", "scipy": "truncate"},
    "StudentT": {"scipy": "t"},
    "FisherSnedecor": {"scipy": "f"},
    "InverseGamma": {"scipy": "invgamma"},
    "InverseWishart": {"scipy": "invwishart"},
    "WrappedCauchy": {"scipy": "wrapcauchy"},
    "MixtureSameFamily": {"scipy": "Mixture"},
}

# arguments of those in torch or Pyro that have to be made before they know
EXAMPLES = {"LKJ": (3, 1.0)}


def peers(name: str) -> dict[str, str]:
    """What a distribution is called in each library."""
    default = dict.fromkeys(LIBRARIES, name) | {"scipy": name.lower()}
    return default | NAMES.get(name, {})


def ask_torch(module: Any, name: str) -> str:
    """Of a class of torch or Pyro: ``"yes"``, ``"no path"`` or ``"–"``."""
    cls = getattr(module, name, None)
    if not inspect.isclass(cls):
        return "–"
    asked = cls(*EXAMPLES[name]) if name in EXAMPLES else cls
    return "yes" if asked.has_rsample else "no path"  # a property counts as such


def ask_numpyro(module: Any, name: str) -> str:
    """The parameters that are reparameterized."""
    cls = getattr(module, name, None)
    if cls is None:
        return "–"
    if not inspect.isclass(cls):
        return "yes"  # a function that picks a class
    moved, all_of_them = cls.reparametrized_params, set(cls.arg_constraints)
    if not moved:
        return "no path"
    forms = {"covariance_matrix", "precision_matrix", "scale_tril", "rate_matrix"}
    left = all_of_them - set(moved) - forms
    return "yes" if not left else "but " + ", ".join(f"`{p}`" for p in sorted(left))


def ask_tfp(module: Any, name: str) -> str:
    """By the tags in the source, which instances have only once they are made."""
    cls = getattr(module, name, None)
    if cls is None:
        return "–"
    source = inspect.getsource(cls)
    if "FULLY_REPARAMETERIZED" in source:
        return "yes"
    return "no path" if "NOT_REPARAMETERIZED" in source else "yes"


def ask_scipy(module: Any, name: str) -> str:
    """No gradients there: whether it has the density, or draws only."""
    found = getattr(module, name, None) if name else None
    if found is None:
        return "–"
    makes_one = inspect.isfunction(found)  # of a distribution that has the density
    return "density" if makes_one or hasattr(found, "pdf") else "no path"


MODULES = {
    "torch": ("torch.distributions", ask_torch),
    "pyro": ("pyro.distributions", ask_torch),
    "numpyro": ("numpyro.distributions", ask_numpyro),
    "tfp": ("tensorflow_probability.substrates.jax.distributions", ask_tfp),
    "scipy": ("scipy.stats", ask_scipy),
}


def ask(library: str, names: Iterable[str]) -> dict[str, str]:
    """What this interpreter's copy of a library says of the names."""
    import importlib

    path, question = MODULES[library]
    module = importlib.import_module(path)
    return {name: question(module, peers(name)[library]) for name in names}


def asked(python: str, library: str, names: list[str]) -> dict[str, str] | None:
    """The same of another interpreter; None if it does not have the library."""
    code = (
        f"import sys, json; sys.path.insert(0, {str(PAGE.parent)!r})\n"
        "import who_has_what\n"
        f"print(json.dumps(who_has_what.ask({library!r}, {names!r})))"
    )
    done = subprocess.run(
        [python, "-c", code], capture_output=True, text=True, check=False
    )
    return json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else None


def page(found: dict[str, dict[str, str]]) -> str:
    """The table."""
    lines = [
        "<!-- SPDX-License-Identifier: Apache-2.0 -->",
        "<!-- written by who_has_what.py -->",
        "# Who has what",
        "",
        "Which of the distributions here other libraries have, and whether a gradient",
        "flows through their draws: *yes*, in every parameter; *but*, in all but the",
        "parameters named; *no path*, draws only; *density*, nothing to be",
        "differentiated. Asked of torch 2.13, Pyro 1.9.2, NumPyro 0.22, TFP 0.25 and",
        "scipy 1.17. *Yes* is what a library says of itself; where",
        "its gradient was found wrong or inexact, the page on",
        "[distributions](distributions.md) says so.",
        "",
        "| class | " + " | ".join(LIBRARIES.values()) + " |",
        "|---|" + "---|" * len(LIBRARIES),
    ]
    for name in sorted(found["torch"]):
        cells = " | ".join(found[library].get(name, "–") for library in LIBRARIES)
        lines.append(f"| `{name}` | {cells} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    from pyro_reparam_ext import distributions

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for library in LIBRARIES:
        parser.add_argument(f"--{library}", default=sys.executable)
    pythons = vars(parser.parse_args())
    names = [
        name
        for name in distributions.__all__
        if "arg_constraints" in dir(getattr(distributions, name))
        and not inspect.isabstract(getattr(distributions, name))
    ]
    found = json.loads(FOUND.read_text()) if FOUND.exists() else {}
    for library in LIBRARIES:
        answer = asked(pythons[library], library, names)
        if answer is not None:
            found[library] = answer
    FOUND.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    PAGE.write_text(page(found))


if __name__ == "__main__":
    main()
