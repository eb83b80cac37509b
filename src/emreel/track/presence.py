"""Which classes are there: from the counts of labels alone, alike for movies that are taken and for finished ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from emreel.result import INVALID, Result, read_ledger
from emreel.track.events import Event


class Seen(Protocol):
    """A frame as far as its counts go. ``label_px``: pixels of each label value."""

    @property
    def index(self) -> int: ...
    @property
    def time_s(self) -> float | None: ...
    @property
    def status(self) -> str: ...
    @property
    def label_px(self) -> Mapping[int, int]: ...


class ClassPresence:
    """Tells ``class_vanishes`` and ``class_appears``: a class falls below, or rises above, a share of the valid pixels.

    It must do so in ``n_frames`` frames one after another; the event carries the first of them. Between the two shares
    nothing changes.
    """

    def __init__(
        self,
        names: Mapping[int, str],
        *,
        vanish_share: float = 0.001,
        appear_share: float = 0.005,
        n_frames: int = 3,
    ) -> None:
        self._names, self._n_frames = dict(names), n_frames
        self._vanish, self._appear = vanish_share, appear_share
        self._present: dict[int, bool] = {}
        self._turning: dict[int, list[Seen]] = {}

    def add(self, frame: Seen) -> Iterable[Event]:
        n_valid = sum(n for label, n in frame.label_px.items() if label != INVALID)
        if frame.status != "good" or n_valid == 0:
            return
        for label, name in self._names.items():
            share = frame.label_px.get(label, 0) / n_valid
            present = self._present.setdefault(label, share >= self._appear)
            turns = share < self._vanish if present else share >= self._appear
            waiting = self._turning.setdefault(label, [])
            if not turns:
                waiting.clear()
                continue
            waiting.append(frame)
            if len(waiting) == self._n_frames:
                first, self._present[label] = waiting[0], not present
                waiting.clear()
                kind = "class_vanishes" if present else "class_appears"
                values = {"label": label, "area_px2": first.label_px.get(label, 0)}
                yield Event(kind=kind, frame=first.index, time_s=first.time_s, subject=name, values=values)

    def finish(self) -> Iterable[Event]:
        return ()


@dataclass(frozen=True)
class _Counted:
    """A frame of a finished result."""

    index: int
    time_s: float | None
    status: str
    label_px: Mapping[int, int]


def presence_events(result: Result) -> list[Event]:
    """Classes of a result that vanish or appear; no pixel is read."""
    times = result.times_s
    counts: dict[int, Counter[int]] = {}
    status: dict[int, str] = {}
    for record in read_ledger(result.path).done.values():
        for row in record.rows:
            frame = int(row["frame"])
            status[frame] = str(row["status"])
            counts.setdefault(frame, Counter()).update({int(k): int(n) for k, n in row.get("label_px", {}).items()})
    listener = ClassPresence(dict(enumerate(result.label_names, start=1)))
    events: list[Event] = []
    for frame in sorted(counts):
        time = None if times is None else float(times[frame])
        events += listener.add(_Counted(frame, time, status[frame], counts[frame]))
    return [*events, *listener.finish()]
