"""How sure labels are, learned without labels: from how steeply scores rise beside the edges.

Almost all errors of a good segmentation are edges drawn a little off, which the scatter within the classes knows
nothing of: scores rise steeply beside an edge, so that points a pixel away from it claim to be certain. An edge is
right to about a quarter of the lattice period, whatever the scores say. So log posteriors are divided by the
temperature that makes the points beside an edge, half a period between grid points, as sure as edges are right:

    T = M period / (3 stride),   M the median margin of grid points with a neighbour of another label,

the margin being that of the best score over the second best. On generated fronts, twins, ordering and decahedra (doses
4 to 400) of the points said to be 0.8 there were right, in the mean over the movies of a kind: .81, .74, .76, .66; with
no temperature .5 to .6. Too sure where many edges meet, as in a decahedron.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from emreel.refine.errors import RefineError

#: Bins of the margins' histogram: eighths of an octave from 2^-10 to 2^14.
_PER_OCTAVE, _LOWEST, _N_BINS = 8, -10, 192
#: Fewer points beside edges than this tell nothing.
_FEWEST = 50
#: The temperature where there are no edges: the middle of what generated movies have.
PLAIN_TEMPERATURE = 4.0


@dataclass(frozen=True, eq=False)
class EdgeMargins:
    """Margins beside edges, counted by size: a mergeable partial, integers, so the same in any order.

    counts : shape (192,) int64, points by margin, eighths of an octave from 2^-10 on.
    """

    counts: npt.NDArray[np.int64]

    @classmethod
    def of(cls, scores: npt.ArrayLike, valid: npt.NDArray[np.bool_] | None = None) -> Self:
        """Margins of one frame's scores, shape (y_grid, x_grid, class); ``valid`` (y_grid, x_grid) points count."""
        maps = np.asarray(scores, np.float32)
        if maps.ndim != 3 or 0 in maps.shape:
            raise RefineError(f"got scores of shape {maps.shape}, wanted (y_grid, x_grid, K).")
        if maps.shape[2] == 1:
            return cls(np.zeros(_N_BINS, np.int64))
        label = maps.argmax(axis=2)
        beside = np.zeros(label.shape, bool)
        for first, second in (
            ((slice(1, None),), (slice(-1),)),
            ((slice(None), slice(1, None)), (slice(None), slice(-1))),
        ):
            differs = label[first] != label[second]
            beside[first] |= differs
            beside[second] |= differs
        if valid is not None:
            beside &= valid
        ranked = np.partition(maps[beside], -2, axis=1)
        margin = np.maximum(ranked[:, -1] - ranked[:, -2], np.float32(2.0**_LOWEST))
        place = np.floor(_PER_OCTAVE * (np.log2(margin.astype(np.float64)) - _LOWEST)).astype(np.int64)
        return cls(np.bincount(np.clip(place, 0, _N_BINS - 1), minlength=_N_BINS).astype(np.int64))

    def __add__(self, other: Self) -> Self:
        return type(self)(self.counts + other.counts)

    def temperature(self, period_px: float, stride: int) -> float:
        """By what log posteriors are to be divided."""
        total = int(self.counts.sum())
        if total < _FEWEST:
            return PLAIN_TEMPERATURE
        middle = int(np.searchsorted(np.cumsum(self.counts), (total + 1) // 2))
        median: float = 2.0 ** (_LOWEST + (middle + 0.5) / _PER_OCTAVE)
        return max(median * period_px / (3 * stride), 0.1)
