"""Variance of the projections of disc-shaped tiles, through their power spectra.

With f the tile minus its mean and zero outside the disc, and p_t its projection onto an axis at the angle t, the
projection-slice theorem says that the Fourier transform of p_t is the tile's own along the line at that angle, and
Parseval's that the sum of p_t^2 is the power along it. So one FFT of a tile, padded to twice its size, holds the
variance at every angle, and one sparse operator, made once, reads all of them:

    variance(t) = 1/(n N) sum_k |F(k cos t, -k sin t)|^2 R(k cos t, -k sin t),    k = -N/2 .. N/2

n : px across the disc. N : px of the padded tile. R = sinc^4 sinc^4 is what linear interpolation along the lines of a
discrete Radon transform leaves of the power (`skimage.transform.radon`).

Between the bins, the power is the best linear combination of 4 x 4 of them: of least expected error for a disc, whose
power varies from bin to bin as the disc's own autocorrelation lets it (kriging, one axis at a time). A fixed cubic (R.
G. Keys, IEEE Trans. ASSP 29 (1981) 1153) errs one and a half times as much.

Batches never show, to the bit: every sum has one order, and the FFTs come in multiples of `LANES`, so that no line of
a tile is ever transformed together with another tile's (FFT libraries treat the rest of a batch differently).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numba
import numpy as np
import numpy.typing as npt
from scipy import fft, sparse

Array = npt.NDArray[Any]

#: Tiles worked on at once: their spectra stay in the cache, and their sums in the registers (`read_lines`).
BATCH = 8
#: FFTs are done in groups of so many lines at once (16 float32 fill the widest vector of any machine).
LANES = 16
#: Bins along each axis that the power between bins is read from, from the one below up.
TAPS = (-1, 0, 1, 2)
#: A disc with less than this part valid is not described.
MIN_VALID_PART = 1 / 16
#: From this part missing on, the curve is divided by what the shape of the valid part does to it.
SHAPED_PART = 1 / 64
#: A tile whose variance is below this share of its mean square is flat.
FLAT = 1e-12

_compile: Any = numba.njit(cache=True, nogil=True, fastmath={"contract"}, error_model="numpy")


@dataclass(frozen=True, eq=False)
class Lines:
    """The sparse operator from the power spectrum of a padded tile to its variances.

    n_px : px across the disc. fft_px : px of the padded tile.
    bins : int64, places in the flattened half spectrum, shape (fft_px, fft_px // 2), that are read.
    starts, columns, weights : rows of the operator, one an angle, over ``bins`` (compressed sparse rows).
    """

    n_px: int
    fft_px: int
    bins: npt.NDArray[np.int64]
    starts: npt.NDArray[np.int64]
    columns: npt.NDArray[np.int32]
    weights: npt.NDArray[np.float32]

    @property
    def n_angles(self) -> int:
        return len(self.starts) - 1


def radius_of(tile_px: int) -> int:
    """Whole pixels from the middle of a disc to its rim; a disc of 128 px reaches 63 px to every side."""
    return (tile_px - 1) // 2


@lru_cache(maxsize=16)
def disc_reach(tile_px: int) -> npt.NDArray[np.int64]:
    """Half width of every row of the disc, px: pixels within (tile_px - 1) / 2 of the middle belong to it."""
    radius = radius_of(tile_px)
    y = np.arange(-radius, radius + 1)
    half_width = np.floor(np.sqrt(((tile_px - 1) / 2) ** 2 - y**2) + 1e-9)
    return np.asarray(half_width, np.int64)


@lru_cache(maxsize=16)
def line_operator(tile_px: int, n_angles: int) -> Lines:
    """Build the operator for discs of ``tile_px`` px and ``n_angles`` angles, evenly over half a turn from 0 on."""
    half = _in_lanes(tile_px)
    size = 2 * half
    angle = np.pi * np.arange(n_angles) / n_angles
    k = np.arange(1, half)
    u, v = (k * np.cos(angle)[:, None]).ravel(), (-k * np.sin(angle)[:, None]).ravel()
    share = 2 / (size * (2 * radius_of(tile_px) + 1)) * (np.sinc(u / size) * np.sinc(v / size)) ** 4  # k and -k
    floor_u, floor_v = np.floor(u).astype(np.int64), np.floor(v).astype(np.int64)
    taps_u, taps_v = (_tap_weights(part, tile_px, size) for part in (u - floor_u, v - floor_v))
    rows = np.repeat(np.arange(n_angles), len(k))
    places, weights = [], []
    for du, weight_u in zip(TAPS, taps_u, strict=True):
        for dv, weight_v in zip(TAPS, taps_v, strict=True):
            place, there = _half_spectrum_place(floor_u + du, floor_v + dv, size)
            places.append(place)
            weights.append(np.where(there, share * weight_u * weight_v, 0))
    bins, columns = np.unique(np.concatenate(places), return_inverse=True)
    entries = (np.concatenate(weights), (np.tile(rows, len(TAPS) ** 2), columns.ravel()))
    matrix = sparse.coo_matrix(entries, shape=(n_angles, len(bins))).tocsr()
    return Lines(
        n_px=2 * radius_of(tile_px) + 1,
        fft_px=size,
        bins=bins.astype(np.int64),
        starts=matrix.indptr.astype(np.int64),
        columns=matrix.indices.astype(np.int32),
        weights=matrix.data.astype(np.float32),
    )


def _half_spectrum_place(u: Array, v: Array, size: int) -> tuple[Array, Array]:
    """Where bin (u, v) lies in the flattened half spectrum of a real tile, and where it lies in it.

    F(-k) is the conjugate of F(k). The half spectrum ends below u = size / 2, where nothing worth reading is.
    """
    half = size // 2
    column = np.abs((u + half) % size - half)
    mirrored = (u + half) % size < half
    there = column < half
    place = np.where(mirrored, -v, v) % size * half + column
    return np.where(there, place, 0), there


def _in_lanes(n: int) -> int:
    """The next multiple of `LANES`."""
    return -(-n // LANES) * LANES


def _tap_weights(fraction: Array, tile_px: int, size: int) -> Array:
    """Weights of the four bins around a place ``fraction`` above the second of them, shape (4, n)."""
    radius = radius_of(tile_px)
    disc = np.zeros((size, size))
    for row, reach in enumerate(disc_reach(tile_px)):
        disc[row, radius - reach : radius + reach + 1] = 1
    overlap = fft.irfft2(np.abs(fft.rfft2(disc)) ** 2, s=(size, size))[0]
    share = overlap**2 / np.sum(overlap**2)
    lag = 2 * np.pi * np.fft.fftfreq(size)
    taps = np.array(TAPS)
    between = np.cos((taps[:, None] - taps[None, :])[..., None] * lag) @ share
    steps = np.linspace(0, 1, 257)  # covariances are smooth: a table does
    towards = np.cos((taps[:, None] - steps[None, :])[..., None] * lag) @ share
    bordered = np.ones((len(taps) + 1, len(taps) + 1))  # the last row: weights that sum to 1 leave no bias
    bordered[:-1, :-1], bordered[-1, -1] = between + 1e-9 * np.eye(len(taps)), 0
    table = np.linalg.solve(bordered, np.vstack([towards, np.ones(len(steps))]))[:-1]
    return np.stack([np.interp(fraction, steps, row) for row in table])


def describe_points(
    padded: Array, valid: Array, corners: Array, tile_px: int, n_angles: int, *, equalise: bool
) -> Iterator[tuple[slice, npt.NDArray[np.float32], npt.NDArray[np.float64]]]:
    """Variance curves of the discs at many places, a few at a time.

    padded : shape (y, x), float32. valid : the same shape, bool, or empty for all valid.
    corners : shape (n, 2), int64: first row and column of every disc's box.

    Yields
    ------
    which of the corners, their curves, shape (m, angle) float32, of tiles scaled to a standard deviation of 1, and
    that deviation, shape (m,), 0 where a tile is flat or hardly valid (its curve is then 0, too).
    """
    lines, reach = line_operator(tile_px, n_angles), disc_reach(tile_px)
    padded, valid = _frozen(padded, np.float32), _frozen(valid, np.bool_)
    corners = np.ascontiguousarray(corners, np.int64)
    n_pixels = int(np.sum(2 * reach + 1))
    tiles = np.zeros((BATCH, _in_lanes(len(reach)), lines.fft_px), np.float32)
    shapes = np.zeros_like(tiles)
    deviation, missing = np.zeros(BATCH), np.zeros(BATCH, np.int64)
    whole = disc_shape_curve(tile_px, n_angles)
    for first in range(0, len(corners), BATCH):
        some = corners[first : first + BATCH]
        n = len(some)
        cut_discs(padded, valid, some, reach, equalise, tiles, shapes, deviation, missing)
        curves = _variances(tiles[:n], lines)
        shaped = np.flatnonzero((missing[:n] > SHAPED_PART * n_pixels) & (deviation[:n] > 0))
        if shaped.size:
            curves[shaped] *= whole / _shape_curves(shapes[shaped], lines)
        yield slice(first, first + n), curves, deviation[:n]


def _frozen(array: Array, dtype: type) -> Array:
    """A contiguous view that cannot be written: the one kind of array the kernels are compiled for."""
    view: Array = np.ascontiguousarray(array, dtype=dtype).view()
    view.flags.writeable = False
    return view


@lru_cache(maxsize=16)
def disc_shape_curve(tile_px: int, n_angles: int) -> npt.NDArray[np.float32]:
    """Mean squares of the projections of the disc itself, all ones; shape (angle,)."""
    lines, reach = line_operator(tile_px, n_angles), disc_reach(tile_px)
    disc = np.zeros((1, _in_lanes(len(reach)), lines.fft_px), np.float32)
    for row, half in enumerate(reach):
        disc[0, row, len(reach) // 2 - half : len(reach) // 2 + half + 1] = 1
    return np.ascontiguousarray(_shape_curves(disc, lines)[0])


def _shape_curves(shapes: Array, lines: Lines) -> npt.NDArray[np.float32]:
    """Mean squares of the projections of shapes of ones, which have a mean: k = 0 counts; shape (m, angle)."""
    area = shapes.sum(axis=(1, 2), dtype=np.float64)
    at_zero = area**2 / (lines.fft_px * lines.n_px)
    return np.asarray(_variances(shapes, lines) + at_zero[:, None], np.float32)


def _variances(tiles: Array, lines: Lines) -> npt.NDArray[np.float32]:
    """Power of at most `BATCH` padded tiles, shape (m, y, fft_px), along all lines; shape (m, angle)."""
    across = fft.rfft(tiles, axis=2)[..., : lines.fft_px // 2]
    spectrum = fft.fft(across, n=lines.fft_px, axis=1).reshape(len(tiles), -1)
    power = np.zeros((len(lines.bins), BATCH), np.float32)
    take_power(spectrum, lines.bins, power)
    curves = np.empty((BATCH, lines.n_angles), np.float32)
    read_lines(power, lines.starts, lines.columns, lines.weights, curves)
    return curves[: len(tiles)]


@_compile  # type: ignore[untyped-decorator]
def take_power(spectrum: Array, bins: Array, power: Array) -> None:
    """power[b, tile] = |spectrum[tile, bins[b]]|^2."""
    for b in range(bins.size):
        place = bins[b]
        for tile in range(spectrum.shape[0]):
            value = spectrum[tile, place]
            power[b, tile] = value.real * value.real + value.imag * value.imag


@_compile  # type: ignore[untyped-decorator]
def read_lines(power: Array, starts: Array, columns: Array, weights: Array, curves: Array) -> None:
    """curves[tile, angle] = sum of weights times power along the angle's line, for `BATCH` tiles in registers."""
    flat = power.reshape(-1)
    for angle in range(starts.size - 1):
        a = b = c = d = e = f = g = h = np.float32(0)
        for entry in range(starts[angle], starts[angle + 1]):
            at, weight = np.int64(columns[entry]) * 8, weights[entry]
            a += weight * flat[at]
            b += weight * flat[at + 1]
            c += weight * flat[at + 2]
            d += weight * flat[at + 3]
            e += weight * flat[at + 4]
            f += weight * flat[at + 5]
            g += weight * flat[at + 6]
            h += weight * flat[at + 7]
        curves[0, angle], curves[1, angle], curves[2, angle], curves[3, angle] = a, b, c, d
        curves[4, angle], curves[5, angle], curves[6, angle], curves[7, angle] = e, f, g, h


@_compile  # type: ignore[untyped-decorator]
def cut_discs(
    padded: Array, valid: Array, corners: Array, reach: Array, equalise: bool, tiles: Array, shapes: Array,
    deviation: Array, missing: Array,
) -> None:  # fmt: skip
    """Cut discs out of a frame: minus their mean, over their standard deviation, 0 where nothing is valid.

    tiles, shapes : shape (m, y, x); the discs, and their valid pixels as ones. Sums go down the columns, which the
    compiler turns into vectors.
    """
    side = reach.size
    middle = side // 2
    sums, squares, raws = np.empty(side), np.empty(side), np.empty(side)
    for number in range(corners.shape[0]):
        tile, shape = tiles[number], shapes[number]
        n_pixels, n = copy_disc(padded, valid, corners[number, 0], corners[number, 1], reach, tile, shape)
        missing[number] = n_pixels - n
        if equalise and n > 0:
            equalise_disc(tile, shape, reach, n)
        sums[:], squares[:], raws[:] = 0.0, 0.0, 0.0
        for row in range(side):
            for column in range(middle - reach[row], middle + reach[row] + 1):
                sums[column] += np.float64(tile[row, column])
        mean = sums.sum() / max(n, 1)
        for row in range(side):
            for column in range(middle - reach[row], middle + reach[row] + 1):
                value = np.float64(tile[row, column])
                off = (value - mean) * np.float64(shape[row, column])
                squares[column] += off * off
                raws[column] += value * value
        square = squares.sum()
        described = n >= MIN_VALID_PART * n_pixels and square > FLAT * raws.sum()
        deviation[number] = np.sqrt(square / n) if described else 0.0
        scale = 1 / deviation[number] if described else 0.0
        for row in range(side):
            for column in range(middle - reach[row], middle + reach[row] + 1):
                off = (np.float64(tile[row, column]) - mean) * np.float64(shape[row, column])
                tile[row, column] = np.float32(off * scale)


@_compile  # type: ignore[untyped-decorator]
def copy_disc(
    padded: Array, valid: Array, y0: int, x0: int, reach: Array, tile: Array, shape: Array
) -> tuple[np.int64, np.int64]:
    """Copy a disc's valid pixels (0 for others) and its shape; the number of pixels, and of valid ones."""
    middle = reach.size // 2
    n_pixels, n = np.int64(0), np.int64(0)
    for row in range(reach.size):
        first, last = middle - reach[row], middle + reach[row] + 1
        n_pixels += last - first
        source = padded[y0 + row, x0 : x0 + reach.size]
        for column in range(first, last):
            value = source[column]
            ok = np.isfinite(value)
            tile[row, column] = value if ok else np.float32(0)
            shape[row, column] = np.float32(1) if ok else np.float32(0)
            n += np.int64(ok)
        if valid.size > 0:
            mask = valid[y0 + row, x0 : x0 + reach.size]
            for column in range(first, last):
                if not mask[column]:
                    n -= np.int64(shape[row, column])
                    tile[row, column] = np.float32(0)
                    shape[row, column] = np.float32(0)
    return n_pixels, n


@_compile  # type: ignore[untyped-decorator]
def equalise_disc(tile: Array, shape: Array, reach: Array, n: int) -> None:
    """Histogram equalisation: every valid pixel becomes the share of valid ones below it, ties counted half."""
    middle = reach.size // 2
    values, places = np.empty(n, np.float32), np.empty(n, np.int64)
    k = 0
    for row in range(reach.size):
        for column in range(middle - reach[row], middle + reach[row] + 1):
            if shape[row, column] > 0:
                values[k], places[k] = tile[row, column], row * tile.shape[1] + column
                k += 1
    order = np.argsort(values)
    first = 0
    while first < n:
        end = first + 1
        while end < n and values[order[end]] == values[order[first]]:
            end += 1
        for k in range(first, end):
            place = places[order[k]]
            tile[place // tile.shape[1], place % tile.shape[1]] = np.float32((first + end) / (2.0 * n))
        first = end
