"""What descriptors sum over a movie's sample frames to complete their fields."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from emreel.descriptors.base import Frame, Mask


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
