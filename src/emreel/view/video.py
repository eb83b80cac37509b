"""Overlay movies, encoded as they are rendered: one frame is in memory at a time."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
from av.video.reformatter import ColorRange, Colorspace
from PIL import Image

from emreel.progress import Progress, StageStarted, StepsDone
from emreel.result import UNKNOWN, Result
from emreel.view.errors import ExportError
from emreel.view.files import replacing
from emreel.view.overlay import INVALID_COLORS, UNKNOWN_COLORS, Bytes, Color, tint_tables
from emreel.view.pictures import BLANK_GRAY, Pictures
from emreel.view.reel import GROUND, INK, Reel

#: Frames a second that a format can tell: gif counts in hundredths of a second, and viewers slow down below two.
FPS_RANGE = {"mp4": (0.1, 120.0), "gif": (0.1, 50.0)}
_CODECS = {"mp4": ("libx264", "yuv420p"), "gif": ("gif", "pal8")}
_X264 = {"crf": "18", "preset": "veryfast"}


def write_video(
    result: Result, path: Path, kind: str, *, fps: float, opacity: float, overwrite: bool, progress: Progress
) -> None:
    """Write the overlay movie as "mp4" or "gif"; see `emreel.view.export_result`.

    Raises
    ------
    ExportError : frames a second that the format cannot tell, a file in the way, or no encoder.
    """
    low, high = FPS_RANGE[kind]
    if not low <= fps <= high:
        raise ExportError(f"got {fps:g} frames a second, wanted {low:g} to {high:g} for {kind}.")
    pictures = Pictures(result)
    pictures.warn_unfinished()
    reel = Reel(pictures, opacity)
    rate = Fraction(fps).limit_denominator(1000)
    progress(StageStarted("export", pictures.n_frames))
    with replacing(path, overwrite=overwrite) as partial:
        try:
            _encode(reel, partial, kind, rate, progress)
        except av.error.FFmpegError as error:
            if isinstance(error, OSError) and error.errno:
                raise
            raise ExportError(f"could not write {path}: {error}. Try another format.") from error


def _encode(reel: Reel, path: Path, kind: str, rate: Fraction, progress: Progress) -> None:
    codec, pixels = _CODECS[kind]
    to_frame = _palette_frames(reel) if kind == "gif" else _yuv_frame
    options = {"movflags": "+faststart"} if kind == "mp4" else {}
    with av.open(str(path), "w", format=kind, options=options) as container:
        stream: Any = container.add_stream(codec, rate=rate, options=_X264 if kind == "mp4" else {})
        stream.height, stream.width = reel.shape_yx
        stream.pix_fmt = pixels
        if kind == "mp4":
            stream.codec_context.colorspace = Colorspace.ITU709
            stream.codec_context.color_range = ColorRange.MPEG
        for number, rgb in enumerate(reel.frames()):
            frame = to_frame(rgb)
            frame.pts, frame.time_base = number, 1 / rate
            container.mux(stream.encode(frame))
            progress(StepsDone("export", number + 1, reel.pictures.n_frames))
        container.mux(stream.encode(None))


def _yuv_frame(rgb: Bytes) -> Any:
    frame = av.VideoFrame.from_ndarray(rgb, format="rgb24")
    return frame.reformat(format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG)


def _palette_frames(reel: Reel) -> Callable[[Bytes], Any]:
    """Frames in one palette for the whole movie, so that colours hold still."""
    colors = gif_palette(reel.pictures.colors, reel.opacity)
    ruler = Image.new("P", (1, 1))
    ruler.putpalette(colors.tobytes())
    argb = np.full((256, 4), 255, np.uint8)
    argb[:, 1:] = colors
    make: Any = av.VideoFrame.from_ndarray  # its annotations leave out (indices, palette)

    def convert(rgb: Bytes) -> Any:
        indexed = Image.fromarray(rgb).quantize(palette=ruler, dither=Image.Dither.NONE)
        return make((np.asarray(indexed), argb), format="pal8")

    return convert


def gif_palette(colors: tuple[Color, ...], opacity: float) -> npt.NDArray[np.uint8]:
    """256 colours: those of the strip, then every tint of the overlay in as many steps as there is room for.

    Returns shape (256, 3), uint8, RGB.

    Raises
    ------
    ExportError : too many classes of different colours.
    """
    tints = sorted(set(colors))
    strip = [GROUND, INK, (BLANK_GRAY,) * 3, *INVALID_COLORS, *UNKNOWN_COLORS, *tints]
    steps = (256 - len(strip)) // (len(tints) + 3)
    if steps < 2:
        raise ExportError(f"{len(tints)} colours are too many for a gif. Export to mp4.")
    levels = np.linspace(0, 255, steps).round().astype(np.intp)
    plain, striped = tint_tables(tuple(tints), opacity)
    ramps = [
        *(plain[label, levels] for label in range(len(tints) + 1)),
        plain[UNKNOWN, levels],
        striped[UNKNOWN, levels],
    ]
    palette = np.zeros((256, 3), np.uint8)
    known = np.concatenate([np.array(strip, np.uint8), *ramps])
    palette[: len(known)] = known
    return palette
