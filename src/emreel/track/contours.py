"""Fronts of any shape: contours between two sides, and how far they have come from where they first were."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import ndimage
from skimage.measure import find_contours

from emreel.track.events import Event
from emreel.track.source import Scale, Share, Sides, name_side, sum_classes

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

#: Memberships are smoothed by so many px before their contour is drawn.
SMOOTH_PX = 1.5
#: Contours shorter than this are noise, px.
LEAST_LENGTH_PX = 16.0
#: A contour runs where the two sides have at least this much of all.
LEAST_SHARE = 0.5
#: It has come or gone when that is so in so many frames one after another.
STEADY_FRAMES = 3


@dataclass(eq=False)
class ContourTracker:
    """The contour between two sides, frame by frame.

    A point's position and depth are its distance from the first frame's contour (in the specimen, less the drift),
    positive into the second side. Points are about a pixel apart, so the mean of a frame weighs every length alike.
    """

    scale: Scale
    sides: Sides
    drift: Floats | list[Floats]
    events: list[Event] = field(default_factory=list)
    _distance: Floats | None = None
    _drift_first: Floats | None = None
    _is_there: bool | None = None
    _turned: list[int] = field(default_factory=list)

    @property
    def name(self) -> str:
        return "/".join(name_side(side) for side in self.sides)

    def add(self, frame: int, shares: Share) -> Iterator[pd.DataFrame]:
        """The rows of the next frame: one a point of the contour (kind "contour"), then their mean."""
        first, second = (ndimage.gaussian_filter(sum_classes(shares, side), SMOOTH_PX) for side in self.sides)
        points = trace_contour(first, second)
        self._look(frame, len(points) > 0)
        if len(points):
            if self._distance is None:
                self._distance, self._drift_first = distance_into(second > first), self.drift[frame]
            yield self._rows(frame, points)

    def finish(self) -> Iterator[pd.DataFrame]:
        """Nothing waits."""
        return iter(())

    def _look(self, frame: int, is_there: bool) -> None:
        """A contour has come or gone when it is so in three frames one after another; the first of them is told."""
        if self._is_there is None:
            self._is_there = is_there
        self._turned = [*self._turned, frame] if is_there != self._is_there else []
        if len(self._turned) == STEADY_FRAMES:
            first, self._is_there, self._turned = self._turned[0], is_there, []
            kind = "front_appears" if is_there else "front_vanishes"
            self.events.append(
                Event(kind=kind, frame=first, time_s=self.scale.known_time_s(first), subject=f"front {self.name}")
            )

    def _rows(self, frame: int, points: Floats) -> pd.DataFrame:
        assert self._drift_first is not None, "the first contour has set it"
        moved = points - (self.drift[frame] - self._drift_first)
        depth = ndimage.map_coordinates(self._distance, moved.T, order=1, mode="nearest")
        length = np.arange(len(points), dtype=np.float64)
        nothing = np.full(len(points), np.nan)
        depth = np.append(depth, depth.mean())
        return pd.DataFrame(
            {
                "frame": frame,
                "time_s": self.scale.time_s(frame),
                "front": self.name,
                "kind": ["contour"] * len(points) + ["mean"],
                "axis": "contour",
                "column_px": np.append(length, np.nan),
                "position_px": depth,
                "position_nm": depth * self.scale.pixel_nm,
                "position_sd_px": np.nan,
                "depth_px": depth,
                "depth_nm": depth * self.scale.pixel_nm,
                "velocity_nm_per_s": np.nan,
                "velocity_px_per_frame": np.nan,
                "share_kept": np.append(nothing, 1.0),
                "roughness_px": np.append(nothing, depth[:-1].std()),
                "roughness_raw_px": np.append(nothing, depth[:-1].std()),
                "point_y_px": np.append(points[:, 0], np.nan),
                "point_x_px": np.append(points[:, 1], np.nan),
            }
        )


def trace_contour(first: Share, second: Share) -> Floats:
    """Points (y, x) about a pixel apart where two sides are alike, shape (point, 2); none where they do not meet.

    first, second : shape (y, x), shares of the two sides, 0..1.
    """
    pieces = contour_lines(first, second, LEAST_LENGTH_PX)
    return np.concatenate(pieces) if pieces else np.empty((0, 2))


def contour_lines(first: Share, second: Share, least_px: float) -> list[Floats]:
    """The same for every connected line of at least so many pixels."""
    known = first + second >= LEAST_SHARE
    lines = []
    for line in find_contours(first - second, 0.0, mask=known):  # type: ignore[no-untyped-call]
        steps = np.hypot(*np.diff(line, axis=0).T)
        if steps.sum() >= least_px:
            along = np.concatenate([[0.0], np.cumsum(steps)])
            at = np.arange(0.5, along[-1], 1.0)
            lines.append(np.stack([np.interp(at, along, line[:, axis]) for axis in (0, 1)], axis=1))
    return lines


def distance_into(side: Mask) -> Floats:
    """Signed distance from a side's edge, px, positive inside; 0 half way between the pixels on both sides."""
    inside, outside = (ndimage.distance_transform_edt(part) for part in (side, ~side))
    return np.asarray(np.where(side, inside - 0.5, 0.5 - outside))
