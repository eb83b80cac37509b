"""A folder into which an instrument writes one file a frame."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from typing import Any

import numpy.typing as npt

from emreel.io import readers
from emreel.io.errors import ReaderError
from emreel.stream.errors import StreamError
from emreel.stream.source import Arrival

#: A file counts as whole when neither size nor time of change differ between looks so far apart, s, and it parses.
STILL_S = 0.02
#: What stands still for so long and cannot be read never will be, s.
PATIENCE_S = 10.0


class FolderSource:
    """Frames in natural order: the last number in a file's name is its place, whenever it comes.

    The movie begins with the number ``first``; without it, with the lowest number that is there when the first file is
    whole. A gap in the numbers is a missing frame. Hidden files and other kinds of files are left out. ``n_before``
    counts files whose number lies before the first.
    """

    is_finished = False

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        pixel_size_nm: float | None = None,
        frame_time_s: float | None = None,
        first: int | None = None,
        still_s: float = STILL_S,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._folder = Path(folder)
        if not self._folder.is_dir():
            raise StreamError(f"{folder} is not a folder of frames. Make it before the first frame is taken.")
        self.name = str(self._folder.resolve())
        self.pixel_size_nm, self.frame_time_s = pixel_size_nm, frame_time_s
        self.first = first
        self.n_before = 0
        self._still_s, self._patience_s = still_s, patience_s
        self._waiting: dict[str, _Look] = {}
        self._seen: set[str] = set()
        self._places: dict[int, str] = {}
        self._looked = -float("inf")
        self._done: Set[int] = frozenset()

    @property
    def lost(self) -> Mapping[str, int]:
        return {"n_before_first": self.n_before}

    @property
    def state(self) -> Mapping[str, Any]:
        return {"first": self.first}

    def resume(self, state: Mapping[str, Any], done: Set[int]) -> None:
        if self.first is None:
            self.first = state["first"]
        elif self.first != state["first"]:
            raise StreamError(f"the result begins with frame {state['first']} of the folder, got first={self.first}.")
        self._done = done

    def poll(self) -> Sequence[Arrival]:
        now = time.monotonic()
        if now - self._looked < self._still_s:
            return []
        self._looked = now
        self._look(now)
        whole = sorted((name for name, look in self._waiting.items() if look.is_whole(now)), key=_number)
        arrivals = [self._arrival(name, "") for name in whole if self._parses(name)]
        for name in [name for name, look in self._waiting.items() if now - look.since > self._patience_s]:
            fault = self._waiting[name].fault or "it stays empty"
            arrivals.append(self._arrival(name, f"{name} cannot be read: {fault}"))
        return [arrival for arrival in arrivals if arrival is not None]

    def read(self, index: int) -> npt.NDArray[Any]:
        frames = readers.open_raw(str(self._folder / self._places[index])).frames
        n_frames, height, width = frames.shape
        if n_frames != 1:
            raise ReaderError(f"{self._places[index]} holds {n_frames} frames, wanted one a file")
        frame: npt.NDArray[Any] = frames.read(range(1), slice(0, height), slice(0, width))[0]
        return frame

    def _look(self, now: float) -> None:
        try:
            with os.scandir(self._folder) as entries:
                new = {entry.name: entry.stat() for entry in entries if self._is_new(entry)}
        except FileNotFoundError:
            new = {}  # a file was renamed while it was looked at; the next look sees it
            if not self._folder.is_dir():
                raise StreamError(f"the folder {self._folder} is gone. Bring it back and watch again.") from None
        for name in [name for name in self._waiting if name not in new]:
            del self._waiting[name]
        for name, status in new.items():
            stamp = (status.st_size, status.st_mtime_ns)
            look = self._waiting.get(name)
            if look is None or look.stamp != stamp:
                self._waiting[name] = _Look(stamp, now)

    def _is_new(self, entry: os.DirEntry[str]) -> bool:
        suffix = os.path.splitext(entry.name)[1].lower()
        if entry.name in self._seen or suffix not in readers.FRAME_SUFFIXES or entry.name.startswith("."):
            return False
        number = _number(entry.name)
        if self._done and self.first is not None and number - self.first in self._done:
            self._seen.add(entry.name)
            return False
        return number >= 0 and entry.is_file()

    def _parses(self, name: str) -> bool:
        try:
            readers.open_raw(str(self._folder / name))
        except ReaderError as error:
            self._waiting[name].fault = str(error)
            return False
        return True

    def _arrival(self, name: str, fault: str) -> Arrival | None:
        if self.first is None:
            lowest = min(_number(waiting) for waiting in self._waiting)
            self.first = lowest
        del self._waiting[name]
        self._seen.add(name)
        index = _number(name) - self.first
        if index < 0:
            self.n_before += 1
            return None
        self._places.setdefault(index, name)
        return Arrival(index, None if self.frame_time_s is None else index * self.frame_time_s, fault)


class _Look:
    """How a file looked, and since when."""

    def __init__(self, stamp: tuple[int, int], since: float) -> None:
        self.stamp, self.since, self.fault = stamp, since, ""
        self._first = True

    def is_whole(self, now: float) -> bool:
        """Not at the first look; then whenever it still looks as before."""
        first, self._first = self._first, False
        return not first and self.stamp[0] > 0


def _number(name: str) -> int:
    """The last run of digits in the name without its suffix; -1: none."""
    digits = re.findall(r"\d+", os.path.splitext(name)[0])
    return int(digits[-1]) if digits else -1
