"""The command line: the face over the verbs. It parses, prints and exits; all work is done below."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NoReturn

from emreel.cli import live as live
from emreel.cli.commands import app
from emreel.cli.interrupts import listen_for_signals
from emreel.cli.report import say
from emreel.movie import EmreelError

FAILED, INTERRUPTED = 1, 130


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit: 0 done, 1 an error of emreel's, 2 wrong usage, 130 interrupted."""
    listen_for_signals()
    try:
        app(args=None if argv is None else list(argv))
    except EmreelError as error:
        say(f"emreel: error: {error}")
        sys.exit(FAILED)
    except SystemExit as stop:
        if stop.code == INTERRUPTED:
            say("emreel: interrupted. Give the same command again to go on.")
        raise
    sys.exit(0)
