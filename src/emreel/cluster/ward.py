"""Agglomerative clustering with Ward's linkage, on a sample, cut by a number of clusters or by what a merger costs.

The hierarchy is that of J. H. Ward, J. Am. Stat. Assoc. 58 (1963) 236, found by the nearest-neighbour chain (F.
Murtagh, P. Legendre, J. Classification 31 (2014) 274, as `scipy.cluster.hierarchy.linkage` has it).
"""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from emreel.cluster.assign import Centers, Rows, assign, parse_rows
from emreel.cluster.errors import ClusterError
from emreel.cluster.sums import check_rows

#: Rows that the hierarchy is built on; their distances take 8 m^2 / 2 bytes (64 MiB for 4096).
MOST_ROWS = 4096
#: Clusters are merged as long as that costs less than this share of all variance, unless told otherwise.
MAX_COST = 0.01
#: Labels are bytes, of which some values have meanings of their own.
MOST_CLUSTERS = 253


class WardClusters:
    """Ward clustering: merge the two clusters whose merger raises the variance within clusters least, and go on.

    **Formula.** Merging clusters a and b, of n_a and n_b rows and centres c_a and c_b, raises the sum of squared
    distances of all rows to their centres by

        cost(a, b) = n_a n_b / (n_a + n_b) |c_a - c_b|^2

    Here every cost is told as a share of the total, sum_i |x_i - mean|^2. All mergers together cost exactly 1: the
    share of a merger is the part of the rows' variance that it gives up. Rows and total grow alike with the sample, so
    the share depends neither on the number of rows nor on the scale of the features. The published threshold does: it
    is a height h of the tree, h^2 = 2 cost, 27 or 34 for 6840 tiles of 40 bits, and would have to be doubled for four
    times as many tiles. `cost_of_height` converts it: for bits that are half ones those are 0.005 and 0.008.

    **Source.** Paruchuri et al. 2025 (see `emreel.descriptors.radon`), sections "Hierarchical clustering" and
    "Assessment of clustering models": Ward's linkage, Euclidean distance, a given K or a distance threshold.

    **What differs, and why.** The tree of n rows needs all n^2 / 2 distances (6840 tiles: 187 MB and their copies; a
    movie: no hope), so it is built on a sample of at most ``max_rows``, and every cluster leaves its mean behind as
    a centre. Labelling is nearest centre, so a tree that was fitted once labels every frame of a movie. The paper's
    second distance, dynamic time warping, is left out, because the paper itself finds it worse (its fig. 4 and S2): it
    matches two curves after shifting one against the other along the angle, and so takes grains of different
    orientation for the same, which is the one thing that the curves are to tell apart.

    Parameters
    ----------
    n_clusters : K; None cuts the tree by ``max_cost``.
    seed : not used (there is nothing random), kept so that all clusterers are built alike.
    max_cost : share of the variance; clusters are merged while that costs at most so much. 0.01 by default; the
        costs of the last mergers (``merge_costs_``) show where a large step is.
    max_rows : rows that the tree is built on: the first ones, which of a reservoir's rows are a fair sample. Time and
        memory grow with its square.

    Learned by fitting
    ------------------
    cluster_centers_ : (K, d) float64, means of the clusters, largest cluster first (ties: the one with the earliest
        row). labels_ : (m,) cluster of every row of the tree, 0..K-1. counts_ : (K,) rows of each cluster.
    merge_costs_ : (m - 1,) share of each merger, from the last (two clusters become one) to the first; the
        first K - 1 of them were not made.

    **When to use it.** When K is not known but a scale is; for grains by orientation, whose clusters are uneven in size
    (few large, many small grains), where it makes less noise at boundaries than k-means.

    **When it fails.** Rows between two clusters (tiles across a boundary) form clusters of their own when a cost is
    small enough; chains and curved manifolds are cut into round pieces, as by k-means. A phase that fills less than 10
    of ``max_rows`` rows is not found.

    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> rows = np.concatenate([rng.normal(place, 0.1, (n, 2)) for place, n in ((0, 50), (3, 30), (9, 20))])
    >>> WardClusters(n_clusters=2).fit(rows).cluster_centers_.round(0).tolist()
    [[1.0, 1.0], [9.0, 9.0]]
    >>> found = WardClusters(max_cost=0.02).fit(rows)
    >>> found.counts_.tolist(), found.merge_costs_[:3].round(3).tolist()
    ([50, 30, 20], [0.855, 0.144, 0.0])
    """

    name: ClassVar[str] = "ward"

    def __init__(
        self,
        n_clusters: int | None = None,
        *,
        seed: int = 0,
        max_cost: float | None = None,
        max_rows: int = MOST_ROWS,
    ) -> None:
        self.n_clusters = n_clusters
        self.seed = seed
        self.max_cost = max_cost
        self.max_rows = max_rows

    def fit(self, rows: npt.ArrayLike) -> Self:
        """Build the tree on the first ``max_rows`` rows, shape (m, d), and cut it.

        Raises
        ------
        ClusterError : no rows, rows that are not finite, fewer distinct rows than clusters, wrong options, both
            n_clusters and max_cost, a max_cost that leaves more than 253 clusters.
        """
        kept = check_rows(parse_rows(rows))[: self.max_rows]
        self._check_options()
        merged, costs = _grow_tree(kept)
        n_clusters = self._count(costs, kept)
        labels = _cut_tree(merged, len(kept), n_clusters)
        self.labels_ = _by_size(labels, n_clusters)
        self.counts_ = np.bincount(self.labels_, minlength=n_clusters)
        self.cluster_centers_ = _means(kept, self.labels_, self.counts_)
        self.merge_costs_ = costs[::-1].copy()
        return self

    def predict(self, rows: npt.ArrayLike) -> npt.NDArray[np.int32]:
        """Nearest centre of every row, shape (n,), 0..K-1."""
        return assign(rows, self.cluster_centers_)[0]

    def _check_options(self) -> None:
        if self.n_clusters is not None and self.max_cost is not None:
            raise ClusterError(
                f"got n_clusters = {self.n_clusters} and max_cost = {self.max_cost}: either decides alone. Give one."
            )
        if self.n_clusters is not None and not 1 <= self.n_clusters <= MOST_CLUSTERS:
            raise ClusterError(f"got n_clusters = {self.n_clusters}, wanted 1 to {MOST_CLUSTERS}.")
        if self.max_cost is not None and not 0 < self.max_cost <= 1:
            raise ClusterError(f"got max_cost = {self.max_cost}, wanted a share of the variance, above 0 up to 1.")
        if self.max_rows < 2:
            raise ClusterError(f"got max_rows = {self.max_rows}, wanted at least 2.")

    def _count(self, costs: npt.NDArray[np.float64], rows: Rows) -> int:
        """Number of clusters to cut the tree into."""
        if self.n_clusters is not None:
            n_distinct = len(np.unique(rows, axis=0))
            if n_distinct < self.n_clusters:
                raise ClusterError(
                    f"got {n_distinct} distinct rows for {self.n_clusters} clusters. Lower n_clusters (option -k), or "
                    "sample more frames of a movie that is not constant."
                )
            return self.n_clusters
        max_cost = MAX_COST if self.max_cost is None else self.max_cost
        found = 1 + int(np.count_nonzero(costs > max_cost))
        if found > MOST_CLUSTERS:
            raise ClusterError(
                f"max_cost = {max_cost} leaves {found} clusters, more than {MOST_CLUSTERS}. Raise it, or give "
                "n_clusters."
            )
        return found


