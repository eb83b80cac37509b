"""Grey that is stored as colour."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from emreel.io.errors import ReaderError

#: Levels (of 255) by which the channels of a grey picture may differ after lossy compression.
LOSSY_LEVELS = 6


def grey_from_channels(channels: npt.NDArray[Any], *, where: str, lossy: bool = False) -> npt.NDArray[Any]:
    """The grey values of a picture of shape (..., y, x, channel), 3 or 4 channels, all colours alike.

    An alpha channel is dropped. After lossy compression the channels may differ by a few levels; their
    mean, rounded, is the grey value then.

    Raises
    ------
    ReaderError : the picture is in real colour.
    """
    red, green, blue = (channels[..., i] for i in range(3))
    if np.array_equal(red, green) and np.array_equal(green, blue):
        return np.ascontiguousarray(green)
    wide = channels[..., :3].astype(np.float64)
    spread = float((wide.max(axis=-1) - wide.min(axis=-1)).max())
    if not lossy or spread > LOSSY_LEVELS:
        raise ReaderError(
            f"{where} is in colour (channels differ by up to {spread:g} levels); wanted grey counts. "
            "Open the recorded data instead of a coloured export, or convert it to grey yourself."
        )
    grey: npt.NDArray[Any] = np.rint(wide.mean(axis=-1)).astype(channels.dtype)
    return grey


def grey_palette(colours: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """The grey value of every palette entry, -1 for entries of real colour; `colours` of shape (3, entries).

    A camera's palette is often grey but for the twenty colours that Windows kept for itself, which no pixel uses.
    """
    values = colours.astype(np.int64)
    grey = (values[0] == values[1]) & (values[1] == values[2])
    return np.where(grey, values[0] >> 8 if values.shape[1] <= 256 else values[0], -1)


def look_up(indices: npt.NDArray[Any], palette: npt.ArrayLike, *, where: str) -> npt.NDArray[Any]:
    """Grey values of a picture of palette indices.

    Raises
    ------
    ReaderError : a pixel has a real colour.
    """
    picture: npt.NDArray[Any] = np.asarray(palette)[indices]
    if picture.min(initial=0) < 0:
        raise ReaderError(
            f"{where} is in colour: its palette has colours that its pixels use; wanted grey counts. "
            "Open the recorded data instead, or convert it to grey yourself."
        )
    return picture.astype(indices.dtype)
