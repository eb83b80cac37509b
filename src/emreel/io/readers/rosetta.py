"""Everything else that rosettasciio reads.

Its lazy arrays hold open files or whole mapped ones, cut as suits diffraction; neither can be sent to workers.
So here a path and a plug-in's name are sent, and whoever reads a block parses the header again (once a process)
and computes that block alone. Formats that rosettasciio cannot read lazily are read whole, once a process.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from emreel.io.datasets import Candidate, choose_dataset
from emreel.io.errors import ReaderError
from emreel.io.frames import FrameBlocks, RawMovie, file_stamp, native_dtype
from emreel.io.units import even_times, to_nm, to_seconds

_PICKLED = frozenset({".prz"})


def open_raw(path: str, dataset: str | None) -> RawMovie:
    return open_with(path, find_plugin(path), dataset)


def find_plugin(path: str) -> str:
    """The rosettasciio module for this suffix.

    Raises
    ------
    ReaderError : nobody reads this suffix; those that are read are listed.
    """
    from rsciio import IO_PLUGINS

    from emreel.io.readers import BY_SUFFIX

    suffix = Path(path).suffix.lower()
    if suffix in _PICKLED:
        raise ReaderError(
            f"{path} keeps the order of its axes pickled, which emreel never loads. Export it from the microscope's "
            "program as .hspy, .mrc or .tif."
        )
    for plugin in IO_PLUGINS:
        if suffix.lstrip(".") in {extension.lower() for extension in plugin["file_extensions"]}:
            return str(plugin["api"]).removesuffix("._api")
    raise ReaderError(
        f"{path} is no movie that emreel knows (suffix {suffix or 'missing'}). Read are: "
        f"{', '.join(sorted(BY_SUFFIX))}, folders of frames, and what rosettasciio reads."
    )


def open_with(path: str, plugin: str, dataset: str | None) -> RawMovie:
    """Open through one plug-in of rosettasciio; the caller knows which."""
    signals = _load(path, plugin, file_stamp(path))
    named = [(_title(signal, number), signal) for number, signal in enumerate(signals)]
    shapes = [Candidate(name, tuple(s["data"].shape), np.dtype(s["data"].dtype)) for name, s in named]
    if len(named) == 1 and dataset is None:
        index = 0
    else:
        index = [name for name, _ in named].index(choose_dataset(path, shapes, dataset))
    signal = signals[index]
    navigation, frame_axes = _split_axes(path, signal)
    data = signal["data"]
    axes = signal["axes"]
    shape_yx = (int(data.shape[frame_axes[0]]), int(data.shape[frame_axes[1]]))
    frames = RosettaFrames(
        path=path,
        plugin=plugin,
        index=index,
        navigation=tuple(int(data.shape[axis]) for axis in navigation),
        order=(*navigation, *frame_axes),
        shape_yx=shape_yx,
        stored=np.dtype(data.dtype).str,
        stamp=file_stamp(path),
    )
    return RawMovie(
        frames=frames,
        frame_times_s=_times(axes, navigation, frames.shape[0]),
        pixel_size_nm=to_nm(axes[frame_axes[1]].get("scale"), axes[frame_axes[1]].get("units")),
        original_metadata=signal.get("original_metadata") or {},
    )


@functools.lru_cache(maxsize=4)
def _load(path: str, plugin: str, stamp: str) -> Sequence[Mapping[str, Any]]:
    """Parse a file; `stamp` makes a changed file another entry."""
    reader: Callable[..., Any] = importlib.import_module(plugin).file_reader
    known = inspect.signature(reader).parameters
    options: dict[str, Any] = {"chunks": "auto"} if "chunks" in known else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the libraries' own doubts about odd headers
        try:
            signals = reader(path, lazy=True, **options)
        except NotImplementedError:
            signals = reader(path)
    if not signals:
        raise ReaderError(f"{path} holds no data that rosettasciio reads.")
    return list(signals)


def _title(signal: Mapping[str, Any], number: int) -> str:
    title = signal.get("metadata", {}).get("General", {}).get("title")
    return f"{number}:{title}" if title else str(number)


def _split_axes(path: str, signal: Mapping[str, Any]) -> tuple[list[int], list[int]]:
    """Axes that count frames, and the two of a frame."""
    ndim = signal["data"].ndim
    flags = [bool(axis.get("navigate", False)) for axis in signal["axes"]]
    frame_axes = [axis for axis in range(ndim) if not flags[axis]] if len(flags) == ndim else []
    if len(frame_axes) != 2:
        frame_axes = [ndim - 2, ndim - 1]
    if ndim < 2 or (len(flags) == ndim and sum(not flag for flag in flags) == 1):
        raise ReaderError(f"{path} holds spectra or curves (shape {signal['data'].shape}); wanted pictures.")
    return [axis for axis in range(ndim) if axis not in frame_axes], frame_axes


def _times(
    axes: Sequence[Mapping[str, Any]], navigation: Sequence[int], n_frames: int
) -> npt.NDArray[np.float64] | None:
    if len(navigation) != 1:
        return None
    axis = axes[navigation[0]]
    step = to_seconds(axis.get("scale"), axis.get("units"))
    return None if step is None else even_times(n_frames, step)


@dataclass(frozen=True, kw_only=True)
class RosettaFrames(FrameBlocks):
    """Frames of a signal that rosettasciio parses; several navigation axes are run through in the file's order."""

    path: str
    plugin: str
    index: int
    navigation: tuple[int, ...]
    order: tuple[int, ...]
    shape_yx: tuple[int, int]
    stored: str
    stamp: str

    @property
    def shape(self) -> tuple[int, int, int]:
        return (int(np.prod(self.navigation, dtype=np.int64)), *self.shape_yx)

    @property
    def dtype(self) -> np.dtype[Any]:
        return native_dtype(self.stored)

    def read(self, frames: range, rows: slice, columns: slice) -> npt.NDArray[Any]:
        data = _load(self.path, self.plugin, self.stamp)[self.index]["data"].transpose(self.order)
        block = np.empty((len(frames), rows.stop - rows.start, columns.stop - columns.start), self.dtype)
        for target, frame in enumerate(frames):
            place = np.unravel_index(frame, self.navigation) if self.navigation else ()
            piece = data[(*(int(n) for n in place), rows, columns)]
            block[target] = piece if isinstance(piece, np.ndarray) else piece.compute(scheduler="synchronous")
        return block
