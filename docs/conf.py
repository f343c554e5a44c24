# SPDX-License-Identifier: Apache-2.0
"""Sphinx: furo, MyST, autosummary and sphinx-gallery. Builds without a network."""

import os
from pathlib import Path

os.environ.setdefault("MPLBACKEND", "agg")

import pyro_reparam_ext

project = "pyro_reparam_ext"
author = "The pyro_reparam_ext authors"
copyright = author
version = release = pyro_reparam_ext.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx.ext.mathjax",
    "sphinx.ext.viewcode",
    "sphinx_gallery.gen_gallery",
]
templates_path = ["_templates"]
exclude_patterns = ["_build"]

html_theme = "furo"
html_title = "pyro_reparam_ext"
html_show_copyright = False
html_show_sphinx = False

myst_enable_extensions = ["amsmath", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

autosummary_generate = True
autosummary_ignore_module_all = False
autodoc_typehints = "none"  # the signature and the Args section have the types
autodoc_member_order = "bysource"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False
python_display_short_literal_types = True

sphinx_gallery_conf = {
    "examples_dirs": [str(Path(__file__).parents[1] / "examples")],
    "gallery_dirs": ["gallery"],
    # shown: plot_*.py and vae.py; the other files are modules beside them
    "ignore_pattern": r"^(?!plot_.*\.py$|vae\.py$)",
    "filename_pattern": r"/plot_",  # run
    "abort_on_example_error": True,
    "download_all_examples": False,
    "remove_config_comments": True,
    "show_memory": False,
    "write_computation_times": False,
}
