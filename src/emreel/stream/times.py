"""Frame times of a movie whose frames come in any order, and whose last frame nobody knows."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


class FrameTimes:
    """Times as they become known; ``step_s``: time from frame to frame where it is even."""

    def __init__(self, step_s: float | None) -> None:
        self._step_s = step_s
        self._known = np.full(1024, np.nan)

    def note(self, index: int, time_s: float | None) -> None:
        """Frame ``index`` was taken at ``time_s``."""
        if time_s is None:
            return
        while index >= len(self._known):
            self._known = np.concatenate([self._known, np.full(len(self._known), np.nan)])
        self._known[index] = time_s

    def of(self, n_frames: int) -> npt.NDArray[np.float64]:
        """Times of the first frames, shape (n_frames,), s; unknown ones lie evenly between or beyond their neighbours.

        With no known time they are counted from 0 in steps of 1 s.
        """
        if self._step_s is not None:
            return np.arange(n_frames, dtype=np.float64) * np.float64(self._step_s)
        known = np.full(n_frames, np.nan)
        count = min(n_frames, len(self._known))
        known[:count] = self._known[:count]
        places = np.flatnonzero(np.isfinite(known))
        if places.size == n_frames:
            return known
        if places.size == 0:
            return np.arange(n_frames, dtype=np.float64)
        values = known[places]
        step = (values[-1] - values[0]) / (places[-1] - places[0]) if places.size > 1 else 1.0
        frames = np.arange(n_frames, dtype=np.float64)
        times = np.asarray(np.interp(frames, places, values), np.float64)
        before, after = frames < places[0], frames > places[-1]
        times[before] = values[0] + (frames[before] - places[0]) * step
        times[after] = values[-1] + (frames[after] - places[-1]) * step
        return times
