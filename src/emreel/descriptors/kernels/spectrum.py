"""Power spectra of the windows around every grid point, by two matrix products that neighbours share.

A window's spectrum is separable: F = Y f X, with the taper in X and Y. X is applied once to every pixel row and grid
column, whatever the number of windows that hold them; Y to the rows of each window, which lie one after the other in
memory. Only the frequencies that are asked for are computed, of each Friedel pair one.

The mean is not taken off the pixels (every window has another one) but off the spectrum: F(f - m) = F(f) - m F(1).
Where a window holds invalid pixels, F(1) becomes F(valid), a second transform; elsewhere it is a constant. All sums
are float64, so that neither an offset of the counts nor the place of a window in its tile can be seen.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from emreel.descriptors.geometry import grid_length
from emreel.descriptors.kernels.flat import Array, kernel

#: Values of the first product that are held at once: 8 MB, which a cache holds.
STRIP_VALUES = 2**20
#: Windows whose tapered valid pixels carry less than this share of the taper's power have no spectrum.
LEAST_COVER = 1 / 16
#: Largest power that is told, so that float32 stays finite.
LARGEST_POWER = 1e37


@dataclass(frozen=True, eq=False)
class Transform:
    """The two products of a window of one size.

    frequencies : shape (n, 2), (ky, kx) in periods a window, kx >= 0; one of each Friedel pair, by rising kx, then ky.
    rows : shape (side, 2 k), cosines then sines of kx = 0..k-1 times the taper. columns : shape (2 k, side), of ky.
    taper_sums : shape (k,), sum of taper times cosine: the transform of a window of ones.
    """

    side: int
    frequencies: npt.NDArray[np.int64]
    rows: npt.NDArray[np.float64]
    columns: npt.NDArray[np.float64]
    taper_sums: npt.NDArray[np.float64]
    taper_power: npt.NDArray[np.float64]  # shape (side,), taper squared

    @property
    def places(self) -> npt.NDArray[np.int64]:
        """Feature of (|ky|, kx) and of (-|ky|, kx), shape (k, k, 2); -1 where it is not told."""
        k = len(self.taper_sums)
        places = np.full((k, k, 2), -1, np.int64)
        for feature, (ky, kx) in enumerate(self.frequencies):
            places[abs(ky), kx, int(ky < 0)] = feature
        return places


@lru_cache(maxsize=32)
def plan_transform(window_px: int, highest_frequency: float) -> Transform:
    """The transform of windows of (2 window_px + 1)^2 px for |k| up to a frequency, cycles/px."""
    side = 2 * window_px + 1
    highest = min(window_px, int(np.floor(highest_frequency * side)))
    k = np.arange(highest + 1)
    pairs = [(ky, kx) for kx in k.tolist() for ky in range(-highest, highest + 1) if kx > 0 or ky >= 0]
    frequencies = np.array([pair for pair in pairs if np.hypot(*pair) <= highest_frequency * side], np.int64)
    taper = np.sqrt(np.hanning(side))
    angle = 2 * np.pi * np.outer(np.arange(-window_px, window_px + 1), k) / side
    waves = np.hstack([np.cos(angle), np.sin(angle)]) * taper[:, None]
    return Transform(side, frequencies, waves, np.ascontiguousarray(waves.T), waves[:, : highest + 1].sum(0), taper**2)


@kernel
def _powers(
    out: Array, parts: Array, mean: Array, ones: Array, taper_sums: Array, masked: bool, scale: Array, places: Array,
    largest: float,
) -> None:  # fmt: skip
    """out[j, feature] = |F|^2 scale[j] of one grid row; ``parts``, ``ones``: shape (2, k, grid column, 2, k)."""
    for ky in range(parts.shape[1]):
        for j in range(parts.shape[2]):
            for kx in range(parts.shape[4]):
                cc, cs = parts[0, ky, j, 0, kx], parts[0, ky, j, 1, kx]
                sc, ss = parts[1, ky, j, 0, kx], parts[1, ky, j, 1, kx]
                if masked:
                    cc -= mean[j] * ones[0, ky, j, 0, kx]
                    cs -= mean[j] * ones[0, ky, j, 1, kx]
                    sc -= mean[j] * ones[1, ky, j, 0, kx]
                    ss -= mean[j] * ones[1, ky, j, 1, kx]
                else:
                    cc -= mean[j] * taper_sums[ky] * taper_sums[kx]
                up, down = places[ky, kx, 0], places[ky, kx, 1]
                if up >= 0:
                    out[j, up] = min(((cc - ss) ** 2 + (sc + cs) ** 2) * scale[j], largest)
                if down >= 0:
                    out[j, down] = min(((cc + ss) ** 2 + (cs - sc) ** 2) * scale[j], largest)


def power_rows(
    padded: Array, valid: Array | None, transform: Transform, stride: int
) -> Iterator[tuple[int, slice, npt.NDArray[np.float32]]]:
    """The windows' power, a piece of a grid row at a time.

    Parameters
    ----------
    padded : shape (h + 2 w, w' + 2 w), counts, finite where valid. valid : same shape, or None for all valid.
    transform : of `plan_transform`; its side is 2 w + 1.

    Yields
    ------
    Grid row, grid columns, and |F|^2 of the frequencies, shape (grid column, n), counts^2, where F is the sum over
    the window of (f - mean) taper exp(-2 pi i k r), the taper sqrt(Hann) along each axis, the mean over the valid
    pixels. With invalid pixels it is scaled to the taper's full power. The array is written anew for the next piece.
    """
    side, halo = transform.side, transform.side // 2
    shape = tuple(grid_length(n - 2 * halo, stride) for n in padded.shape)
    n_waves = transform.rows.shape[1]
    per_column = padded.shape[0] * max(n_waves, side)
    widest = max(8, STRIP_VALUES // per_column)
    inner = _untouched(valid, shape[1], stride, side)
    cuts = sorted({0, shape[1], *inner, *range(inner[0], inner[1], widest)})
    for j0, j1 in pairwise(cuts):
        for start in range(j0, j1, widest):
            end = min(start + widest, j1)
            yield from _strip(padded, valid, transform, stride, slice(start, end), shape[0])


def _untouched(valid: Array | None, n_columns: int, stride: int, side: int) -> tuple[int, int]:
    """First and end of the grid columns whose windows do not reach into invalid columns at the sides."""
    has_valid = np.flatnonzero(valid.any(axis=0)) if valid is not None else np.zeros(0, np.intp)
    if has_valid.size == 0:
        return 0, n_columns
    first = min(grid_length(int(has_valid[0]), stride), n_columns)
    end = min(max((int(has_valid[-1]) + 1 - side) // stride + 1, first), n_columns)
    return first, end


def _strip(
    padded: Array, valid: Array | None, transform: Transform, stride: int, columns: slice, n_rows: int
) -> Iterator[tuple[int, slice, npt.NDArray[np.float32]]]:
    """`power_rows` for some grid columns."""
    side, n_columns = transform.side, columns.stop - columns.start
    places = transform.places
    at = slice(columns.start * stride, (columns.stop - 1) * stride + side)
    mask = None if valid is None or valid[:, at].all() else valid[:, at]
    pixels = padded[:, at] if mask is None else np.where(mask, padded[:, at], 0)
    waves, sums = _along_x(pixels, transform, stride)
    ones = weights = None
    if mask is not None:
        ones, weights = _along_x(mask, transform, stride)
        power = _windows(mask, stride, side) @ transform.taper_power
    full = float(transform.taper_power.sum()) ** 2
    out = np.empty((n_columns, len(transform.frequencies)), np.float32)
    k = len(transform.taper_sums)
    shape = 2, k, n_columns, 2, k
    for i in range(n_rows):
        rows = slice(i * stride, i * stride + side)
        parts = _along_y(waves[rows], transform).reshape(shape)
        if weights is None or ones is None:
            mean, scale, of_ones, masked = sums[rows].sum(0) / side**2, np.ones(n_columns), parts, False
        else:
            n_valid = weights[rows].sum(0)
            mean = sums[rows].sum(0) / np.maximum(n_valid, 1)
            cover = transform.taper_power @ power[rows] / full
            scale = np.where(cover >= LEAST_COVER, 1 / np.maximum(cover, LEAST_COVER), 0.0)
            masked = bool(n_valid.min() < side**2)
            of_ones = _along_y(ones[rows], transform).reshape(shape) if masked else parts
        _powers(out, parts, mean, of_ones, transform.taper_sums, masked, scale, places, LARGEST_POWER)
        yield i, columns, out


def _windows(image: Array, stride: int, side: int) -> Array:
    """Every grid column's pixels of every row, shape (row, grid column, side), float64, contiguous."""
    return np.ascontiguousarray(sliding_window_view(image, side, axis=1)[:, ::stride], dtype=np.float64)


def _along_y(rows: Array, transform: Transform) -> Array:
    """The product along y of one row of windows, shape (2, k, values of a pixel row).

    Cosines take the sum of the rows above and below the middle, sines the difference: half the products.
    """
    half, k = transform.side // 2, len(transform.taper_sums)
    flat = rows.reshape(transform.side, -1)
    out = np.empty((2, k, flat.shape[1]))
    above, below = flat[:half][::-1], flat[half + 1 :]
    even = np.empty((half + 1, flat.shape[1]))
    even[0] = flat[half]
    np.add(above, below, out=even[1:])
    np.matmul(transform.columns[:k, half:], even, out=out[0])
    np.matmul(transform.columns[k:, half + 1 :], np.subtract(below, above, out=even[1:]), out=out[1])
    return out


def _along_x(image: Array, transform: Transform, stride: int) -> tuple[Array, Array]:
    """The product along x, shape (row, grid column, 2 k), and the plain sums, shape (row, grid column)."""
    windows = _windows(image, stride, transform.side)
    return (windows.reshape(-1, transform.side) @ transform.rows).reshape(*windows.shape[:2], -1), windows.sum(axis=2)
