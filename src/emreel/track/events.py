"""Events: something that happened at a frame, told alike of finished movies and of those that are being taken."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from emreel.result import ResultError, read_table, write_table

EVENTS_TABLE = "events"
#: Columns that every event has; its own numbers follow.
EVENT_COLUMNS = ("event", "frame", "time_s", "subject")


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something happened at a frame. ``subject`` says to what ("phase 3"); ``values`` are plain JSON."""

    kind: str
    frame: int
    time_s: float | None = None
    subject: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        return {
            "event": self.kind,
            "frame": self.frame,
            "time_s": self.time_s,
            "subject": self.subject,
            **self.values,
        }


def event_table(events: Iterable[Event]) -> pd.DataFrame:
    """One row an event, in the order of their frames; numbers that an event does not have are NaN."""
    rows = [event.to_dict() for event in events]
    own = sorted({key for row in rows for key in row} - set(EVENT_COLUMNS))
    table = pd.DataFrame(rows, columns=[*EVENT_COLUMNS, *own])
    kinds: dict[str, Any] = {"event": str, "frame": np.int64, "time_s": np.float64, "subject": str}
    return table.astype(kinds).sort_values(["frame", "event", "subject"], kind="stable", ignore_index=True)


def add_events(path: str | os.PathLike[str], events: Iterable[Event], *, about: str) -> pd.DataFrame:
    """Write RESULT/tables/events: these, and what was there of other kinds than those that begin with ``about``."""
    fresh = event_table(events)
    try:
        known = read_table(path, EVENTS_TABLE)
    except ResultError:
        known = fresh.iloc[:0]
    known = known[~known["event"].str.startswith(about)]
    parts = [part for part in (known, fresh) if len(part)]
    table = pd.concat(parts, ignore_index=True) if parts else fresh
    table = table.sort_values(["frame", "event", "subject"], kind="stable", ignore_index=True)
    write_table(path, EVENTS_TABLE, table)
    return table
