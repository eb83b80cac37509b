"""What can go wrong in a fit."""

from __future__ import annotations

from emreel.movie import EmreelError


class FitError(EmreelError, ValueError):
    """A movie that no model can be fitted on."""
