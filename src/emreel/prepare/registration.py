"""How far one view of a specimen is moved against another: likely places, shifts tile by tile, and their consensus.

A *view* is a band-passed frame, shape (y, x), float32. What is at pixel r of the reference is at r + shift of the view.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy import fft

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Vector = npt.NDArray[np.float64]
Waves = npt.NDArray[np.complex64]

#: Band of frequencies times the sigma of the view in which hardly anything but noise is: 0.3 to 0.45 cycles/px at 0.8.
#: Higher ones along an axis are left out.
NOISE_BAND = (0.24, 0.36)
#: Frequencies that count as one: a Hann window spreads each over 2.25, and a specimen that changes adds differences
#: that noise does not explain, by which evidence is taken as four times weaker.
FREQUENCIES_A_MODE = 9.0
#: Places are sampled in such steps, px: half a pixel between the whole ones, where sharp peaks would be missed.
PLACE_STEP_PX = 0.5
#: The same for a tile, whose peak is then refined by a parabola; and how far from the expected place it is looked for.
TILE_STEP_PX, TILE_REACH_PX = 0.25, 3.0
#: How much lower a tile's correlation counts in the corners of that square: the next lattice column is not preferred.
TILE_TAPER = 0.3
#: Share of a tile's pixels that a Hann window leaves: (sum w^2)^2 / sum w^4, both axes.
HANN_SHARE = 0.264
#: Correlation, in standard deviations of that of two noises, from which on a tile is heard;
#: fully from 1.5 times as much on.
LEAST_SIGMAS = 3.5
#: Resting tiles scatter by this much even without noise, px.
DISORDER_PX = 0.15
#: Widths at which tiles agree, px: the consensus is narrowed down from one to the next.
CONSENSUS_PX = (1.0, 0.5, 0.25, DISORDER_PX)
ROUNDS_A_WIDTH = 3
#: Standard deviation of the turn against the reference that is taken as likely, radians (half a degree).
TURN_SIGMA_RAD = 0.0087


@dataclass(frozen=True, kw_only=True, eq=False)
class Places:
    """Evidence for a view's place, in nats: shape (shift y, shift x) at ``shift_y_px`` and ``shift_x_px``."""

    evidence: Doubles
    shift_y_px: Vector
    shift_x_px: Vector

    def best(self, prior: Doubles) -> tuple[Vector, float]:
        """The most probable shift (y, x), px, given a log prior of the same shape; and the evidence there, nats."""
        i, j = np.unravel_index((self.evidence + prior).argmax(), prior.shape)
        return np.array([self.shift_y_px[i], self.shift_x_px[j]]), float(self.evidence[i, j])


