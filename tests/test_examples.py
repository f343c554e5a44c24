# SPDX-License-Identifier: Apache-2.0
"""Every example runs, from its own command line, in its smoke size."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"

# What each script is run with; every script in or below examples/ needs an entry.
SCRIPTS = {
    "benchmarks/adaptive.py": [[]],
    "benchmarks/distributions.py": [[]],
    "benchmarks/estimators.py": [[]],
    "benchmarks/overhead.py": [[]],
    "benchmarks/svi_scaling.py": [[]],
    "benchmarks/svi_step.py": [[]],
    "cone.py": [[]],
    "plot_distributions.py": [[]],
    "plot_transports.py": [[]],
    "vae.py": [[], ["--compare"]],
}


def scripts() -> set[str]:
    """Files that are run; the others are modules beside them."""
    main = 'if __name__ == "__main__":'
    return {
        path.relative_to(EXAMPLES).as_posix()
        for path in EXAMPLES.rglob("*.py")
        if main in path.read_text()
    }


def test_every_script_is_registered():
    assert scripts() == set(SCRIPTS)


@pytest.mark.parametrize(
    ("script", "arguments"),
    [(script, arguments) for script, runs in SCRIPTS.items() for arguments in runs],
    ids=lambda value: " ".join(value) if isinstance(value, list) else value,
)
def test_script_runs_from_anywhere(script, arguments, tmp_path):
    out = tmp_path / "out"
    command = [EXAMPLES / script, *arguments, "--smoke", "--out", out]
    done = subprocess.run(
        [sys.executable, *command],
        cwd=tmp_path,  # not the repository root
        env=os.environ | {"MPLBACKEND": "agg"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    pictures = list(out.glob("*.png"))
    assert pictures
    assert all(picture.stat().st_size > 5_000 for picture in pictures)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
