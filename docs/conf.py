"""Sphinx's settings: `python -m sphinx -W --keep-going -b html docs docs/_build/html` builds the site."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

import command_line

from fastnet import __version__
from fastnet.kernels import formulas

project = "fastnet"
author = "the fastnet developers"
release = version = __version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "myst_parser",
    "live_pages",
    "public_members",
]
exclude_patterns = ["_build", "_ext", "_templates", "_generated"]
templates_path = ["_templates"]
default_role = "literal"  # a docstring's `name` is code

myst_enable_extensions = ["substitution"]
myst_heading_anchors = 3
myst_substitutions = {"command_line": command_line.markdown(), "formulas": formulas.markdown()}

autosummary_generate = True
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
ALIASES = ("Array", "ArrayLike", "DTypeLike", "Floats", "Ints", "PathLike", "Rows")
autodoc_type_aliases = dict(zip(ALIASES, ALIASES, strict=True))  # signatures show these names
autodoc_preserve_defaults = True
maximum_signature_line_length = 88
python_use_unqualified_type_names = True
numpydoc_show_class_members = False  # the class template lists the members

html_theme = "pydata_sphinx_theme"
html_title = "fastnet"
html_show_sourcelink = False
html_copy_source = False
html_static_path = ["_static"]
html_css_files = ["pages.css"]
html_theme_options = {"navigation_with_keys": False, "show_prev_next": True, "secondary_sidebar_items": ["page-toc"]}
html_sidebars = {page.stem: [] for page in Path(__file__).parent.glob("*.md")}  # pages in folders keep their sidebar
