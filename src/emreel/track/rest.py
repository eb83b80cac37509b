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
USABLE = ("good", "duplicate", "blurred")


def read_drift(result: Result, progress: Progress = ignore) -> Floats:
    """Drift (y, x) of every frame against the first good one, px, shape (time, 2); NaN where it could not be measured.

    That of the result's survey where it has one, else measured on the previews, at 15 ms a frame of 512 x 512 px.
    """
    n_frames = result.layout.shape_tyx[0]
    survey = read_survey(result.path, n_frames)
    if survey is not None and survey["drift_ok"].any():
        return np.where(survey["drift_ok"].to_numpy()[:, None], drift_of(survey), np.nan)
    status = result.table("quality").set_index("frame")["status"].reindex(range(n_frames), fill_value="")
    usable = status.isin(USABLE).to_numpy(np.bool_)
    return _measured(open_result(result.path, chunks=None), usable, progress)


class PreviewDrift:
    """Drift measured on the previews of usable frames, one after another. factor : px of the movie to one of theirs."""

    def __init__(self, factor: int) -> None:
        self._factor, self._tracker = factor, DriftTracker()
        self._state: DriftState | None = None

    def step(self, preview: npt.NDArray[np.uint8]) -> Floats | None:
        """Drift (y, x) of the next one against the first, px; 0 where it is too small to tell, None where it fails."""
        if min(preview.shape) < 2 * self._tracker.tile_px:
            return np.zeros(2)
        shown = self._tracker.view(preview, np.ones(preview.shape, bool))
        self._state, report = self._tracker.step(self._state, shown)
        return np.array(report.drift_yx_px) * self._factor if report.ok else None


def _measured(result: Result, usable: npt.NDArray[np.bool_], progress: Progress) -> Floats:
    drift = np.full((len(usable), 2), np.nan)
    previews = PreviewDrift(result.layout.preview_factor)
    progress(StageStarted("drift", len(usable)))
    for frame in np.flatnonzero(usable).tolist():
        measured = previews.step(np.asarray(result.preview.isel(time=frame).values))
        if measured is not None:
            drift[frame] = measured
        progress(StepsDone("drift", frame + 1, len(usable)))
    return drift
