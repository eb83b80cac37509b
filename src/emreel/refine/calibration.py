"""How sure labels are, learned without labels: from how far apart the classes are that meet at edges.

Almost all errors of a good segmentation are edges drawn a little off, which the scatter within the classes knows
nothing of: across an edge between the classes a and b, scores rise from one's side to the other's by

    D^2 = |c_a - c_b|^2 / scatter,

within the width of the features' window, so that points a pixel away from it claim to be certain. Where the edge is
right to a fixed share of that width, scores are right to a fixed share of D^2. So log posteriors are divided by

    T = max(1, <D^2> / 20),   <D^2> the mean over the edges of the movie's own labels,

the share being that of generated movies; never by less than 1: labels cannot be surer than Gaussian classes allow.
Frames looked at together add up (`emreel.refine.Steady.certainty`).

On generated fronts, twins, ordering and decahedra (doses 4 to 400) the best T a movie, known from the truth, lay within
a fifth of this one; `python -m benchmarks.in_time` prints how often labels said to be so sure are right. It is too sure
where edges are off by more: at a lattice of few pixels a period, and where three classes meet.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from emreel.refine.errors import RefineError

#: D^2 over the temperature.
SHARE = 20.0


@dataclass(frozen=True, eq=False)
class Edges:
    """Which classes meet, and how often: a mergeable partial, integers, so the same in any order.

    counts : shape (class, class) int64, symmetric, neighbours on the grid by their labels; none with itself.
    """

    counts: npt.NDArray[np.int64]

    @classmethod
    def of(cls, scores: npt.ArrayLike, valid: npt.NDArray[np.bool_] | None = None) -> Self:
        """Edges of one frame's scores, shape (y_grid, x_grid, class); ``valid`` (y_grid, x_grid) points count."""
        maps = np.asarray(scores)
        if maps.ndim != 3 or 0 in maps.shape:
            raise RefineError(f"got scores of shape {maps.shape}, wanted (y_grid, x_grid, K).")
        label, n = maps.argmax(axis=2), maps.shape[2]
        seen = np.ones(label.shape, bool) if valid is None else valid
        counts = np.zeros((n, n), np.int64)
        for first, second in ((np.s_[1:], np.s_[:-1]), (np.s_[:, 1:], np.s_[:, :-1])):
            both = seen[first] & seen[second]
            counts += np.bincount(n * label[first][both] + label[second][both], minlength=n * n).reshape(n, n)
        counts += counts.T
        np.fill_diagonal(counts, 0)
        return cls(counts)

    def __add__(self, other: Self) -> Self:
        return type(self)(self.counts + other.counts)

    def temperature(self, centers: npt.ArrayLike, scatter: float) -> float:
        """By what log posteriors of one frame are to be divided.

        centers : shape (class, component). scatter : variance of a class around its centre, of one component.
        Without any edge, all pairs of classes count alike.
        """
        at = np.asarray(centers, np.float64)
        apart = ((at[:, None] - at[None]) ** 2).sum(axis=2) / scatter
        weight = self.counts if self.counts.any() else 1 - np.eye(len(at))
        return max(float((weight * apart).sum() / max(weight.sum(), 1)) / SHARE, 1.0)
