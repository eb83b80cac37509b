"""TIFF stacks, page by page: ImageJ, OME and plain, BigTIFF, compressed or not, whole or cut.

Uncompressed stacks are read in place. Calibration is taken from ImageJ (``unit``, ``finterval``), OME
(``PhysicalSizeX``, ``DeltaT``, ``TimeIncrement``), FEI, Zeiss and Olympus headers only: the resolution tag of a
plain TIFF is a printing resolution and says nothing about the specimen.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import tifffile

from emreel.io.errors import ReaderError
from emreel.io.frames import FrameBlocks, Part, RawFrames, RawMovie, count_readable, file_stamp, part_from_offsets
from emreel.io.grey import grey_from_channels, grey_palette, look_up
from emreel.io.readers.tiff_calibration import Calibration, read_calibration
from emreel.io.readers.tiff_pages import PageEntry, walk_pages
from emreel.movie import MAX_FRAME_PIXELS

_UNCOMPRESSED = 1
_ALWAYS_DECODED = frozenset({1, 8, 32946})  # none, deflate
_PALETTE = 3


def open_raw(path: str, dataset: str | None) -> RawMovie:
    pages, complete = walk_pages(path)
    pages = [page for page in pages if not page.reduced] or pages
    _require_one_size(path, pages)
    with tifffile.TiffFile(path) as tif:
        tif.filehandle.seek(pages[0].offset)
        first = tifffile.TiffPage(tif, index=0)
        keyframe = _Keyframe.of(first, path)
        calibration = read_calibration(first, path)
    if keyframe.plain and all(page.consecutive and page.compression == _UNCOMPRESSED for page in pages):
        part, declared = _place_runs(path, keyframe, pages, complete, calibration.n_frames or 0)
        frames: FrameBlocks = RawFrames(
            parts=(part,), stored=keyframe.stored, shape_yx=keyframe.shape_yx, stamp=file_stamp(path)
        )
        return _raw(frames, max(declared, part.count), calibration)
    whole = _whole_pages(path, pages)
    frames = TiffPages(
        path=path,
        offsets=tuple(page.offset for page in whole),
        shape_yx=keyframe.shape_yx,
        stored=keyframe.dtype.str,
        palette=keyframe.palette,
        stamp=file_stamp(path),
    )
    if not keyframe.safe:  # colour, or a missing codec, is told here and not hours later
        frames.read(range(1), slice(0, keyframe.shape_yx[0]), slice(0, keyframe.shape_yx[1]))
    return _raw(frames, max(calibration.n_frames or 0, len(pages) + (not complete)), calibration)


@dataclass(frozen=True)
class _Keyframe:
    """What all pages share: size, dtype, and whether the bytes on disk are the counts."""

    shape_yx: tuple[int, int]
    dtype: np.dtype[Any]
    stored: str
    plain: bool
    safe: bool
    palette: tuple[int, ...] | None

    @classmethod
    def of(cls, page: Any, path: str) -> _Keyframe:
        shape, dtype = tuple(page.shape), np.dtype(page.dtype) if page.dtype is not None else None
        if dtype is None or dtype.kind not in "iuf":
            what = {"c": "complex numbers", "b": "booleans (1 bit a pixel)"}.get(
                dtype.kind if dtype else "", "no numbers"
            )
            raise ReaderError(f"{path} holds {what}, wanted counts. Take the modulus, or save it as 8-bit grey.")
        coloured = page.samplesperpixel > 1
        height, width = int(page.imagelength), int(page.imagewidth)
        if height * width > MAX_FRAME_PIXELS or 0 in (height, width):
            raise ReaderError(f"{path} declares pages of {height} x {width} px. Its header is damaged.")
        if len([n for n in shape if n > 1]) > (3 if coloured else 2):
            raise ReaderError(f"{path} has pages of shape {shape}; wanted (y, x). Save one plane a page.")
        palette = None
        if page.photometric == _PALETTE and page.colormap is not None:
            values = grey_palette(page.colormap)
            is_ramp = np.array_equal(values, np.arange(values.size))
            palette = None if is_ramp else tuple(int(value) for value in values)
        plain = (
            not coloured
            and palette is None
            and page.compression == _UNCOMPRESSED
            and page.bitspersample == dtype.itemsize * 8
            and page.fillorder == 1
            and not page.is_tiled
        )
        return cls(
            shape_yx=(height, width),
            dtype=dtype,
            stored=dtype.newbyteorder(page.parent.byteorder).str,
            plain=plain,
            safe=not coloured and min(palette or (0,)) >= 0 and page.compression in _ALWAYS_DECODED,
            palette=palette,
        )

    @property
    def frame_bytes(self) -> int:
        return self.shape_yx[0] * self.shape_yx[1] * self.dtype.itemsize


def _raw(frames: FrameBlocks, declared: int, calibration: Calibration) -> RawMovie:
    count, times = frames.shape[0], calibration.times_s
    return RawMovie(
        frames=frames,
        frame_times_s=times[:count] if times is not None and times.size >= count else None,
        pixel_size_nm=calibration.pixel_size_nm,
        original_metadata=calibration.original_metadata,
        declared_frames=declared if declared > count else None,
    )


def _require_one_size(path: str, pages: Sequence[PageEntry]) -> None:
    sizes = {(page.height, page.width) for page in pages}
    if len(sizes) > 1:
        odd = next(number for number, page in enumerate(pages) if page.size != pages[0].size)
        raise ReaderError(
            f"{path} mixes frame sizes: page 0 is {pages[0].height} x {pages[0].width} px, page {odd} is "
            f"{pages[odd].height} x {pages[odd].width}. Save frames of one size in a file of their own."
        )


def _place_runs(
    path: str, keyframe: _Keyframe, pages: Sequence[PageEntry], complete: bool, promised: int
) -> tuple[Part, int]:
    """Where uncompressed frames lie, and how many there should be.

    ImageJ writes one page for a whole stack beyond 4 GiB, and tifffile writes all pages' headers but the first
    behind the data, so that a cut file keeps one page alone: then frames follow each other without headers.
    """
    start, size = pages[0].first_byte, keyframe.frame_bytes
    in_a_row = all(page.first_byte == start + number * size for number, page in enumerate(pages))
    if in_a_row and not complete:
        promised = max(promised, (pages[0].next_offset - start) // size)
    if in_a_row and promised > len(pages):
        count = count_readable(path, declared=promised, shape_yx=keyframe.shape_yx, frame_bytes=size, first=start)
        return Part(path, count, start, size), promised
    whole = _whole_pages(path, pages)
    return part_from_offsets(path, [page.first_byte for page in whole]), max(promised, len(pages) + (not complete))


def _whole_pages(path: str, pages: Sequence[PageEntry]) -> list[PageEntry]:
    """Pages up to the first one whose bytes are not all there."""
    whole = list(itertools.takewhile(lambda page: page.whole, pages))
    if not whole:
        raise ReaderError(
            f"{path} declares pages of {pages[0].height} x {pages[0].width} px, but has not one whole page: "
            "the file is cut or its header is damaged. Copy it again."
        )
    return whole


@dataclass(frozen=True, kw_only=True)
class TiffPages(FrameBlocks):
    """Pages that must be decoded: compressed, tiled, in strips, packed bits, or grey stored as colour."""

    path: str
    offsets: tuple[int, ...]
    shape_yx: tuple[int, int]
    stored: str
    palette: tuple[int, ...] | None
    stamp: str

    splits_rows: ClassVar[bool] = False

    @property
    def shape(self) -> tuple[int, int, int]:
        return (len(self.offsets), *self.shape_yx)

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(self.stored).newbyteorder("=")

    @property
    def n_entries(self) -> int:
        return len(self.offsets)

    def read(self, frames: range, rows: slice, columns: slice) -> npt.NDArray[Any]:
        with tifffile.TiffFile(self.path) as tif:
            return np.stack([self._page(tif, index)[rows, columns] for index in frames])

    def _page(self, tif: tifffile.TiffFile, index: int) -> npt.NDArray[Any]:
        tif.filehandle.seek(self.offsets[index])
        page = tifffile.TiffPage(tif, index=index)
        try:
            picture = page.asarray(maxworkers=1)
        except ValueError as error:
            if "imagecodecs" not in str(error):
                raise
            picture = self._with_pillow(index)
        picture = np.squeeze(picture) if picture.ndim > 3 else picture
        if page.samplesperpixel > 1:
            planar = picture.ndim == 3 and picture.shape[0] == page.samplesperpixel and page.planarconfig == 2
            channels = np.moveaxis(picture, 0, -1) if planar else picture
            if channels.shape[-1] == 2:
                picture = channels[..., 0]
            else:
                picture = grey_from_channels(
                    channels, where=f"{self.path}, page {index}", lossy=page.compression in (6, 7)
                )
        picture = picture.reshape(self.shape_yx)
        return picture if self.palette is None else look_up(picture, self.palette, where=f"{self.path}, page {index}")

    def _with_pillow(self, index: int) -> npt.NDArray[Any]:
        """LZW and JPEG, which tifffile decodes only with a further package."""
        from PIL import Image

        with Image.open(self.path) as image:
            image.seek(index)
            return np.asarray(image)
