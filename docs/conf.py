"""The documentation site: `make docs`. Nothing is loaded from a network, neither to build nor to view it."""

from __future__ import annotations

import dsncodec

project = "dsncodec"
author = "the dsncodec authors"
copyright = "the dsncodec authors, Apache-2.0"
release = version = dsncodec.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"dsncodec {release}"
html_copy_source = False

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
# pages link to files of the repository that are no pages, and decisions name headings of each other
suppress_warnings = ["myst.xref_missing", "myst.header", "misc.highlighting_failure"]

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_type_aliases = {"ImageLike": "ImageLike", "Source": "Source"}
napoleon_google_docstring = True
