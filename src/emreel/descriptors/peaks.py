"""The movie's own reciprocal lattice: mean power spectrum, its peaks, and the period that follows.

The spectrum is Welch's (P. D. Welch, IEEE Trans. Audio Electroacoust. 15 (1967) 70): Hann windows that
overlap by half, their power added over the frames of a sample. Drift between frames does not matter,
because the power of a shifted lattice is the same. A peak must stand out three times over:

- against its ring (equal spatial frequency), whose 30 % quantile is the background, so that Thon rings
  and amorphous halos are no peaks;
- against the lines through it (radial, along y, along x), so that scan-line noise, curtaining and the
  streaks of straight edges are no peaks, while a lattice that lies along the axes keeps its own;
- against chance: the more tiles were averaged, the less the power of a disordered specimen fluctuates.

A polycrystal of many orientations has a ring and no peaks. What tells it from an amorphous halo is that in
any one tile the ring's power sits in few spots: `SpectrumSums.concentration`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage, special

from emreel.descriptors.base import Fold, Mask
from emreel.descriptors.welch import LOWEST_CYCLES, SPOT_STEPS, TILE_PX, Floats, SpectrumSums, refine_peak

LARGEST_TILE_PX = 512
#: A tile must hold this many periods, or the next larger tile is tried.
PERIODS_A_TILE = 8
#: How often a movie without any order may show a peak.
FALSE_ALARM = 1e-2
#: Concentration of a ring of spots; the power of disorder has 2 (an exponential distribution), sharp halos up to 2.6.
SPOTTY = 3.2
#: Mean power of a ring of spots against the rings around it, and its concentration against that of smaller rings.
RING_CONTRAST = 2.0
RING_SPOTTINESS = 1.2
#: Zero-padded windows smear disorder into spots: below this share of the tile no ring is looked for.
LEAST_WINDOW_SHARE = 0.75
#: A ring with so many times the power of all peaks is a polycrystal with a few large grains (lattices: 0.3 to 0.9).
RING_OVER_PEAKS = 1.5
#: Spots so many bins from a ring's top belong to it.
RING_HALF_WIDTH = 2.5
#: Power of a Hann window's peak over its height: 1.5 bins along each axis.
HANN_PEAK_BINS = 1.5**2
#: Highest frequency that pixels hold in every direction, cycles/px.
NYQUIST = 0.5
#: Places half way between reflections that are kept, and how near two of them are one, in shortest reflections.
MOST_HALF_WAY, SAME_PLACE = 6, 0.25


@dataclass(frozen=True, eq=False)
class Peaks:
    """Peaks of a spectrum, strongest first; empty for a movie without a lattice and for a polycrystal.

    g_yx : shape (n, 2), cycles/px, of the half plane gy > 0 (or gy = 0, gx > 0).
    power, background : shape (n,), counts^2, of the mean spectrum at the peak, and what it stands on.
    ring_period_px : 1/|g| of the ring of spots of a polycrystal that has no peaks, px; else None.
    """

    g_yx: Floats
    power: Floats
    background: Floats
    ring_period_px: float | None = None

    def __len__(self) -> int:
        return len(self.g_yx)

    @property
    def period_px(self) -> float | None:
        """Mean of 1/|g| weighted by the power above background, px; the ring's without peaks; None without order."""
        if len(self) == 0:
            return self.ring_period_px
        weight = self.power - self.background
        return float(np.sum(weight / np.hypot(*self.g_yx.T)) / np.sum(weight))


