"""Labels of a movie one frame at a time, with their memberships where they are kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import xarray as xr

from emreel.result import Result, open_result
from emreel.track.errors import TrackError

Labels = npt.NDArray[np.uint8]
Share = npt.NDArray[np.float32]
Sides = tuple[tuple[int, ...], tuple[int, ...]]

#: Labels from here on are no classes: 254 invalid, 255 unknown; and 0 is not computed.
FIRST_VOID = 254


class Scale(Protocol):
    """What frames and pixels are in s and nm."""

    @property
    def pixel_nm(self) -> float:
        """nm per px, NaN where unknown."""

    def time_s(self, frame: int) -> float:
        """When a frame was taken, s, NaN where unknown."""

    def known_time_s(self, frame: int) -> float | None:
        """The same, None where unknown; also of a frame beyond the last."""


@dataclass(frozen=True, eq=False)
class LabelFrames:
    """Labels, dims (time, y, x), and memberships, dims (time, class, y_grid, x_grid), of which one frame is read at
    a time. times_s : shape (time,), s, or None. pixel_size_nm : nm per px, or None."""

    label: xr.DataArray
    membership: xr.DataArray | None
    stride: int
    times_s: npt.NDArray[np.float64] | None
    pixel_size_nm: float | None

    @classmethod
    def of(cls, source: Result | xr.DataArray | npt.NDArray[Any], *, soft: bool = True) -> LabelFrames:
        """From an opened result, or labels (time, y, x) alone.

        Raises
        ------
        TrackError : an array that is no labels.
        """
        if isinstance(source, Result):
            lazy = open_result(source.path, chunks=None)  # reads what is indexed, a frame at a time
            membership = lazy.membership if soft and lazy.layout.with_membership else None
            return cls(lazy.label, membership, lazy.layout.stride, lazy.times_s, lazy.pixel_size_nm)
        label = source if isinstance(source, xr.DataArray) else xr.DataArray(np.asarray(source), dims=_dims(source))
        if label.dtype.kind not in "iu" or label.dims != ("time", "y", "x"):
            raise TrackError(f"got {label.dtype} {label.dims}, wanted labels: integers, dims (time, y, x).")
        time = label.coords.get("time")
        times = None if time is None or time.attrs.get("units") != "s" else np.asarray(time.values, np.float64)
        return cls(label, None, 1, times, label.attrs.get("pixel_size_nm"))

    @property
    def n_frames(self) -> int:
        return int(self.label.sizes["time"])

    @property
    def shape_yx(self) -> tuple[int, int]:
        return int(self.label.sizes["y"]), int(self.label.sizes["x"])

    @property
    def pixel_nm(self) -> float:
        """nm per px, NaN where unknown."""
        return np.nan if self.pixel_size_nm is None else float(self.pixel_size_nm)

    def time_s(self, frame: int) -> float:
        return float("nan") if self.times_s is None else float(self.times_s[frame])

    def known_time_s(self, frame: int) -> float | None:
        """The same, None where unknown."""
        time = self.time_s(frame) if frame < self.n_frames else float("nan")
        return time if np.isfinite(time) else None

    def read_label(self, frame: int) -> Labels:
        label: Labels = np.asarray(self.label.isel(time=frame).values)
        return label

    def read_shares(self, frame: int) -> Share:
        """Memberships of every pixel, shape (class, y, x), linear between the grid points; 0 where there is no data.

        Of labels alone: 1 in the pixel's class.
        """
        label = self.read_label(frame)
        void = (label == 0) | (label >= FIRST_VOID)
        if self.membership is None:
            classes = np.arange(1, max(int(np.where(void, 0, label).max(initial=0)), 1) + 1)
            shares: Share = (label[None] == classes[:, None, None]).astype(np.float32)
        else:
            grid = np.asarray(self.membership.isel(time=frame).values, np.float32)
            shares = upsample_linear(grid, self.stride, self.shape_yx)
        shares[:, void] = 0
        return shares


def sum_classes(shares: Share, classes: Sequence[int]) -> Share:
    """Share of several classes together, shape (y, x); classes that never occur count nothing."""
    rows = [k - 1 for k in classes if 1 <= k <= len(shares)]
    return np.asarray(shares[rows].sum(axis=0, dtype=np.float32))


def upsample_linear(grid: Share, stride: int, shape_yx: tuple[int, int]) -> Share:
    """Maps (..., y_grid, x_grid) whose point (i, j) lies on pixel (i stride, j stride), at every pixel; flat beyond."""
    for axis, n_px in ((-2, shape_yx[0]), (-1, shape_yx[1])):
        at = np.minimum(np.arange(n_px) / stride, grid.shape[axis] - 1)
        low = np.floor(at).astype(np.intp)
        part = (at - low).astype(np.float32)
        weight = part[:, None] if axis == -2 else part
        below = grid.take(low, axis)
        grid = below + weight * (grid.take(np.minimum(low + 1, grid.shape[axis] - 1), axis) - below)
    return np.asarray(grid)


def parse_sides(between: Any, n_classes: int | None = None) -> Sides:
    """Two sets of labels that share none.

    Raises
    ------
    TrackError : not two sets, an empty one, a label on both sides or beyond ``n_classes``.

    >>> parse_sides((1, (3, 4)))
    ((1,), (3, 4))
    """
    try:
        first, second = (
            (int(side),) if isinstance(side, int | np.integer) else tuple(int(k) for k in side) for side in between
        )
    except (TypeError, ValueError):
        raise TrackError(f"got between = {between!r}, wanted two sets of labels, such as ((1, 2), (3, 4)).") from None
    most = FIRST_VOID - 1 if n_classes is None else n_classes
    both = first + second
    if not first or not second or len(set(both)) < len(both) or not all(1 <= k <= most for k in both):
        raise TrackError(
            f"got between = {between!r}, wanted two sets of labels from 1 to {most}, such as ((1, 2), (3, 4)), "
            "no label in both."
        )
    return tuple(sorted(first)), tuple(sorted(second))


def name_side(side: Sequence[int]) -> str:
    """ "1,2"."""
    return ",".join(map(str, side))


def _dims(source: Any) -> tuple[str, ...]:
    return ("time", "y", "x") if np.ndim(source) == 3 else tuple(f"axis_{i}" for i in range(np.ndim(source)))
