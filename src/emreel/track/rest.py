"""What rests in a movie: the specimen's drift, from the pictures that a result keeps.

Only a resting layer tells a front that moves from a specimen that drifts. `emreel.prepare.drift` finds it in the
movie itself, tile by tile; the result's previews are that movie, at most 1024 px a side.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from emreel.prepare.drift import DriftState, DriftTracker
from emreel.progress import Progress, StageStarted, StepsDone, ignore
from emreel.result import Result, drift_of, open_result, read_survey

Floats = npt.NDArray[np.float64]

#: Statuses of frames that show the specimen.
_USABLE = ("good", "duplicate", "blurred")


def read_drift(result: Result, progress: Progress = ignore) -> Floats:
    """Drift (y, x) of every frame against the first good one, px, shape (time, 2); NaN where it could not be measured.

    That of the result's survey where it has one, else measured on the previews, at 20 ms a frame.
    """
    n_frames = result.layout.shape_tyx[0]
    survey = read_survey(result.path, n_frames)
    if survey is not None and survey["drift_ok"].any():
        return np.where(survey["drift_ok"].to_numpy()[:, None], drift_of(survey), np.nan)
    status = result.table("quality").set_index("frame")["status"].reindex(range(n_frames), fill_value="")
    usable = status.isin(_USABLE).to_numpy(np.bool_)
    return _measured(open_result(result.path, chunks=None), usable, progress)


def _measured(result: Result, usable: npt.NDArray[np.bool_], progress: Progress) -> Floats:
    drift = np.full((len(usable), 2), np.nan)
    tracker, state = DriftTracker(), None
    factor = result.layout.preview_factor
    progress(StageStarted("drift", len(usable)))
    for frame in np.flatnonzero(usable).tolist():
        picture = np.asarray(result.preview.isel(time=frame).values)
        if min(picture.shape) < 2 * tracker.tile_px:
            return np.zeros_like(drift)
        now: DriftState | None = state
        state, report = tracker.step(now, tracker.view(picture, np.ones(picture.shape, bool)))
        if report.ok:
            drift[frame] = np.array(report.drift_yx_px) * factor
        progress(StepsDone("drift", frame + 1, len(usable)))
    return drift