def cost_of_height(height: float, n_rows: int, total_variance: float) -> float:
    """The share of the variance that a height of a Ward tree stands for, as scikit-learn and scipy draw it.

    height : Ward distance, in the features' units. n_rows : rows of that tree. total_variance : the sum of
    the variances of its features.

    >>> [round(cost_of_height(h, 6840, 40 * 0.25), 4) for h in (27, 34)]
    [0.0053, 0.0085]
    """
    if n_rows < 1 or not total_variance > 0:
        raise ClusterError(f"got {n_rows} rows with a total variance of {total_variance}, wanted both above 0.")
    return height**2 / (2 * n_rows * total_variance)


def _grow_tree(rows: Rows) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Pairs of clusters in the order of their merging, shape (m - 1, 2), and the share that each costs."""
    from scipy.cluster.hierarchy import linkage

    if len(rows) < 2:
        return np.empty((0, 2), np.int64), np.empty(0)
    wide = rows.astype(np.float64)
    off = wide - wide.mean(axis=0)
    total = float(np.sum(off * off))
    if total == 0:
        pairs = np.column_stack([np.r_[0, np.arange(len(rows) - 2) + len(rows)], np.arange(1, len(rows))])
        return pairs.astype(np.int64), np.zeros(len(rows) - 1)
    tree: npt.NDArray[np.float64] = linkage(off / np.sqrt(total), method="ward")
    return tree[:, :2].astype(np.int64), tree[:, 2] ** 2 / 2


def _cut_tree(merged: npt.NDArray[np.int64], n_rows: int, n_clusters: int) -> npt.NDArray[np.int64]:
    """Some name of the cluster of every row after all but the last ``n_clusters - 1`` mergers."""
    n_mergers = n_rows - n_clusters
    name = np.arange(n_rows + n_mergers)
    for step in range(n_mergers - 1, -1, -1):  # from the top down: children take their parent's name
        name[merged[step]] = name[n_rows + step]
    return name[:n_rows]


def _by_size(names: npt.NDArray[np.int64], n_clusters: int) -> npt.NDArray[np.int64]:
    """Clusters as 0..K-1, the largest first, ties by their earliest row."""
    _, first, label, counts = np.unique(names, return_index=True, return_inverse=True, return_counts=True)
    assert len(counts) == n_clusters
    rank = np.empty(n_clusters, np.int64)
    rank[np.lexsort((first, -counts))] = np.arange(n_clusters)
    return np.asarray(rank[label.ravel()])


def _means(rows: Rows, labels: npt.NDArray[np.int64], counts: npt.NDArray[Any]) -> Centers:
    sums = [np.bincount(labels, column.astype(np.float64)) for column in rows.T]
    return np.ascontiguousarray(np.stack(sums, axis=1) / counts[:, None])
