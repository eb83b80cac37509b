"""What runs in the browser: one function a file, the same in the served page and in the one without a server."""

from __future__ import annotations

from importlib.resources import files


def read_script(name: str) -> str:
    """The text of NAME.js."""
    return (files(__package__) / f"{name}.js").read_text("utf-8")
