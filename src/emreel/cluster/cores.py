"""Phases as groups of the steady points that no valley of density separates; finds how many there are.

Points between two phases mix both, and a small phase weighs little against a large one: plain k-means spends
centres on the large ones' width and on the mixtures, and misses the small ones. So look at cores only, points whose
surroundings are alike:

1. k-means into more groups than there can be phases.
2. Two groups are parted by the valley of their density along the line that tells them apart best (Fisher's
   discriminant, shrunk): the lowest density between the two peaks over the lower peak. Two halves of one
   phase have no valley (1), two phases a deep one (0).
3. The pair with the shallowest valley is merged, again and again, until every valley is deep enough, or K are left.
   Brightness varies within a phase with thickness and contamination as order does not, so groups that differ
   mainly in brightness must be parted more clearly.
4. k-means on the cores from the groups' means.

It is a mode-merging clusterer in the sense of C. Hennig, Methods for merging Gaussian mixture components,
Adv. Data Anal. Classif. 4 (2010) 3 (his ridgeline ratio is the valley of step 2), on points chosen by steadiness.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from emreel.cluster.assign import Centers, Rows, parse_rows
from emreel.cluster.errors import ClusterError
from emreel.cluster.kmeans import MiniBatchKMeans, count_distinct
from emreel.cluster.sums import check_rows

#: Rows that the groups are found in: the first of those given.
MOST_ROWS = 16_384
#: A group of fewer rows shows no valley.
LEAST_ROWS = 20
#: Share of the within-group scatter's mean that is added to every direction before Fisher's discriminant is taken.
SHRINKAGE = 0.05
#: Histogram along that line, in units of the distance of the two means, from -1 to 2; smoothed by a Gaussian, bins.
_EDGES = np.linspace(-1, 2, 61)
_SMOOTH_BINS = 1.5
#: Bins that the Gaussian averages over: 2 sqrt(pi) sigma.
_BINS_COUNTED = 2 * np.sqrt(np.pi) * _SMOOTH_BINS


@dataclass(frozen=True)
class Merging:
    """One state of step 3: with so many groups, the shallowest valley over the shallowest that still parts two phases
    (above 1 some are one), and the smallest group's share of the rows."""

    n_groups: int
    shallowest: float
    smallest_share: float


