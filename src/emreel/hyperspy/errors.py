"""What cannot pass between HyperSpy and emreel."""

from __future__ import annotations

from emreel.movie import EmreelError


class HyperSpyError(EmreelError, ValueError):
    """A signal that is no movie, a mask that does not fit, or HyperSpy is not installed."""
