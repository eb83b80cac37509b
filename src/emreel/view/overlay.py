"""Colour overlays: the hue tells the class, the brightness is the frame's own.

Mixing grey with a fixed colour of the class, both as bright as the frame, leaves the picture readable under its
labels. The overlays of pySTEM are made of the same parts (hue = label, value = intensity); ours never go so dark
that the hue is lost.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from emreel.result import INVALID, UNKNOWN
from emreel.view.errors import ViewError

Bytes = npt.NDArray[np.uint8]
Color = tuple[int, int, int]

#: What is drawn over a bright pixel where no class fits: two tones of one hue, in stripes.
UNKNOWN_COLORS: tuple[Color, Color] = ((255, 0, 255), (255, 150, 255))
#: Drawn where there are no data: two greys, in stripes; the frame has nothing to say there.
INVALID_COLORS: tuple[Color, Color] = ((88, 88, 88), (150, 150, 150))
#: Share of a class's colour in the overlay.
OPACITY = 0.6
#: A stripe and its gap, px, unless told otherwise.
STRIPE_PX = 6
#: Colours are at least this bright, so that they are told apart in dark frames too.
_FLOOR = 0.35


def overlay_rgb(
    frame_gray: Bytes, label: Bytes, colors: Sequence[Color], opacity: float = OPACITY, *, stripe_px: int = STRIPE_PX
) -> Bytes:
    """Tint a frame by its labels.

    Parameters
    ----------
    frame_gray : shape (y, x), uint8, the picture.
    label : shape (y, x), uint8: 0 not computed (left grey), 1..K classes, 254 invalid (grey stripes), 255 unknown
        (magenta stripes).
    colors : RGB of the classes 1..K, 0 to 255.
    opacity : share of the colour, 0 (grey) to 1 (the colour times the brightness).
    stripe_px : a stripe and its gap, px.

    Returns
    -------
    shape (y, x, 3), uint8. A class's pixel is ``(1 - opacity) * gray + opacity * color * lifted / 255`` with
    ``lifted = 0.35 * 255 + 0.65 * gray``: it has the colour's hue at any opacity and in the dark too, and grows
    brighter with the frame.

    Raises
    ------
    ViewError : shapes or dtypes that do not fit, a label without a colour, an opacity outside 0 to 1.
    """
    _check(frame_gray, label, opacity)
    plain, striped = tint_tables(tuple((int(r), int(g), int(b)) for r, g, b in colors), float(opacity))
    present = np.bincount(label.ravel(), minlength=256)
    strangers = np.flatnonzero(present[len(colors) + 1 : INVALID]) + len(colors) + 1
    if strangers.size:
        raise ViewError(f"got label {strangers[0]} and colours for {len(colors)} classes. Give one colour a class.")
    rgb = np.take(plain.reshape(-1, 3), label.astype(np.uint16) << 8 | frame_gray, axis=0)
    if present[INVALID] or present[UNKNOWN]:
        rising, falling = _stripes(label.shape, stripe_px)
        where = ((label == INVALID) & falling) | ((label == UNKNOWN) & rising)
        rgb[where] = striped[label[where], frame_gray[where]]
    return rgb


@lru_cache(maxsize=8)
def tint_tables(colors: tuple[Color, ...], opacity: float) -> tuple[Bytes, Bytes]:
    """Colour of every (label, brightness), each of shape (256, 256, 3), uint8: off the stripes, and on them."""
    gray = np.arange(256.0)[:, None]
    lifted = 255 * _FLOOR + gray * (1 - _FLOOR)
    tables = []
    for phase in (0, 1):
        table = np.broadcast_to(gray, (256, 256, 3)).copy()
        for value, color in enumerate(colors, start=1):
            table[value] = gray * (1 - opacity) + lifted * opacity * np.array(color) / 255
        table[UNKNOWN] = lifted * np.array(UNKNOWN_COLORS[phase]) / 255
        table[INVALID] = INVALID_COLORS[phase]
        rounded = np.rint(table).astype(np.uint8)
        rounded.setflags(write=False)
        tables.append(rounded)
    return tables[0], tables[1]


def _stripes(shape_yx: tuple[int, ...], stripe_px: int) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Diagonal stripes that rise and that fall to the right."""
    y, x = np.ogrid[: shape_yx[0], : shape_yx[1]]
    half = max(stripe_px // 2, 1)
    return (x + y) // half % 2 == 0, (x - y) // half % 2 == 0


def _check(frame_gray: Bytes, label: Bytes, opacity: float) -> None:
    for name, array in (("frame", frame_gray), ("label", label)):
        if array.ndim != 2 or array.dtype != np.uint8:
            raise ViewError(f"got a {name} of {array.ndim} dimensions and dtype {array.dtype}, wanted uint8 (y, x).")
    if frame_gray.shape != label.shape:
        raise ViewError(f"got a frame of {frame_gray.shape} px and labels of {label.shape} px, wanted one size.")
    if not 0 <= opacity <= 1:
        raise ViewError(f"got an opacity of {opacity}, wanted 0 (grey) to 1 (full colour).")
