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
from emreel.track.finding import FrontFinder
from emreel.track.following import COLUMNS, FrontTracker
from emreel.track.kinetics import find_changes, local_slopes
from emreel.track.pairs import Survey, find_pairs
from emreel.track.rays import make_rays
from emreel.track.rest import read_drift
from emreel.track.source import LabelFrames, Scale, Sides, parse_sides

Floats = npt.NDArray[np.float64]

TABLE = "fronts"
#: Of a path through columns: evidence that a pixel between neighbours costs.
PATH_STIFFNESS = 2.0
#: Frames on each side that a mean's speed is taken from.
SPEED_FRAMES = 4


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
    ``axis`` is y, x, line, beams or contour; ``point_y_px`` and ``point_x_px`` are the front's points in the frame.
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
        table = add_speeds(means)
        if writer is not None:
            writer.append(table)
    if result is not None:
        events = [event for tracker in trackers for event in tracker.events]
        add_events(result.path, [*events, *find_motion_events(table)], about="front")
    return concat_rows([*kept, table])


def make_tracker(
    scale: Scale,
    sides: Sides,
    axis: Any,
    shape_yx: tuple[int, int],
    finder: FrontFinder,
    drift: Floats | list[Floats],
) -> FrontTracker | ContourTracker:
    """What follows the fronts between two sides from frame to frame; depths count from where they are first seen.

    Raises
    ------
    TrackError : an axis that does not fit the frames.
    """
    if isinstance(axis, str) and axis == "contour":
        return ContourTracker(scale, sides, drift)
    return FrontTracker(scale, sides, make_rays(axis, shape_yx), finder, drift)


def add_speeds(means: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Rows of means, front by front, with the median slope of their depth over the frames around."""
    parts = []
    for _, rows in concat_rows(means).groupby("front", sort=False):
        frame, depth = rows["frame"].to_numpy(np.float64), rows["depth_px"].to_numpy(np.float64)
        per_frame = local_slopes(frame, depth, SPEED_FRAMES)
        per_s = local_slopes(rows["time_s"].to_numpy(np.float64), rows["depth_nm"].to_numpy(np.float64), SPEED_FRAMES)
        parts.append(rows.assign(velocity_px_per_frame=per_frame, velocity_nm_per_s=per_s))
    return concat_rows(parts)


def concat_rows(parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """One table of many; with every column where there are none."""
    if not parts:
        return pd.DataFrame(columns=list(COLUMNS)).astype(COLUMNS)
    return pd.concat(parts, ignore_index=True)


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


def _tracker(
    frames: LabelFrames, sides: Sides, axis: Any, finder: FrontFinder, rest: Any, drift: Floats
) -> FrontTracker | ContourTracker:
    tracker = make_tracker(frames, sides, axis, frames.shape_yx, finder, drift)
    if isinstance(tracker, FrontTracker) and rest is not None:
        survey = Survey(frames, tracker.rays, finder, drift)
        is_auto = isinstance(rest, str) and rest == "auto"
        tracker.datum = survey.find_datum(sides) if is_auto else survey.datum(sides, parse_sides(rest))
        if tracker.datum is None and not is_auto:
            raise TrackError(f"there is no boundary between {rest[0]} and {rest[1]} to count depths from.")
    return tracker


def _all_rows(
    frames: LabelFrames, trackers: Sequence[FrontTracker | ContourTracker], progress: Progress
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
