"""What was tracked, as lines over a frame: fronts, where they have a position a column or row, and twin boundaries."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from emreel.result import Result, ResultError
from emreel.view.dashboard.frames import Frames
from emreel.view.dashboard.window import Window

Floats = npt.NDArray[np.float64]
#: Rows of a front that are looked at to tell its axis, and the share of them that must lie between its two sides.
_LOOKED_AT, _AGREE = 64, 0.6
#: How far from the front its sides are looked at, px.
_AWAY_PX = 3


class Traces:
    """The tables ``fronts`` and ``twins`` of a result, read once. A table of fronts does not tell along which axis
    they move, so the labels do: of both, the one along which a front's positions lie between its two sides."""

    def __init__(self, frames: Frames) -> None:
        self._scene = frames
        fronts, twins = _read(frames.result, "fronts", "column"), _read(frames.result, "twins", "boundary")
        self._fronts = dict(iter(_grouped(fronts, "frame")))
        self._twins = dict(iter(_grouped(twins, "frame")))
        self._axes = {str(front): self._axis_of(str(front), rows) for front, rows in _grouped(fronts, "front")}

    def at(self, frame: int, scale: float) -> dict[str, list[float]]:
        """Columns x and y of one line in px times ``scale``; NaN parts one trace from the next."""
        pieces: list[tuple[Floats, Floats]] = []
        for front, rows in _grouped(self._fronts.get(frame), "front"):
            across, along = _columns(rows)
            if self._axes.get(str(front)) == "y":
                pieces.append((across + 0.5, along))
            elif self._axes.get(str(front)) == "x":
                pieces.append((along, across + 0.5))
        for row in self._twins[frame].itertuples() if frame in self._twins else ():
            turn, half = np.radians(float(row.angle_deg)), float(row.length_px) / 2 * np.array([-1.0, 1.0])
            pieces.append((row.point_x_px + 0.5 + half * np.cos(turn), row.point_y_px + 0.5 + half * np.sin(turn)))
        gap = [float("nan")]
        x, y = ([value for piece in pieces for value in [*(piece[i] * scale).tolist(), *gap]] for i in (0, 1))
        return {"x": x, "y": y}

    def _axis_of(self, front: str, rows: pd.DataFrame) -> str | None:
        """The axis that a front's positions count along; None for lines, circles and contours."""
        try:
            before, after = ([int(label) for label in side.split(",")] for side in front.split("/"))
        except ValueError:
            return None
        known = rows[np.isfinite(rows["position_px"])]
        if known.empty:
            return None
        frame = int(known["frame"].value_counts().idxmax())
        label = self._scene.label(frame, Window.around(self._scene.result.layout.shape_tyx[1:], most_px=2**20))
        there = known[known["frame"] == frame]
        across, along = _columns(there.iloc[:: max(len(there) // _LOOKED_AT, 1)])
        shares = {"y": _share(label, across, along, before, after), "x": _share(label.T, across, along, before, after)}
        best = max(shares, key=shares.__getitem__)
        return best if shares[best] >= _AGREE else None


def _share(label: npt.NDArray[Any], across: Floats, along: Floats, before: list[int], after: list[int]) -> float:
    """Share of places with the labels ``before`` a little before them along the first axis, and ``after`` after."""
    rows, columns = np.round(along).astype(np.int64), across.astype(np.int64)
    inside = (rows >= _AWAY_PX) & (rows + _AWAY_PX <= label.shape[0]) & (columns < label.shape[1])
    if not inside.any():
        return 0.0
    first = label[rows[inside] - _AWAY_PX, columns[inside]]
    second = label[rows[inside] + _AWAY_PX - 1, columns[inside]]
    return float(np.mean(np.isin(first, before) & np.isin(second, after)))


def _read(result: Result, name: str, kind: str) -> pd.DataFrame:
    try:
        table = result.table(name)
    except ResultError:
        return pd.DataFrame()
    return table[table["kind"] == kind]


def _grouped(table: pd.DataFrame | None, name: str) -> Any:
    return () if table is None or table.empty else table.groupby(name)


def _columns(rows: pd.DataFrame) -> tuple[Floats, Floats]:
    return rows["column_px"].to_numpy(np.float64), rows["position_px"].to_numpy(np.float64)
