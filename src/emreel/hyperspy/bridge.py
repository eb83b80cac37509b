"""Signals to movies and back: axes, units, uneven times, original metadata, masks; lazy stays lazy."""

from __future__ import annotations

from typing import Any

import hyperspy.api as hs
import numpy as np
import numpy.typing as npt
import xarray as xr

from emreel.hyperspy.errors import HyperSpyError
from emreel.hyperspy.signals import LazySegmentation, Segmentation, describe_classes
from emreel.io.metadata import plain_metadata
from emreel.io.units import second_factor, to_nm
from emreel.movie import frame_times_s, make_movie, pixel_size_nm
from emreel.result import Result
from emreel.view.pictures import Pictures

#: Times are even when no step differs from the mean one by more than this share.
EVEN = 1e-6
#: Pixels are square when their sides differ by less than this share.
SQUARE = 1e-3


def from_signal(signal: Any, *, navigation_mask: Any | None = None, signal_mask: Any | None = None) -> xr.DataArray:
    """A HyperSpy signal of pictures as a movie, as `emreel.open_movie` gives it. No pixel is read.

    Parameters
    ----------
    signal : Signal2D. Its navigation axis is time, in any unit of time, uneven where it is; several navigation axes
        are run through in their order, without times. Its signal axes are y and x, in any unit of length.
    navigation_mask : True for frames to leave out, as in HyperSpy's `decomposition`; array or signal of the
        navigation shape.
    signal_mask : True for pixels to leave out of every frame (they become NaN); array or signal of the signal shape.

    Raises
    ------
    HyperSpyError : no pictures, uneven or oblong pixels, a mask of another shape. emreel.movie.MovieError : complex
        or colour data, times that do not rise.
    """
    manager = signal.axes_manager
    if manager.signal_dimension != 2:
        raise HyperSpyError(
            f"got a signal of {manager.signal_dimension} signal dimensions, wanted pictures (2). "
            "Change it: signal.transpose(signal_axes=2), or signal.as_signal2D((0, 1))."
        )
    x_axis, y_axis = manager.signal_axes
    data = signal.data if manager.navigation_dimension == 1 else signal.data.reshape(-1, *signal.data.shape[-2:])
    movie = make_movie(
        data,
        frame_times_s=_times_of(manager),
        pixel_size_nm=_pixel_size(y_axis, x_axis),
        origin_yx_px=(_origin_px(y_axis), _origin_px(x_axis)),
        source=str(signal.metadata.get_item("General.original_filename") or signal.metadata.General.title or "signal"),
        original_metadata=plain_metadata(signal.original_metadata.as_dictionary()),
    )
    if signal_mask is not None:
        keep = ~_mask(signal_mask, movie.shape[1:], "signal_mask")
        masked = movie.astype(np.float32).where(xr.DataArray(keep, dims=("y", "x")))
        movie = masked.assign_attrs(movie.attrs)
    if navigation_mask is not None:
        left_out = _mask(navigation_mask, signal.data.shape[:-2], "navigation_mask").ravel()
        if left_out.all():
            raise HyperSpyError("navigation_mask leaves out every frame. Leave some in (False).")
        movie = movie.isel(time=~left_out)
    return movie


def to_signal(source: Result | xr.DataArray, what: str = "label", *, lazy: bool | None = None) -> Any:
    """A result, or a movie, as a HyperSpy signal with its axes in nm and s (px and frames where not calibrated).

    Parameters
    ----------
    source : an opened result; or a movie (time, y, x).
    what : of a result: "label" (a `Segmentation`), "region", "orientation" or "membership" (navigation axes: time and
        class; on the descriptor's grid).
    lazy : whether the signal is lazy; left out: as ``source`` is, and results always.

    Raises
    ------
    HyperSpyError : an unknown ``what``. emreel.result.ResultError : the result has no such thing.
    """
    if isinstance(source, Result):
        return _signal_of_result(source, what, True if lazy is None else lazy)
    lazy = source.chunks is not None if lazy is None else lazy
    size, times = pixel_size_nm(source), frame_times_s(source)
    axes = [_time_axis(times, source.sizes["time"]), *(_space_axis(source, dim, size) for dim in ("y", "x"))]
    metadata = {"General": {"title": str(source.attrs.get("source", ""))}}
    made = {"axes": axes, "metadata": metadata, "original_metadata": dict(source.attrs.get("original_metadata", {}))}
    return _made(hs.signals.Signal2D, hs.signals.Signal2D, source, lazy, made)


