"""Which axes of a file's array are time, y and x, by their names or by custom."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from emreel.io.errors import ReaderError

_TIME = ("time", "t", "frame", "frames", "times", "i", "q")
_Y = ("y", "height", "row", "rows")
_X = ("x", "width", "column", "columns")
_STACK = ("z", "slice", "slices", "stack")


@dataclass(frozen=True, kw_only=True)
class AxisMap:
    """Places of the axes in the file's array; ``time`` is None for a single frame. Other axes are of length 1."""

    ndim: int
    time: int | None
    y: int
    x: int

    def movie_shape(self, shape: Sequence[int]) -> tuple[int, int, int]:
        return (1 if self.time is None else int(shape[self.time]), int(shape[self.y]), int(shape[self.x]))

    def key(self, frames: slice, rows: slice, columns: slice) -> tuple[Any, ...]:
        """The index into the file's array that cuts out a block."""
        key: list[Any] = [0] * self.ndim
        key[self.y], key[self.x] = rows, columns
        if self.time is not None:
            key[self.time] = frames
        return tuple(key)

    def to_movie(self, block: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Bring a block cut out by `key` into the order (time, y, x)."""
        places = [place for place in (self.time, self.y, self.x) if place is not None]
        order = sorted(places)
        block = np.transpose(block, [order.index(place) for place in places])
        return block if self.time is not None else block[None]


def find_axes(shape: Sequence[int], names: Sequence[str | None] | None, *, where: str) -> AxisMap:
    """Find time, y and x among an array's axes.

    Named axes are found by name (a stack along z stands for time where there is no time); unnamed
    ones by custom: the last two are y and x, a third one before them is time. All others must be of length 1.

    Raises
    ------
    ReaderError : fewer than two axes, or further axes longer than 1.
    """
    ndim = len(shape)
    if ndim < 2:
        raise ReaderError(f"{where} has shape {tuple(shape)}: not a picture and not a movie (time, y, x).")
    lowered = [str(name).lower() if name else "" for name in names] if names is not None else [""] * ndim
    y, x = _first(lowered, _Y), _first(lowered, _X)
    if y is None or x is None:
        long = [axis for axis in range(ndim - 2) if shape[axis] > 1]
        y, x = ndim - 2, ndim - 1
        time = long[0] if long else (ndim - 3 if ndim > 2 else None)
    else:
        time = _first(lowered, _TIME)
        if time is None or shape[time] == 1:
            stack = _first(lowered, _STACK)
            time = stack if stack is not None and (time is None or shape[stack] > 1) else time
        if time is None:
            time = next((axis for axis in range(ndim) if axis not in (y, x) and not lowered[axis]), None)
    extra = [axis for axis in range(ndim) if axis not in (time, y, x) and shape[axis] != 1]
    if extra:
        labels = ", ".join(f"{lowered[axis] or axis} ({shape[axis]})" for axis in extra)
        raise ReaderError(
            f"{where} has shape {tuple(shape)}: besides time, y and x there is {labels}. "
            "Choose one channel or plane, save it alone, and open that; or open the array and index it first."
        )
    return AxisMap(ndim=ndim, time=time, y=y, x=x)


def forward(frames: range) -> tuple[slice, bool]:
    """The slice that reads `frames` in rising order, and whether the block must be turned round afterwards."""
    backward = frames.step < 0
    rising = frames[::-1] if backward else frames
    return slice(rising.start, rising.stop, rising.step), backward


def _first(names: Sequence[str], wanted: Sequence[str]) -> int | None:
    return next((axis for name in wanted for axis, have in enumerate(names) if have == name), None)
