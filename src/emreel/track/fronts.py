"""Fronts between two sets of labels, through a movie: positions, depths, speeds, roughness, and their events.

For every frame the memberships of the two sides are laid along rays (`emreel.track.rays`), the steps between them are
found (`emreel.track.finding`), and each front keeps its name from frame to frame. Only three frames are in memory.

- **Position**: in the frame as recorded. **Depth**: from a resting layer, less the specimen's drift
  (`emreel.track.rest`), so that a specimen that drifts has fronts that rest.
- **Errors** (`position_sd_px`) are those of noise, by second differences in time (`emreel.track.noise`); columns are
  not independent, and the error of their mean says so.
- **Roughness** is the root mean square width about a straight line, without that noise.
- **Speed** of a mean: the median slope (Theil-Sen) of the frames around. One number for a movie, with a confidence
  interval: `emreel.track.kinetics.fit_velocity`.

**When it fails.** Overhangs: a ray has one position (take ``axis="contour"``). Layers thinner than 2 px. Labels that a
causal filter has smoothed through time lag behind their fronts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from emreel.progress import Progress, StageStarted, StepsDone, ignore
from emreel.result import Result, TableWriter
from emreel.track.contours import ContourTracker
from emreel.track.errors import TrackError
from emreel.track.events import Event, add_events
from emreel.track.finding import Found, FrontFinder
from emreel.track.kinetics import find_changes, local_slopes
from emreel.track.noise import Noise, noise_across, noise_of, roughness_of
from emreel.track.pairs import Datum, Survey, find_pairs
from emreel.track.rays import Rays, make_rays
from emreel.track.rest import read_drift
from emreel.track.source import LabelFrames, Share, Sides, name_side, parse_sides, sum_classes

Floats = npt.NDArray[np.float64]

TABLE = "fronts"
#: Of a path through columns: evidence that a pixel between neighbours costs.
PATH_STIFFNESS = 2.0
COLUMNS: dict[str, str] = {
    "frame": "int64",
    "time_s": "float64",
    "front": "str",
    "kind": "str",
    "column_px": "float64",
    "position_px": "float64",
    "position_nm": "float64",
    "position_sd_px": "float64",
    "depth_px": "float64",
    "depth_nm": "float64",
    "velocity_nm_per_s": "float64",
    "velocity_px_per_frame": "float64",
    "share_kept": "float64",
    "roughness_px": "float64",
    "roughness_raw_px": "float64",
}
#: Frames on each side that a mean's speed is taken from.
SPEED_FRAMES = 4
#: A front that is away for so many good frames one after another has vanished.
VANISH_FRAMES = 3
#: A front is the same one when it is this near to where it was, in px and as a share of the rays' length.
NEAR_PX, NEAR_SHARE = 24.0, 0.15


def track_fronts(
    source: Result | xr.DataArray | npt.NDArray[Any],
    *,
    axis: Any = "y",
    between: Any = None,
    finder: FrontFinder | None = None,
    rest: Any = "auto",
    drift_yx_px: npt.ArrayLike | None = None,
    columns: bool = True,
    progress: Progress = ignore,
) -> pd.DataFrame:
    """Follow fronts through a movie.

    Parameters
    ----------
    source : an opened result, whose tables ``fronts`` and ``events`` are written as well; or labels, (time, y, x).
    axis : "y" for fronts with one position a column (of the position's axis: y), "x" with one a row; a
        `emreel.track.line.Line`; a centre (y, x) for fronts that go outwards; or "contour" for any shape.
    between : two sets of labels, such as ((1, 2), (3, 4)); a list of such pairs; None: every two labels that meet.
    finder : how fronts are found in a frame; ``FrontFinder(stiffness=PATH_STIFFNESS)`` follows a path through
        neighbouring columns, for labels with wrong islands.
    rest : what depths are counted from. Two sets of labels whose boundary rests; "auto": the steadiest boundary among
        the labels of the side that comes first, else of the other; None, and where there is no such boundary: where
        the front was first seen.
    drift_yx_px : shape (time, 2), of the specimen; None: as the result tells it, or measured on its previews (for
        labels alone: none).
    columns : whether rows of single columns are kept in what is returned; the result's table always has them.

    Returns
    -------
    One row a column and frame (kind "column"; NaN where a side is missing), and one a frame (kind "mean"), for every
    front and those frames in which it is there. ``front`` names the sides in their order along the axis: "1,2/3,4".
    ``position_px`` counts as `emreel.track.rays` tells; for contours it is the distance to the first frame's contour.
    Columns in nm and s are NaN where the movie carries no calibration.

    Raises
    ------
    TrackError : sides, axis or drift that do not fit the movie.
    """
    frames = LabelFrames.of(source)
    result = source if isinstance(source, Result) else None
    drift = _drift_of(result, frames, drift_yx_px, progress)
    n_classes = None if result is None else result.layout.n_classes
    pairs = find_pairs(frames, axis) if between is None else _parse_pairs(between, n_classes)
    trackers = [_tracker(frames, pair, axis, finder or FrontFinder(), rest, drift) for pair in pairs]
    means: list[pd.DataFrame] = []
    kept: list[pd.DataFrame] = []
    with ExitStack() as stack:
        writer = None if result is None else stack.enter_context(TableWriter(result.path, TABLE))
        for rows in _all_rows(frames, trackers, progress):
            is_mean = rows["kind"] == "mean"
            means.append(rows[is_mean])
            if columns:
                kept.append(rows[~is_mean])
            if writer is not None:
                writer.append(rows[~is_mean])
        table = _with_speeds(_concat(means))
        if writer is not None:
            writer.append(table)
    if result is not None:
        events = [event for tracker in trackers for event in tracker.events]
        add_events(result.path, [*events, *find_motion_events(table)], about="front")
    return _concat([*kept, table])


def find_motion_events(means: pd.DataFrame) -> list[Event]:
    """Jumps, stalls and starts of the fronts of a table, see `emreel.track.kinetics.find_changes`."""
    events = []
    for front, rows in means[means["kind"] == "mean"].groupby("front", sort=False):
        depth = rows["depth_px"].to_numpy(np.float64)
        for change in find_changes(depth, rows["position_sd_px"].to_numpy(np.float64)):
            row = rows.iloc[change.index]
            time = float(row["time_s"])
            events.append(
                Event(
                    kind=f"front_{change.kind}",
                    frame=int(row["frame"]),
                    time_s=time if np.isfinite(time) else None,
                    subject=f"front {front}",
                    values={"position_px": float(row["position_px"]), "step_px": change.step},
                )
            )
    return events


# ------------------------------------------------------------------------------------------------ inside


@dataclass(eq=False)
class _Front:
    """A front that is followed. waiting : frames whose rows wait for the noise; recent : the latest positions."""

    name: str
    is_falling: bool
    last_mean: float
    last_frame: int
    waiting: list[tuple[int, Found, Floats]] = field(default_factory=list)
    recent: list[Floats] = field(default_factory=list)
    noise: Noise | None = None
    datum: Datum | None = None
    n_away: int = 0
    is_gone: bool = False


@dataclass(eq=False)
class _Tracker:
    """The fronts of one pair of sides along rays."""

    frames: LabelFrames
    sides: Sides
    rays: Rays
    finder: FrontFinder
    drift: Floats
    datum: Datum | None
    fronts: list[_Front] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    first_good: int | None = None

    def add(self, frame: int, shares: Share) -> Iterator[pd.DataFrame]:
        """Look at the next frame; yields rows of frames whose noise is known by now."""
        if self.first_good is None:
            self.first_good = frame
        first, second = (self.rays.sample(sum_classes(shares, side)) for side in self.sides)
        found = self.finder(first, second)
        matched = self._match(found, frame, len(first))
        for front in self.fronts:
            if front not in matched.values() and not front.is_gone:
                front.n_away += 1
                yield from self._flush(front)
                if front.n_away == VANISH_FRAMES:
                    front.is_gone = True
                    self._tell("front_vanishes", front, front.last_frame + 1)
        for k, front in matched.items():
            front.n_away, front.last_mean, front.last_frame = 0, found[k].mean, frame
            position = self.rays.position_px(found[k].edges)
            front.waiting.append((frame, found[k], position))
            front.recent = [*front.recent[-2:], position]
            if len(front.recent) == 3:
                front.noise = noise_of(*front.recent)
                yield from (self._rows(front, *front.waiting.pop(0)) for _ in front.waiting[:-1])

    def finish(self) -> Iterator[pd.DataFrame]:
        """Rows that still wait."""
        for front in self.fronts:
            yield from self._flush(front)
            if front.n_away and not front.is_gone:
                self._tell("front_vanishes", front, front.last_frame + 1)

    def _match(self, found: Sequence[Found], frame: int, n_along: int) -> dict[int, _Front]:
        """Which front each of a frame's fronts is: the nearest of its kind, new ones where none is near."""
        near = max(NEAR_PX, NEAR_SHARE * n_along)
        there = [front for front in self.fronts if not front.is_gone]
        choices = sorted(
            (abs(one.mean - front.last_mean), k, i)
            for k, one in enumerate(found)
            for i, front in enumerate(there)
            if one.is_falling == front.is_falling
        )
        matched: dict[int, _Front] = {}
        for distance, k, i in choices:
            if distance <= near * (1 + there[i].n_away) and k not in matched and there[i] not in matched.values():
                matched[k] = there[i]
        return matched | {k: self._begin(one, frame) for k, one in enumerate(found) if k not in matched}

    def _begin(self, one: Found, frame: int) -> _Front:
        base = "/".join(name_side(side) for side in (self.sides if one.is_falling else self.sides[::-1]))
        n_same = sum(front.name.split(" ")[0] == base for front in self.fronts)
        front = _Front(base if n_same == 0 else f"{base} ({n_same + 1})", one.is_falling, one.mean, frame)
        self.fronts.append(front)
        if frame != self.first_good:
            self._tell("front_appears", front, frame)
        return front

    def _tell(self, kind: str, front: _Front, frame: int) -> None:
        position = float(self.rays.position_px(front.last_mean))
        self.events.append(
            Event(
                kind=kind,
                frame=frame,
                time_s=self.frames.known_time_s(frame),
                subject=f"front {front.name}",
                values={"position_px": position},
            )
        )

    def _flush(self, front: _Front) -> Iterator[pd.DataFrame]:
        """Rows of all frames that wait, with the latest noise that is known."""
        for frame, found, position in front.waiting:
            front.noise = front.noise or noise_across(position)
            yield self._rows(front, frame, found, position)
        front.waiting.clear()
        front.recent.clear()

    def _rows(self, front: _Front, frame: int, found: Found, position: Floats) -> pd.DataFrame:
        """Every column of a front in one frame, then their mean."""
        resting = position - self.rays.direction_yx @ self.drift[frame]
        if front.datum is None and np.isfinite(resting).any():
            front.datum = self.datum or Datum(float(np.nanmean(resting)))
        depth = resting if front.datum is None else front.datum.depth_px(resting)
        noise = front.noise or Noise()
        rough, raw = roughness_of(position, self.rays.column_px, noise.column_px)
        nothing = np.full(len(position), np.nan)
        both = [np.append(values, _mean(values)) for values in (position, depth)]
        rows = {
            "frame": frame,
            "time_s": self.frames.time_s(frame),
            "front": front.name,
            "kind": ["column"] * len(position) + ["mean"],
            "column_px": np.append(self.rays.column_px, np.nan),
            "position_px": both[0],
            "position_nm": both[0] * self.frames.pixel_nm,
            "position_sd_px": np.append(np.where(np.isfinite(position), noise.column_px, np.nan), noise.mean_px),
            "depth_px": both[1],
            "depth_nm": both[1] * self.frames.pixel_nm,
            "velocity_nm_per_s": np.nan,
            "velocity_px_per_frame": np.nan,
            "share_kept": np.append(nothing, found.share_kept),
            "roughness_px": np.append(nothing, rough),
            "roughness_raw_px": np.append(nothing, raw),
        }
        return pd.DataFrame(rows).astype(COLUMNS)


def _tracker(
    frames: LabelFrames, sides: Sides, axis: Any, finder: FrontFinder, rest: Any, drift: Floats
) -> _Tracker | ContourTracker:
    if isinstance(axis, str) and axis == "contour":
        return ContourTracker(frames, sides, drift)
    rays = make_rays(axis, frames.shape_yx)
    survey, datum = Survey(frames, rays, finder, drift), None
    if isinstance(rest, str) and rest == "auto":
        datum = survey.find_datum(sides)
    elif rest is not None:
        datum = survey.datum(sides, parse_sides(rest))
        if datum is None:
            raise TrackError(f"there is no boundary between {rest[0]} and {rest[1]} to count depths from.")
    return _Tracker(frames, sides, rays, finder, drift, datum)


def _all_rows(
    frames: LabelFrames, trackers: Sequence[_Tracker | ContourTracker], progress: Progress
) -> Iterator[pd.DataFrame]:
    """The rows of every front, frame by frame as they are known. Blank frames tell nothing."""
    progress(StageStarted("fronts", frames.n_frames))
    for frame in range(frames.n_frames):
        shares = frames.read_shares(frame)
        if shares.any():
            for tracker in trackers:
                yield from tracker.add(frame, shares)
        progress(StepsDone("fronts", frame + 1, frames.n_frames))
    for tracker in trackers:
        yield from tracker.finish()


def _parse_pairs(between: Any, n_classes: int | None) -> list[Sides]:
    """One pair of sides, or a list of them."""
    try:
        return [parse_sides(between, n_classes)]
    except TrackError:
        if np.ndim(between) == 0 or not isinstance(between, list):
            raise
    return [parse_sides(pair, n_classes) for pair in between]


def _drift_of(result: Result | None, frames: LabelFrames, given: npt.ArrayLike | None, progress: Progress) -> Floats:
    """Drift of every frame, px; 0 where nothing tells it, the last one known in between."""
    if given is None:
        drift = np.zeros((frames.n_frames, 2)) if result is None else read_drift(result, progress)
    else:
        drift = np.array(given, np.float64)
    if drift.shape != (frames.n_frames, 2):
        raise TrackError(f"got drift_yx_px of shape {drift.shape}, wanted ({frames.n_frames}, 2).")
    return np.asarray(pd.DataFrame(drift).ffill().fillna(0.0).to_numpy())


def _with_speeds(means: pd.DataFrame) -> pd.DataFrame:
    """Means with the median slope of their depth over the frames around."""
    parts = []
    for _, rows in means.groupby("front", sort=False):
        frame, depth = rows["frame"].to_numpy(np.float64), rows["depth_px"].to_numpy(np.float64)
        per_frame = local_slopes(frame, depth, SPEED_FRAMES)
        per_s = local_slopes(rows["time_s"].to_numpy(np.float64), rows["depth_nm"].to_numpy(np.float64), SPEED_FRAMES)
        parts.append(rows.assign(velocity_px_per_frame=per_frame, velocity_nm_per_s=per_s))
    return _concat(parts)


def _concat(parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    if not parts:
        return pd.DataFrame(columns=list(COLUMNS)).astype(COLUMNS)
    return pd.concat(parts, ignore_index=True)


def _mean(values: Floats) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else float("nan")
