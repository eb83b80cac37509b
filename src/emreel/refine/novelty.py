"""Phases that a fit never saw: regions that, all over, lie a little too far from every class or show what none has."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from emreel.refine.errors import RefineError

#: Side of the square that has to fit into a region of a new phase, lattice periods.
PLATEAU_PERIODS = 4.0
#: How far beyond what `SHARE` of the fit's own points reach a plateau has to lie.
FACTOR, SHARE = 1.5, 0.999
#: What lies nearer than this share of a single point's threshold, or shows less than this of what is watched, is never
#: new: other doses and defocus do as much.
LEAST_THRESHOLD, LEAST_WATCHED = 0.1, 0.02
#: A watched region ends where this share of its strength is left: it shines a little way into what lies beside it.
EDGE_SHARE = 0.4
#: Bins of the plateaus' histogram: sixteenths of an octave from 2^-20 to 2^12.
_PER_OCTAVE, _LOWEST, _N_BINS = 16, -20, 512
#: Fewer points than this tell nothing.
_FEWEST = 200


@dataclass(frozen=True, kw_only=True)
class Novelty:
    """Raises distances of points that lie inside a plateau: a square region in which all of them are large.

    A point between two classes lies far from both, so a threshold on single distances must let edges pass, and with
    them every phase that differs from the known ones by less than they from each other. But edges are thin. A grey
    opening with a square of ``size_points`` (P. Soille, Morphological Image Analysis, 2nd ed. (2004), 4.3), the largest
    over all squares around a point of the smallest distance in each, takes away what is thinner. What is left, over
    ``threshold``, counts like a distance over its own threshold. So does what a descriptor watches that no feature
    tells (`emreel.descriptors.base.Watching`), over ``watched_threshold`` or a share of the strongest within half a
    square.

    Parameters
    ----------
    size_points : side of the square, grid points, odd. threshold : learned by `Plateaus`, at most 1.
    watched_threshold : the same of what is watched; None for nothing.

    >>> far = np.full((9, 9), 0.02, np.float32)
    >>> far[:, 4] = 0.6  # an edge
    >>> far[5:8, 0:3] = 0.3  # a phase nobody saw
    >>> raised = Novelty(size_points=3, threshold=0.1)(far)
    >>> bool(raised[6, 1] > 1), bool(raised[2, 4] > 1)
    (True, False)
    """

    size_points: int
    threshold: float
    watched_threshold: float | None = None

    def __post_init__(self) -> None:
        thresholds = [value for value in (self.threshold, self.watched_threshold) if value is not None]
        if self.size_points < 1 or self.size_points % 2 == 0 or not all(value > 0 for value in thresholds):
            raise RefineError(
                f"got a square of {self.size_points} points, thresholds {thresholds}; wanted an odd side, and more "
                "than 0."
            )

    @classmethod
    def learned(cls, size_points: int, far: Plateaus, watched: Plateaus | None) -> Self | None:
        """From a fit's own frames; None where too few points tell, or single distances find as much by themselves."""
        threshold = far.threshold(LEAST_THRESHOLD)
        beside = None if watched is None else watched.threshold(LEAST_WATCHED)
        if threshold is None or (threshold >= 1 and beside is None):
            return None
        return cls(size_points=size_points, threshold=min(threshold, 1.0), watched_threshold=beside)

    @property
    def reach_points(self) -> int:
        """Grid points around one that its raised distance depends on."""
        beside = 0 if self.watched_threshold is None else self.size_points // 2
        return self.size_points - 1 + beside

    def __call__(
        self, far: npt.NDArray[np.float32], watched: npt.NDArray[np.float32] | None = None
    ) -> npt.NDArray[np.float32]:
        """Raise distances.

        Parameters
        ----------
        far : shape (y_grid, x_grid), distances over the thresholds of single points.
        watched : the same shape, what the descriptor watches.

        Returns
        -------
        The distances, raised.
        """
        raised = np.maximum(far, opened(far, self.size_points) / np.float32(self.threshold))
        if watched is not None and self.watched_threshold is not None:
            plateau = opened(watched, self.size_points)
            strongest = ndimage.maximum_filter(plateau, self.size_points, mode="nearest")
            enough = np.maximum(np.float32(EDGE_SHARE) * strongest, np.float32(self.watched_threshold))
            raised = np.maximum(raised, plateau / enough)
        return np.asarray(raised)


def opened(values: npt.NDArray[np.float32], size_points: int) -> npt.NDArray[np.float32]:
    """The grey opening with a square; beyond the edge lies the nearest point."""
    plateau: npt.NDArray[np.float32] = ndimage.grey_opening(values, (size_points, size_points), mode="nearest")
    return plateau


def plateau_points(period_px: float, stride: int) -> int:
    """Side of the square in grid points: odd, at least 3."""
    return max(round(PLATEAU_PERIODS * period_px / stride) // 2 * 2 + 1, 3)


@dataclass(frozen=True, eq=False)
class Plateaus:
    """Opened distances, or opened watched energies, of a fit's own frames by size: a mergeable partial, integers.

    counts : shape (512,) int64, points by opened value, sixteenths of an octave from 2^-20 on.
    """

    counts: npt.NDArray[np.int64]

    @classmethod
    def of(cls, values: npt.NDArray[np.float32], valid: npt.NDArray[np.bool_], size_points: int) -> Self:
        """Of one frame; ``values`` and ``valid``, shape (y_grid, x_grid): what is opened, and which points count."""
        plateau = opened(values, size_points)[valid].astype(np.float64)
        place = np.floor(_PER_OCTAVE * (np.log2(np.maximum(plateau, 2.0**_LOWEST)) - _LOWEST)).astype(np.int64)
        return cls(np.bincount(np.clip(place, 0, _N_BINS - 1), minlength=_N_BINS).astype(np.int64))

    def __add__(self, other: Self) -> Self:
        return type(self)(self.counts + other.counts)

    def threshold(self, least: float) -> float | None:
        """From where on a plateau is new, ``least`` or more; None where too few points tell."""
        total = int(self.counts.sum())
        if total < _FEWEST:
            return None
        above = int(np.searchsorted(np.cumsum(self.counts), math.ceil(SHARE * total))) + 1
        return float(max(FACTOR * 2.0 ** (_LOWEST + above / _PER_OCTAVE), least))