def find_places(view: Floats, reference: Floats, expected_yx: Vector, reach_px: int, sigma_px: float) -> Places:
    """Correlate two windowed views, frequency by frequency, around an expected shift.

    Every frequency votes with its phase, weighted by how far it stands above the noise: G = A B* / (|A B| + N), a
    regularised phase correlation (C. H. Knapp, G. C. Carter, IEEE Trans. ASSP 24 (1976) 320), so that the few strong
    reflections of a lattice, which fit at every period, do not silence edges and disorder, which fit at one place
    only. With rho(s) = sum G exp(2 pi i k s) / sum |G| and n = (sum |G|)^2 / sum |G|^2 / 9 independent modes, the
    evidence is the log-likelihood of complex normal amplitudes, -n log(1 - rho^2).

    view, reference : shape (y, x), already windowed, smoothed by a Gaussian of ``sigma_px``.
    Cost: two real FFTs of the frame and (4 reach)^2 half-pixel places by matrix products.
    """
    scan = _scan_of_frame((view.shape[0], view.shape[1]), sigma_px, reach_px)
    a, b = (fft.fft(fft.rfft(image)[:, : len(scan.kx)], axis=0)[scan.rows] for image in (view, reference))
    noise = np.median(np.abs(a[scan.noise]) ** 2 / scan.smoothed[scan.noise]) if scan.noise.any() else np.float32(0)
    votes = a * np.conj(b)
    size = np.abs(votes)
    share = scan.smoothed / np.maximum(size + noise * scan.smoothed, np.float32(1e-30))
    share[0, 0] = 0
    size *= share
    total, squares = float((size @ scan.twice).sum()), float((size**2 @ scan.twice).sum())
    if total <= 0:
        squares = total = 1.0
    to_y, to_x = (_waves(float(at), k) for at, k in zip(expected_yx, (scan.ky, scan.kx), strict=True))
    votes *= share
    votes *= to_y[:, None]
    votes *= to_x * scan.twice
    rho = np.clip((scan.wave_y @ votes @ scan.wave_x).real.astype(np.float64) / total, 0, 0.999)
    n_modes = total**2 / squares / 2 / FREQUENCIES_A_MODE
    return Places(
        evidence=-n_modes * np.log1p(-(rho**2)),
        shift_y_px=expected_yx[0] + scan.steps,
        shift_x_px=expected_yx[1] + scan.steps,
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class _FrameScan:
    """What `find_places` needs of a shape.

    ky, kx : frequencies, the half plane, cycles/px; rows : where an FFT has ky; twice : how often kx counts.
    smoothed : power of white noise in a view, shape (ky, kx); noise : the band where there is nothing else.
    wave_y, wave_x : shapes (step, ky) and (kx, step), from votes to places at ``steps``, px.
    """

    rows: npt.NDArray[np.intp]
    ky: Vector
    kx: Vector
    smoothed: Floats
    noise: npt.NDArray[np.bool_]
    twice: Floats
    steps: Vector
    wave_y: Waves
    wave_x: Waves


@lru_cache(maxsize=4)
def _scan_of_frame(shape_yx: tuple[int, int], sigma_px: float, reach_px: int) -> _FrameScan:
    rows, ky, kx, twice = _frequencies(shape_yx, sigma_px)
    k2 = ky[:, None] ** 2 + kx[None, :] ** 2
    low, high = (edge / max(sigma_px, 0.8) for edge in NOISE_BAND)
    steps = _steps(reach_px, PLACE_STEP_PX)
    return _FrameScan(
        rows=rows,
        ky=ky,
        kx=kx,
        smoothed=np.exp(-np.minimum(4 * np.pi**2 * sigma_px**2 * k2, 60)).astype(np.float32),
        noise=(k2 > low**2) & (k2 < high**2),
        twice=twice,
        steps=steps,
        wave_y=_waves(steps[:, None], ky),
        wave_x=_waves(steps, kx[:, None]),
    )


def _frequencies(shape_yx: tuple[int, int], sigma_px: float) -> tuple[npt.NDArray[np.intp], Vector, Vector, Floats]:
    """Rows of an FFT that are looked at, ky and kx there, and how often kx counts, half of the plane being left out."""
    ky, kx, highest = fft.fftfreq(shape_yx[0]), fft.rfftfreq(shape_yx[1]), NOISE_BAND[1] / sigma_px
    rows, kx = np.flatnonzero(np.abs(ky) <= highest), kx[kx <= highest]
    return rows, ky[rows], kx, np.where((kx > 0) & (kx < 0.5), 2, 1).astype(np.float32)


def _steps(reach_px: float, step_px: float) -> Vector:
    n = round(reach_px / step_px)
    return np.asarray(np.arange(-n, n + 1) * step_px, np.float64)


def _waves(at_px: float | Vector, k: Vector) -> Waves:
    return np.asarray(np.exp(2j * np.pi * at_px * k), np.complex64)


@dataclass(frozen=True, kw_only=True, eq=False)
class TileShifts:
    """What single tiles say.

    index : shape (tile,), which tiles of the grid could be compared. shift_yx : shape (tile, 2), px.
    covariance : shape (tile, 2, 2), px^2, of a shift by noise: wide along an edge, where nothing holds it.
    trust : shape (tile,), 0 where the correlation is what noise reaches, up to 1. centre_yx : shape (tile, 2), px.
    """

    index: npt.NDArray[np.intp]
    shift_yx: Doubles
    covariance: Doubles
    trust: Doubles
    centre_yx: Doubles


def shift_tiles(
    view: Floats,
    reference: Floats,
    known: npt.NDArray[np.bool_],
    corners_yx: npt.NDArray[np.intp],
    side_px: int,
    near_yx: npt.NDArray[np.intp],
    sigma_px: float,
) -> TileShifts:
    """Shift of every tile of the reference near a common whole-pixel shift, to sub-pixels.

    The cross-correlation of Hann-windowed tiles by a matrix Fourier transform (M. Guizar-Sicairos, S. T. Thurman,
    J. R. Fienup, Opt. Lett. 33 (2008) 156) in steps of 1/4 px, then the parabola through the peak. Its covariance is
    (1 - rho^2) / (n rho) times the inverse Hessian of the correlation rho, n the tile's independent pixels.
    Tiles that leave the view, or where less than nine tenths of the reference are ``known``, are left out.

    Cost: three real matrix products a row of tiles, and one a column; 6 ms for 225 tiles of 64 px in a regular grid.
    """
    moved = corners_yx + near_yx
    inside = np.all((moved >= 0) & (moved + side_px <= view.shape), axis=1)
    index = np.flatnonzero(inside & (_tile_means(known, corners_yx, side_px) > 0.9))
    rows, row = np.unique(corners_yx[index, 0], return_inverse=True)
    columns, column = np.unique(corners_yx[index, 1], return_inverse=True)
    scan = _scan_of_tile(side_px, sigma_px)
    now, was = _spectra_along_x(view, columns + near_yx[1], scan), _spectra_along_x(reference, columns, scan)
    rho = np.empty((len(rows), len(scan.steps), len(columns), len(scan.steps)), np.float32)
    for i, y in enumerate(rows.tolist()):
        there = y + int(near_yx[0])
        rho[i] = _correlate(now[there : there + side_px], was[y : y + side_px], scan)
    shift, inverse, peak, found = _parabola_peaks(rho[row, :, column], scan.steps)
    n_pixels = HANN_SHARE * side_px**2 / (4 * np.pi * sigma_px**2)
    noise = (1 - np.clip(peak, 0, 0.999) ** 2) / (n_pixels * np.maximum(peak, 1e-3))
    least = LEAST_SIGMAS / np.sqrt(n_pixels)
    return TileShifts(
        index=index,
        shift_yx=shift,
        covariance=inverse * noise[:, None, None],
        trust=np.clip(2 * (peak - least) / least, 0, 1) * found,
        centre_yx=np.asarray(corners_yx[index] + (side_px - 1) / 2, np.float64),
    )


def _tile_means(known: npt.NDArray[np.bool_], corners_yx: npt.NDArray[np.intp], side_px: int) -> Doubles:
    """Share of known pixels of every tile."""
    if known.all():
        return np.ones(len(corners_yx))
    table = np.pad(known.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    (y, x), (low, right) = corners_yx.T, corners_yx.T + side_px
    return np.asarray((table[low, right] - table[y, right] - table[low, x] + table[y, x]) / side_px**2)


@dataclass(frozen=True, kw_only=True, eq=False)
class _TileScan:
    """Real products that take a tile of ``side_px`` to its Hann-windowed spectrum, and that to correlations.

    into_x, back_x : shapes (side, kx 2) and (kx 2, step); along x the spectrum is complex, real and imaginary parts
    side by side, and of what comes back the real part is left.
    into_y, back_y : shapes (2 ky, side) and (step, 2 ky); along y the spectrum is cosines, then sines.
    twice_y, twice_x : how often ky and kx count in sums of squares. steps : px.
    """

    side_px: int
    into_y: Floats
    into_x: Floats
    back_y: Floats
    back_x: Floats
    twice_y: Floats
    twice_x: Floats
    steps: Vector


@lru_cache(maxsize=4)
def _scan_of_tile(side_px: int, sigma_px: float) -> _TileScan:
    _, _, k, twice = _frequencies((side_px, side_px), sigma_px)
    steps = _steps(TILE_REACH_PX, TILE_STEP_PX)
    into = _waves(np.arange(float(side_px))[:, None], k) * hann_window(side_px)[:, None]
    back = _waves(steps[:, None], k) * twice
    return _TileScan(
        side_px=side_px,
        into_y=np.concatenate([into.real, into.imag], axis=1).T,
        into_x=np.conj(into).view(np.float32),
        back_y=np.concatenate([back.real, -back.imag], axis=1),
        back_x=np.conj(back).view(np.float32).T,
        twice_y=np.tile(twice, 2),
        twice_x=np.repeat(twice, 2),
        steps=steps,
    )


def _spectra_along_x(image: Floats, columns: npt.NDArray[np.intp], scan: _TileScan) -> Floats:
    """Of strips of tile width that begin at these columns, shape (y, column kx 2)."""
    image = np.asarray(image, np.float32)
    spectra = np.empty((len(image), len(columns), len(scan.twice_x)), np.float32)
    for i, x in enumerate(columns.tolist()):
        spectra[:, i] = image[:, x : x + scan.side_px] @ scan.into_x
    return spectra.reshape(len(image), -1)


def _correlate(now_x: Floats, was_x: Floats, scan: _TileScan) -> Floats:
    """Normalised correlations of a row of tiles, of their spectra along x: shape (step y, column, step x)."""
    n_x, n_steps = len(scan.twice_x), len(scan.steps)
    now, was = scan.into_y @ now_x, scan.into_y @ was_x

    def size(spectra: Floats) -> Floats:
        return np.asarray(np.sqrt((scan.twice_y @ spectra**2).reshape(-1, n_x) @ scan.twice_x))

    norm = np.maximum(size(now) * size(was), np.float32(1e-30))
    cosine, sine = now.view(np.complex64).reshape(2, len(now) // 2, -1)
    cosine_was, sine_was = np.conj(was.view(np.complex64)).reshape(2, len(was) // 2, -1)
    cross = np.concatenate([cosine * cosine_was + sine * sine_was, cosine * sine_was - sine * cosine_was])
    rho = (scan.back_y @ cross.view(np.float32)).reshape(-1, n_x) @ scan.back_x
    return np.asarray(rho.reshape(n_steps, -1, n_steps) / norm[:, None])


def _parabola_peaks(rho: Floats, steps: Vector) -> tuple[Doubles, Doubles, Doubles, npt.NDArray[np.bool_]]:
    """Each tile's peak: shift (tile, 2) px, minus its inverse Hessian (tile, 2, 2), height, and whether it is one."""
    last = len(steps) - 1
    far = (steps[:, None] ** 2 + steps[None, :] ** 2) / (2 * TILE_REACH_PX**2)
    taper = (1 - TILE_TAPER * far).astype(np.float32)
    i, j = np.divmod((rho * taper).reshape(len(rho), taper.size).argmax(axis=1), last + 1)
    found = (i > 0) & (i < last) & (j > 0) & (j < last)
    i, j, n = np.clip(i, 1, last - 1), np.clip(j, 1, last - 1), np.arange(len(rho))
    around = rho[n[:, None, None], i[:, None, None] + np.arange(-1, 2)[:, None], j[:, None, None] + np.arange(-1, 2)]
    (a, up, b), (left, peak, right), (c, down, d) = np.moveaxis(around.astype(np.float64), 0, -1)
    yy, xx, yx = 2 * peak - up - down, 2 * peak - left - right, (b + c - a - d) / 4
    determinant = yy * xx - yx**2
    found &= (determinant > 1e-12) & (yy > 0)
    adjugate = np.stack([xx, -yx, -yx, yy], axis=-1).reshape(-1, 2, 2)
    adjugate[~found], determinant[~found] = np.eye(2), 1
    inverse = adjugate / determinant[:, None, None]
    slope = np.stack([down - up, right - left], axis=-1) / 2
    away = (inverse @ slope[:, :, None])[:, :, 0]
    found &= np.all(np.abs(away) <= 1, axis=1)
    shift = np.stack([steps[i], steps[j]], axis=-1) + np.clip(away, -1, 1) * TILE_STEP_PX
    return shift, inverse * TILE_STEP_PX**2, peak, found


@dataclass(frozen=True, kw_only=True, eq=False)
class Consensus:
    """What most of the resting tiles agree on: shift (y, x) px of the middle, turn, error, and who agrees (tile,)."""

    shift_yx: Vector
    turn_rad: float
    sigma_px: float
    agrees: Doubles


def agree_on(tiles: TileShifts, rest: Vector, middle_yx: Vector) -> Consensus:
    """Fit one shift and a small turn about ``middle_yx`` to all tiles; those that went elsewhere lose their say.

    Iteratively reweighted least squares with the redescending weight 1 / (1 + e^2/4)^2 of the residual e in units of
    the tile's covariance plus a width that narrows from 1 px to 0.15 px (S. Geman, D. E. McClure, Bull. ISI 52
    (1987) 5). ``rest`` : shape (tile,), what earlier frames say of each tile.
    """
    spread, axes = np.linalg.eigh(tiles.covariance)
    along = np.swapaxes(axes, 1, 2)  # to the axes of each tile's covariance, on which its two shifts are independent
    arm = tiles.centre_yx - middle_yx
    moves = np.zeros((len(arm), 2, 3))
    moves[:, 0, 0] = moves[:, 1, 1] = 1
    moves[:, 0, 2], moves[:, 1, 2] = arm[:, 1], -arm[:, 0]
    design = (along @ moves).reshape(-1, 3)
    shift = (along @ tiles.shift_yx[:, :, None]).ravel()
    prior = np.diag([1e-6, 1e-6, TURN_SIGMA_RAD**-2])
    fitted, normal = np.zeros(3), prior
    weight = tiles.trust * rest
    for width in CONSENSUS_PX:
        precision = 1 / (spread.ravel() + width**2)
        for _ in range(ROUNDS_A_WIDTH):
            likeness = _likeness(shift - design @ fitted, precision)
            weighted = design * (precision * np.repeat(weight * likeness, 2))[:, None]
            normal = prior + weighted.T @ design
            fitted = np.asarray(np.linalg.solve(normal, weighted.T @ shift), np.float64)
    error = np.linalg.eigvalsh(np.linalg.inv(normal)[:2, :2])[-1]
    agrees = tiles.trust * _likeness(shift - design @ fitted, precision)
    return Consensus(shift_yx=fitted[:2], turn_rad=float(fitted[2]), sigma_px=float(np.sqrt(error)), agrees=agrees)


def _likeness(residual: Doubles, precision: Doubles) -> Doubles:
    squared = (residual**2 * precision).reshape(-1, 2).sum(axis=1)
    return np.asarray(1 / (1 + squared / 4) ** 2)


def hann_window(n: int) -> Floats:
    """Hann window shifted by half a pixel, so that no sample is zero, shape (n,)."""
    return np.asarray(np.sin(np.pi * (np.arange(n) + 0.5) / n) ** 2, np.float32)
