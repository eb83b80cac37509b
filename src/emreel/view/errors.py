"""The error tree of the view.

::

    EmreelError
    └── ViewError          what was asked cannot be shown (also a ValueError)
        └── ExportError    a copy cannot be written where or as it was asked
"""

from __future__ import annotations

from emreel.movie import EmreelError


class ViewError(EmreelError, ValueError):
    """What was asked cannot be shown."""


class ExportError(ViewError):
    """A copy of a result cannot be written where or as it was asked."""
