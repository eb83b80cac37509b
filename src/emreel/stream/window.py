"""Frames that wait until those after them, which their labels depend on, have been looked at."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from emreel.model import SILENCE, FrameEvidence
from emreel.stream.looking import Looked


@dataclass(frozen=True, eq=False)
class InTime:
    """A frame with what those around it say: ``window[at]`` is its own; ``frames`` are their places."""

    frame: Looked
    window: Sequence[FrameEvidence]
    frames: range

    @property
    def at(self) -> int:
        return self.frame.index - self.frames.start


class Window:
    """Takes frames by their places, gives each with ``lag`` of them on either side, as far as the movie has them.

    A frame that never came says nothing. One that comes behind a later one has no window but itself.
    """

    def __init__(self, lag: int, *, in_order: bool) -> None:
        self._lag, self._in_order = lag, in_order
        self._evidence: dict[int, FrameEvidence] = {}
        self._waiting: dict[int, Looked] = {}
        self._newest = -1

    def __len__(self) -> int:
        """Frames that wait."""
        return len(self._waiting)

    def add(self, frame: Looked, *, wanted: bool = True) -> InTime | None:
        """Take a frame. ``wanted``: it is to be labelled, not only to be looked at. Returns one that came late."""
        index = frame.index
        if self._in_order and index > self._newest:
            self._newest = index
            self._evidence[index] = frame.evidence
            if wanted:
                self._waiting[index] = frame
            return None
        return InTime(frame, [frame.evidence], range(index, index + 1)) if wanted else None

    def due(self, is_gone: Callable[[int], bool], *, at_last: bool = False) -> Iterator[InTime]:
        """Frames whose time has come, in their order. ``at_last``: no frame comes any more."""
        for index in sorted(self._waiting):
            after = range(self._newest + 1, index + self._lag + 1)
            if not at_last and not all(is_gone(place) for place in after):
                return
            frames = range(max(index - self._lag, 0), min(index + self._lag, self._newest) + 1)
            yield InTime(self._waiting.pop(index), [self._evidence.get(place, SILENCE) for place in frames], frames)
            self._forget(index + 1 - self._lag)

    def _forget(self, first: int) -> None:
        """What lies before ``first`` is not needed any more."""
        for place in [place for place in self._evidence if place < first]:
            del self._evidence[place]