def _signal_of_result(result: Result, what: str, lazy: bool) -> Any:
    kinds = {"label": "label", "region": "region", "orientation": "orientation", "membership": "membership"}
    if what not in kinds:
        raise HyperSpyError(f"got what={what!r}, wanted one of {', '.join(kinds)}.")
    array: xr.DataArray = getattr(result, what)
    y, x = array.dims[-2:]
    axes = [_time_axis(result.times_s, array.sizes["time"])]
    if what == "membership":
        axes.append({"name": "class", "size": array.sizes["class"], "scale": 1.0, "offset": 1.0, "navigate": True})
    axes += [_space_axis(array, str(dim), result.pixel_size_nm) for dim in (y, x)]
    metadata: dict[str, Any] = {"General": {"title": f"{result.path.name}: {what}"}}
    made = {"axes": axes, "metadata": metadata, "original_metadata": {"emreel": dict(result.facts)}}
    if what != "label":
        return _made(hs.signals.Signal2D, hs.signals.Signal2D, array, lazy, made)
    metadata["Signal"] = {"signal_type": Segmentation._signal_type}
    metadata["Segmentation"] = describe_classes(result.label_names, Pictures(result).colors)
    return _made(Segmentation, LazySegmentation, array, lazy, made)


def _made(eager_class: Any, lazy_class: Any, array: xr.DataArray, lazy: bool, made: dict[str, Any]) -> Any:
    if not lazy:
        return eager_class(np.asarray(array.values), **made)
    data = array.data if array.chunks is not None else array.chunk({"time": 1}).data
    signal = lazy_class(data, **made)
    return signal if signal._lazy else signal.as_lazy()


def _time_axis(times_s: npt.NDArray[np.float64] | None, n_frames: int) -> dict[str, Any]:
    if times_s is None:
        return {"name": "time", "units": "frame", "size": n_frames, "navigate": True}
    step = (times_s[-1] - times_s[0]) / max(n_frames - 1, 1)
    if n_frames < 3 or np.all(np.abs(np.diff(times_s) - step) <= EVEN * step):
        scale = float(step) if n_frames > 1 else 1.0
        known = {"scale": scale, "offset": float(times_s[0]), "size": n_frames}
        return {"name": "time", "units": "s", "navigate": True} | known
    return {"name": "time", "units": "s", "navigate": True, "axis": times_s}


def _space_axis(array: xr.DataArray, dim: str, size: float | None) -> dict[str, Any]:
    places = np.asarray(array.coords[dim].values, np.float64)
    pixel = size or 1.0
    step = pixel * (round(float(places[1] - places[0]) / pixel) if places.size > 1 else 1)  # of a grid: its stride
    return {
        "name": dim[0],
        "units": "px" if size is None else "nm",
        "scale": step,
        "offset": float(places[0]),
        "size": places.size,
        "navigate": False,
    }


def _times_of(manager: Any) -> npt.NDArray[np.float64] | None:
    """Times in s, when the one navigation axis is of time; also where it is uneven."""
    if manager.navigation_dimension != 1:
        return None
    (axis,) = manager.navigation_axes
    factor = second_factor(axis.units)
    return None if factor is None else np.asarray(axis.axis, np.float64) * factor


def _pixel_size(y_axis: Any, x_axis: Any) -> float | None:
    for axis in (y_axis, x_axis):
        if not axis.is_uniform:
            raise HyperSpyError(
                f"the axis {axis.name} is not uniform. Interpolate it: signal.interpolate_on_axis(...)."
            )
    sizes = [to_nm(abs(float(axis.scale)), axis.units) for axis in (y_axis, x_axis)]
    if None in sizes:
        return None
    y, x = (float(size) for size in sizes if size is not None)
    if abs(y - x) > SQUARE * y:
        raise HyperSpyError(f"pixels of {y:.6g} x {x:.6g} nm are not square. Resample the signal: signal.rebin(...).")
    return x


def _origin_px(axis: Any) -> float:
    return float(axis.offset) / float(axis.scale) if axis.scale else 0.0


def _mask(given: Any, shape: tuple[int, ...], name: str) -> npt.NDArray[np.bool_]:
    data = np.asarray(getattr(given, "data", given))
    if data.dtype != np.bool_ or data.shape != tuple(shape):
        raise HyperSpyError(f"got a {name} of {data.dtype} {data.shape}, wanted bool {tuple(shape)}: True leaves out.")
    return data
