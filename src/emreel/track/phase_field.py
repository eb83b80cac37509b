"""The phase field along a line, and its kymograph: how much of a phase there is, at every position and time.

The movie part of Wang et al. (Microsc. Microanal. 27 (2021) 1454; code and data "Machine_learning_dynamics") turns
a soft segmentation of an in-situ movie into a field u(x, t) between 0 and 1 along a line, the input of phase-field
models. Here, for a line from a to b of width W:

    u(s, t) = sum over the width of  sum over neighbours of  w n p   /   the same sum of  w n

p is the membership of the phase (of the classes given, together), n is 1 where something is known of a pixel and 0
where not (no data, nothing computed; in labels also: unknown), w are the weights of linear interpolation between the
four neighbours of a point, and the width is sampled once a pixel or denser. All weights are positive and divided by
their sum, so u stays between 0 and 1 whatever is missing (the original interpolates and smooths with splines: -0.085
to 1.09), and is NaN only where nothing at all is known.

One frame is read at a time, and of it only what lies around the line.

`front_along_line` then reads the front: the position where u crosses 1/2 (the original has no front), by linear
interpolation; with several crossings, the one nearest to the step that fits u best. The width of the front is the
distance between the crossings of 0.1 and of 0.9 nearest to it.

**Use it** for a front that moves along one direction, for a layer that thickens, and to hand numbers to a model of the
kinetics. **It fails** where the front is not crossed by the line at a steep angle (take a line along its normal, or
widen it less), and where the front leaves the line; for a front with a position in every column, track the whole
front instead.

>>> import numpy as np
>>> frames = np.stack([np.tile(np.where(np.arange(60) < 20 + 3 * t, 2, 1), (40, 1)) for t in range(5)])
>>> line = Line(start_yx=(20, 0), end_yx=(20, 59), width_px=5)
>>> field = phase_field(frames.astype(np.uint8), line, classes=2)
>>> field.dims, field.shape
(('position', 'time'), (60, 5))
>>> front_along_line(field)["position"].values
array([19.5, 22.5, 25.5, 28.5, 31.5])
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from emreel.result import Result, open_result
from emreel.track.errors import TrackError
from emreel.track.line import Floats, Line, LineSampler

#: Labels from here on are no classes: 254 invalid, 255 unknown; and 0 is not computed.
FIRST_VOID = 254


def phase_field(
    source: Result | xr.DataArray | npt.NDArray[Any],
    line: Line,
    *,
    classes: int | Sequence[int],
    stride: int = 1,
    soft: bool = True,
) -> xr.DataArray:
    """The kymograph of a phase along a line.

    Parameters
    ----------
    source : an opened result; or labels, dims (time, y, x), integers as in a result; or memberships, dims
        (time, class, y_grid, x_grid), 0..1. One frame of an array is worked on at a time, so it may be lazy.
    classes : the class, or the classes that together are the phase; 1..K.
    stride : px between the grid points of memberships that come as an array; a result knows its own.
    soft : take a result's memberships where it has them; else its labels (the phase is then 0 or 1 in every pixel).

    Returns
    -------
    dims (position, time), float32, 0..1, NaN where nothing is known. ``position`` is in nm (px without a pixel size),
    ``time`` in s (frames without times); both carry ``units``. The attributes hold the line and the classes.

    Raises
    ------
    TrackError : a line that leaves the frame, classes that are not there, an array of another shape.
    """
    movie = _Movie.of(source, stride, soft)
    chosen = movie.parse_classes(classes)
    sampler = LineSampler(line, movie.grid_yx, movie.stride, movie.shape_px)
    field = np.empty((len(line.positions_px), movie.n_frames), np.float32)
    for t, profile in enumerate(movie.profiles(sampler, chosen)):
        field[:, t] = np.clip(profile, 0, 1)  # rounding
    position, units = line.positions_px, "px"
    if movie.pixel_size_nm is not None:
        position, units = position * movie.pixel_size_nm, "nm"
    attributes: dict[str, Any] = {"units": "1", "long_name": "phase field", "classes": list(chosen)}
    attributes |= {"start_yx_px": list(map(float, line.start_yx)), "end_yx_px": list(map(float, line.end_yx))}
    attributes |= {"width_px": float(line.width_px), "pixel_size_nm": movie.pixel_size_nm or "unknown"}
    return xr.DataArray(
        field,
        dims=("position", "time"),
        coords={"position": ("position", position, {"units": units}), "time": movie.time},
        name="phase_field",
        attrs=attributes,
    )


def front_along_line(field: xr.DataArray, level: float = 0.5) -> xr.Dataset:
    """The front in a kymograph: where the field crosses ``level``.

    Parameters
    ----------
    field : dims (position, time), as `phase_field` gives; rising or falling along the line.

    Returns
    -------
    Variables over ``time``: ``position``, in the units of the field's position, NaN where it never crosses the level;
    ``width``, between 10 % and 90 %, NaN where one of them is missing; ``n_crossings``.

    Raises
    ------
    TrackError : other dims, or a level outside 0..1.
    """
    if set(field.dims) != {"position", "time"} or not 0 < level < 1:
        raise TrackError(f"got dims {field.dims} and level {level}, wanted (position, time) and a level within 0..1.")
    values = np.asarray(field.transpose("time", "position").values, np.float64)
    x = np.asarray(field["position"].values, np.float64)
    found = np.array([_front_of(x, profile, level) for profile in values]).reshape(-1, 3)
    units = {"units": field["position"].attrs.get("units", "px")}
    return xr.Dataset(
        {
            "position": ("time", found[:, 0], units),
            "width": ("time", found[:, 1], units),
            "n_crossings": ("time", found[:, 2].astype(np.int64), {"units": "1"}),
        },
        coords={"time": field["time"]},
        attrs={"level": level},
    )


def _front_of(x: Floats, profile: Floats, level: float) -> tuple[float, float, int]:
    """Position, width and number of crossings of one profile."""
    known = np.isfinite(profile)
    x, u = x[known], profile[known]
    crossings = _crossings(x, u, level)
    if crossings.size == 0:
        return np.nan, np.nan, 0
    position = _nearest(crossings, _best_step(x, u))
    low, high = (_nearest(_crossings(x, u, share), position) for share in (0.1, 0.9))
    return position, abs(high - low), crossings.size


def _crossings(x: Floats, u: Floats, level: float) -> Floats:
    """Where a profile, linear between its points, crosses a level; a stretch on the level counts once."""
    above = u >= level
    at = np.flatnonzero(above[1:] != above[:-1])
    return np.asarray(x[at] + (level - u[at]) / (u[at + 1] - u[at]) * (x[at + 1] - x[at]))


def _best_step(x: Floats, u: Floats) -> float:
    """Where the step between 0 and 1, up or down, that fits best lies."""
    rise = np.concatenate([[0.0], np.cumsum(u - 0.5)])
    middles = np.concatenate([[x[0]], (x[1:] + x[:-1]) / 2, [x[-1]]])
    low, high = int(np.argmin(rise)), int(np.argmax(rise))
    up, down = rise[-1] - 2 * rise[low], 2 * rise[high] - rise[-1]  # sums of u - 1/2 on the side of 1 minus the other
    return float(middles[low] if up >= down else middles[high])


def _nearest(candidates: Floats, position: float) -> float:
    return float(candidates[np.argmin(np.abs(candidates - position))]) if candidates.size else np.nan


@dataclass(frozen=True)
class _Movie:
    """Labels or memberships frame by frame, whatever they come from."""

    frames: xr.DataArray
    stride: int
    shape_px: tuple[int, int]
    pixel_size_nm: float | None
    n_classes: int | None  # None: labels

    @classmethod
    def of(cls, source: Result | xr.DataArray | npt.NDArray[Any], stride: int, soft: bool) -> _Movie:
        if isinstance(source, Result):
            lazy = open_result(source.path, chunks=None)  # reads what is indexed, a frame at a time
            shape = (lazy.layout.shape_tyx[1], lazy.layout.shape_tyx[2])
            if soft and lazy.layout.with_membership:
                return cls(lazy.membership, lazy.layout.stride, shape, lazy.pixel_size_nm, lazy.layout.n_classes)
            return cls(lazy.label, 1, shape, lazy.pixel_size_nm, None)
        frames = source if isinstance(source, xr.DataArray) else _named(source)
        if "class" in frames.dims:
            frames = frames.transpose("time", "class", ...)
            grid = frames.shape[2:]
            shape = grid[0] * stride, grid[1] * stride
            return cls(frames, stride, shape, frames.attrs.get("pixel_size_nm"), frames.shape[1])
        if frames.dtype.kind not in "iu" or frames.dims[0] != "time" or stride != 1:
            raise TrackError(
                f"got an array of {frames.dtype}, dims {frames.dims} and stride {stride}; wanted labels, integers "
                "(time, y, x) at stride 1, or memberships (time, class, y_grid, x_grid)."
            )
        return cls(frames, 1, (frames.shape[1], frames.shape[2]), frames.attrs.get("pixel_size_nm"), None)

    @property
    def n_frames(self) -> int:
        return int(self.frames.sizes["time"])

    @property
    def grid_yx(self) -> tuple[int, int]:
        return self.frames.shape[-2], self.frames.shape[-1]

    @property
    def time(self) -> xr.DataArray:
        if "time" in self.frames.coords:
            time: xr.DataArray = self.frames.coords["time"]
            return time
        return xr.DataArray(np.arange(self.n_frames), dims="time", attrs={"units": "frame"})

    def parse_classes(self, classes: int | Sequence[int]) -> tuple[int, ...]:
        chosen = (classes,) if isinstance(classes, int | np.integer) else tuple(classes)
        most = FIRST_VOID - 1 if self.n_classes is None else self.n_classes
        if not chosen or len(set(chosen)) < len(chosen) or not all(1 <= k <= most for k in chosen):
            raise TrackError(f"got classes {chosen}, wanted at least one of 1 to {most}, each once.")
        return tuple(int(k) for k in chosen)

    def profiles(self, sampler: LineSampler, classes: tuple[int, ...]) -> Iterator[Floats]:
        """The field along the line, frame by frame."""
        crop = self.frames[..., sampler.rows, sampler.columns]
        for t in range(self.n_frames):
            frame = np.asarray(crop.isel(time=t).values)
            if self.n_classes is None:
                known = (frame > 0) & (frame < FIRST_VOID)
                phase = np.isin(frame, classes)
                yield sampler.average(phase.astype(np.float64), known.astype(np.float64))
            else:
                shares = frame.astype(np.float64) / (255.0 if frame.dtype == np.uint8 else 1.0)
                yield sampler.average(shares[[k - 1 for k in classes]].sum(axis=0), shares.sum(axis=0))


def _named(array: npt.NDArray[Any]) -> xr.DataArray:
    dims = {3: ("time", "y", "x"), 4: ("time", "class", "y_grid", "x_grid")}.get(np.ndim(array))
    if dims is None:
        raise TrackError(
            f"got an array of shape {np.shape(array)}, wanted labels (time, y, x) or memberships "
            "(time, class, y_grid, x_grid). Give one frame a time axis: labels[None]."
        )
    return xr.DataArray(array, dims=dims)
