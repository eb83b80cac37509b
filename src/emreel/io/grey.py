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


def grey_palette(colours: npt.NDArray[Any], *, where: str) -> npt.NDArray[Any]:
    """The grey value of every palette entry; `colours` of shape (3, entries).

    Raises
    ------
    ReaderError : the palette holds real colour.
    """
    if not (np.array_equal(colours[0], colours[1]) and np.array_equal(colours[1], colours[2])):
        raise ReaderError(
            f"{where} has a palette of real colours; wanted grey counts. Save it in grey, without a colour table."
        )
    return np.ascontiguousarray(colours[0])
