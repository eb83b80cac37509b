"""Fronts of a movie that is being taken: `emreel.track.fronts.track_fronts`, a frame at a time."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from emreel.result import Layout, TableWriter, read_facts, write_table
from emreel.result.quality import SURVEY
from emreel.stream.events import Event, LabelledFrame
from emreel.track.contours import ContourTracker
from emreel.track.errors import TrackError
from emreel.track.finding import FrontFinder
from emreel.track.following import FrontTracker
from emreel.track.fronts import TABLE, add_speeds, make_tracker
from emreel.track.pairs import Datum, Survey
from emreel.track.rest import USABLE, PreviewDrift
from emreel.track.source import LabelFrames, Sides, parse_sides

Floats = npt.NDArray[np.float64]

#: The means so far are written after so many seconds, or after so many times what writing them last took.
SHOW_S, SHOW_SHARE = 1.0, 20


class LiveFronts:
    """Follows fronts while the movie is taken, and tells when they come, go, and pass marks.

    Events: ``front_appears`` and ``front_vanishes`` as of `track_fronts`; ``mark_passed`` when the mean depth of a
    front has gone from one side of a mark to the other and stays there, once a front and mark. Its frame is the first
    one beyond the mark; it is told ``steady_frames`` frames later, so that a movie can be stopped there.

    The result's table ``fronts`` has the means so far while the movie is taken (without its latest frame), and at the
    end all rows of `track_fronts`, equal to them but for this:

    - ``rest`` names the boundary that depths count from; there is no "auto", which needs the whole movie. Its place,
      and the direction away from it, are those of the first frame that shows both it and the front; until then
      depths are NaN. `track_fronts` takes the median of many frames, which shifts all depths alike.
    - Frames that come too late to be looked at in their order (see `emreel.stream.watch`) have no rows.
    - Jumps and stalls are no events: they are told apart from noise by the whole movie.

    Watching that goes on looks at the fronts of all frames again, beside the labelling of new ones.

    Parameters
    ----------
    path : of the result that is being written.
    fronts : for each an axis and two sets of labels, as ``axis`` and ``between`` of `track_fronts`.
    finder : how fronts are found in a frame.
    rest : two sets of labels whose boundary rests; None: depths count from where each front was first seen.
    marks_px, marks_nm : depths.
    steady_frames : how many frames one after another must lie beyond a mark.

    Raises
    ------
    TrackError : sides or an axis that do not fit the movie, marks in nm where pixels have no size: the first two here,
        all at the first frame.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        fronts: Sequence[tuple[Any, Any]],
        *,
        finder: FrontFinder | None = None,
        rest: Any = None,
        marks_px: Sequence[float] = (),
        marks_nm: Sequence[float] = (),
        steady_frames: int = 2,
    ) -> None:
        if steady_frames < 1:
            raise TrackError(f"got steady_frames = {steady_frames}, wanted at least 1.")
        self._path, self._finder = Path(path), finder or FrontFinder()
        self._fronts = [(axis, parse_sides(between)) for axis, between in fronts]
        self._rest = None if rest is None else parse_sides(rest)
        self._marks = [
            _Mark(at, unit, steady_frames) for unit, ats in (("px", marks_px), ("nm", marks_nm)) for at in ats
        ]
        self._movie: _MovieSoFar | None = None
        self._trackers: list[FrontTracker | ContourTracker] = []
        self._means: list[pd.DataFrame] = []
        self._writing, self._show_at = ExitStack(), 0.0
        self._writer: TableWriter | None = None

    def add(self, frame: LabelledFrame) -> Iterable[Event]:
        if self._movie is None:
            self._movie = self._begin()
        self._movie.note(frame)
        shares = self._movie.labels_of(frame).read_shares(0)
        if not shares.any():
            return
        for tracker in self._trackers:
            if isinstance(tracker, FrontTracker) and self._rest is not None:
                self._look_for_rest(tracker, self._rest, frame)
            yield from self._take(tracker, tracker.add(frame.index, shares))
        self._show()

    def finish(self) -> Iterable[Event]:
        for tracker in self._trackers:
            yield from self._take(tracker, tracker.finish())
        if self._writer is not None:
            self._writer.append(add_speeds(self._means))
            self._writing.close()

    def _begin(self) -> _MovieSoFar:
        """The result is there now: what its pixels are, and where its table goes."""
        facts = read_facts(self._path)
        movie = _MovieSoFar(
            Layout.from_dict(facts["layout"]),
            np.nan if facts["pixel_size_nm"] is None else float(facts["pixel_size_nm"]),
            is_surveyed=(self._path / SURVEY).is_dir(),
        )
        if np.isnan(movie.pixel_nm) and any(mark.unit == "nm" for mark in self._marks):
            raise TrackError(
                "pixels have no size in nm, and there are marks in nm. Give --pixel-size-nm, or marks in px."
            )
        shape_yx = (movie.layout.shape_tyx[1], movie.layout.shape_tyx[2])
        for axis, between in self._fronts:
            sides = parse_sides(between, movie.layout.n_classes)
            tracker = make_tracker(movie, sides, axis, shape_yx, self._finder, movie.drift)
            if isinstance(tracker, FrontTracker) and self._rest is not None:
                tracker.datum = Datum(np.nan)
            self._trackers.append(tracker)
        self._writer = self._writing.enter_context(TableWriter(self._path, TABLE))
        return movie

    def _look_for_rest(self, tracker: FrontTracker, rest: Sides, frame: LabelledFrame) -> None:
        """Count depths from what rests, from the first frame on that shows it and the front."""
        assert self._movie is not None, "the first frame was there"
        if tracker.datum is not None and np.isfinite(tracker.datum.position_px):
            return
        one = self._movie.labels_of(frame)
        survey = Survey(one, tracker.rays, self._finder, self._movie.drift[frame.index][None])
        if survey.positions(tracker.sides).size and survey.positions(rest).size:
            tracker.datum = survey.datum(tracker.sides, rest)
            for front in tracker.fronts:
                front.datum = tracker.datum

    def _take(self, tracker: FrontTracker | ContourTracker, parts: Iterable[pd.DataFrame]) -> Iterator[Event]:
        """Keep rows; tell what happened to their front."""
        assert self._writer is not None, "the first frame was there"
        for rows in parts:
            is_mean = rows["kind"] == "mean"
            self._writer.append(rows[~is_mean])
            self._means.append(rows[is_mean])
            for mark in self._marks:
                yield from mark.look(rows[is_mean].iloc[0])
        yield from tracker.events
        tracker.events.clear()

    def _show(self) -> None:
        started = time.monotonic()
        if started > self._show_at and self._means:
            write_table(self._path, TABLE, add_speeds(self._means))
            now = time.monotonic()
            self._show_at = now + max(SHOW_S, SHOW_SHARE * (now - started))


