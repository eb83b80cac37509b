"""How much detail a frame shows, whatever its dose; and which frames show less than their neighbours.

The sharpness of a frame is the root mean square gradient of what it shows, over its mean counts, freed from noise: with
P(k) the power of Hann-windowed tiles and N that of white noise (measured beyond 0.42 cycles/px, where an image has
nothing left),

    s^2 = sum_k (2 pi k)^2 (P(k) - N) / mean^2,    0.02 < |k| < 0.3 cycles/px.

It is the Brenner gradient (J. F. Brenner et al., J. Histochem. Cytochem. 24 (1976) 100) in Fourier space, where shot
noise, which grows with the square root of the dose, can be told from detail. A blur of sigma px divides the part of s
that a lattice of period d gives by exp(2 pi^2 sigma^2 / d^2).

A frame is blurred when s^2 falls below the trend of its neighbours in time (P. K. Sen, J. Am. Stat. Assoc. 63 (1968)
1379), by more than they scatter and by more than noise explains: var(s^2) = sum_k (2 pi k)^4 (2 P N - N^2) / mean^4.
When it fails: a movie in which focus is lost for good is blurred only where that begins; where noise hides the detail
(below about 1 electron a pixel) no frame is called blurred; detail above 0.3 cycles/px is not seen.

Cost: at most 64 tiles of 128 px a frame, 0.3 ms each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import fft

from emreel.descriptors.base import Mask

Doubles = npt.NDArray[np.float64]

TILE_PX = 128
MOST_TILES = 64
#: Bands, cycles/px: of detail, and of nothing but noise.
DETAIL_BAND, NOISE_BAND = (0.02, 0.3), (0.42, 0.5)
#: Tiles with fewer valid pixels than this share are left out.
LEAST_VALID_SHARE = 0.5
#: Neighbours on each side in time, and how few of them are too few to judge by.
NEIGHBOURS, FEWEST_NEIGHBOURS = 8, 5
#: A frame is blurred below this share of its neighbours' sharpness, if s^2 is so many standard deviations below, too.
BLURRED_SHARE, BLURRED_SIGMAS = 0.75, 4.0
#: Frames are judged again without those that were found, so often at most.
ROUNDS = 4
SIGMA_A_MAD = 1.4826
#: Neighbouring frequencies that a Hann window makes one.
HANN_SPREAD = 2.25


@dataclass(frozen=True)
class Detail:
    """Squared sharpness of a frame, 1/px^2 (below 0 where noise hides it), and its standard error."""

    energy: float
    error: float

    @property
    def sharpness(self) -> float:
        """Root mean square relative gradient, 1/px."""
        return float(np.sqrt(np.maximum(self.energy, 0.0)))


@dataclass(frozen=True)
class DetailSums:
    """Sums over tiles: detail, counts^2/px^2, its variance, and mean counts; ``a + b`` adds tiles."""

    detail: float
    variance: float
    mean: float
    n_tiles: int

    @classmethod
    def of(cls, band: npt.NDArray[Any], valid: Mask, *, tile_step: int = 1) -> DetailSums:
        """Sum the tiles of a band of whole rows, shape (y, x); every ``tile_step``-th of them along each axis.

        A band or frame smaller than a tile is one tile. The last rows and columns that fill no tile are left out.
        """
        side_yx = (min(TILE_PX, band.shape[0]), min(TILE_PX, band.shape[1]))
        total = cls(0.0, 0.0, 0.0, 0)
        for y in range(0, band.shape[0] - side_yx[0] + 1, TILE_PX * tile_step):
            for x in range(0, band.shape[1] - side_yx[1] + 1, TILE_PX * tile_step):
                tile = slice(y, y + side_yx[0]), slice(x, x + side_yx[1])
                if valid[tile].mean() >= LEAST_VALID_SHARE:
                    total = total + cls._of_tile(band[tile], valid[tile])
        return total

    @classmethod
    def _of_tile(cls, counts: npt.NDArray[Any], good: Mask) -> DetailSums:
        window, weight, noise_share = _windows((counts.shape[0], counts.shape[1]))
        filled = np.where(good, counts, 0).astype(np.float64)
        level = float(filled.sum() / good.sum())
        power = np.abs(fft.rfft2((filled - level) * good * window)) ** 2
        noise = float((power * noise_share).sum())
        by_noise = HANN_SPREAD * (weight**2 * np.maximum(2 * power * noise - noise**2, 0)).sum()
        return cls(float(((power - noise) * weight).sum()), float(by_noise), level, 1)

    def __add__(self, other: DetailSums) -> DetailSums:
        return DetailSums(
            self.detail + other.detail,
            self.variance + other.variance,
            self.mean + other.mean,
            self.n_tiles + other.n_tiles,
        )

    def finish(self) -> Detail:
        """The frame's detail; NaN without a tile or counts."""
        if self.n_tiles == 0 or self.mean <= 0:
            return Detail(float("nan"), float("nan"))
        mean_sq = (self.mean / self.n_tiles) ** 2
        return Detail(self.detail / self.n_tiles / mean_sq, float(np.sqrt(self.variance)) / self.n_tiles / mean_sq)


