"""The dashboard: a result in the browser or in a notebook, live while it is being written.

Needs ``emreel[dashboard]``.
"""

from __future__ import annotations

import importlib.util
import os
import webbrowser
from collections.abc import Callable
from typing import Any

from emreel.result import Result, open_result
from emreel.view.errors import ViewError


def show(result: Result | str | os.PathLike[str]) -> Any:
    """Show a result in a notebook: movie and overlay side by side, a slider, and all that was found beside them.

    Returns
    -------
    A Panel pane; put it last in a cell. In a script use `serve`, or ``emreel show RESULT``.

    Raises
    ------
    ViewError : panel or bokeh is not installed. emreel.result.ResultError : there is no such result.
    """
    check_installed("panel", "bokeh")
    from emreel.view.dashboard.notebook import make_pane

    return make_pane(_opened(result))


def serve(
    result: Result | str | os.PathLike[str],
    *,
    port: int = 0,
    browser: bool = True,
    on_start: Callable[[str], None] | None = None,
) -> None:
    """Serve a result's page to browsers on this machine, until interrupted.

    Parameters
    ----------
    port : 0 takes a free one. browser : open the page.
    on_start : called with the page's address once it can be opened.

    Raises
    ------
    ViewError : bokeh is not installed, or the port is taken. emreel.result.ResultError : there is no such result.
    """
    check_installed("bokeh")
    from emreel.view.dashboard.server import HOST, serve_result

    server = serve_result(_opened(result), port)
    address = f"http://{HOST}:{server.port}/"
    if on_start is not None:
        on_start(address)
    if browser:
        webbrowser.open(address)
    try:
        server.io_loop.start()
    finally:
        server.stop()


def check_installed(*packages: str) -> None:
    """Raises ViewError, with the line to type, when one of the dashboard's packages is missing."""
    missing = [package for package in packages if importlib.util.find_spec(package) is None]
    if missing:
        raise ViewError(f'the dashboard needs {" and ".join(missing)}. Type: pip install "emreel[dashboard]"')


def _opened(result: Result | str | os.PathLike[str]) -> Result:
    return result if isinstance(result, Result) else open_result(result, chunks=None)
