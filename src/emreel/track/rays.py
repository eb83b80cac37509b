"""Where fronts are looked for: along rays through the frame, on each of which a front has one position.

Rays are the columns or the rows of the frame, lines side by side along a `emreel.track.line.Line`, or beams from a
centre outwards. Positions along columns and rows follow the edge convention: a front between row r - 1 and row r is at
r. Along lines and beams they are distances from the start, which lies on the middle of a pixel: on a line down a column
that starts at row 0 the same front is at r - 1/2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from emreel.track.errors import TrackError
from emreel.track.line import Line
from emreel.track.source import Share

Floats = npt.NDArray[np.float64]
#: What a front is followed along: columns ("y"), rows ("x"), a line, or beams from a centre (y, x).
Axis = Literal["y", "x"] | Line | Sequence[float]

LEAST_BEAMS = 8


@dataclass(frozen=True, eq=False, kw_only=True)
class Rays:
    """Rays through a frame.

    column_px : shape (ray,), the coordinate across: column, row, offset from the line's middle, or arc length of the
    beam at the largest circle within the frame. direction_yx : shape (ray, 2), unit vectors towards larger positions.
    step_px : between samples. points_yx : shape (along, ray, 2), px, or None: columns of the frame, or with
    ``is_turned`` its rows. axis : what kind of rays, "y", "x", "line" or "beams".
    """

    column_px: Floats
    direction_yx: Floats
    step_px: float = 1.0
    points_yx: Floats | None = None
    is_turned: bool = False
    axis: str = "y"

    def place_yx(self, position_px: Floats) -> Floats:
        """Points of the frame, shape (ray, 2), px; pixel (i, j) has its middle at (i, j)."""
        if self.points_yx is not None:
            return np.asarray(self.points_yx[0] + self.direction_yx * position_px[:, None])
        columns = np.stack([position_px - 0.5, self.column_px], axis=1)
        return columns[:, ::-1] if self.is_turned else columns

    def sample(self, share: Share) -> Share:
        """A map (y, x) along the rays, shape (along, ray); 0 outside the frame."""
        if self.points_yx is None:
            return np.ascontiguousarray(share.T if self.is_turned else share)
        points = np.moveaxis(self.points_yx, -1, 0)
        return np.asarray(ndimage.map_coordinates(share, points, order=1, mode="constant"), np.float32)

    def position_px(self, edge: npt.ArrayLike) -> Floats:
        """Positions of edges: edge e lies between samples e - 1 and e."""
        edges = np.asarray(edge, np.float64)
        return edges if self.points_yx is None else (edges - 0.5) * self.step_px


def make_rays(axis: Any, shape_yx: tuple[int, int]) -> Rays:
    """The rays of an axis in frames of that shape.

    Raises
    ------
    TrackError : another axis; a line or a centre outside the frame.

    >>> make_rays("y", (20, 30)).column_px.size, make_rays((10, 15), (20, 30)).points_yx.shape[0]
    (30, 10)
    """
    height, width = shape_yx
    if axis in ("x", "y"):
        turned = axis == "x"
        n = height if turned else width
        direction = np.tile([0.0, 1.0] if turned else [1.0, 0.0], (n, 1))
        return Rays(column_px=np.arange(n, dtype=np.float64), direction_yx=direction, is_turned=turned, axis=axis)
    if isinstance(axis, Line):
        return _beside(axis, shape_yx)
    try:
        centre = np.array([float(value) for value in axis])
    except (TypeError, ValueError):
        centre = np.empty(0)
    inside = centre.shape == (2,) and (centre > 0).all() and (centre < np.array(shape_yx) - 1).all()
    if not inside:
        raise TrackError(
            f"got axis = {axis!r}, wanted 'y' (one position a column), 'x' (a row), an emreel.Line, or a centre (y, x) "
            f"inside the frame of {height} x {width} px, for fronts that go outwards."
        )
    return _outwards(centre, shape_yx)


def _beside(line: Line, shape_yx: tuple[int, int]) -> Rays:
    points = line.points_yx()
    if points.min() < -0.5 or (points.max(axis=(0, 1)) > np.array(shape_yx) - 0.5).any():
        raise TrackError(
            f"the line from {line.start_yx} to {line.end_yx}, {line.width_px:g} px wide, leaves the frame."
        )
    n_across = points.shape[1]
    along = (np.array(line.end_yx, np.float64) - line.start_yx) / line.length_px
    across = (np.arange(n_across) - (n_across - 1) / 2) * (line.width_px / n_across)
    return Rays(
        column_px=across,
        direction_yx=np.tile(along, (n_across, 1)),
        step_px=float(line.step_px),
        points_yx=points,
        axis="line",
    )


def _outwards(centre: Floats, shape_yx: tuple[int, int]) -> Rays:
    """Beams a pixel apart on the largest circle around the centre."""
    largest = float(min(*centre, *(np.array(shape_yx) - 1 - centre)))
    radius = np.arange(int(largest) + 1, dtype=np.float64)
    n_beams = max(LEAST_BEAMS, int(2 * np.pi * largest))
    turn = 2 * np.pi * np.arange(n_beams) / n_beams
    direction = np.stack([np.sin(turn), np.cos(turn)], axis=1)
    return Rays(
        column_px=turn * largest,
        direction_yx=direction,
        points_yx=centre + radius[:, None, None] * direction,
        axis="beams",
    )