def find_blurred(
    details: Sequence[Detail], usable: Sequence[bool] | npt.NDArray[np.bool_], *, before_only: bool = False
) -> npt.NDArray[np.bool_]:
    """Frames less sharp than their neighbours, shape (time,).

    usable : frames that may be judged and judged by (not blank, not repeated).
    before_only : judge by the frames before alone, as one must while a movie is recorded.

    Frames that were found blurred are no neighbours to others: the least sharp is judged first.

    >>> found = [Detail(energy, 0.01) for energy in (2.0, 2.1, 2.0, 1.9, 2.0, 0.8, 2.0, 2.1)]
    >>> find_blurred(found, [True] * 8).nonzero()[0].tolist()
    [5]
    """
    energy = np.array([detail.energy for detail in details], np.float64)
    error = np.array([detail.error for detail in details], np.float64)
    good = np.asarray(usable, bool) & np.isfinite(energy)
    blurred = np.zeros(len(energy), bool)
    order = np.arange(len(energy)) if before_only else np.argsort(energy, kind="stable")
    for _ in range(1 if before_only else ROUNDS):
        found = blurred.sum()
        for i in order[good[order] & ~blurred[order]]:
            window = np.arange(max(i - NEIGHBOURS, 0), i if before_only else min(i + NEIGHBOURS + 1, len(energy)))
            others = window[good[window] & ~blurred[window] & (window != i)]
            if len(others) < FEWEST_NEIGHBOURS:
                continue
            usual, scatter = _trend_at(float(i), others.astype(np.float64), energy[others])
            scatter = float(np.hypot(scatter, error[i]))
            blurred[i] = energy[i] < usual - max((1 - BLURRED_SHARE**2) * usual, BLURRED_SIGMAS * scatter)
        if blurred.sum() == found:
            break
    return blurred


def _trend_at(place: float, places: Doubles, values: Doubles) -> tuple[float, float]:
    """Value of the Theil-Sen line at a place, and the scatter about it: detail comes and goes as phases grow."""
    first, second = np.triu_indices(len(places), 1)
    slope = float(np.median((values[second] - values[first]) / (places[second] - places[first])))
    level = values - slope * (places - place)
    middle = float(np.median(level))
    return middle, SIGMA_A_MAD * float(np.median(np.abs(level - middle)))


def tile_step(shape_yx: tuple[int, int]) -> int:
    """Every how many-th tile along an axis is looked at, so that large frames cost as much as small ones."""
    n_tiles = max(shape_yx[0] // TILE_PX, 1) * max(shape_yx[1] // TILE_PX, 1)
    return max(int(np.ceil(np.sqrt(n_tiles / MOST_TILES))), 1)


@lru_cache(maxsize=8)
def _windows(side_yx: tuple[int, int]) -> tuple[Doubles, Doubles, Doubles]:
    """Hann window of unit power; weights of the power spectrum that sum to detail, and that average to noise."""
    window = np.outer(*(np.sin(np.pi * (np.arange(n) + 0.5) / n) ** 2 for n in side_yx))
    window /= np.sqrt(np.mean(window**2))
    ky, kx = fft.fftfreq(side_yx[0])[:, None], fft.rfftfreq(side_yx[1])[None, :]
    k = np.hypot(ky, kx)
    twice = np.where((kx > 0) & (kx < 0.5), 2.0, 1.0)
    inside = twice * ((k > DETAIL_BAND[0]) & (k < DETAIL_BAND[1])) * (ky != 0) * (kx != 0)
    noise = twice * ((k > NOISE_BAND[0]) & (k < NOISE_BAND[1])) * (ky != 0) * (kx != 0)
    out = window, inside * (2 * np.pi * k) ** 2 / (side_yx[0] * side_yx[1]) ** 2, noise / max(noise.sum(), 1.0)
    for array in out:
        array.setflags(write=False)
    return out
