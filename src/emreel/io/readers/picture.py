"""PNG, JPEG and BMP: one picture, a movie of one frame. Grey may be stored as RGB(A) or palette; colour is refused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from emreel.io.errors import ReaderError
from emreel.io.frames import FrameBlocks, RawMovie, file_stamp
from emreel.io.grey import grey_from_channels
from emreel.movie import MAX_FRAME_PIXELS

_PLAIN = {"L": np.uint8, "I;16": np.uint16, "I;16L": np.uint16, "I;16B": np.uint16, "I": np.int32, "F": np.float32}
_LOSSY = frozenset({"JPEG", "MPO"})


def open_raw(path: str, dataset: str | None) -> RawMovie:
    with Image.open(path) as image:
        width, height = image.size
        mode = image.mode
        if mode == "1":
            raise ReaderError(f"{path} is black and white, 1 bit a pixel; wanted counts. Save it as 8-bit grey.")
        if width * height > MAX_FRAME_PIXELS:
            raise ReaderError(f"{path} declares {height} x {width} px, which no camera has. Its header is damaged.")
        if getattr(image, "n_frames", 1) > 1:
            raise ReaderError(f"{path} is an animation. Save it as TIFF, mp4 or avi.")
        metadata = {
            str(key): value for key, value in image.info.items() if isinstance(value, str | int | float | tuple)
        }
    frames = PictureFrame(
        path=path, shape_yx=(height, width), stored=np.dtype(_PLAIN.get(mode, np.uint8)).str, stamp=file_stamp(path)
    )
    if mode not in _PLAIN:
        frames.read(range(1), slice(0, height), slice(0, width))  # colour is refused here, not hours later
    return RawMovie(frames=frames, original_metadata=metadata)


@dataclass(frozen=True, kw_only=True)
class PictureFrame(FrameBlocks):
    """One picture, decoded whole when it is asked for."""

    path: str
    shape_yx: tuple[int, int]
    stored: str
    stamp: str

    @property
    def shape(self) -> tuple[int, int, int]:
        return (1, *self.shape_yx)

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(self.stored)

    def read(self, frames: range, rows: slice, columns: slice) -> npt.NDArray[Any]:
        with Image.open(self.path) as image:
            if image.mode in _PLAIN:
                picture = np.asarray(image)
            else:
                lossy = image.format in _LOSSY
                has_alpha = image.mode in ("LA", "La")
                channels = np.asarray(image.convert("L" if has_alpha else "RGB"))
                picture = channels if has_alpha else grey_from_channels(channels, where=self.path, lossy=lossy)
        return np.repeat(picture[None, rows, columns], len(frames), axis=0)
