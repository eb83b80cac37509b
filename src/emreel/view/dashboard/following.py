"""The table of regions of the frame that is shown, and one region followed through time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from bokeh.models import ColumnDataSource, DataTable, NumberFormatter, TableColumn
from skimage.measure import find_contours

from emreel.result import Result, ResultError
from emreel.view.dashboard.charts import Charts
from emreel.view.dashboard.panes import Panes

_TABLE_PX = 150
_NUMBERS = ("area_px2", "centroid_y_px", "centroid_x_px", "orientation_deg")


class RegionTable:
    """The regions of the frame that is shown, by area."""

    def __init__(self, result: Result) -> None:
        try:
            self.table = result.table("regions")
        except ResultError:
            self.table = pd.DataFrame()
        self.is_there = not self.table.empty
        self.data = ColumnDataSource({name: [] for name in ("region", "label", *_NUMBERS, "event")})
        plain = NumberFormatter(format="0.0")
        columns = [
            TableColumn(
                field=name, title=name.replace("_", " "), formatter=plain if name in _NUMBERS[1:] else NumberFormatter()
            )
            for name in ("region", "label", *_NUMBERS)
        ]
        columns.append(TableColumn(field="event", title="event"))
        self.layout = DataTable(
            source=self.data,
            columns=columns,
            height=_TABLE_PX,
            index_position=None,
            reorderable=False,
            sizing_mode="stretch_width",
        )

    def show(self, frame: int) -> None:
        if self.is_there:
            rows = self.table[self.table["frame"] == frame].sort_values("area_px2", ascending=False)
            self.data.data = {
                name: rows[name].to_numpy() if name in rows else [""] * len(rows) for name in self.data.data
            }

    def of(self, region: int) -> pd.DataFrame:
        """A region's rows, frame by frame."""
        return self.table[self.table["region"] == region].sort_values("frame") if self.is_there else self.table


class Following:
    """One region, outlined in both panes, with its path so far and its area through time."""

    def __init__(self, regions: RegionTable, panes: Panes, charts: Charts) -> None:
        self._regions, self._panes, self._charts = regions, panes, charts
        self.region = 0
        self._frame = 0
        regions.data.selected.on_change("indices", self._choose)

    def follow(self, region: int, frame: int) -> None:
        """From now on follow this region; 0 for none."""
        self.region = region
        rows = self._regions.of(region) if region else pd.DataFrame()
        columns: dict[str, Any] = {"x": [], "y": []}
        if len(rows):
            physical = rows["area_nm2"].notna().all()
            area = rows["area_nm2" if physical else "area_px2"].to_numpy(np.float64)
            columns = {"x": np.asarray(self._charts.times.data["x"])[rows["frame"].to_numpy()], "y": area}
            self._charts.area.yaxis.axis_label = f"region {region} ({'nm²' if physical else 'px²'})"
        self._charts.area_data.data = columns
        self.show(frame)

    def show(self, frame: int) -> None:
        """Draw where it is in this frame, and where it came from."""
        self._frame = frame
        path: dict[str, Any] = {"x": [], "y": []}
        outline: dict[str, Any] = {"xs": [], "ys": []}
        if self.region:
            rows, scale = self._regions.of(self.region), self._panes.scale
            if len(rows):
                rows = rows[rows["frame"] <= frame]
                path = {axis: (rows[f"centroid_{axis}_px"].to_numpy() + 0.5) * scale for axis in "xy"}
            outline = self._outline(frame)
        if self.region or self._panes.path.data["x"] is not path["x"]:
            self._panes.path.data, self._panes.outline.data = path, outline

    def _outline(self, frame: int) -> dict[str, Any]:
        window = self._panes.window
        inside = self._panes.frames.region(frame, window) == self.region
        lines: Any = find_contours(np.pad(inside, 1).astype(np.float32), 0.5)  # type: ignore[no-untyped-call]
        left, top, width, height = window.place(1, (inside.shape[0], inside.shape[1]))
        cell_y, cell_x = height / max(inside.shape[0], 1), width / max(inside.shape[1], 1)
        scale = self._panes.scale
        return {
            "xs": [(left + (line[:, 1] - 0.5) * cell_x) * scale for line in lines],
            "ys": [(top + (line[:, 0] - 0.5) * cell_y) * scale for line in lines],
        }

    def _choose(self, attr: str, old: list[int], new: list[int]) -> None:
        if new:
            self.follow(int(self._regions.data.data["region"][new[0]]), self._frame)
