"""What can go wrong while clustering, under one name."""

from __future__ import annotations

from emreel.movie import EmreelError


class ClusterError(EmreelError, ValueError):
    """The rows, centres or options given cannot be clustered."""
