"""The page in a notebook, spoken to through the notebook's own connection: no port is opened."""

from __future__ import annotations

from typing import Any

import panel as pn

from emreel.result import Result
from emreel.view.dashboard.page import REFRESH_MS, Page


def make_pane(result: Result) -> Any:
    """The page as a Panel pane. While the result is being written it looks again twice a second."""
    pn.extension(inline=True)
    page = Page(result)
    pane = pn.pane.Bokeh(page.layout, sizing_mode="stretch_width")
    if page.is_growing:
        pn.state.add_periodic_callback(page.refresh, REFRESH_MS)
    return pane