class CoreClusters:
    """Clusters of steady points, started from groups that a valley of density parts.

    Parameters
    ----------
    n_clusters : K, or None: as many as valleys tell.
    seed : any integer; the same seed gives the same centres.
    n_fine : groups to start from; at least three times K are taken.
    valley : largest density between two phases, over the lower of their peaks.
    brightness_valley : the same for phases that differ mainly in brightness.
    least_share : a group of fewer of the rows is no phase, unless K asks for it.

    Learned by fitting
    ------------------
    cluster_centers_ : (K, d) float64. merging_ : the states from many groups to one, or to K.
    """

    name: ClassVar[str] = "cores"

    def __init__(
        self,
        n_clusters: int | None = None,
        *,
        seed: int = 0,
        n_fine: int = 16,
        valley: float = 0.45,
        brightness_valley: float = 0.15,
        least_share: float = 0.006,
    ) -> None:
        self.n_clusters = n_clusters
        self.seed = seed
        self.n_fine = n_fine
        self.valley = valley
        self.brightness_valley = brightness_valley
        self.least_share = least_share

    def fit(
        self,
        rows: npt.ArrayLike,
        brightness: npt.NDArray[np.float64] | None = None,
        n_independent: float | None = None,
    ) -> Self:
        """Fit rows of steady points, shape (n, d), best in the order of their hashes.

        brightness : shape (m, d), orthonormal directions of the rows' space in which phases vary within themselves.
        n_independent : how many of the rows are worth counting where K is to be found; neighbouring points share
            their pixels. None: all.

        Raises
        ------
        ClusterError : no rows, rows that are not finite, fewer distinct rows than clusters, wrong options.
        """
        self._check_options()
        steady = check_rows(parse_rows(rows))[:MOST_ROWS]
        # a given K leaves nothing to doubt: the valleys only rank the pairs
        self._worth = 1.0 if self.n_clusters else _worth_of(len(steady), n_independent)
        groups = self._merge(steady, self._fine_groups(steady), brightness)
        centers = np.array([group.mean(axis=0, dtype=np.float64) for group in groups])
        self.cluster_centers_: Centers = centers
        if len(groups) > 1:
            kmeans = MiniBatchKMeans(len(groups), seed=self.seed, init=centers, max_rounds=50)
            self.cluster_centers_ = kmeans.fit(steady).cluster_centers_
        return self

    def shallowest(
        self,
        groups: Sequence[npt.ArrayLike],
        brightness: npt.NDArray[np.float64] | None = None,
        n_independent: float | None = None,
    ) -> float:
        """The shallowest valley between groups whose intensity field was taken out, over the shallowest of two phases.

        groups : the rows of each, shapes (n, d). brightness, n_independent : as for `fit`, of all rows together.
        Above 1 some groups are one phase, as is said of groups of hardly any rows. Without a field brightness varies
        less within a phase, but contamination is no quadratic: the geometric mean of the two valleys parts phases
        that differ mainly in brightness.
        """
        parsed = [parse_rows(group) for group in groups]
        if min(map(len, parsed)) < LEAST_ROWS:
            return np.inf
        worth = _worth_of(sum(map(len, parsed)), n_independent)
        pairs = ((a, b) for i, a in enumerate(parsed) for b in parsed[:i])
        allowed = ((a, b, np.sqrt(self.valley * self._allowed(a, b, brightness))) for a, b in pairs)
        return max((float(valley_between(a, b, worth) / most) for a, b, most in allowed), default=0.0)

    def _check_options(self) -> None:
        for name, least in (("n_fine", 1), ("n_clusters", 1)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise ClusterError(f"got {name} = {value}, wanted at least {least}.")
        for name in ("valley", "brightness_valley", "least_share"):
            if not 0 < getattr(self, name) < 1:
                raise ClusterError(f"got {name} = {getattr(self, name)}, wanted a number between 0 and 1.")

    def _fine_groups(self, rows: Rows) -> list[Rows]:
        wanted = max(self.n_fine, 3 * (self.n_clusters or 1))
        n_distinct = count_distinct(rows, wanted)
        if self.n_clusters is not None and n_distinct < self.n_clusters:
            raise ClusterError(
                f"got {n_distinct} distinct rows for {self.n_clusters} clusters; wanted at least as many rows as "
                "clusters. Lower n_clusters (option -k), or sample more frames of a movie that is not constant."
            )
        labels = MiniBatchKMeans(min(wanted, n_distinct), n_init=4, seed=self.seed).fit(rows).predict(rows)
        groups = [rows[labels == k] for k in range(labels.max() + 1)]
        groups.sort(key=len, reverse=True)
        enough = [group for group in groups if len(group) >= max(LEAST_ROWS, self.least_share * len(rows) / 3)]
        return enough if len(enough) >= (self.n_clusters or 1) else groups[: self.n_clusters or 1]

    def _merge(self, rows: Rows, groups: list[Rows], brightness: npt.NDArray[np.float64] | None) -> list[Rows]:
        """Merge until all valleys are deep enough, or K groups are left; without K, note every state down to one."""

        def part(a: Rows, b: Rows) -> tuple[float, float]:
            return valley_between(a, b, self._worth), self._allowed(a, b, brightness)

        groups = list(groups)
        valley = np.full((len(groups), len(groups)), -1.0)  # only below the diagonal
        allowed = np.ones_like(valley)
        for i in range(len(groups)):
            for j in range(i):
                valley[i, j], allowed[i, j] = part(groups[i], groups[j])
        self.merging_: list[Merging] = []
        found: list[Rows] | None = None
        while True:
            worst = max(float((valley / allowed).max()), 0.0)
            self.merging_.append(Merging(len(groups), worst, min(map(len, groups)) / len(rows)))
            if found is None and self._is_done(groups, worst):
                found = groups.copy()
            if len(groups) == 1 or (found is not None and self.n_clusters is not None):
                break
            joined = valley if self.n_clusters is not None or worst <= 1 else np.where(valley > allowed, valley, -1.0)
            i, j = divmod(int(joined.argmax()), len(groups))
            groups[j] = np.concatenate([groups[j], groups.pop(i)])
            valley, allowed = (np.delete(np.delete(matrix, i, axis=0), i, axis=1) for matrix in (valley, allowed))
            for k in range(len(groups)):
                if k != j:
                    place = max(j, k), min(j, k)
                    valley[place], allowed[place] = part(groups[j], groups[k])
        assert found is not None
        if self.n_clusters is None:
            found = [group for group in found if len(group) >= self.least_share * len(rows)] or found[:1]
        return found

    def _is_done(self, groups: list[Rows], worst: float) -> bool:
        return len(groups) == 1 or (worst <= 1 if self.n_clusters is None else len(groups) <= self.n_clusters)

    def _allowed(self, a: Rows, b: Rows, brightness: npt.NDArray[np.float64] | None) -> float:
        """The shallowest valley that parts two groups."""
        if brightness is None:
            return self.valley
        apart = a.mean(axis=0, dtype=np.float64) - b.mean(axis=0, dtype=np.float64)
        mainly = bool(np.sum((brightness @ apart) ** 2) > 0.5 * np.sum(apart**2))
        return self.brightness_valley if mainly else self.valley


def _worth_of(n_rows: int, n_independent: float | None) -> float:
    """Independent points a row."""
    return min(1.0, (n_independent or n_rows) / n_rows)


def valley_between(a: npt.ArrayLike, b: npt.ArrayLike, worth: float = 1.0) -> float:
    """Lowest density between the peaks of two groups, over the lower peak; 0 far apart, 1 when there is no valley.

    a, b : rows of the two groups, shapes (n, d) and (m, d).
    worth : independent points a row. The fewer there are, the less a gap between them means: valley and peak are
        taken at the upper and the lower end of their counting error, one standard deviation.
    """
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    middle, apart = a.mean(axis=0), b.mean(axis=0) - a.mean(axis=0)
    if not np.any(apart):
        return 1.0
    within = np.concatenate([a - middle, b - middle - apart])
    scatter = within.T @ within / len(within)
    ridge = SHRINKAGE * np.trace(scatter) / len(apart) + 1e-12 * float(apart @ apart)
    line = np.linalg.solve(scatter + ridge * np.eye(len(apart)), apart)
    place = (np.concatenate([a, b]) - middle) @ (line / (line @ apart))
    density = ndimage.gaussian_filter1d(np.histogram(place, _EDGES)[0].astype(np.float64), _SMOOTH_BINS)
    half = len(density) // 2
    first, last = int(density[:half].argmax()), half + int(density[half:].argmax())
    counted = worth * _BINS_COUNTED
    peak = counted * min(density[first], density[last])
    lowest = counted * density[first : last + 1].min()
    surely = peak - np.sqrt(peak)
    return float(min((lowest + np.sqrt(lowest)) / surely, 1.0)) if surely > 0 else 1.0
