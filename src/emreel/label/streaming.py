"""Labels of frames as they come, in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from emreel.descriptors.geometry import Tile
from emreel.label.windows import slide_windows
from emreel.model import FrameEvidence, FrameLabels, Model
from emreel.polycrystal import GrainState
from emreel.prepare.survey import Survey
from emreel.track.polycrystal import follow_grains


def label_stream(frames: Iterable[npt.NDArray[Any]], model: Model) -> Iterator[FrameLabels]:
    """Labels and membership of each frame as it comes, shape (y, x) counts; equal to `label_movie` to the bit.

    The frames of a polycrystal have their grains with them (``region``, ``angle_deg``). Where labels are kept still in
    time, they come ``model.lag`` frames after their frame, and the last ones when the frames end.
    """
    if model.lag:
        yield from _steady_stream(frames, model)
        return
    grains: GrainState | None = None
    for frame in frames:
        report = model.report(frame)
        model = model.followed(frame, report)
        labels = model.label_frame(frame, report)
        if model.grains is not None:
            grains, labels = follow_grains(model, labels, grains)
        yield labels


def _steady_stream(frames: Iterable[npt.NDArray[Any]], model: Model) -> Iterator[FrameLabels]:
    """Labels that come ``model.lag`` frames after their frame, the last ones when the frames end."""
    for window, at in slide_windows(_evidence_and_drift(frames, model), model.lag):
        evidence, drift, tiles = zip(*window, strict=True)
        whole = tiles[at]
        yield model.label_window(evidence, at, whole, whole.shape, np.array(drift) if model.survey else None)


def _evidence_and_drift(
    frames: Iterable[npt.NDArray[Any]], model: Model
) -> Iterator[tuple[FrameEvidence, tuple[float, float], Tile]]:
    survey, state = Survey(reference_mean=model.prepare.reference_mean), None
    drift = (0.0, 0.0)
    for number, frame in enumerate(frames):
        whole = Tile(0, frame.shape[0], 0, frame.shape[1])
        if model.survey:
            state, row = survey.step(state, number, survey.glance(frame), survey.bin_px(whole.shape))
            drift = (row.drift_y_px, row.drift_x_px)
        yield model.evidence(frame, whole, whole, whole.shape, model.report(frame)), drift, whole
