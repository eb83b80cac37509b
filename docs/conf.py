"""The documentation site, built by Sphinx: the docstrings are reStructuredText, and one strict build checks every link.

`make docs-check` puts the pages, the executed notebooks and the changes side by side in build/docs, and builds there.
"""

from __future__ import annotations

import re
from typing import Any

from emreel import __version__

project, author, release = "emreel", "The emreel developers", __version__
project_copyright = "The emreel developers, GPL-3.0-or-later"
extensions = ["sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode", "myst_nb"]
html_theme = "furo"
html_title = f"emreel {__version__}"
html_show_sphinx = False
default_role = "code"
add_module_names = False
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "show-inheritance": False}
napoleon_use_ivar = True
napoleon_use_rtype = False
myst_heading_anchors = 3
nb_execution_mode = "off"  # they are executed before
nb_merge_streams = True


def plain_words(app: object, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Docstrings are written to be read as they are: bars are no substitutions, and each ``name : meaning`` is a
    paragraph of its own."""
    told: list[str] = []
    for line in lines:
        if re.match(r"\s*[\w`, ]+ : \S", line) and told and told[-1].strip():
            told.append("")
        odd_even = line.split("`")
        odd_even[::2] = [part.replace("|", r"\|") for part in odd_even[::2]]
        told.append(line if line.lstrip().startswith((">>>", "...")) else "`".join(odd_even))
    lines[:] = told


def setup(app: Any) -> None:
    app.connect("autodoc-process-docstring", plain_words, priority=600)
