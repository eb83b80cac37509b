"""The second half of a frame of a stream, in any thread: label it as in batch, write it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from emreel.descriptors.geometry import Tile
from emreel.label import frame_row
from emreel.model import FrameLabels, Model
from emreel.polycrystal import GrainState
from emreel.prepare.survey import FrameRow
from emreel.result import GrowingStore, Record, count_labels
from emreel.stream.looking import Looked
from emreel.stream.source import Arrival
from emreel.stream.window import InTime
from emreel.track.polycrystal import follow_frame

#: What a model says of a frame in labels of the result, and the number of the model's version.
Renumber = Callable[[Model, FrameLabels], tuple[FrameLabels, int]]


@dataclass(frozen=True, eq=False)
class DoneFrame:
    """A frame that lies on the disk and waits to be counted; ``grains``: of a polycrystal, as it has left them."""

    arrival: Arrival
    record: Record
    label: npt.NDArray[np.uint8]
    grains: GrainState | None


@dataclass(frozen=True, eq=False)
class LabelFrame:
    """``label(frame, drift_yx_px, found, grains)``. Raises StorageError where the disk refuses.

    drift_yx_px : where the specimen stands in the frames of the window, shape (frame, 2), px, or None: not measured.
    found : the survey's row of the frame. renumber : of a model that is one of several versions; its row tells which.
    grains : of a polycrystal, as the frame before has left them.
    """

    store: GrowingStore
    renumber: Renumber | None = None

    def __call__(
        self,
        now: InTime,
        drift_yx_px: npt.NDArray[np.float64] | None,
        found: FrameRow | None,
        grains: GrainState | None,
    ) -> DoneFrame:
        frame, model, layout = now.frame, now.frame.model, self.store.layout
        height, width = layout.shape_tyx[1:]
        whole = Tile(0, height, 0, width)
        labels = model.label_window(now.window, now.at, whole, whole.shape, drift_yx_px)
        version = {}
        if self.renumber is not None:
            labels, number = self.renumber(model, labels)
            version = {"version": number}
        row = _row_of(frame, labels, found) | version
        more: dict[str, npt.NDArray[Any]] = {}
        if model.grains is not None:
            grains, labels, row = follow_frame(model, labels, grains, row)
            more = {"region": _one(labels.region), "angle": _one(labels.angle_deg)}
        if layout.with_membership:
            more["membership"] = labels.membership[None]
        checksums = self.store.write_frame(frame.index, label=labels.label[None], preview=frame.preview[None], **more)
        record = Record(block=self.store.block(frame.index), checksums=checksums, rows=(row,))
        return DoneFrame(frame.arrival, record, labels.label, grains)


def _row_of(frame: Looked, labels: FrameLabels, found: FrameRow | None) -> dict[str, Any]:
    """The row of the ledger."""
    row: dict[str, Any]
    if frame.report is None:
        row = {"frame": frame.index, "status": "unreadable", "reason": frame.fault}
        row["label_px"] = count_labels(labels.label[None])[0]
    else:
        row = frame_row(frame.index, frame.report, frame.model, labels.label)
        row |= {} if found is None else {"status": found.status, "reason": found.reason}
        if found is not None and found.drift_ok:
            row |= {"drift_y_px": found.drift_y_px, "drift_x_px": found.drift_x_px}
    if frame.arrival.time_s is not None:
        row["time_s"] = frame.arrival.time_s
    return row


def _one(array: npt.NDArray[Any] | None) -> npt.NDArray[Any]:
    assert array is not None, "follow_frame gives both"
    return array[None]
