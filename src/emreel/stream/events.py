"""What happens in a movie while it is being taken: listeners look at each frame's labels and tell events.

Events go to callbacks at once and into RESULT/events.jsonl, one JSON object a line: ``event``, ``frame``, ``time_s``
(null where unknown), ``subject``, and the event's own numbers with their units in their names.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from emreel.model import UNKNOWN
from emreel.result.errors import explain_os_error
from emreel.result.files import append_to
from emreel.track.events import Event as Event
from emreel.track.presence import ClassPresence as ClassPresence

EVENTS = "events.jsonl"


@dataclass(frozen=True, eq=False)
class LabelledFrame:
    """One labelled frame, for listeners. ``label_px``: pixels of each label value; arrays are read when asked for.

    label : shape (y, x), uint8. membership : shape (class, y_grid, x_grid), 0..1, or None when it is not kept.
    drift_yx_px : where the specimen stands against the first frame, as the survey tells it; None where it does not.
    """

    index: int
    time_s: float | None
    status: str
    label_px: Mapping[int, int]
    read: Callable[[str], npt.NDArray[np.uint8] | None]
    drift_yx_px: tuple[float, float] | None = None

    @cached_property
    def label(self) -> npt.NDArray[np.uint8]:
        label = self.read("label")
        assert label is not None
        return label

    @cached_property
    def membership(self) -> npt.NDArray[np.float32] | None:
        stored = self.read("membership")
        return None if stored is None else stored.astype(np.float32) / np.float32(255)


class Listener(Protocol):
    """Looks at frames in the order of their places and tells events; the same frames give the same events.

    A frame that is too late (see `emreel.stream.watch`) is left out of what listeners see.
    """

    def add(self, frame: LabelledFrame) -> Iterable[Event]:
        """Look at the next frame."""

    def finish(self) -> Iterable[Event]:
        """The movie is over."""


class NewPhase:
    """Tells ``new_phase`` when a connected region fits no class: larger than three times the largest such region of
    the first frames, and than ``least_px2``, in ``n_frames`` frames one after another."""

    def __init__(self, least_px2: int = 64, *, n_frames: int = 3, n_calibration: int = 8, factor: float = 3.0) -> None:
        self._least, self._n_frames, self._factor = least_px2, n_frames, factor
        self._n_calibration, self._calibration = max(n_calibration, 1), list[int]()
        self._n_over, self._told = 0, False

    def add(self, frame: LabelledFrame) -> Iterable[Event]:
        if frame.status != "good":
            return
        if len(self._calibration) < self._n_calibration:
            self._calibration.append(self._largest(frame)[0])
            return
        limit = max(self._least, self._factor * max(self._calibration))
        n_unknown = frame.label_px.get(UNKNOWN, 0)
        area, place = self._largest(frame) if n_unknown > limit else (0, (0.0, 0.0))
        over = area > limit
        self._n_over = self._n_over + 1 if over else 0
        if not over:
            self._told = False
        elif self._n_over == self._n_frames and not self._told:
            self._told = True
            values = {"area_px2": area, "centroid_y_px": place[0], "centroid_x_px": place[1]}
            yield Event(kind="new_phase", frame=frame.index, time_s=frame.time_s, subject="unknown", values=values)

    def finish(self) -> Iterable[Event]:
        return ()

    def _largest(self, frame: LabelledFrame) -> tuple[int, tuple[float, float]]:
        """Area of the largest connected unknown region, px2, and its centre (y, x), px."""
        from scipy import ndimage

        if frame.label_px.get(UNKNOWN, 0) == 0:
            return 0, (0.0, 0.0)
        regions, _ = ndimage.label(frame.label == UNKNOWN)
        areas = np.bincount(regions.ravel())
        areas[0] = 0
        largest = int(areas.argmax())
        y, x = (float(np.round(axis.mean(), 2)) for axis in np.nonzero(regions == largest))
        return int(areas[largest]), (y, x)


class EventsFile:
    """RESULT/events.jsonl, open for appending; an event that is there already is not written again."""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self._path = Path(folder) / EVENTS
        self.events = read_events(folder)
        self._keys = {_key(event) for event in self.events}
        content = b"".join(_line(event) for event in self.events)
        try:
            if self._path.exists() and self._path.read_bytes() != content:  # a line was torn
                self._path.write_bytes(content)
        except OSError as error:
            raise explain_os_error(error, self._path) from error

    def append(self, event: Event) -> bool:
        """Write an event; False when it is there already. Raises StorageError."""
        described = event.to_dict()
        if _key(described) in self._keys:
            return False
        append_to(self._path, _line(described))
        self._keys.add(_key(described))
        self.events.append(described)
        return True


def read_events(folder: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """The events of a result, in the order in which they were told; a torn last line is left out."""
    try:
        content = (Path(folder) / EVENTS).read_bytes()
    except FileNotFoundError:
        return []
    events = []
    for line in content.split(b"\n")[:-1]:
        try:
            event = json.loads(line)
            _key(event)
        except (ValueError, KeyError, TypeError):
            break
        events.append(event)
    return events


def _key(event: Mapping[str, Any]) -> tuple[str, int, str]:
    return str(event["event"]), int(event["frame"]), str(event["subject"])


def _line(event: Mapping[str, Any]) -> bytes:
    return json.dumps(event, separators=(",", ":"), allow_nan=False).encode() + b"\n"
