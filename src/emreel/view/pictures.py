"""A result as pictures: each frame in grey with its labels, at the size of the preview (at most 1024 px a side)."""

from __future__ import annotations

import logging
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr

from emreel.result import NOT_COMPUTED, Result, ResultError, read_ledger
from emreel.result.appearance import read_appearance
from emreel.result.store import STORE
from emreel.view.errors import ViewError
from emreel.view.marks import Clock
from emreel.view.overlay import Bytes, Color

logger = logging.getLogger(__name__)

#: Grey where a frame is not computed.
BLANK_GRAY = 96


class Pictures:
    """Frames of a result, one at a time; only what a frame needs is read."""

    def __init__(self, result: Result) -> None:
        self.result = result
        self._arrays: dict[str, Any] = {}

    @property
    def n_frames(self) -> int:
        return self.result.layout.shape_tyx[0]

    @property
    def shape_yx(self) -> tuple[int, int]:
        """Size of the frames as recorded, px."""
        return self.result.layout.shape_tyx[1:]

    @property
    def factor(self) -> int:
        """Pixels of the recorded frame in one of the picture, along each axis."""
        return self.result.layout.preview_factor

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the classes 1..K."""
        return self.result.label_names

    @cached_property
    def clock(self) -> Clock:
        return Clock(self.n_frames, self.result.times_s)

    @cached_property
    def colors(self) -> tuple[Color, ...]:
        """RGB of the classes 1..K, 0 to 255: those that somebody gave them, or the metadata's.

        Raises
        ------
        ResultError : the metadata are damaged.
        """
        given = read_appearance(self.result.path, len(self.names))
        if given is not None:
            return given.colors
        attributes: Any = zarr.open_group(self.result.path / STORE, path="labels/segments", mode="r").attrs.asdict()
        try:
            listed = attributes["ome"]["image-label"]["colors"]
            known = {entry["label-value"]: entry["rgba"] for entry in listed}
            rows = [known[value] for value in range(1, len(self.names) + 1)]
        except (KeyError, TypeError) as error:
            raise ResultError(f"{self.result.path} is damaged: no colour for {error}. Run the movie again.") from error
        return tuple((int(r), int(g), int(b)) for r, g, b, *_ in rows)

    def full_label(self, frame: int) -> Bytes:
        """Labels as stored, shape (y, x), uint8."""
        return self._read("label", frame)

    def label(self, frame: int) -> Bytes:
        """Labels at the picture's size: each pixel shows the label in the middle of its cell."""
        full = self.full_label(frame)
        if self.factor == 1:
            return full
        rows, columns = (
            np.minimum(np.arange(0, side, self.factor) + self.factor // 2, side - 1) for side in self.shape_yx
        )
        return np.ascontiguousarray(full[np.ix_(rows, columns)])

    def gray(self, frame: int, label: Bytes | None = None) -> Bytes:
        """The prepared frame in grey, uint8; plain grey where nothing is computed."""
        label = self.label(frame) if label is None else label
        return np.where(label == NOT_COMPUTED, np.uint8(BLANK_GRAY), self._read("preview", frame))

    def pair(self, frame: int) -> tuple[Bytes, Bytes]:
        """The frame in grey and its labels, at the picture's size."""
        label = self.label(frame)
        return self.gray(frame, label), label

    def check_frame(self, frame: int) -> int:
        """A frame's number; negative ones count from the end. Raises ViewError when there is no such frame."""
        if not -self.n_frames <= frame < self.n_frames:
            raise ViewError(f"got frame {frame}, wanted 0 to {self.n_frames - 1}.")
        return frame % self.n_frames

    def present(self) -> set[int]:
        """The label values that occur anywhere in the movie, from the ledger; no pixel is read."""
        counts = [
            row.get("label_px", {}) for record in read_ledger(self.result.path).done.values() for row in record.rows
        ]
        values = {int(value) for count in counts for value, n_px in count.items() if n_px}
        return values | ({NOT_COMPUTED} if self.result.missing_blocks else set())

    def warn_unfinished(self) -> None:
        """Say in one line what is missing, if anything is."""
        missing = {t for index in self.result.missing_blocks for t in range(*self.result.layout.block(index).frames)}
        if missing:
            logger.warning(
                "%s is not finished: %d of %d frames are not computed and stay empty",
                self.result.path,
                len(missing),
                self.n_frames,
            )

    def _read(self, name: str, frame: int) -> Bytes:
        """One frame of an array, straight from zarr: only its own chunks are decoded."""
        try:
            if name not in self._arrays:
                path = self.result.layout.arrays()[name].path
                self._arrays[name] = zarr.open_array(self.result.path / STORE, path=path, mode="r")
            values: npt.NDArray[np.uint8] = np.asarray(self._arrays[name][frame])
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            raise ResultError(
                f"frame {frame} of {self.result.path} is damaged ({error}). Run 'emreel verify {self.result.path}'."
            ) from error
        return values
