"""Parts of frames, straight from zarr: only the chunks under what is seen are decoded."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr
import zarr

from emreel.movie import EmreelError
from emreel.result import Result, ResultError, has_regions
from emreel.result.store import STORE
from emreel.track.pictures import Pictures as MoviePictures
from emreel.view.dashboard.window import Window
from emreel.view.overlay import Bytes

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Source:
    """A movie, lazy, and how its counts became previews: what is black and white, and each frame's brightness."""

    movie: xr.DataArray
    low: float
    high: float
    gains: npt.NDArray[np.float64]

    @classmethod
    def of(cls, result: Result) -> Source:
        """Raises EmreelError, OSError, KeyError or ValueError where the movie or the model is not there."""
        movie = MoviePictures.of(result).frames
        head: Any = zarr.open_group(result.path / "model.zarr", mode="r").attrs.asdict()["emreel_model"]
        low, high = head["prepare"]["display_range"]
        table, gains = result.table("quality"), np.ones(result.layout.shape_tyx[0])
        known = table[(table["gain"] > 0) & (table["frame"] < len(gains))]
        gains[known["frame"]] = known["gain"]
        return cls(movie, float(low), float(high), gains)

    def gray(self, frame: int, window: Window) -> Bytes:
        """A window of a frame, as bright as its preview."""
        counts = self.movie[(frame, *window.slices())].to_numpy().astype(np.float32)
        levels = (counts / self.gains[frame] - self.low) * (255 / max(self.high - self.low, 1e-12))
        gray: Bytes = np.nan_to_num(np.clip(np.rint(levels), 0, 255)).astype(np.uint8)
        return gray


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
        self.__dict__.pop("_source", None)

    def gray(self, frame: int, window: Window) -> tuple[Bytes, int]:
        """The movie, uint8, and the px of the frame that each of its values stands for, at step 1.

        It is the preview; where that is coarser than what is looked at, the movie itself, if it is where it was.
        """
        factor = self.result.layout.preview_factor
        if window.step < factor and self._source is not None:
            return self._source.gray(frame, window), 1
        return np.asarray(self._read("preview", frame, window, factor), np.uint8), factor

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

    @cached_property
    def _source(self) -> Source | None:
        """The movie that was labelled; None where it cannot be had."""
        try:
            return Source.of(self.result)
        except (EmreelError, OSError, KeyError, ValueError) as error:
            logger.info("previews are shown at every zoom: %s", error)
            return None

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