# ------------------------------------------------------------------------------------------------ inside


@dataclass(eq=False)
class _MovieSoFar:
    """Times and drift of the frames that have come, as trackers ask for them. drift : of all up to the latest."""

    layout: Layout
    pixel_nm: float
    is_surveyed: bool
    drift: list[Floats] = field(default_factory=list)
    _times_s: dict[int, float] = field(default_factory=dict)
    _previews: PreviewDrift = field(init=False)

    def __post_init__(self) -> None:
        self._previews = PreviewDrift(self.layout.preview_factor)

    def time_s(self, frame: int) -> float:
        return self._times_s.get(frame, float("nan"))

    def known_time_s(self, frame: int) -> float | None:
        return self._times_s.get(frame)

    def note(self, frame: LabelledFrame) -> None:
        """The next frame is there. Where its drift is not told, it is that of the frame before."""
        if frame.time_s is not None:
            self._times_s[frame.index] = frame.time_s
        last = self.drift[-1] if self.drift else np.zeros(2)
        self.drift += [last] * (frame.index - len(self.drift))
        told = None if frame.drift_yx_px is None else np.array(frame.drift_yx_px)
        if not self.is_surveyed and frame.status in USABLE:
            preview = frame.read("preview")
            told = None if preview is None else self._previews.step(preview)
        self.drift.append(last if told is None else told)

    def labels_of(self, frame: LabelledFrame) -> LabelFrames:
        """A frame as a movie of one."""
        membership = frame.membership
        return LabelFrames(
            xr.DataArray(frame.label[None], dims=("time", "y", "x")),
            None if membership is None else xr.DataArray(membership[None], dims=("time", "class", "y_grid", "x_grid")),
            self.layout.stride,
            None,
            self.pixel_nm,
        )


@dataclass(eq=False)
class _Mark:
    """A depth; for every front whether it began short of it, and its latest frames beyond, until they are enough."""

    depth: float
    unit: str
    steady_frames: int
    _began_short: dict[str, bool] = field(default_factory=dict)
    _beyond: dict[str, list[pd.Series[Any]]] = field(default_factory=dict)

    def look(self, row: pd.Series[Any]) -> Iterator[Event]:
        """The next mean of some front."""
        front, depth = str(row["front"]), float(row[f"depth_{self.unit}"])
        beyond = self._beyond.setdefault(front, [])
        if np.isnan(depth) or len(beyond) == self.steady_frames:
            return
        is_short = depth < self.depth
        if is_short == self._began_short.setdefault(front, is_short):
            beyond.clear()
            return
        beyond.append(row)
        if len(beyond) == self.steady_frames:
            first = beyond[0]
            time_s = float(first["time_s"])
            yield Event(
                kind="mark_passed",
                frame=int(first["frame"]),
                time_s=time_s if np.isfinite(time_s) else None,
                subject=f"front {front}, {self.depth:g} {self.unit}",
                values={f"depth_{self.unit}": float(first[f"depth_{self.unit}"]), f"mark_{self.unit}": self.depth},
            )
