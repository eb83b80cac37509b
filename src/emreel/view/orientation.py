"""Orientation pictures: the hue tells the in-plane angle, a wheel tells the hue, lines tell where crystals meet.

The hue goes round once in 360 / fold degrees, so that two orientations that the symmetry makes one have one colour.
The brightness is the frame's own, as in `emreel.view.overlay`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.colors import hsv_to_rgb
from matplotlib.figure import Figure
from skimage.morphology import skeletonize

from emreel.orientation import Crystal, OrientationError, reduce_angle
from emreel.view.errors import ViewError
from emreel.view.figures import FONT_PT, MARGIN_IN, add_axes, add_scale_bar, fit_inches, new_figure, show_picture
from emreel.view.marks import scale_bar
from emreel.view.overlay import OPACITY, Bytes, Color

Lines = npt.NDArray[np.bool_]

#: Colours are at least this bright, so that they are told apart in dark frames too.
FLOOR = 0.35
LINE_COLOR: Color = (255, 255, 255)
_PICTURE_IN = 5.0
_WHEEL_IN = 1.1
_WHEEL_PX = 200
_SATURATION = 0.85
_BORDER_PX = 4


def orientation_rgb(frame_gray: Bytes, angle_deg: npt.ArrayLike, fold: int = 2, *, opacity: float = OPACITY) -> Bytes:
    """Tint a frame by the orientation of its lattice.

    Parameters
    ----------
    frame_gray : shape (y, x), uint8, the picture.
    angle_deg : shape (y, x), degrees; NaN (no lattice) is left grey.
    fold : of the crystals' in-plane symmetry: the hue goes round once in 360 / fold degrees.
    opacity : share of the colour, 0 (grey) to 1.

    Returns
    -------
    shape (y, x, 3), uint8.

    Raises
    ------
    ViewError : shapes or dtypes that do not fit, an opacity outside 0 to 1.
    """
    angles = np.asarray(angle_deg, np.float64)
    if frame_gray.dtype != np.uint8 or frame_gray.ndim != 2 or frame_gray.shape != angles.shape:
        raise ViewError(
            f"got a frame of {frame_gray.dtype} {frame_gray.shape} and angles of {angles.shape}, "
            "wanted uint8 (y, x) and one angle a pixel."
        )
    if not 0 <= opacity <= 1:
        raise ViewError(f"got an opacity of {opacity}, wanted 0 (grey) to 1 (full colour).")
    known = np.isfinite(angles)
    gray = frame_gray.astype(np.float64)[..., None]
    tint = orientation_color(np.where(known, angles, 0.0), fold)
    mixed = (1 - opacity) * gray + opacity * tint * (255 * FLOOR + (1 - FLOOR) * gray)
    return np.rint(np.where(known[..., None], mixed, gray)).astype(np.uint8)


def orientation_color(angle_deg: npt.ArrayLike, fold: int = 2) -> npt.NDArray[np.float64]:
    """RGB of orientations, 0 to 1, shape (..., 3)."""
    hue = reduce_angle(angle_deg, fold) * fold / 360
    hsv = np.stack([hue, np.full_like(hue, _SATURATION), np.ones_like(hue)], axis=-1)
    return np.asarray(hsv_to_rgb(hsv))


def wheel_rgba(fold: int = 2, size_px: int = _WHEEL_PX) -> Bytes:
    """The colour of every direction, as a disc with a hole; shape (size_px, size_px, 4), transparent elsewhere.

    Directions are those of the picture: x to the right, y downwards.
    """
    place = (np.arange(size_px) - (size_px - 1) / 2) / (size_px / 2)
    y, x = place[:, None], place[None, :]
    radius = np.hypot(y, x)
    color = orientation_color(np.degrees(np.arctan2(y, x)), fold)
    shown = (radius <= 1) & (radius >= 0.45)
    rgba: Bytes = np.rint(255 * np.dstack([color, shown.astype(np.float64)])).astype(np.uint8)
    return rgba


def crystal_map(labels: npt.ArrayLike, crystals: tuple[Crystal, ...]) -> npt.NDArray[np.float32]:
    """Angle of the crystal that each pixel belongs to, degrees, NaN elsewhere; shape of ``labels``, (y, x)."""
    classes = np.asarray(labels)
    angles = np.full(classes.shape, np.nan, np.float32)
    for crystal in crystals:
        angles[classes == crystal.label] = crystal.angle_deg
    return angles


def boundary_lines(labels: npt.ArrayLike) -> Lines:
    """Where labels meet, as lines one pixel wide (skeletonised), shape (y, x)."""
    classes = np.asarray(labels)
    if classes.ndim != 2:
        raise ViewError(f"got labels of shape {classes.shape}, wanted (y, x).")
    wide = np.pad(classes, _BORDER_PX, mode="edge")  # thinning shortens lines at their ends: let that happen outside
    met = np.zeros(wide.shape, bool)
    down, right = wide[1:] != wide[:-1], wide[:, 1:] != wide[:, :-1]
    met[1:] |= down
    met[:-1] |= down
    met[:, 1:] |= right
    met[:, :-1] |= right
    thin = np.asarray(skeletonize(met), np.bool_)  # type: ignore[no-untyped-call]
    return thin[_BORDER_PX:-_BORDER_PX, _BORDER_PX:-_BORDER_PX]


def overlay_lines(picture: Bytes, lines: Lines, color: Color = LINE_COLOR) -> Bytes:
    """The picture, grey (y, x) or RGB (y, x, 3), with lines drawn over it; RGB."""
    if picture.shape[:2] != lines.shape:
        raise ViewError(f"got a picture of {picture.shape[:2]} px and lines of {lines.shape} px, wanted one size.")
    rgb = np.repeat(picture[..., None], 3, axis=-1) if picture.ndim == 2 else picture.copy()
    rgb[lines] = color
    return rgb


def draw_orientation(
    frame_gray: Bytes,
    angle_deg: npt.ArrayLike,
    *,
    fold: int = 2,
    labels: npt.ArrayLike | None = None,
    pixel_size_nm: float | None = None,
    opacity: float = OPACITY,
) -> Figure:
    """A frame coloured by orientation, with its colour wheel, a scale bar, and the boundaries of ``labels``.

    Shapes as in `orientation_rgb`; labels (y, x).

    Raises
    ------
    ViewError : shapes or dtypes that do not fit, an opacity outside 0 to 1.
    """
    try:
        rgb = orientation_rgb(frame_gray, angle_deg, fold, opacity=opacity)
    except OrientationError as error:
        raise ViewError(str(error)) from error
    if labels is not None:
        rgb = overlay_lines(rgb, boundary_lines(labels))
    shape = (int(frame_gray.shape[0]), int(frame_gray.shape[1]))
    width, height = fit_inches(shape, (_PICTURE_IN, _PICTURE_IN))
    figure = new_figure()
    figure.set_size_inches(width + _WHEEL_IN + 3 * MARGIN_IN, max(height, _WHEEL_IN + 0.4) + 2 * MARGIN_IN)
    axes = add_axes(figure, MARGIN_IN, MARGIN_IN, width, height)
    show_picture(axes, rgb, shape)
    add_scale_bar(axes, scale_bar(shape[1], pixel_size_nm), width)
    wheel = add_axes(figure, width + 2 * MARGIN_IN, MARGIN_IN, _WHEEL_IN, _WHEEL_IN)
    _show_wheel(wheel, fold)
    return figure


def _show_wheel(axes: Any, fold: int) -> None:
    axes.imshow(wheel_rgba(fold), extent=(-1, 1, 1, -1))
    axes.set_axis_off()
    axes.text(0, 0, f"{360 / fold:g}°", ha="center", va="center", fontsize=FONT_PT)
    axes.text(0, 1.25, "direction of g", ha="center", va="center", fontsize=FONT_PT)
