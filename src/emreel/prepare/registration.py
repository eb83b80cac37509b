"""How far one view of a specimen is moved against another: likely places, shifts tile by tile, and their consensus.

A *view* is a band-passed frame, shape (y, x), float32. What is at pixel r of the reference is at r + shift of the view.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import fft

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Vector = npt.NDArray[np.float64]

#: Band of frequencies times the sigma of the view in which hardly anything but noise is: 0.3 to 0.45 cycles/px at 0.8.
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
    shape = view.shape
    a, b = fft.rfft2(view), fft.rfft2(reference)
    ky, kx = fft.fftfreq(shape[0]).astype(np.float32), fft.rfftfreq(shape[1]).astype(np.float32)
    k2 = ky[:, None] ** 2 + kx[None, :] ** 2
    smoothed = np.exp(-np.minimum(4 * np.pi**2 * sigma_px**2 * k2, 60))
    band = (k2 > (NOISE_BAND[0] / max(sigma_px, 0.8)) ** 2) & (k2 < (NOISE_BAND[1] / max(sigma_px, 0.8)) ** 2)
    noise = np.median(np.abs(a[band]) ** 2 / smoothed[band]) if band.any() else 0.0
    votes = a * np.conj(b) / np.maximum(np.abs(a) * np.abs(b) / smoothed + noise, 1e-30)
    votes[0, 0] = 0
    twice = np.where((kx > 0) & (kx < 0.5), np.float32(2), np.float32(1))  # the half plane that rfft2 leaves out
    total = float((np.abs(votes) @ twice).sum())
    squares = float(((np.abs(votes) ** 2) @ twice).sum())
    if total <= 0:
        squares = total = 1.0
    steps = np.arange(-round(reach_px / PLACE_STEP_PX), round(reach_px / PLACE_STEP_PX) + 1) * PLACE_STEP_PX
    at_y, at_x = expected_yx[0] + steps, expected_yx[1] + steps
    wave_y = np.exp(2j * np.pi * at_y[:, None] * ky[None, :]).astype(np.complex64)
    wave_x = (twice[:, None] * np.exp(2j * np.pi * kx[:, None] * at_x[None, :])).astype(np.complex64)
    rho = np.clip((wave_y @ votes @ wave_x).real.astype(np.float64) / total, 0, 0.999)
    n_modes = total**2 / squares / 2 / FREQUENCIES_A_MODE
    return Places(evidence=-n_modes * np.log1p(-(rho**2)), shift_y_px=at_y, shift_x_px=at_x)


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
    """
    moved = corners_yx + near_yx
    inside = np.flatnonzero(np.all((moved >= 0) & (moved + side_px <= view.shape), axis=1))
    covered = np.array([known[_tile(corners_yx[i], side_px)].mean() for i in inside])
    index = inside[covered > 0.9] if len(inside) else inside
    hann = np.outer(hann_window(side_px), hann_window(side_px))
    was = np.array([reference[_tile(corners_yx[i], side_px)] for i in index]).reshape(-1, side_px, side_px) * hann
    now = np.array([view[_tile(moved[i], side_px)] for i in index]).reshape(-1, side_px, side_px) * hann
    rho, steps = _tile_correlations(now, was)
    shift, hessian, peak, found = _parabola_peaks(rho, steps)
    n_pixels = HANN_SHARE * side_px**2 / (4 * np.pi * sigma_px**2)
    noise = (1 - np.clip(peak, 0, 0.999) ** 2) / (n_pixels * np.maximum(peak, 1e-3))
    least = LEAST_SIGMAS / np.sqrt(n_pixels)
    return TileShifts(
        index=index,
        shift_yx=shift,
        covariance=np.linalg.inv(hessian) * noise[:, None, None],
        trust=np.clip(2 * (peak - least) / least, 0, 1) * found,
        centre_yx=np.asarray(corners_yx[index] + (side_px - 1) / 2, np.float64),
    )


def _tile(corner_yx: npt.NDArray[np.intp], side_px: int) -> tuple[slice, slice]:
    y, x = corner_yx.tolist()
    return slice(y, y + side_px), slice(x, x + side_px)


