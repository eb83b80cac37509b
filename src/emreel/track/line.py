"""A line over the frame, and maps sampled along it: weighted averages, never beyond what they average."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from emreel.track.errors import TrackError

Floats = npt.NDArray[np.float64]
#: A position of whose neighbours less than this share is known has no value.
LEAST_KNOWN = 1e-6


@dataclass(frozen=True, kw_only=True)
class Line:
    """A straight line over the frame.

    Parameters
    ----------
    start_yx, end_yx : px; position 0 is at the start.
    width_px : averaged across, centred on the line; up to 1 px is the line itself.
    step_px : between positions along the line.

    Raises
    ------
    TrackError : no length, a step or width that is not positive.

    >>> Line(start_yx=(0, 0), end_yx=(30, 40), step_px=10).positions_px
    array([ 0., 10., 20., 30., 40., 50.])
    """

    start_yx: tuple[float, float]
    end_yx: tuple[float, float]
    width_px: float = 1.0
    step_px: float = 1.0

    def __post_init__(self) -> None:
        ends = np.array([self.start_yx, self.end_yx], np.float64)
        if ends.shape != (2, 2) or not np.isfinite(ends).all() or not self.length_px > 0:
            raise TrackError(f"got a line from {self.start_yx} to {self.end_yx}, wanted two different points (y, x).")
        for name in ("width_px", "step_px"):
            if not 0 < getattr(self, name) < np.inf:
                raise TrackError(f"got {name} = {getattr(self, name)!r}, wanted a positive number of pixels.")

    @property
    def length_px(self) -> float:
        return float(np.hypot(self.end_yx[0] - self.start_yx[0], self.end_yx[1] - self.start_yx[1]))

    @property
    def positions_px(self) -> Floats:
        """Distance of every point from the start, shape (position,), px."""
        n_steps = int(np.floor(self.length_px / self.step_px + 1e-9))
        return np.asarray(np.arange(n_steps + 1) * float(self.step_px), np.float64)

    def points_yx(self) -> Floats:
        """Points to average over, shape (position, across, 2), px."""
        along = (np.array(self.end_yx, np.float64) - self.start_yx) / self.length_px
        normal = np.array([along[1], -along[0]])
        n_across = max(1, int(np.ceil(self.width_px)))
        across = (np.arange(n_across) - (n_across - 1) / 2) * (self.width_px / n_across)
        on_line = np.array(self.start_yx) + self.positions_px[:, None] * along
        return np.asarray(on_line[:, None] + across[:, None] * normal)


class LineSampler:
    """Linear interpolation at the points of a line: a crop of the grid, and four neighbours a point with weights.

    ``rows`` and ``columns`` are the part of the grid that the line needs.

    Parameters
    ----------
    grid_yx : grid points of the maps to be sampled; point (i, j) lies on pixel (i stride, j stride) of a frame of
        ``shape_px``.

    Raises
    ------
    TrackError : the line leaves the frame.
    """

    def __init__(self, line: Line, grid_yx: tuple[int, int], stride: int, shape_px: tuple[int, int]) -> None:
        points = line.points_yx()
        height, width = shape_px
        outermost = np.vstack([points.reshape(-1, 2), [line.end_yx]])
        if outermost.min() < -0.5 or (outermost.max(axis=0) > np.array([height, width]) - 0.5).any():
            raise TrackError(
                f"the line from {line.start_yx} to {line.end_yx}, {line.width_px:g} px wide, leaves the frame of "
                f"{height} x {width} px. Move its ends inside, or make it narrower."
            )
        last = np.array(grid_yx) - 1
        at = np.clip(points / stride, 0, last)
        corner = np.minimum(np.floor(at).astype(np.intp), np.maximum(last - 1, 0))
        part = at - corner
        first = corner.min(axis=(0, 1))
        end = np.minimum(corner.max(axis=(0, 1)) + 2, last + 1)
        self.rows, self.columns = slice(int(first[0]), int(end[0])), slice(int(first[1]), int(end[1]))
        neighbours, weights = [], []
        for dy, dx in ((0, 0), (0, 1), (1, 0), (1, 1)):
            y, x = (np.minimum(corner[..., axis] + d, last[axis]) - first[axis] for axis, d in ((0, dy), (1, dx)))
            neighbours.append(y * (end[1] - first[1]) + x)
            weights.append(np.abs(1 - dy - part[..., 0]) * np.abs(1 - dx - part[..., 1]))
        shape = (len(points), -1)
        self._neighbours = np.stack(neighbours, axis=-1).reshape(shape)
        self._weights = np.stack(weights, axis=-1).reshape(shape)

    def average(self, phase: npt.NDArray[Any], known: npt.NDArray[Any]) -> Floats:
        """The field at every position from a crop's share of the phase and share of what is known, shape (y, x)."""
        weights = self._weights * known.ravel()[self._neighbours]
        total = weights.sum(axis=1)
        inside = (self._weights * phase.ravel()[self._neighbours]).sum(axis=1)
        return np.asarray(np.divide(inside, total, out=np.full(total.shape, np.nan), where=total > LEAST_KNOWN))
