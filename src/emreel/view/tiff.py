"""The labels as a TIFF stack, page by page."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tifffile

from emreel.progress import Progress, StageStarted, StepsDone
from emreel.result import INVALID, UNKNOWN, Result
from emreel.view.files import replacing
from emreel.view.overlay import INVALID_COLORS, UNKNOWN_COLORS, Bytes
from emreel.view.pictures import Pictures

#: Stacks of more bytes than this do not fit a classic TIFF, with room for its headers.
CLASSIC_BYTES = 2**32 - 2**26


def write_tiff(result: Result, path: Path, *, overwrite: bool, progress: Progress) -> None:
    """Write the labels as stored, uint8, uncompressed, with a palette; see `emreel.view.export_result`."""
    pictures = Pictures(result)
    pictures.warn_unfinished()
    shape = result.layout.shape_tyx
    big = int(np.prod(shape, dtype=np.int64)) > CLASSIC_BYTES
    progress(StageStarted("export", pictures.n_frames))
    with (
        replacing(path, overwrite=overwrite) as partial,
        tifffile.TiffWriter(partial, bigtiff=big, imagej=not big, ome=big) as tiff,
    ):
        tiff.write(
            _pages(pictures, progress),
            shape=shape,
            dtype=np.uint8,
            photometric="palette",
            colormap=palette(pictures),
            **(_ome_tags(pictures) if big else _imagej_tags(pictures)),
        )


def palette(pictures: Pictures) -> npt.NDArray[np.uint16]:
    """Colours of the label values 0..255 as TIFF wants them, shape (3, 256), uint16; black where there is no label."""
    colors = np.zeros((256, 3), np.uint16)
    colors[1 : len(pictures.colors) + 1] = pictures.colors
    colors[INVALID], colors[UNKNOWN] = INVALID_COLORS[0], UNKNOWN_COLORS[0]
    return np.ascontiguousarray(colors.T) * np.uint16(257)


def _pages(pictures: Pictures, progress: Progress) -> Iterator[Bytes]:
    for frame in range(pictures.n_frames):
        yield pictures.full_label(frame)
        progress(StepsDone("export", frame + 1, pictures.n_frames))


def _imagej_tags(pictures: Pictures) -> dict[str, Any]:
    """ImageJ has one frame interval: the mean; the true times are the slices' labels."""
    named = [*enumerate(pictures.names, start=1), (INVALID, "invalid"), (UNKNOWN, "unknown")]
    metadata: dict[str, Any] = {
        "axes": "TYX",
        "Info": "label values: " + ", ".join(f"{value} = {name}" for value, name in named),
        "Labels": [pictures.clock.text(frame) for frame in range(pictures.n_frames)],
    }
    interval, size = frame_interval_s(pictures.clock.times_s), pictures.result.pixel_size_nm
    if interval is not None:
        metadata |= {"finterval": interval, "fps": 1 / interval, "tunit": "s"}
    if size is None:
        return {"metadata": metadata}
    return {"metadata": metadata | {"unit": "nm"}, "resolution": (1 / size, 1 / size)}


def _ome_tags(pictures: Pictures) -> dict[str, Any]:
    times, size = pictures.clock.times_s, pictures.result.pixel_size_nm
    metadata: dict[str, Any] = {"axes": "TYX"}
    interval = frame_interval_s(times)
    if times is not None:
        metadata["Plane"] = {"DeltaT": times.tolist(), "DeltaTUnit": ["s"] * len(times)}
    if interval is not None:
        metadata |= {"TimeIncrement": interval, "TimeIncrementUnit": "s"}
    if size is not None:
        metadata |= {f"PhysicalSize{axis}": size for axis in "XY"} | {f"PhysicalSize{axis}Unit": "nm" for axis in "XY"}
    return {"metadata": metadata}


def frame_interval_s(times_s: npt.NDArray[np.float64] | None) -> float | None:
    """The mean time from frame to frame, s; None where no times or one frame are known."""
    if times_s is None or times_s.size < 2:
        return None
    return float((times_s[-1] - times_s[0]) / (times_s.size - 1))
