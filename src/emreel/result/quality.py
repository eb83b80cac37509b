"""What was found in every frame before it was labelled, as a table of the result, and what the quality table takes."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from emreel.prepare.survey import FrameRow
from emreel.result.errors import ResultError
from emreel.result.tables import read_table, write_table

#: The table's name: one row a frame, in order.
SURVEY = "survey"
#: Frames on either side against which a frame is called blurred.
NEIGHBOURS = 8

_NUMBERS = (
    "mean",
    "gain",
    "gain_agreement",
    "sharpness",
    "blur",
    "drift_y_px",
    "drift_x_px",
    "drift_sigma_px",
    "drift_agreement",
)
_WORDS = ("status", "reason", "gain_note")


def survey_table(rows: Sequence[FrameRow]) -> pd.DataFrame:
    """One row a frame, see `emreel.prepare.survey.FrameRow`.

    ``blur`` is how much less sharp the frame is than the median of its good neighbours, 0 to 1; NaN where it is not
    usable, or noise hides all detail.
    """
    columns: dict[str, object] = {"frame": np.array([row.frame for row in rows], np.int64)}
    columns |= {name: [getattr(row, name) for row in rows] for name in _WORDS}
    columns |= {name: np.array([getattr(row, name) for row in rows], float) for name in _NUMBERS if name != "blur"}
    columns["blur"] = _blur(rows)
    columns["drift_ok"] = np.array([row.drift_ok for row in rows], bool)
    return pd.DataFrame(columns).astype(dict.fromkeys(_WORDS, str))


def write_survey(path: str | os.PathLike[str], rows: Sequence[FrameRow]) -> pd.DataFrame:
    """Write the table ``survey`` of a result in one step, and return it."""
    table = survey_table(rows)
    write_table(path, SURVEY, table)
    return table


def read_survey(path: str | os.PathLike[str], n_frames: int) -> pd.DataFrame | None:
    """The table ``survey`` of a result of ``n_frames``; None when it is missing, damaged or of other frames."""
    try:
        table = read_table(path, SURVEY)
    except ResultError:
        return None
    good = len(table) == n_frames and {"frame", "drift_ok", *_NUMBERS, *_WORDS} <= set(table.columns)
    return table if good else None


def drift_of(table: pd.DataFrame) -> npt.NDArray[np.float64]:
    """Where the specimen stands in every frame, (y, x) px, shape (time, 2)."""
    return table[["drift_y_px", "drift_x_px"]].to_numpy(np.float64)


def _blur(rows: Sequence[FrameRow]) -> npt.NDArray[np.float64]:
    sharp = np.array([row.sharpness for row in rows], float)
    good = np.array([row.status in ("good", "blurred") for row in rows], bool) & (sharp > 0)
    blur = np.full(len(rows), np.nan)
    for index in np.flatnonzero(good).tolist():
        near = np.arange(max(index - NEIGHBOURS, 0), min(index + NEIGHBOURS + 1, len(rows)))
        usual = float(np.median(sharp[near[good[near]]]))
        blur[index] = max(1 - sharp[index] / usual, 0.0)
    return blur
