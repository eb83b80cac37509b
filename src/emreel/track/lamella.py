"""The width of a twin lamella, plane by plane, from the phase of its rows of atoms.

Rows along the twin plane look alike in parent and twin; what differs is how each is shifted against the next. So the
picture is demodulated along the plane with the fringes that cross it, which sums whole rows and leaves a profile C(h)
across: its phase rises with h in the parent, falls in the twin and rises again beyond, by 2 pi k h, k the fringes'
component across the plane. The two kinks h1 <= h2 are where

    | S+(..h1) + exp(-2 i k' h1) S-(h1..h2) + exp(-2 i k' (h1 - h2)) S+(h2..) |,   k' = 2 pi k

is largest, where S+ and S- are sums of C(h) exp(-+ i k' h): a matched filter for parent, twin and parent of one
piece, the second shifted by the twin's planes as a coherent lamella shifts it. No window is as wide as the lamella is
thin, so one plane is seen where labels see none. The mean over stretches along the plane gives a ledge its share.

**When it fails.** Fringes along the plane alone (nothing crosses it), several lamellae side by side (the widest is
measured), a parent that is bent by more than a fraction of a plane.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from emreel.track.errors import TrackError

Floats = npt.NDArray[np.float64]
Complexes = npt.NDArray[np.complex128]
Mask = npt.NDArray[np.bool_]

#: The profile is sampled so often a pixel, and kinks are looked for at every second sample.
SAMPLES_A_PX = 2
#: Stretches along the plane, in plane spacings; and how far from the whole's kinks theirs may be, in spacings.
STRETCH_PLANES, REACH_PLANES = 5.0, 1.8
#: Fringes cross a plane when this share of their wave vector lies along it, and their phase from plane to plane has a
#: sine of at least this.
LEAST_ALONG, LEAST_PHASE = 0.3, 0.3
#: How much larger the filter's answer is with a twin than without, at least.
LEAST_GAIN = 1.015


@dataclass(frozen=True, kw_only=True)
class Lamella:
    """A lamella of one frame.

    Parameters
    ----------
    width_px : mean over its length, 0 where there is no twin.
    low_px, high_px : where its planes lie along the normal ``normal_yx``, from the mask's centre ``centre_yx``.
    gain : of the filter's answer over that of a parent alone.
    """

    width_px: float
    low_px: float
    high_px: float
    gain: float
    centre_yx: tuple[float, float]
    normal_yx: tuple[float, float]


def measure_lamella(picture: npt.ArrayLike, mask: Mask, plane_g_yx: Floats, cross_g_yx: Floats) -> Lamella:
    """Measure the lamella of one frame.

    Parameters
    ----------
    picture : shape (y, x), counts. mask : the crystal, parent and twin.
    plane_g_yx : wave vector of the fringes along the twin plane, cycles/px: its direction is the plane's normal.
    cross_g_yx : wave vector of fringes of the parent that cross the plane.

    Raises
    ------
    TrackError : no crystal, or fringes that do not tell one side of the plane from the other.
    """
    spacing = 1 / float(np.hypot(*plane_g_yx))
    normal = np.asarray(plane_g_yx, np.float64) * spacing
    if not mask.any() or not does_cross(plane_g_yx, cross_g_yx):
        raise TrackError("got no crystal, or fringes that look alike on both sides of the plane. Give others.")
    strip = _Strip.of(picture, mask, normal, spacing)
    waves, k = strip.demodulate(cross_g_yx), 2 * np.pi * float(normal @ cross_g_yx)
    low, high, gain = _kinks(waves.sum(axis=1), strip.height, k)
    nothing = Lamella(
        width_px=0.0,
        low_px=low,
        high_px=low,
        gain=gain,
        centre_yx=(float(strip.centre[0]), float(strip.centre[1])),
        normal_yx=(float(normal[0]), float(normal[1])),
    )
    if gain < LEAST_GAIN:
        return nothing
    columns = np.flatnonzero(strip.inside.any(axis=0))
    near = (low, high, REACH_PLANES * spacing)
    between = (strip.height >= low - spacing / 2) & (strip.height <= high + spacing / 2)
    found = []
    for part in np.array_split(columns, max(1, round(len(columns) / (STRETCH_PLANES * spacing)))):
        share = strip.inside[np.ix_(between, part)].any(axis=0).sum()
        found.append((*_kinks(waves[:, part].sum(axis=1), strip.height, k, near)[:2], share))
    lows, highs, shares = np.array(found, np.float64).T
    if not shares.any():
        return nothing
    low, high = float(np.average(lows, weights=shares)), float(np.average(highs, weights=shares))
    return replace(nothing, width_px=high - low, low_px=low, high_px=high)


def does_cross(plane_g_yx: Floats, g_yx: Floats) -> bool:
    """Whether fringes cross a plane, and look different mirrored at it: their phase from plane to plane is not 0 or pi,
    and they do not run along it."""
    length = float(np.hypot(*plane_g_yx))
    normal = np.asarray(plane_g_yx, np.float64) / length
    along = abs(normal[1] * g_yx[0] - normal[0] * g_yx[1]) / float(np.hypot(*g_yx))
    return bool(along > LEAST_ALONG and abs(np.sin(2 * np.pi * float(normal @ g_yx) / length)) > LEAST_PHASE)


@dataclass(frozen=True, eq=False)
class _Strip:
    """The crystal turned so that the planes lie along the second axis: flat, inside : shape (height, place)."""

    flat: Floats
    inside: Mask
    height: Floats
    place: Floats
    along: Floats
    centre: Floats

    @classmethod
    def of(cls, picture: npt.ArrayLike, mask: Mask, normal: Floats, spacing: float) -> _Strip:
        along = np.array([normal[1], -normal[0]])
        centre = np.array([axis.mean() for axis in np.nonzero(mask)])
        reach = int(np.ceil(max(np.hypot(*(np.argwhere(mask) - centre).T)))) + 1
        height = np.arange(-reach * SAMPLES_A_PX, reach * SAMPLES_A_PX + 1) / SAMPLES_A_PX
        place = np.arange(-reach, reach + 1, dtype=np.float64)
        points = [c + height[:, None] * n + place * u for c, n, u in zip(centre, normal, along, strict=True)]
        inside = ndimage.map_coordinates(mask.astype(np.float32), points, order=1) > 0.5
        flat = ndimage.map_coordinates(_flattened(picture, mask, 1.5 * spacing), points, order=1)
        return cls(flat * inside, inside, height, place, along, centre)

    def demodulate(self, g_yx: Floats) -> Complexes:
        """The strip times the wave along the planes, shape (height, place)."""
        return np.asarray(self.flat * np.exp(-2j * np.pi * float(self.along @ g_yx) * self.place))


def _kinks(
    profile: Complexes, height: Floats, k: float, near: tuple[float, float, float] | None = None
) -> tuple[float, float, float]:
    """Both kinks, and the gain of the answer over that without any. near : where they are looked for, and the reach."""
    rising = np.concatenate([[0], np.cumsum(profile * np.exp(-1j * k * height))])
    falling = np.concatenate([[0], np.cumsum(profile * np.exp(1j * k * height))])
    where = np.arange(0, len(height), SAMPLES_A_PX)
    h, up, down = height[where], rising[where], falling[where]
    one, two = h[:, None], h[None, :]
    answer = np.abs(
        up[:, None]
        + np.exp(-2j * k * one) * (down[None, :] - down[:, None])
        + np.exp(-2j * k * (one - two)) * (rising[-1] - up[None, :])
    )
    allowed = two >= one
    if near is not None:
        allowed &= (np.abs(one - near[0]) <= near[2]) & ((np.abs(two - near[1]) <= near[2]) | (one == two))
    answer = np.where(allowed, answer, -1.0)
    i, j = np.unravel_index(int(answer.argmax()), answer.shape)
    return float(h[i]), float(h[j]), float(answer[i, j] / max(abs(rising[-1]), 1e-12))


def _flattened(picture: npt.ArrayLike, mask: Mask, sigma_px: float) -> Floats:
    """The picture less its local mean over the crystal; 0 outside."""
    values = np.where(mask, np.asarray(picture, np.float64), 0.0)
    broad, cover = (ndimage.gaussian_filter(a.astype(np.float64), sigma_px) for a in (values, mask))
    return np.asarray(np.where(mask, values - broad / np.maximum(cover, 1e-3), 0.0))
