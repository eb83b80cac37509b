"""What can go wrong with chips and what they are embedded by, under one name."""

from __future__ import annotations

from emreel.movie import EmreelError


class ChipsError(EmreelError, ValueError):
    """The fields of a chip descriptor, the file of its network, or the frame it is given, make no sense."""