def find_peaks(
    spectrum: SpectrumSums,
    *,
    contrast: float = 4.0,
    max_peaks: int = 12,
    least_share: float = 4e-3,
) -> Peaks:
    """Find the lattice peaks of a mean spectrum.

    Parameters
    ----------
    contrast : a peak is this many times above its background (more when few tiles were averaged).
    max_peaks : the strongest are kept.
    least_share : weaker than this share of the strongest (above background) is left out.

    Returns
    -------
    Peaks, sub-bin positions from the parabola through the log power of 3 x 3 bins.
    """
    power = spectrum.mean_power()
    if spectrum.independent_tiles <= 0:
        return _no_peaks()
    radius = _radius(spectrum.tile_px)
    ring = _ring_background(power, radius)
    lowest = LOWEST_CYCLES * spectrum.tile_px / spectrum.window_px
    above = max(contrast, _chance_contrast(spectrum))
    is_peak = (power == ndimage.maximum_filter(power, 3, mode="wrap")) & (power > above * ring)
    is_peak &= (radius >= lowest) & (radius < spectrum.tile_px / 2 - 1)
    rows, cols = np.nonzero(is_peak & _half_plane(spectrum.tile_px))
    polycrystal = _find_ring(spectrum)
    if rows.size == 0:
        return _no_peaks(polycrystal)
    floor = np.maximum(ring[rows, cols], _streak_background(power, rows, cols, spectrum))
    height = power[rows, cols] - floor
    keep = (power[rows, cols] > above * floor) & (height > 0)
    if not keep.any() or _outshines(polycrystal, float(height[keep].sum())):
        return _no_peaks(polycrystal)
    rows, cols, floor, height = rows[keep], cols[keep], floor[keep], height[keep]
    order = np.lexsort((cols, rows, -height))
    order = order[height[order] >= least_share * height[order[0]]][:max_peaks]
    rows, cols, floor = rows[order], cols[order], floor[order]
    shifts = np.array([refine_peak(power, y, x) for y, x in zip(rows, cols, strict=True)])
    g_yx = (np.stack([rows, cols], axis=1) - spectrum.tile_px // 2 + shifts) / spectrum.tile_px
    return Peaks(_into_half_plane(g_yx), power[rows, cols], floor)


def measure_period(spectrum: SpectrumSums) -> float | None:
    """The lattice period d, px (see `Peaks.period_px`); None when the spectrum shows no order."""
    return find_peaks(spectrum).period_px


def learn_peaks(fold: Fold, tile_px: int = TILE_PX) -> Peaks:
    """Find the peaks of a movie from its sample, with larger tiles where the period asks for them.

    A tile must hold 8 periods for its peaks to lie within 1 % of the lattice, so the tile is doubled,
    up to 512 px or the frame, while the period found (or none) asks for more.
    """
    best = _no_peaks()
    while True:
        spectrum = fold(partial(SpectrumSums.of, tile_px=tile_px))
        found = find_peaks(spectrum)
        period = found.period_px
        if period is not None:
            best = found
        enough = period is not None and period * PERIODS_A_TILE <= spectrum.window_px
        if enough or spectrum.window_px < tile_px or tile_px >= LARGEST_TILE_PX:
            return best
        tile_px *= 2


def half_way(g_yx: npt.ArrayLike) -> tuple[tuple[float, float], ...]:
    """Where a cell twice as large would show: at half of every reflection, and half way between two of them.

    g_yx : shape (n, 2), cycles/px. Returns up to six (gy, gx), those of the lowest frequency; none on a reflection,
    none nearer to the origin than half of the shortest.
    """
    g = np.asarray(g_yx, np.float64).reshape(-1, 2)
    if len(g) == 0:
        return ()
    ends = np.concatenate([np.zeros((1, 2)), g, -g])
    places = _into_half_plane((g[:, None] + ends[None, :]).reshape(-1, 2) / 2)
    shortest = float(np.hypot(*g.T).min())
    length = np.hypot(*places.T)
    order = np.lexsort((places[:, 1], places[:, 0], np.round(length / shortest, 2)))
    order = order[(length[order] > (0.5 - SAME_PLACE / 2) * shortest) & (length[order] <= NYQUIST)]
    taken, found = [*g, *-g], []
    for place in places[order]:
        apart = min(float(np.hypot(*(place - other))) for other in taken)
        if apart > SAME_PLACE * shortest:
            taken += [place, -place]
            found.append((float(place[0]), float(place[1])))
    return tuple(found[:MOST_HALF_WAY])


@dataclass(frozen=True)
class _Ring:
    """A ring of spots: 1/|g| in px, and its power above the background over the half plane, in peak heights."""

    period_px: float
    power: float


def _no_peaks(ring: _Ring | None = None) -> Peaks:
    return Peaks(np.zeros((0, 2)), np.zeros(0), np.zeros(0), None if ring is None else ring.period_px)


def _outshines(ring: _Ring | None, peak_heights: float) -> bool:
    return ring is not None and ring.power > RING_OVER_PEAKS * peak_heights


def _find_ring(spectrum: SpectrumSums) -> _Ring | None:
    """The strongest ring whose power sits in spots, if there is one."""
    if spectrum.window_px <= LEAST_WINDOW_SHARE * spectrum.tile_px:
        return None
    radius, power = _radius(spectrum.tile_px), spectrum.mean_power()
    ring = np.rint(radius).astype(np.intp)
    n_rings = spectrum.tile_px // 2
    bins = np.bincount(ring.ravel())[:n_rings]
    profile = np.bincount(ring.ravel(), power.ravel())[:n_rings] / bins
    base = _shoulders(profile, 3 * spectrum.tile_px // TILE_PX)
    concentration = spectrum.concentration
    lowest = int(LOWEST_CYCLES * spectrum.tile_px / spectrum.window_px)
    smaller = np.array([np.median(concentration[lowest : max(r, lowest + 1)]) for r in range(n_rings)])
    spotty = (profile > RING_CONTRAST * base) & (concentration > np.maximum(SPOTTY, RING_SPOTTINESS * smaller))
    spotty[:lowest] = False
    if not spotty.any():
        return None
    top = int(np.argmax(np.where(spotty, profile - base, -np.inf)))
    excess = float((profile[top] - base[top]) * bins[top] / 2)
    radius_bins = _ring_radius(spectrum, top)
    return None if radius_bins is None else _Ring(spectrum.tile_px / radius_bins, excess / HANN_PEAK_BINS)


def _shoulders(profile: Floats, gap: int) -> Floats:
    """Geometric mean of the lowest power one to two gaps below and above every ring: a slope is no bump on it."""
    n = len(profile)
    r = np.arange(n)[:, None] + np.arange(gap, 2 * gap + 1)[None, :]
    above = profile[np.minimum(r, n - 1)].min(axis=1)
    below = profile[np.maximum(2 * np.arange(n)[:, None] - r, 0)].min(axis=1)
    return np.asarray(np.sqrt(above * below))


def _ring_radius(spectrum: SpectrumSums, top: int) -> float | None:
    """Radius of a ring in bins: the power-weighted median of the single tiles' spots on it.

    A centroid of the summed ring would lie lower: grains smaller than a tile leave skirts under a falling envelope.
    """
    first, last = max(top - RING_HALF_WIDTH, 0) * SPOT_STEPS, (top + RING_HALF_WIDTH) * SPOT_STEPS
    summed = np.cumsum(spectrum.spots[int(first) : int(last)])
    if summed.size == 0 or summed[-1] <= 0:
        return None
    return float((first + np.searchsorted(summed, summed[-1] / 2) + 0.5) / SPOT_STEPS)


def _radius(n: int) -> Floats:
    """|k| in bins, zero frequency in the middle."""
    k = np.arange(n) - n // 2
    return np.asarray(np.hypot(k[:, None], k[None, :]))


def _half_plane(n: int) -> Mask:
    k = np.arange(n) - n // 2
    return np.asarray((k[:, None] > 0) | ((k[:, None] == 0) & (k[None, :] > 0)))


def _into_half_plane(g_yx: Floats) -> Floats:
    flip = (g_yx[:, 0] < 0) | ((g_yx[:, 0] == 0) & (g_yx[:, 1] < 0))
    return np.asarray(np.where(flip[:, None], -g_yx, g_yx))


def _ring_background(power: Floats, radius: Floats, quantile: float = 0.3) -> Floats:
    """30 % quantile of every ring of one bin, interpolated in log power between the rings."""
    ring = np.rint(radius).astype(np.intp)
    n_rings = power.shape[0] // 2
    levels = np.array([np.quantile(power[ring == r], quantile) for r in range(n_rings)])
    tiny = np.finfo(np.float64).tiny
    return np.asarray(np.exp(np.interp(radius, np.arange(n_rings), np.log(levels + tiny))))


def _streak_background(power: Floats, rows: Any, cols: Any, spectrum: SpectrumSums) -> Floats:
    """Largest of three medians: of the power 3 to 6 bins before and after, radially, along y and along x."""
    middle = spectrum.tile_px // 2
    spread = spectrum.tile_px / spectrum.window_px
    steps = np.array([-6, -5, -4, -3, 3, 4, 5, 6]) * spread
    k = np.stack([rows - middle, cols - middle], axis=1).astype(np.float64)
    radial = k / np.hypot(*k.T)[:, None]
    medians = []
    for direction in (radial, np.broadcast_to([1.0, 0.0], k.shape), np.broadcast_to([0.0, 1.0], k.shape)):
        points = k[:, None, :] + steps[None, :, None] * direction[:, None, :] + middle
        sampled = ndimage.map_coordinates(power, np.moveaxis(points, -1, 0), order=1, mode="grid-wrap")
        medians.append(np.median(sampled, axis=1))
    return np.asarray(np.max(medians, axis=0))


def _chance_contrast(spectrum: SpectrumSums) -> float:
    """Ratio of the highest power of a disordered specimen to its 30 % quantile (gamma distributed power)."""
    shape = spectrum.independent_tiles
    n_bins = spectrum.window_px**2 / 2
    return float(special.gammainccinv(shape, FALSE_ALARM / n_bins) / special.gammaincinv(shape, 0.3))
