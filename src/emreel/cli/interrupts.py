"""Ctrl-C and SIGTERM: heard wherever they fall.

Python raises KeyboardInterrupt in whatever the main thread does at that moment; in a destructor or a callback of C code
it is printed or lost. So the signal is remembered as well, and looked at whenever progress is told.
"""

from __future__ import annotations

import contextlib
import signal
from typing import Any

_heard: list[int] = []


def listen_for_signals() -> None:
    """Let SIGINT and SIGTERM interrupt this process, once more at the next `check` if the first time was lost."""
    _heard.clear()
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(ValueError):  # not in the main thread
            signal.signal(number, _interrupt)


def check() -> None:
    """Raise KeyboardInterrupt if a signal came and the work goes on nevertheless."""
    if _heard:
        raise KeyboardInterrupt


def _interrupt(signum: int, frame: Any) -> None:
    _heard.append(signum)
    raise KeyboardInterrupt
