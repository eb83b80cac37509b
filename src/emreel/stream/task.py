"""One frame of a stream, in any thread: read it, label it as in batch, write it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from emreel.label import frame_row
from emreel.model import FrameLabels, Model
from emreel.result import INVALID, GrowingStore, Record, count_labels
from emreel.stream.source import Arrival, FrameSource


@dataclass(frozen=True, eq=False)
class DoneFrame:
    """A frame that lies on the disk and waits to be counted; ``model`` as the frame has left it."""

    arrival: Arrival
    record: Record
    label: npt.NDArray[np.uint8]
    model: Model


@dataclass(frozen=True, eq=False)
class FrameTask:
    """``task(arrival, model)``; ``kept``: frames that were read before, by their place.

    A frame that can never be read, or is of another size or kind than the first, is labelled invalid; its row says why.
    Raises OSError where a frame cannot be read now, StorageError where the disk refuses.
    """

    source: FrameSource
    store: GrowingStore
    dtype: str
    kept: dict[int, npt.NDArray[Any]]

    def __call__(self, arrival: Arrival, model: Model) -> DoneFrame:
        index, layout = arrival.index, self.store.layout
        frame, fault = self._read(arrival)
        if fault:
            label, soft = self._invalid_arrays()
            preview = np.zeros(layout.arrays()["preview"].shape[1:], np.uint8)
            row: dict[str, Any] = {"frame": index, "status": "unreadable", "reason": fault}
            row["label_px"] = count_labels(label[None])[0]
        else:
            report = model.report(frame)
            model = model.followed(frame, report)
            labels: FrameLabels = model.label_frame(frame, report)
            label, soft = labels.label, labels.membership
            preview = model.prepare.preview(labels.prepared, layout.preview_factor)
            row = frame_row(index, report, model, label)
        if arrival.time_s is not None:
            row["time_s"] = arrival.time_s
        membership = soft[None] if layout.with_membership else None
        checksums = self.store.write_frame(index, label=label[None], preview=preview[None], membership=membership)
        return DoneFrame(arrival, Record(block=self.store.block(index), checksums=checksums, rows=(row,)), label, model)

    def _read(self, arrival: Arrival) -> tuple[npt.NDArray[Any], str]:
        if arrival.fault:
            return np.empty((0, 0)), arrival.fault
        frame = self.kept.pop(arrival.index, None)
        if frame is None:
            frame = np.asarray(self.source.read(arrival.index))
        wanted = self.store.layout.shape_tyx[1:]
        if frame.shape != wanted or str(frame.dtype) != self.dtype:
            return frame, f"got {frame.dtype} {frame.shape}, the first frame is {self.dtype} {wanted}"
        return frame, ""

    def _invalid_arrays(self) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
        layout = self.store.layout
        rows, columns = layout.block(0).tile.grid_slices(layout.stride)
        soft = np.zeros((layout.n_classes, rows.stop - rows.start, columns.stop - columns.start), np.uint8)
        return np.full(layout.shape_tyx[1:], INVALID, np.uint8), soft
