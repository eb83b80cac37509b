"""A finished movie played as if it were being taken now."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from emreel.engine import read_frame
from emreel.movie import check_movie, frame_times_s, pixel_size_nm
from emreel.stream.errors import StreamError
from emreel.stream.source import Arrival


class Replay:
    """The frames of a movie at their own times, ``speed`` times as fast; infinitely fast is all at once.

    Raises
    ------
    StreamError : the movie tells no times and is not to be played all at once.
    """

    def __init__(self, movie: object, *, speed: float = 1.0) -> None:
        self._movie: xr.DataArray = check_movie(movie)
        times = frame_times_s(self._movie)
        if not speed > 0:
            raise StreamError(f"got speed={speed}, wanted a positive number.")
        if times is None and not np.isinf(speed):
            raise StreamError("the movie tells no frame times. Give --frame-time-s, or play it at once (--speed inf).")
        self.name = f"replay of {self._movie.attrs['source']}"
        self.pixel_size_nm = pixel_size_nm(self._movie)
        self.frame_time_s = None
        self._times = times
        self._due_s = np.zeros(self._movie.sizes["time"]) if times is None else (times - times[0]) / speed
        self._start: float | None = None
        self._n_told = 0

    @property
    def is_finished(self) -> bool:
        return self._n_told == len(self._due_s)

    def poll(self) -> Sequence[Arrival]:
        now = time.monotonic()
        if self._start is None:
            self._start = now
        n_due = int(np.searchsorted(self._due_s, now - self._start, side="right"))
        new = range(self._n_told, n_due)
        self._n_told = n_due
        return [Arrival(i, None if self._times is None else float(self._times[i])) for i in new]

    def read(self, index: int) -> npt.NDArray[Any]:
        return read_frame(self._movie, index)
