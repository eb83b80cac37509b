"""The row that the ledger keeps of a labelled frame, in batch and in a stream."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from emreel.model import Model
from emreel.prepare import FrameReport
from emreel.result import count_labels


def frame_row(frame: int, report: FrameReport, model: Model, label: npt.NDArray[np.uint8]) -> dict[str, Any]:
    """What the ledger keeps of one labelled frame (see `emreel.result.tables`); of a block's part of it, in tiles."""
    followed = {} if model.follow == "none" else {"centers": model.centers.tolist()}
    return followed | {
        "frame": frame,
        "status": report.status,
        "reason": report.reason,
        "gain": model.prepare.relative_gain(report),
        "signature": report.signature,
        "label_px": count_labels(label[None])[0],
    }
