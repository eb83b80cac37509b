"""Straight traces of boundaries between two labels, and the point where several meet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from emreel.track.contours import contour_lines
from emreel.track.source import Share

Floats = npt.NDArray[np.float64]

#: Points beyond so many times the median distance from the line, and a pixel, have no say.
CUT = 3.0
ROUNDS = 8
#: Shorter traces have no direction, px.
LEAST_LENGTH_PX = 20.0
#: Traces that meet in a point pass it at less than this, px; and at angles of more than this, degrees.
MEET_PX, MEET_DEG = 12.0, 10.0


@dataclass(frozen=True, kw_only=True)
class Trace:
    """A straight trace: a point on it, its unit normal (y, x), length and root mean square distance of its points, px.

    sd_px : standard error of its place.
    """

    point_yx: tuple[float, float]
    normal_yx: tuple[float, float]
    length_px: float
    rms_px: float

    @property
    def angle_deg(self) -> float:
        """Direction of the trace, from x towards y, in [0, 180)."""
        return float(np.degrees(np.arctan2(self.normal_yx[1], -self.normal_yx[0])) % 180)

    @property
    def sd_px(self) -> float:
        """Neighbours within ten pixels err together."""
        return self.rms_px / float(np.sqrt(max(self.length_px / 10, 1.0)))

    def distance(self, points_yx: Floats) -> Floats:
        """Signed distance of points from the trace, px."""
        return np.asarray((np.asarray(points_yx) - self.point_yx) @ np.array(self.normal_yx))


def find_traces(first: Share, second: Share) -> list[Trace]:
    """The traces between two labels' shares, shape (y, x) each; the longest first.

    Each connected contour where both shares are alike gives one line, by total least squares on the points that lie
    near it, again and again.
    """
    traces = [fit_trace(line) for line in contour_lines(first, second, LEAST_LENGTH_PX)]
    return sorted((trace for trace in traces if trace.length_px >= LEAST_LENGTH_PX), key=lambda trace: -trace.length_px)


def fit_trace(points_yx: Floats) -> Trace:
    """A robust line through points (y, x), shape (n, 2), at least two."""
    kept = np.ones(len(points_yx), bool)
    for _ in range(ROUNDS):
        middle = points_yx[kept].mean(axis=0)
        _, _, axes = np.linalg.svd(points_yx[kept] - middle, full_matrices=False)
        away = np.abs((points_yx - middle) @ axes[1])
        near = away <= max(CUT * float(np.median(away)), 1.0)
        if near.sum() < 2 or (near == kept).all():
            break
        kept = near
    along = (points_yx[kept] - middle) @ axes[0]
    normal = axes[1] * (1 if axes[1][0] > 0 or (axes[1][0] == 0 and axes[1][1] > 0) else -1)
    return Trace(
        point_yx=(float(middle[0]), float(middle[1])),
        normal_yx=(float(normal[0]), float(normal[1])),
        length_px=float(np.ptp(along)),
        rms_px=float(np.sqrt(np.mean(((points_yx[kept] - middle) @ axes[1]) ** 2))),
    )


def find_axis(traces: Sequence[Trace]) -> tuple[Floats, float, int] | None:
    """Where at least three traces of different directions meet: the point (y, x), its error, how many; or None.

    Least squares of the distances, each trace weighted by its length; the one that misses the point most is left out
    until all that are left pass it.
    """
    left = list(traces)
    while len(left) >= 3:
        normals = np.array([trace.normal_yx for trace in left])
        levels = np.sum(normals * [trace.point_yx for trace in left], axis=1)
        weights = np.sqrt([trace.length_px for trace in left])
        angles = np.array([trace.angle_deg for trace in left])
        apart = np.abs((angles[:, None] - angles + 90) % 180 - 90)
        if apart.max() < MEET_DEG:
            return None
        point, *_ = np.linalg.lstsq(normals * weights[:, None], levels * weights, rcond=None)
        misses = np.abs(normals @ point - levels)
        if misses.max() <= MEET_PX:
            spread = np.linalg.inv((normals * weights[:, None] ** 2).T @ normals / np.mean(weights**2))
            error = float(np.sqrt(np.mean(misses**2) * len(left) / max(len(left) - 2, 1) * np.trace(spread) / 2))
            return np.asarray(point, np.float64), error, len(left)
        left.pop(int(np.argmax(misses)))
    return None
