"""What can go wrong with schedulers and workers.

::

    EmreelError
    └── EngineError
        ├── SchedulerLostError   the connection to the scheduler is gone
        └── WorkerKilledError    a task has killed one worker after another
"""

from __future__ import annotations

from typing import ClassVar

from emreel.movie import EmreelError


class EngineError(EmreelError):
    """The work could not be run."""


class SchedulerLostError(EngineError):
    """No scheduler, or none any more. What is written is kept, and the same command goes on from there."""

    goes_on: ClassVar[bool] = True


class WorkerKilledError(EngineError):
    """A task has ended the process of each worker that tried it."""
