"""Labels of frames as they come, in memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from emreel.descriptors.geometry import Tile
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
    window: deque[FrameEvidence] = deque()
    drift: deque[tuple[float, float]] = deque()
    survey, state = Survey(reference_mean=model.prepare.reference_mean), None
    whole = Tile(0, 0, 0, 0)
    first = n_told = n_seen = 0  # the window's first frame, labels told, frames seen

    def told() -> FrameLabels:
        places = np.array(drift) if model.survey else None
        return model.label_window(window, n_told - first, whole, whole.shape, places)

    for frame in frames:
        whole = Tile(0, frame.shape[0], 0, frame.shape[1])
        window.append(model.evidence(frame, whole, whole, whole.shape, model.report(frame)))
        if model.survey:
            state, row = survey.step(state, n_seen, survey.glance(frame), survey.bin_px(whole.shape))
            drift.append((row.drift_y_px, row.drift_x_px))
        n_seen += 1
        if n_seen - n_told > model.lag:
            yield told()
            n_told += 1
            if n_told - first > model.lag:
                window.popleft()
                if model.survey:
                    drift.popleft()
                first += 1
    while n_told < n_seen:
        yield told()
        n_told += 1
