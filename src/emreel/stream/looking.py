"""The first half of a frame of a stream, in any thread: read it, and find what it says by itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from emreel.descriptors.geometry import Tile
from emreel.model import SILENCE, FrameEvidence, Model
from emreel.prepare import FrameReport
from emreel.prepare.survey import Glance
from emreel.result import Layout
from emreel.stream.source import Arrival, FrameSource


@dataclass(frozen=True, eq=False)
class Looked:
    """A frame that was looked at. model : as the frame has left it. report : None where it cannot be read (``fault``).

    evidence : without its prepared frame, of which ``preview`` is left, uint8. glance : None without a survey.
    """

    arrival: Arrival
    model: Model
    report: FrameReport | None
    fault: str
    evidence: FrameEvidence
    preview: npt.NDArray[np.uint8]
    glance: Glance | None

    @property
    def index(self) -> int:
        return self.arrival.index


@dataclass(frozen=True, eq=False)
class Look:
    """``look(arrival, model)``; ``kept``: frames that were read before, by their place. glance : see `GrowingSurvey`.

    A frame that can never be read, or is of another size or kind than the first, says nothing; its fault is told.
    Raises OSError where a frame cannot be read now.
    """

    source: FrameSource
    layout: Layout
    dtype: str
    kept: dict[int, npt.NDArray[Any]]
    glance: Callable[[npt.NDArray[Any]], Glance] | None

    def __call__(self, arrival: Arrival, model: Model) -> Looked:
        frame, fault = self._read(arrival)
        if fault:
            preview = np.zeros(self.layout.arrays()["preview"].shape[1:], np.uint8)
            return Looked(arrival, model, None, fault, SILENCE, preview, None)
        report = model.report(frame)
        model = model.followed(frame, report)
        whole = Tile(0, frame.shape[0], 0, frame.shape[1])
        evidence = model.evidence(frame, whole, whole, whole.shape, report)
        preview = model.prepare.preview(evidence.prepared, self.layout.preview_factor)
        glance = None if self.glance is None else self.glance(frame)
        return Looked(arrival, model, report, "", evidence.without_pixels(), preview, glance)

    def _read(self, arrival: Arrival) -> tuple[npt.NDArray[Any], str]:
        if arrival.fault:
            return np.empty((0, 0)), arrival.fault
        frame = self.kept.pop(arrival.index, None)
        if frame is None:
            frame = np.asarray(self.source.read(arrival.index))
        wanted = self.layout.shape_tyx[1:]
        if frame.shape != wanted or str(frame.dtype) != self.dtype:
            return frame, f"got {frame.dtype} {frame.shape}, the first frame is {self.dtype} {wanted}"
        return frame, ""
