"""mp4, avi and other films, by PyAV: every frame by its own seek, times from the stream's clock.

Opening goes through the packets' clocks once, without decoding. Luma is the grey value: as it is where the film
uses the full range, stretched from a television's 16..235 to 0..255 where it does not, as players do. A film that
does not say is taken for full range when its first frame has darker or brighter pixels than a television's.
A film whose chroma is not neutral is in colour and refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import av
import numpy as np
import numpy.typing as npt
from av.video.reformatter import ColorRange

from emreel.io.errors import ReaderError
from emreel.io.frames import FrameBlocks, RawMovie, file_stamp
from emreel.io.grey import LOSSY_LEVELS, grey_from_channels


def open_raw(path: str, dataset: str | None) -> RawMovie:
    with av.open(path) as container:
        if not container.streams.video:
            raise ReaderError(f"{path} holds no pictures, only {[s.type for s in container.streams]}.")
        stream = container.streams.video[0]
        base = float(stream.time_base or 0) or 1.0
        metadata = {"codec": stream.codec_context.name, "pixel_format": str(stream.codec_context.pix_fmt)}
        metadata.update(container.metadata)
        clocks = sorted({_clock(packet) for packet in container.demux(stream) if packet.size})
    if not clocks:
        raise ReaderError(f"{path} holds no frame. The file is cut; copy it again.")
    first = next(_decode_from(path, clocks[0]))
    full_range = _is_full_range(first)
    picture = _grey(path, first, full_range)
    readable = _count_decodable(path, clocks)
    frames = VideoFrames(
        path=path,
        clocks=tuple(clocks[:readable]),
        shape_yx=(picture.shape[0], picture.shape[1]),
        stored=picture.dtype.str,
        full_range=full_range,
        stamp=file_stamp(path),
    )
    times = (np.asarray(frames.clocks, np.float64) - clocks[0]) * base
    return RawMovie(
        frames=frames,
        frame_times_s=times if len(times) > 1 else None,
        original_metadata=metadata,
        declared_frames=len(clocks) if readable < len(clocks) else None,
    )


def _clock(item: Any) -> int:
    """Presentation time in units of the stream; avi tells only the decoding time."""
    return int(item.pts if item.pts is not None else item.dts if item.dts is not None else 0)


def _decode_from(path: str, clock: int) -> Iterator[Any]:
    """Frames from `clock` on, in order: a seek to the key frame before it, then forward."""
    with av.open(path) as container:
        stream = container.streams.video[0]
        stream.thread_type = "NONE"
        container.seek(clock, stream=stream, backward=True, any_frame=False)
        for frame in container.decode(stream):
            if _clock(frame) >= clock:
                yield frame


def _count_decodable(path: str, clocks: list[int]) -> int:
    """Frames before a tail that cannot be decoded; only the last few are tried."""
    for back in range(1, min(len(clocks), 64) + 1):
        try:
            if _clock(next(_decode_from(path, clocks[-back]))) == clocks[-back]:
                return len(clocks) - back + 1
        except (av.FFmpegError, StopIteration):
            continue
    raise ReaderError(f"{path}: not one of its last frames can be decoded. The file is damaged; copy it again.")


def _is_full_range(frame: Any) -> bool:
    """Whether luma is the counts themselves."""
    if frame.format.name.startswith(("gray", "yuvj")) or frame.color_range == ColorRange.JPEG:
        return True
    if frame.color_range == ColorRange.MPEG or frame.format.is_rgb or frame.format.name == "pal8":
        return False
    luma = _luma(frame) >> max(frame.format.components[0].bits - 8, 0)
    return bool(luma.min() < 16 - LOSSY_LEVELS or luma.max() > 235 + LOSSY_LEVELS)


def _grey(path: str, frame: Any, full_range: bool) -> npt.NDArray[Any]:
    layout = frame.format
    deep = layout.components[0].bits > 8
    if layout.is_rgb or layout.name == "pal8":
        return grey_from_channels(frame.to_ndarray(format="rgb48le" if deep else "rgb24"), where=path, lossy=True)
    if not layout.name.startswith("gray"):
        _require_neutral(path, frame)
    return _luma(frame) if full_range else np.asarray(frame.to_ndarray(format="gray16le" if deep else "gray"))


def _luma(frame: Any) -> npt.NDArray[Any]:
    """The first plane as it is."""
    plane = frame.planes[0]
    dtype = np.dtype(np.uint8) if frame.format.components[0].bits <= 8 else np.dtype("<u2")
    if frame.format.is_big_endian and dtype.itemsize > 1:
        dtype = dtype.newbyteorder(">")
    rows = np.frombuffer(plane, dtype).reshape(plane.height, plane.line_size // dtype.itemsize)
    return rows[:, : plane.width].astype(dtype.newbyteorder("="))


def _require_neutral(path: str, frame: Any) -> None:
    """Chroma planes must be flat around their middle."""
    small = frame.reformat(format="yuv444p").to_ndarray()
    chroma = small[1:].astype(np.int16) - 128
    if np.percentile(np.abs(chroma), 99.9) > LOSSY_LEVELS:
        raise ReaderError(f"{path} is in colour; wanted grey counts. Open the recorded data instead of an export.")


@dataclass(frozen=True, kw_only=True)
class VideoFrames(FrameBlocks):
    """Frames of a film by their clocks."""

    path: str
    clocks: tuple[int, ...]
    shape_yx: tuple[int, int]
    stored: str
    full_range: bool
    stamp: str

    splits_rows: ClassVar[bool] = False

    @property
    def shape(self) -> tuple[int, int, int]:
        return (len(self.clocks), *self.shape_yx)

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(self.stored)

    @property
    def n_entries(self) -> int:
        return len(self.clocks)

    def read(self, frames: range, rows: slice, columns: slice) -> npt.NDArray[Any]:
        targets = {self.clocks[frame]: target for target, frame in enumerate(frames)}
        block = np.empty((len(frames), rows.stop - rows.start, columns.stop - columns.start), self.dtype)
        last, left = max(targets), len(targets)
        for picture in _decode_from(self.path, min(targets)):
            target = targets.get(_clock(picture))
            if target is not None:
                block[target] = _grey(self.path, picture, self.full_range)[rows, columns]
                left -= 1
            if left == 0 or _clock(picture) > last:
                break
        if left:
            raise ReaderError(f"{self.path}: {left} frames could not be decoded. The file is damaged; copy it again.")
        return block
