"""The survey of a movie that is being taken: one row a frame in order, kept so that watching goes on where it stopped.

RESULT/survey/rows.jsonl has a checked line for every frame; RESULT/survey/state.npz what the next frame needs, now and
then. After a stop at any moment, frames behind the kept state are looked at again where the source still has them.
"""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from emreel.prepare.drift import DriftState
from emreel.prepare.flicker import FlickerState
from emreel.prepare.sharpness import Detail
from emreel.prepare.survey import FrameRow, Glance, Survey, SurveyState, judge_rows, unread_row
from emreel.result import write_survey
from emreel.result.errors import explain_os_error
from emreel.result.files import append_to, write_file
from emreel.result.lines import encode_line, plain_json, trusted_lines
from emreel.result.quality import SURVEY

ROWS, STATE = "rows.jsonl", "state.npz"
#: The state is kept after so many frames.
KEEP_EVERY = 16
#: Status of a frame that never came.
MISSING = "missing"


class GrowingSurvey:
    """The rows so far, and the state behind them; used by one thread."""

    def __init__(self, path: str | os.PathLike[str], survey: Survey) -> None:
        self._path, self._survey = Path(path), survey
        self._rows: dict[int, FrameRow] = {}
        self._state, self._last = _read_state(self._folder / STATE)
        self._n_unkept = 0
        try:
            self._folder.mkdir(exist_ok=True)
            content = (self._folder / ROWS).read_bytes() if (self._folder / ROWS).exists() else b""
            lines = trusted_lines(content)
            kept = b"".join(encode_line(number, line) for number, line in enumerate(lines))
            if kept != content:  # a line was torn
                write_file(self._folder / ROWS, kept)
        except OSError as error:
            raise explain_os_error(error, self._folder) from error
        self._n_lines = len(lines)
        for line in lines:
            self._rows[int(line["frame"])] = _row_of(line)
        if self._last not in self._rows:  # its line was torn: all frames are looked at again
            self._state, self._last = None, -1

    @property
    def last(self) -> int:
        """The frame that the state is that after; -1: none."""
        return self._last

    def glance(self, frame: npt.NDArray[Any]) -> Glance:
        """What `step` needs of a frame as recorded, shape (y, x); by any thread."""
        return self._survey.glance(frame)

    def step(self, index: int, glance: Glance | None, shape_yx: tuple[int, int], fault: str = "") -> FrameRow:
        """The row of the next frame, kept on disk; None for a frame that cannot be read.

        A frame that is not behind the last one (it came late) tells no drift.

        Raises
        ------
        emreel.result.StorageError : the disk is full or refuses.
        """
        if glance is None:
            row = unread_row(index, "unreadable", fault)
        elif index <= self._last:
            row = self._rows[index] if index in self._rows else _late_row(self._survey.step(None, index, glance)[1])
        else:
            self._state, row = self._survey.step(self._state, index, glance, self._survey.bin_px(shape_yx))
            self._last = index
            self._n_unkept += 1
        known = self._rows.get(index)
        self._rows[index] = row
        if known is None or _described(known) != _described(row):
            self._append(row)
        if self._n_unkept >= KEEP_EVERY:
            self.keep()
        return row

    def row(self, frame: int) -> FrameRow:
        """Of a frame that has had its `step`."""
        return self._rows[frame]

    def drift_of(self, frames: range) -> npt.NDArray[np.float64]:
        """Where the specimen stands in these frames, (y, x) px, shape (frame, 2); NaN for one without a row."""
        nowhere = (np.nan, np.nan)
        rows = [self._rows.get(frame) for frame in frames]
        return np.array([nowhere if row is None else (row.drift_y_px, row.drift_x_px) for row in rows], np.float64)

    def keep(self) -> None:
        """Write the state. Raises StorageError."""
        if self._state is None or not self._n_unkept:
            return
        write_file(self._folder / STATE, _state_bytes(self._state, self._last), flush=False)
        self._n_unkept = 0

    def write_table(self, n_frames: int) -> None:
        """The table ``survey`` of the result, as a batch writes it. Raises StorageError."""
        rows = [self._rows.get(frame, unread_row(frame, MISSING, "")) for frame in range(n_frames)]
        write_survey(self._path, judge_rows(rows))

    @property
    def _folder(self) -> Path:
        return self._path / SURVEY

    def _append(self, row: FrameRow) -> None:
        append_to(self._folder / ROWS, encode_line(self._n_lines, _described(row)), flush=False)
        self._n_lines += 1


# ------------------------------------------------------------------------------------------------ rows


def _late_row(row: FrameRow) -> FrameRow:
    """A row that was measured alone: neither its drift nor its gain can be told."""
    unknown = float("nan")
    return replace(row, gain=unknown, drift_y_px=unknown, drift_x_px=unknown, drift_ok=False, drift_sigma_px=unknown)


def _described(row: FrameRow) -> dict[str, Any]:
    described: dict[str, Any] = plain_json(asdict(row))
    return described


def _row_of(line: Mapping[str, Any]) -> FrameRow:
    values = _with_nan({entry.name: line[entry.name] for entry in fields(FrameRow)})
    return FrameRow(**values | {"detail": Detail(**_with_nan(line["detail"]))})


def _with_nan(values: Mapping[str, Any]) -> dict[str, Any]:
    """JSON's null is no number."""
    return {name: float("nan") if value is None else value for name, value in values.items()}


# ----------------------------------------------------------------------------------------------- state


def _state_bytes(state: SurveyState, last: int) -> bytes:
    """A npz of plain arrays; the names tell the places."""
    arrays: dict[str, Any] = {"last": last, "drift_yx_px": state.drift_yx_px}
    if state.signature is not None:
        arrays["signature"] = state.signature
    for name, part in (("drift", state.drift), ("flicker", state.flicker)):
        if part is not None:
            arrays |= {f"{name}.{entry.name}": getattr(part, entry.name) for entry in fields(part)}
    arrays = {name: np.asarray(value) for name, value in arrays.items()}
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def _read_state(file: Path) -> tuple[SurveyState | None, int]:
    """The state that was kept, and the frame that it is that after; None, -1 where there is none."""
    try:
        with np.load(io.BytesIO(file.read_bytes()), allow_pickle=False) as found:
            arrays = dict(found)
        flicker = _part_of(arrays, "flicker.")
        return SurveyState(
            drift=_drift_of(_part_of(arrays, "drift.")),
            flicker=FlickerState(**flicker | {"mean_level": float(flicker["mean_level"])}) if flicker else None,
            drift_yx_px=_pair(arrays["drift_yx_px"]),
            signature=int(arrays["signature"]) if "signature" in arrays else None,
        ), int(arrays["last"])
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile):
        return None, -1


def _drift_of(part: dict[str, Any]) -> DriftState | None:
    if not part:
        return None
    y, x = part["origin_yx"].tolist()
    pairs = {name: _pair(part[name]) for name in ("drift_yx_px", "velocity_yx_px")}
    return DriftState(**part | pairs | {"origin_yx": (y, x)})


def _part_of(arrays: Mapping[str, npt.NDArray[Any]], prefix: str) -> dict[str, Any]:
    return {name.removeprefix(prefix): values for name, values in arrays.items() if name.startswith(prefix)}


def _pair(values: npt.NDArray[Any]) -> tuple[float, float]:
    y, x = values.tolist()
    return y, x
