"""Typed progress events. Work reports to any listener; nobody prints but the face."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class StageStarted:
    """A stage of the work begins, with the number of steps it takes (0: unknown)."""

    name: str
    n_steps: int = 0


@dataclass(frozen=True)
class StepsDone:
    """``n_done`` of ``n_total`` steps of a stage are finished."""

    name: str
    n_done: int
    n_total: int


@dataclass(frozen=True)
class Note:
    """One line that the user should read."""

    text: str


Event = StageStarted | StepsDone | Note
Progress = Callable[[Event], None]


def ignore(event: Event) -> None:
    """The listener that listens to nothing."""
