"""Files that grow while a movie is being taken: a zarr with a marker, and formats of equal frames one after another."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy.typing as npt
import zarr

from emreel.io import readers
from emreel.io.errors import ReaderError
from emreel.io.frames import FrameBlocks, RawFrames
from emreel.io.readers.zarrs import ZarrFrames
from emreel.stream.errors import StreamError
from emreel.stream.source import Arrival

#: The attribute of a growing zarr that tells how many frames are whole, and the one that tells that it is complete.
MARKER, FINISHED = "n_complete", "finished"


class _Growing:
    """What growing files share: frames that are told once, in order, and never become fewer."""

    def __init__(self, path: str, pixel_size_nm: float | None, frame_time_s: float | None) -> None:
        self.name = path if "://" in path else os.path.realpath(path)
        self.pixel_size_nm, self.frame_time_s = pixel_size_nm, frame_time_s
        self._n_told = 0
        self._frames: FrameBlocks | None = None
        self.is_finished = False

    def read(self, index: int) -> npt.NDArray[Any]:
        if self._frames is None:
            raise OSError(f"{self.name} holds no frame yet")
        _, height, width = self._frames.shape
        frame: npt.NDArray[Any] = self._frames.read(range(index, index + 1), slice(0, height), slice(0, width))[0]
        return frame

    def _tell(self, n_frames: int) -> Sequence[Arrival]:
        if n_frames < self._n_told:
            raise StreamError(
                f"{self.name} shrank from {self._n_told} to {n_frames} frames: it is another movie now. "
                "Stopped; what was labelled is kept. Watch the new movie into another folder."
            )
        new = range(self._n_told, n_frames)
        self._n_told = n_frames
        step = self.frame_time_s
        return [Arrival(index, None if step is None else index * step) for index in new]


class GrowingZarr(_Growing):
    """A zarr array (time, y, x) that is written while it is watched; local, or at an address that fsspec reads.

    Its writer sets the attribute ``n_complete`` (of the array or of its group) to the number of frames that are whole
    after it has written them, because a chunk that is missing looks like a dark one; and ``finished`` to true at the
    end. Frames must not be shared by chunks that are still being written: one frame a chunk is best.
    """

    def __init__(
        self,
        address: str,
        *,
        dataset: str | None = None,
        pixel_size_nm: float | None = None,
        frame_time_s: float | None = None,
    ) -> None:
        super().__init__(address, pixel_size_nm, frame_time_s)
        self._address, self._dataset = address, dataset

    def poll(self) -> Sequence[Arrival]:
        try:
            marks = self._marks()
        except (OSError, KeyError, ValueError) as error:  # its writer replaces the metadata right now
            if self._n_told == 0 and not os.path.exists(self._address) and "://" not in self._address:
                return []
            raise StreamError(f"{self._address} cannot be read any more: {error}. Watch again to go on.") from error
        n_complete = marks.get(MARKER)
        if not isinstance(n_complete, int) or isinstance(n_complete, bool) or n_complete < 0:
            raise StreamError(
                f"{self._address} does not tell how many frames are whole: the attribute {MARKER!r} is {n_complete!r}. "
                f"Let its writer set array.attrs[{MARKER!r}] = number of frames after each frame."
            )
        if n_complete and (self._frames is None or n_complete > self._frames.shape[0]):
            self._frames = self._open(n_complete)
        self.is_finished = bool(marks.get(FINISHED, False))
        return self._tell(n_complete)

    def _marks(self) -> Mapping[str, Any]:
        node = zarr.open(self._address, mode="r")
        marks = dict(node.attrs)
        if isinstance(node, zarr.Group) and self._dataset is not None:
            marks |= dict(node[self._dataset].attrs)
        elif isinstance(node, zarr.Group) and MARKER not in marks:
            found = [dict(member.attrs) for _, member in node.members(max_depth=None) if MARKER in member.attrs]
            marks |= found[0] if len(found) == 1 else {}
        return marks

    def _open(self, n_complete: int) -> FrameBlocks:
        raw = readers.open_raw(self._address, self._dataset)
        if self.pixel_size_nm is None:
            self.pixel_size_nm = raw.pixel_size_nm
        frames = raw.frames
        if not isinstance(frames, ZarrFrames) or frames.shape[0] < n_complete:
            raise StreamError(
                f"{self._address} says that {n_complete} frames are whole, but has {frames.shape[0]}. "
                f"Let its writer write the frames before {MARKER!r}."
            )
        return frames


class GrowingFile(_Growing):
    """A file of equal uncompressed frames one after another (MRC, MIB, SER, TVIPS, npy) that becomes longer."""

    def __init__(self, path: str, *, pixel_size_nm: float | None = None, frame_time_s: float | None = None) -> None:
        super().__init__(path, pixel_size_nm, frame_time_s)
        self._path = path
        self._size = -1

    def poll(self) -> Sequence[Arrival]:
        try:
            size = os.path.getsize(self._path)
        except FileNotFoundError:
            size = 0
        if size == self._size:
            return []
        try:
            frames = readers.open_raw(self._path).frames
        except ReaderError:
            return self._tell(0)  # not even one frame, yet or any more
        if not isinstance(frames, RawFrames):
            raise StreamError(
                f"{self._path} cannot be followed while it grows: its format does not keep equal frames one after "
                "another. Use a folder of frames or a zarr, or wait until it is whole and use 'emreel label'."
            )
        self._size, self._frames = size, frames
        return self._tell(frames.shape[0])
