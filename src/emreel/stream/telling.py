"""Frames to listeners in the order of their places, each once, and their events to everybody."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from emreel.result import GrowingStore, write_table
from emreel.stream.events import Event, EventsFile, LabelledFrame, Listener

#: Labels that wait for an earlier frame are kept in memory, so many; others are read again.
LABELS_KEPT = 32
#: Listeners that have much to catch up with do so for so long at a time, s; frames are labelled in between.
TELL_S = 0.05


class Teller:
    """Holds frames back until those before them are done, or known to be gone, or ``patience_s`` late."""

    def __init__(
        self,
        path: Path,
        store: GrowingStore,
        listeners: Sequence[Listener],
        on_event: Callable[[Event], None] | None,
        patience_s: float,
    ) -> None:
        self._path, self._store, self._listeners = path, store, listeners
        self._on_event, self._patience_s = on_event, patience_s
        self._file = EventsFile(path)
        self._rows: dict[int, Mapping[str, Any]] = {}
        self._labels: dict[int, npt.NDArray[np.uint8]] = {}
        self._next = 0
        self._waits_since: float | None = None

    def take(self, row: Mapping[str, Any], label: npt.NDArray[np.uint8] | None = None) -> None:
        """A frame is done: its row of the ledger and, where it is at hand, its label. A frame too late is left out."""
        index = int(row["frame"])
        if index < self._next or not self._listeners:
            return
        self._rows[index] = row
        if label is not None and len(self._labels) < LABELS_KEPT:
            self._labels[index] = label

    def tell(self, is_gone: Callable[[int], bool]) -> None:
        """Tell listeners of the frames whose turn it is, of one at least."""
        until = time.monotonic() + TELL_S
        while self._rows:
            if self._next in self._rows:
                self._tell_next()
                if time.monotonic() > until:
                    return
            elif is_gone(self._next):
                self._next += 1
            elif self._is_impatient():
                self._next = min(self._rows)
            else:
                return

    def finish(self) -> None:
        """Tell the frames that are left, and listeners that the movie is over; write the table of events."""
        for index in sorted(self._rows):
            self._next = index
            self._tell_next()
        for listener in self._listeners:
            self._publish(listener.finish())
        self.write_table()

    def write_table(self) -> None:
        """RESULT/tables/events.parquet from the events so far."""
        table = pd.DataFrame(self._file.events)
        for name in ("event", "frame", "time_s", "subject"):
            if name not in table:
                table[name] = pd.Series(dtype={"frame": "int64", "time_s": "float64"}.get(name, "str"))
        write_table(self._path, "events", table.astype({"time_s": "float64"}))

    def _is_impatient(self) -> bool:
        now = time.monotonic()
        if self._waits_since is None:
            self._waits_since = now
        return now - self._waits_since > self._patience_s

    def _tell_next(self) -> None:
        row, label = self._rows.pop(self._next), self._labels.pop(self._next, None)
        self._waits_since = None
        frame = LabelledFrame(
            index=self._next,
            time_s=row.get("time_s"),
            status=str(row["status"]),
            label_px={int(value): int(n) for value, n in row["label_px"].items()},
            read=partial(self._read, self._next, label),
            drift_yx_px=(row["drift_y_px"], row["drift_x_px"]) if "drift_y_px" in row else None,
        )
        self._next += 1
        for listener in self._listeners:
            self._publish(listener.add(frame))

    def _read(self, index: int, label: npt.NDArray[np.uint8] | None, name: str) -> npt.NDArray[np.uint8] | None:
        if name == "label" and label is not None:
            return label
        return self._store.read_frame(index, name)

    def _publish(self, events: Iterable[Event]) -> None:
        for event in events:
            if self._file.append(event) and self._on_event is not None:
                self._on_event(event)
