"""The command line: the face over the verbs. It parses, prints and exits; all work is done below."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from typing import NoReturn

from emreel.cli import live as live
from emreel.cli import tracking as tracking
from emreel.cli.commands import app
from emreel.cli.interrupts import listen_for_signals
from emreel.cli.report import say
from emreel.movie import EmreelError

FAILED, INCOMPLETE, INTERRUPTED = 1, 3, 130


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit.

    0: done. 1: an error of emreel's. 2: wrong usage. 3: done, but for blocks that are quarantined. 130: interrupted.
    """
    given = list(sys.argv[1:] if argv is None else argv)
    listen_for_signals()
    try:
        app(args=given)
    except EmreelError as error:
        say(f"emreel: error: {error}")
        if getattr(error, "goes_on", False):
            say(f"emreel: to go on: {shlex.join(['emreel', *given])}")
        sys.exit(FAILED)
    except SystemExit as stop:
        if stop.code == INTERRUPTED:
            say("emreel: interrupted. Give the same command again to go on.")
        raise
    sys.exit(0)
