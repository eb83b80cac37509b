"""What can be wrong with a model."""

from __future__ import annotations

from emreel.movie import EmreelError


class ModelError(EmreelError, ValueError):
    """A model that cannot be loaded, or does not fit the movie."""
