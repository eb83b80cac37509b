"""What can go wrong between scores and labels."""

from __future__ import annotations

from emreel.movie import EmreelError


class RefineError(EmreelError, ValueError):
    """Score maps that cannot be smoothed, or brought to the frame's pixels."""
