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


TERM = re.compile(r"(\s*)([\w`., \[\]]+?) : (\S.*)")


def part_words(app: object, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Docstrings say ``name : meaning`` in one line, in sections and in plain text: for Sphinx these become terms."""
    told: list[str] = []
    for line in lines:
        term = TERM.fullmatch(line)
        if (
            term
            and term[2].count("`") % 2 == 0
            and ". " not in term[2]
            and not line.lstrip().startswith(">>>")
            and not line.startswith("    " * 3)
        ):
            if told and told[-1].strip() and not set(told[-1].strip()) <= {"-"}:
                told.append("")
            told += [term[1] + term[2].strip("`"), f"{term[1]}    {term[3]}"]
        else:
            told.append(line)
    lines[:] = told


def escape_bars(app: object, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Bars are bars, no substitutions."""
    for place, line in enumerate(lines):
        if "|" in line and not line.lstrip().startswith((">>>", "...")):
            parts = line.split("`")
            parts[::2] = [part.replace("|", r"\|") for part in parts[::2]]
            lines[place] = "`".join(parts)


def setup(app: Any) -> None:
    app.connect("autodoc-process-docstring", part_words, priority=400)  # before napoleon
    app.connect("autodoc-process-docstring", escape_bars, priority=600)
