"""What descriptors sum over a movie's sample frames to complete their fields."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from emreel.descriptors.base import Frame, Mask
from emreel.descriptors.welch import SpectrumSums

#: White noise is measured in the rings between these frequencies, cycles/px.
NOISE_BAND = (0.3, 0.48)
#: The intensity channel is at most log(counts) times this: a faint one is not blown up to rule the classes.
LARGEST_INTENSITY_WEIGHT = 1.5


@dataclass(frozen=True, eq=False)
class Sums:
    """Plain sums in float64, added in frame order."""

    values: npt.NDArray[np.float64]

    def __add__(self, other: Sums, /) -> Sums:
        return Sums(self.values + other.values)


@dataclass(frozen=True)
class CountSums:
    """Valid pixels, their counts, and the lowest mean of an 8 x 8 block."""

    n: int
    total: float
    lowest: float

    @classmethod
    def of(cls, frame: Frame, valid: Mask) -> CountSums:
        height, width = (n // 8 * 8 for n in frame.shape)
        counts = np.where(valid, frame, 0).astype(np.float64)
        blocks, good = (a[:height, :width].reshape(height // 8, 8, width // 8, 8).sum((1, 3)) for a in (counts, valid))
        means = blocks[good > 32] / good[good > 32]
        return cls(int(valid.sum()), float(counts.sum()), float(means.min(initial=np.inf)))

    def __add__(self, other: CountSums, /) -> CountSums:
        return CountSums(self.n + other.n, self.total + other.total, min(self.lowest, other.lowest))

    @property
    def mean(self) -> float:
        return self.total / self.n if self.n else 1.0

    @property
    def zero(self) -> float:
        """0 for counts; the lowest local mean of data whose zero was shifted below."""
        return min(0.0, self.lowest)


def white_noise(spectrum: SpectrumSums) -> float:
    """Power a pixel of the quietest ring between 0.3 and 0.48 cycles/px: the white part of the noise."""
    power = spectrum.mean_power()
    k = (np.arange(spectrum.tile_px) - spectrum.tile_px // 2) / spectrum.tile_px
    radius = np.hypot(k[:, None], k[None, :])
    edges = np.linspace(*NOISE_BAND, 7)
    rings = [power[(radius >= low) & (radius < high)] for low, high in pairwise(edges)]
    return float(min(np.median(ring) for ring in rings))


def intensity_weight(sums: Sums, share: float) -> float:
    """Factor that gives the last channel ``share`` of the total spread of the others, within its limit."""
    n, total, square = sums.values
    spread = np.sqrt(np.maximum(square / n - (total / n) ** 2, 0))
    lattice = float(np.sqrt(np.sum(spread[:-1] ** 2)))
    return min(LARGEST_INTENSITY_WEIGHT, share * lattice / float(spread[-1])) if spread[-1] > 0 and lattice > 0 else 1.0