def _tile_correlations(now: Floats, was: Floats) -> tuple[Doubles, Vector]:
    """Normalised correlations, shape (tile, step, step), and the steps, px."""
    side = now.shape[-1]
    cross = fft.rfft2(now) * np.conj(fft.rfft2(was))
    cross[:, :, 1 : (side + 1) // 2] *= 2
    reach = round(TILE_REACH_PX / TILE_STEP_PX)
    steps = np.arange(-reach, reach + 1) * TILE_STEP_PX
    wave_y = np.exp(2j * np.pi * steps[:, None] * fft.fftfreq(side)[None, :]).astype(np.complex64)
    wave_x = np.exp(2j * np.pi * fft.rfftfreq(side)[:, None] * steps[None, :]).astype(np.complex64)
    norm = np.sqrt(np.sum(now**2, axis=(1, 2), dtype=np.float64) * np.sum(was**2, axis=(1, 2), dtype=np.float64))
    rho = (wave_y @ cross @ wave_x).real.astype(np.float64) / side**2
    return rho / np.maximum(norm, 1e-30)[:, None, None], np.asarray(steps, np.float64)


def _parabola_peaks(rho: Doubles, steps: Vector) -> tuple[Doubles, Doubles, Doubles, npt.NDArray[np.bool_]]:
    """Each tile's peak: shift (tile, 2) px, minus its Hessian (tile, 2, 2), height, and whether it is one."""
    last = len(steps) - 1
    far = (steps[:, None] ** 2 + steps[None, :] ** 2) / (2 * TILE_REACH_PX**2)
    i, j = np.divmod((rho * (1 - TILE_TAPER * far)).reshape(len(rho), -1).argmax(axis=1), last + 1)
    found = (i > 0) & (i < last) & (j > 0) & (j < last)
    i, j, n = np.clip(i, 1, last - 1), np.clip(j, 1, last - 1), np.arange(len(rho))
    peak, up, down, left, right = (rho[n, i + a, j + b] for a, b in ((0, 0), (-1, 0), (1, 0), (0, -1), (0, 1)))
    corners = [rho[n, i + a, j + b] for a, b in ((1, 1), (1, -1), (-1, 1), (-1, -1))]
    cross = (corners[0] - corners[1] - corners[2] + corners[3]) / 4
    slope = np.stack([down - up, right - left], axis=-1) / 2
    hessian = np.stack([2 * peak - up - down, -cross, -cross, 2 * peak - left - right], axis=-1).reshape(-1, 2, 2)
    found &= (np.linalg.det(hessian) > 1e-12) & (hessian[:, 0, 0] > 0)
    hessian[~found] = np.eye(2)
    away = np.linalg.solve(hessian, slope[:, :, None])[:, :, 0]
    found &= np.all(np.abs(away) <= 1, axis=1)
    shift = np.stack([steps[i], steps[j]], axis=-1) + np.clip(away, -1, 1) * TILE_STEP_PX
    return shift, hessian / TILE_STEP_PX**2, peak, found


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
    arm = tiles.centre_yx - middle_yx
    design = np.zeros((len(arm), 2, 3))
    design[:, 0, 0] = design[:, 1, 1] = 1
    design[:, 0, 2], design[:, 1, 2] = arm[:, 1], -arm[:, 0]
    prior = np.diag([1e-6, 1e-6, TURN_SIGMA_RAD**-2])
    fitted, normal = np.zeros(3), prior
    weight = tiles.trust * rest
    for width in CONSENSUS_PX:
        precision = np.asarray(np.linalg.inv(tiles.covariance + width**2 * np.eye(2)), np.float64)
        for _ in range(ROUNDS_A_WIDTH):
            likeness = _likeness(tiles.shift_yx - design @ fitted, precision)
            weighted = precision * (weight * likeness)[:, None, None]
            normal = prior + np.einsum("nia,nij,njb->ab", design, weighted, design)
            fitted = np.linalg.solve(normal, np.einsum("nia,nij,nj->a", design, weighted, tiles.shift_yx))
    error = np.linalg.eigvalsh(np.linalg.inv(normal)[:2, :2])[-1]
    agrees = tiles.trust * _likeness(tiles.shift_yx - design @ fitted, precision)
    return Consensus(shift_yx=fitted[:2], turn_rad=float(fitted[2]), sigma_px=float(np.sqrt(error)), agrees=agrees)


def _likeness(residual: Doubles, precision: Doubles) -> Doubles:
    squared = np.einsum("ni,nij,nj->n", residual, precision, residual)
    return np.asarray(1 / (1 + squared / 4) ** 2)


def hann_window(n: int) -> Floats:
    """Hann window shifted by half a pixel, so that no sample is zero, shape (n,)."""
    return np.asarray(np.sin(np.pi * (np.arange(n) + 0.5) / n) ** 2, np.float32)
