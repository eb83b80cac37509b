"""What can go wrong when something is tracked."""

from __future__ import annotations

from emreel.movie import EmreelError


class TrackError(EmreelError, ValueError):
    """A line, classes or labels from which nothing can be tracked."""
