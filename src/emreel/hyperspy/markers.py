"""Regions of a result as markers: where each is in every frame, and its number."""

from __future__ import annotations

from typing import Any

import numpy as np
from hyperspy.api import plot

from emreel.result import Result

_NOWHERE = np.empty((0, 2))


def region_markers(result: Result, *, least_px: float = 0.0) -> list[Any]:
    """Points at the regions' centroids, and their numbers as texts, for a signal of the whole movie.

    ``signal.add_marker(region_markers(result))``. Positions are in nm, or px where nothing is calibrated.

    Parameters
    ----------
    least_px : regions of less area, px^2, are left out.

    Raises
    ------
    emreel.result.ResultError : the result has no table of regions.
    """
    table = result.table("regions")
    table = table[table["area_px2"] >= least_px]
    scale = result.pixel_size_nm or 1.0
    n_frames = result.layout.shape_tyx[0]
    offsets, texts = np.empty(n_frames, dtype=object), np.empty(n_frames, dtype=object)
    for frame in range(n_frames):
        offsets[frame], texts[frame] = _NOWHERE, np.empty(0, dtype="U1")
    for number, rows in table.groupby(table["frame"].to_numpy(np.int64)):
        frame = int(str(number))
        offsets[frame] = rows[["centroid_x_px", "centroid_y_px"]].to_numpy(np.float64) * scale
        texts[frame] = rows["region"].astype(str).to_numpy(dtype="U")
    points = plot.markers.Points(offsets=offsets, sizes=4, facecolor="white", edgecolor="black")
    numbers = plot.markers.Texts(offsets=offsets.copy(), texts=texts, color="white", shift=0.01)
    return [points, numbers]
