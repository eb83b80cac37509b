"""mp4, avi and other films, by PyAV: every frame by its own seek, times from the stream's clock.

Opening goes through the packets' clocks once, without decoding. Luma is the grey value; a film whose chroma is
not neutral is in colour and refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import av
import numpy as np
import numpy.typing as npt

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
    picture = _grey(path, first)
    frames = VideoFrames(
        path=path, clocks=tuple(clocks), shape_yx=picture.shape[:2], stored=picture.dtype.str, stamp=file_stamp(path)
    )
    readable = _count_decodable(path, clocks)
    if readable < len(clocks):
        frames = VideoFrames(
            path=path,
            clocks=tuple(clocks[:readable]),
            shape_yx=frames.shape_yx,
            stored=frames.stored,
            stamp=frames.stamp,
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


def _grey(path: str, frame: Any) -> npt.NDArray[Any]:
    layout = frame.format
    if layout.name.startswith("gray"):
        deep = layout.name not in ("gray", "gray8")
        return np.asarray(frame.to_ndarray(format="gray16le" if deep else "gray"))
    if layout.is_rgb or layout.name == "pal8":
        deep = max(component.bits for component in layout.components) > 8
        return grey_from_channels(frame.to_ndarray(format="rgb48le" if deep else "rgb24"), where=path, lossy=True)
    _require_neutral(path, frame)
    deep = max(component.bits for component in layout.components) > 8
    return np.asarray(frame.to_ndarray(format="gray16le" if deep else "gray"))


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
                block[target] = _grey(self.path, picture)[rows, columns]
                left -= 1
            if left == 0 or _clock(picture) > last:
                break
        if left:
            raise ReaderError(f"{self.path}: {left} frames could not be decoded. The file is damaged; copy it again.")
        return block
