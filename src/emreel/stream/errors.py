"""What goes wrong while a movie is being taken."""

from __future__ import annotations

from emreel.movie import EmreelError


class StreamError(EmreelError, ValueError):
    """A source of frames that cannot be followed, or a way of following it that does not fit the model."""
