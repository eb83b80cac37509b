"""The page served to a browser on this machine: one look of its own for everybody who opens it."""

from __future__ import annotations

import socket
from typing import Any

from bokeh.application import Application
from bokeh.application.handlers.function import FunctionHandler
from bokeh.events import DocumentReady
from bokeh.server.server import Server
from tornado.ioloop import IOLoop

from emreel.result import Result, open_result
from emreel.view.dashboard.page import REFRESH_MS, Page
from emreel.view.errors import ViewError

HOST = "127.0.0.1"


def serve_result(result: Result, port: int = 0) -> Server:
    """A server of the result's page, started; it answers while its ``io_loop`` runs. It listens on this machine only.

    port : 0 takes a free one; see ``server.port``.

    Raises
    ------
    ViewError : the port is taken.
    """
    path = result.path

    def build(document: Any) -> None:
        page = Page(open_result(path, chunks=None), later=document.add_next_tick_callback)
        document.title = f"emreel: {path.name}"
        document.add_root(page.layout)
        document.js_on_event(DocumentReady, page.keys)
        document.add_periodic_callback(page.refresh, REFRESH_MS)

    port = port or _free_port()
    try:
        server = Server(
            {"/": Application(FunctionHandler(build))},
            address=HOST,
            port=port,
            io_loop=IOLoop.current(),
            allow_websocket_origin=[f"{HOST}:{port}", f"localhost:{port}"],
        )
    except OSError as error:
        raise ViewError(f"port {port} of {HOST} is taken ({error}). Choose another, or leave --port out.") from error
    server.start()
    return server


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
