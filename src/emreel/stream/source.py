"""What a source of frames is: something that is asked now and then which frames have come.

Nothing is learned from the file system but by asking (polling): network shares tell nobody of new files.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from emreel.stream.errors import StreamError


@dataclass(frozen=True)
class Arrival:
    """A frame that is there, whole: its place in the movie from 0, and its time in s where the source tells it.

    ``fault``: why the frame can never be read; it is labelled invalid then.
    """

    index: int
    time_s: float | None = None
    fault: str = ""


@runtime_checkable
class FrameSource(Protocol):
    """Frames that come one by one, in files or from a detector. A detector's own class needs no more than this.

    >>> class Detector:
    ...     name, pixel_size_nm, frame_time_s, is_finished = "detector", None, None, True
    ...
    ...     def poll(self):
    ...         return [Arrival(0)]
    ...
    ...     def read(self, index):
    ...         return np.zeros((8, 8), np.uint16)
    >>> isinstance(Detector(), FrameSource)
    True
    """

    @property
    def name(self) -> str:
        """What it is and where, for the provenance; a result only goes on from a source of the same name."""

    @property
    def pixel_size_nm(self) -> float | None:
        """nm a px, or None when nobody knows."""

    @property
    def frame_time_s(self) -> float | None:
        """s from frame to frame where that is even, else None: arrivals tell their times, or frames are counted."""

    @property
    def is_finished(self) -> bool:
        """Whether all frames there will ever be have been told by `poll`."""

    def poll(self) -> Sequence[Arrival]:
        """Frames that have become whole since the last call. Called often and by one thread; reads no pixel.

        A frame may be told twice; the first time counts. Raises StreamError when what was there has shrunk.
        """

    def read(self, index: int) -> npt.NDArray[Any]:
        """The counts of a frame that `poll` told, shape (y, x). Called by any thread.

        Raises OSError when it cannot be read now; it is tried again for a while.
        """


@runtime_checkable
class Resumable(Protocol):
    """A source that must know, to go on with a result, what it knew when the result was begun."""

    @property
    def state(self) -> Mapping[str, Any]:
        """Plain JSON that is kept with the result; complete once a frame has been told."""

    def resume(self, state: Mapping[str, Any], done: Set[int]) -> None:
        """Take up what `state` told; the frames in ``done`` need not be told again. Raises StreamError."""


@runtime_checkable
class Losing(Protocol):
    """A source that loses frames before it tells them, and counts them."""

    @property
    def lost(self) -> Mapping[str, int]:
        """Names as in a result's status, and how many."""


class PushedFrames:
    """A source for programs that have each frame in their hands: ``frames.push(image)`` from any thread.

    At most ``capacity`` frames wait here. When they do, `push` waits (``when_full="block"``) or drops the frame that
    waits longest (``"drop-oldest"``); ``n_dropped`` counts those. `close` says that no frame comes any more.
    """

    def __init__(
        self,
        name: str = "pushed",
        *,
        pixel_size_nm: float | None = None,
        frame_time_s: float | None = None,
        capacity: int = 64,
        when_full: str = "block",
    ) -> None:
        if when_full not in ("block", "drop-oldest") or capacity < 1:
            raise StreamError(
                f"got when_full={when_full!r}, capacity={capacity}; wanted 'block' or 'drop-oldest', 1 up."
            )
        self.name, self.pixel_size_nm, self.frame_time_s = name, pixel_size_nm, frame_time_s
        self.n_dropped = 0
        self._capacity, self._blocks = capacity, when_full == "block"
        self._frames: dict[int, npt.NDArray[Any]] = {}
        self._new: list[Arrival] = []
        self._next, self._closed = 0, False
        self._changed = threading.Condition()

    def push(self, frame: npt.ArrayLike, *, index: int | None = None, time_s: float | None = None) -> None:
        """Hand over a frame, shape (y, x); without ``index`` it is the one after the last. Its pixels are copied.

        Raises
        ------
        StreamError : pushed after `close`.
        """
        with self._changed:
            while self._blocks and len(self._frames) >= self._capacity and not self._closed:
                self._changed.wait()
            if self._closed:
                raise StreamError("a frame was pushed after close(). Open another source.")
            place = self._next if index is None else index
            self._next = max(self._next, place + 1)
            if place not in self._frames:
                self._frames[place] = np.array(frame)
            self._new.append(Arrival(place, time_s))
            while len(self._frames) > self._capacity:
                dropped = next(iter(self._frames))
                del self._frames[dropped]
                self._new = [arrival for arrival in self._new if arrival.index != dropped]
                self.n_dropped += 1

    def close(self) -> None:
        """No frame comes any more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    @property
    def lost(self) -> Mapping[str, int]:
        return {"n_dropped_at_source": self.n_dropped}

    @property
    def is_finished(self) -> bool:
        with self._changed:
            return self._closed and not self._new

    def poll(self) -> Sequence[Arrival]:
        with self._changed:
            new, self._new = self._new, []
            return new

    def read(self, index: int) -> npt.NDArray[Any]:
        with self._changed:
            try:
                frame = self._frames.pop(index)
            except KeyError:
                raise OSError(f"frame {index} was dropped before it was read") from None
            self._changed.notify_all()
            return frame
