"""Parts of frames, straight from zarr: only the chunks under what is seen are decoded."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr

from emreel.result import Result, ResultError, has_regions
from emreel.result.store import STORE
from emreel.view.dashboard.window import Window
from emreel.view.overlay import Bytes


class Frames:
    """Windows of a result's arrays, one frame at a time."""

    def __init__(self, result: Result) -> None:
        self._arrays: dict[str, Any] = {}
        self.renew(result)

    def has(self, name: str) -> bool:
        """Whether the result has the array ``name``: label, preview, membership, region or angle."""
        return name in self._specs

    def renew(self, result: Result) -> None:
        """The same result, opened again after it grew."""
        self.result = result
        regions = result.layout.with_regions or has_regions(result.path)  # or they were tracked afterwards
        self._specs = replace(result.layout, with_regions=regions).arrays()
        self._arrays.clear()

    def gray(self, frame: int, window: Window) -> Bytes:
        """The movie, at the preview's size at best, uint8."""
        return np.asarray(self._read("preview", frame, window, self.result.layout.preview_factor), np.uint8)

    def label(self, frame: int, window: Window) -> Bytes:
        return np.asarray(self._read("label", frame, window, 1), np.uint8)

    def region(self, frame: int, window: Window) -> npt.NDArray[np.uint32]:
        return np.asarray(self._read("region", frame, window, 1), np.uint32)

    def membership(self, frame: int, window: Window, number: int) -> Bytes:
        """Of the class ``number`` + 1, 0 to 255, on the descriptor's grid."""
        return np.asarray(self._read("membership", frame, window, self.result.layout.stride, number), np.uint8)

    def angle(self, frame: int, window: Window) -> npt.NDArray[np.float32]:
        """In-plane angle, degrees, NaN where there is no lattice, on the descriptor's grid."""
        return np.asarray(self._read("angle", frame, window, self.result.layout.stride), np.float32)

    def _read(self, name: str, frame: int, window: Window, cell: int, *between: int) -> npt.NDArray[Any]:
        try:
            if name not in self._arrays:
                path = self._specs[name].path
                self._arrays[name] = zarr.open_array(self.result.path / STORE, path=path, mode="r")
            return np.asarray(self._arrays[name][(frame, *between, *window.slices(cell))])
        except (OSError, ValueError, KeyError, IndexError, RuntimeError) as error:
            raise ResultError(
                f"frame {frame} of {self.result.path} is damaged ({error}). Run 'emreel verify {self.result.path}'."
            ) from error
