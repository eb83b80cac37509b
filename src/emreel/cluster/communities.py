"""Communities of a similarity graph as classes: the clustering of Ter-Petrosyan et al. (arXiv:2311.08585)."""

from __future__ import annotations

from typing import ClassVar, Self

import numpy as np
import numpy.typing as npt

from emreel.cluster.assign import Centers, Rows, assign, parse_rows
from emreel.cluster.errors import ClusterError
from emreel.cluster.louvain import Backend, Partition, find_communities, rank_by_size
from emreel.cluster.similarity import (
    Similarities,
    SimilarityKind,
    ThresholdName,
    build_graph,
    measure_similarities,
)
from emreel.cluster.sums import check_rows

#: Labels are bytes, and three of them mean something else.
MOST_CLUSTERS = 253
#: Resolutions searched for a given number of communities, as powers of 2 from 1.
RESOLUTION_OCTAVES = 6
BISECTIONS = 10
#: Neighbours joined where the number of classes is given: one for so many rows, but at least so many.
ROWS_A_NEIGHBOR, LEAST_NEIGHBORS = 20, 10


class CommunityClusters:
    """Classes that are communities of a similarity graph: who is alike to whom decides, not distance to a mean.

    The clustering of Ter-Petrosyan et al., "Unsupervised segmentation of irradiation-induced order-disorder phase
    transitions in electron microscopy", arXiv:2311.08585 (2023), made for `emreel.descriptors.chips.Chips` and good for
    the rows of any descriptor. The number of classes need not be given.

    **Formula.** Rows are nodes. Two rows a, b with the distance d = |a - b|^2 / 2 (for rows of length 1 the cosine
    distance 1 - a . b, and still so after the mean was taken from both) have the similarity

        s = 1 - (d - min d) / (max d - min d)     "range", over all pairs (the paper's text), or
        s = 1 - d                                  "cosine" (its code)

    and are joined where s is strictly above a threshold: the mean, the median or the mode (left edge of the fullest of
    100 bins) of all pairs' similarities; from mean to mode fewer edges and finer classes, where most pairs are more
    alike than the mean. Or each row is joined to its k most similar. Edges weigh 1 (the code) or s (the text). The
    communities of largest modularity

        Q = sum_c [ w_c / W - resolution (s_c / W)^2 ]

    (w_c: weight inside c, s_c: strength of its nodes, W: strength of all) are found by the Louvain method
    (`emreel.cluster.louvain`; Blondel et al. 2008). Those of fewer than ``min_chips`` rows are masked. The means of
    the others are the centres that a model keeps, and every frame of the movie is labelled by the nearest.

    **Parameters**

    n_clusters : number of classes, or None: as many communities as there are. Given, the resolution is searched between
        2^-6 and 2^6 until so many communities are left. Where no resolution gives the number, the communities of the
        next larger number are joined, the two of least cost after Ward's criterion first; where all give fewer, the
        one of largest scatter is cut in two by the neighbours within it.
    seed : of the order in which nodes are looked at.
    similarity : "range" or "cosine". With a threshold from the distribution and weights of 1 both give one graph.
    threshold : "mean", "median", "mode", or a similarity. neighbors : k. Both may be given (of those above the
        threshold the k nearest). Left out: the median where the number of classes is free, as in the paper; one
        neighbour for 20 rows, at least 10, where it is given: thresholded graphs are one dense block for each phase,
        and cutting them further up by resolution makes splinters, while neighbours follow the phases of any density.
    weighted : edges weigh their similarity; pairs at or below 0 are not joined.
    resolution : above 1 more, below 1 fewer communities. Not used where n_clusters is given.
    n_starts : orders of the nodes that compete by modularity. min_chips : rows that a community needs.
    max_chips : rows of the sample in the graph, the first ones (they come in the order of their hashes).
    backend : "emreel", "networkx" or "scikit-network". Each gives its own communities, and always the same ones; which
        one is used is part of the recipe and never depends on what is installed.

    **Learned by fitting**

    cluster_centers_ : (K, d) float64, largest community first. counts_ : (K,) rows of each. labels_ : (m,) community of
    each row in the graph, -1 where masked. n_communities_ : with the masked ones. resolution_, threshold_, neighbors_ :
    as used. similarities_ : `emreel.cluster.similarity.Similarities`. graph_ : sparse, (m, m).

    **When to use it.** When the number of phases is unknown, or phases are of very different spread: one phase whose
    rows change gradually (focus, thickness, tilt across the field) is one chain of neighbours and stays one community,
    where k-means cuts it. Look at the similarity histogram and the graph (`emreel.view.communities`).

    **When it fails.** Modularity does not see communities of fewer than about sqrt(edges / 2) edges (its resolution
    limit): small phases drown in large ones; raise the resolution or the threshold. At the mode, noisy phases fall
    apart into splinters while sharp ones stay whole. A gradual transition has no place to cut. Time and memory go with
    the square of ``max_chips``; networkx takes minutes for a million edges.

    >>> rng = np.random.default_rng(0)
    >>> angle = np.concatenate([rng.normal(0.0, 0.1, 60), rng.normal(0.7, 0.1, 40), rng.normal(2.5, 0.1, 20)])
    >>> rows = np.column_stack([np.cos(angle), np.sin(angle)])
    >>> CommunityClusters(threshold="mean").fit(rows).counts_.tolist()  # the two nearer groups are one
    [100, 20]
    >>> CommunityClusters(threshold="median").fit(rows).counts_.tolist()
    [60, 40, 20]
    >>> CommunityClusters(3).fit(rows).counts_.tolist()
    [60, 40, 20]
    """

    name: ClassVar[str] = "communities"

    def __init__(
        self,
        n_clusters: int | None = None,
        *,
        seed: int = 0,
        similarity: SimilarityKind = "range",
        threshold: ThresholdName | float | None = None,
        neighbors: int | None = None,
        weighted: bool = False,
        resolution: float = 1.0,
        n_starts: int = 4,
        min_chips: int = 3,
        max_chips: int = 3000,
        backend: Backend = "emreel",
    ) -> None:
        self.n_clusters = n_clusters
        self.seed = seed
        self.similarity = similarity
        self.threshold = threshold
        self.neighbors = neighbors
        self.weighted = weighted
        self.resolution = resolution
        self.n_starts = n_starts
        self.min_chips = min_chips
        self.max_chips = max_chips
        self.backend = backend

    def fit(self, rows: npt.ArrayLike) -> Self:
        """Find the communities of the first ``max_chips`` rows, shape (n, d), and their centres.

        Raises
        ------
        ClusterError : no rows, rows that are not finite, wrong options, a backend that is not installed, no community
            (or more than 253) of ``min_chips`` rows, or too few rows for ``n_clusters``.
        """
        rows = check_rows(parse_rows(rows))[: self.max_chips]
        self._check_options()
        if len(rows) < max(2, self.min_chips):
            raise ClusterError(
                f"got {len(rows)} rows, wanted at least {max(2, self.min_chips)}. Use a smaller stride, or more frames."
            )
        self.similarities_: Similarities = measure_similarities(rows, self.similarity)
        threshold, self.neighbors_ = self._graph_choice(len(rows))
        self.threshold_ = None if threshold is None else self.similarities_.threshold(threshold)
        self.graph_ = build_graph(
            rows, self.similarities_, self.threshold_, neighbors=self.neighbors_, weighted=self.weighted
        )
        if self.n_clusters is None:
            self.resolution_ = float(self.resolution)
            return self._learn(rows, self._partition(self.resolution_))
        return self._learn(rows, self._search(rows, self.n_clusters))

    def _graph_choice(self, n_rows: int) -> tuple[ThresholdName | float | None, int | None]:
        if self.threshold is not None or self.neighbors is not None:
            return self.threshold, self.neighbors
        if self.n_clusters is None:
            return "median", None
        return None, max(LEAST_NEIGHBORS, n_rows // ROWS_A_NEIGHBOR)

    def predict(self, rows: npt.ArrayLike) -> npt.NDArray[np.int32]:
        """Nearest community's centre of every row, shape (n,), 0..K-1."""
        return assign(rows, self.cluster_centers_)[0]

    def _check_options(self) -> None:
        least = {"max_chips": 2, "min_chips": 1, "n_starts": 1}
        for name, low in least.items():
            if getattr(self, name) < low:
                raise ClusterError(f"got {name} = {getattr(self, name)}, wanted at least {low}.")
        if self.n_clusters is not None and not 1 <= self.n_clusters <= MOST_CLUSTERS:
            raise ClusterError(f"got n_clusters = {self.n_clusters}, wanted 1 to {MOST_CLUSTERS}, or None.")

    def _partition(self, resolution: float) -> Partition:
        return find_communities(
            self.graph_, resolution=resolution, seed=self.seed, n_starts=self.n_starts, backend=self.backend
        )

    def _n_kept(self, partition: Partition) -> int:
        return int(np.count_nonzero(np.bincount(partition) >= self.min_chips))

    def _search(self, rows: Rows, wanted: int) -> Partition:
        """A partition of ``wanted`` communities: by the resolution, and where none gives so many, by joining."""
        tried = {0.0: self._partition(1.0)}
        counts = {0.0: self._n_kept(tried[0.0])}

        def look(octave: float) -> int:
            tried[octave] = self._partition(2.0**octave)
            counts[octave] = self._n_kept(tried[octave])
            return counts[octave]

        sign = 1 if counts[0.0] < wanted else -1
        inner, outer = 0.0, 0.0
        while wanted not in counts.values() and abs(outer) < RESOLUTION_OCTAVES:
            inner, outer = outer, outer + sign
            if (look(outer) - wanted) * sign > 0:
                break
        for _ in range(BISECTIONS):
            if wanted in counts.values() or (counts[outer] - wanted) * sign <= 0:
                break
            middle = (inner + outer) / 2
            inner, outer = (inner, middle) if (look(middle) - wanted) * sign > 0 else (middle, outer)
        enough = [octave for octave, count in counts.items() if count >= wanted]
        if enough:
            best = min(enough, key=lambda octave: (counts[octave], abs(octave)))
            partition = _join(rows, tried[best], wanted, self.min_chips)
        else:
            best = max(counts, key=lambda octave: (counts[octave], -abs(octave)))
            partition = self._cut(rows, tried[best], wanted)
        self.resolution_ = 2.0**best
        return partition

    def _cut(self, rows: Rows, partition: Partition, wanted: int) -> Partition:
        """Cut the community of largest scatter in two, by the neighbours within it, until there are so many."""
        partition = partition.copy()
        while self._n_kept(partition) < wanted:
            large = np.flatnonzero(np.bincount(partition) >= 2 * self.min_chips)
            scatter = [float(((rows[partition == k] - rows[partition == k].mean(axis=0)) ** 2).sum()) for k in large]
            parts = None
            for k in large[np.argsort(scatter)[::-1]]:
                mine = np.flatnonzero(partition == k)
                parts = self._halves(rows[mine])
                if parts is not None:
                    partition[mine] = np.where(parts == 0, k, partition.max() + parts)
                    break
            if parts is None:
                raise ClusterError(
                    f"got {self._n_kept(partition)} communities of {self.min_chips} rows or more out of {len(rows)} "
                    f"rows, and none can be cut further; wanted {wanted}. Lower n_clusters (option -k), or sample more."
                )
        return rank_by_size(partition)

    def _halves(self, rows: Rows) -> Partition | None:
        """Two communities (and what is masked, from 2 on) of the rows of one; None where they do not part."""
        graph = build_graph(rows, measure_similarities(rows, self.similarity), None, neighbors=LEAST_NEIGHBORS)
        for octave in range(RESOLUTION_OCTAVES):
            found = find_communities(
                graph, resolution=2.0**octave, seed=self.seed, n_starts=self.n_starts, backend=self.backend
            )
            if self._n_kept(found) >= 2:
                return _join(rows, found, 2, self.min_chips)
        return None

    def _learn(self, rows: Rows, partition: Partition) -> Self:
        sizes = np.bincount(partition)
        kept = np.flatnonzero(sizes >= self.min_chips)
        if not 1 <= len(kept) <= MOST_CLUSTERS:
            raise ClusterError(
                f"got {len(kept)} communities of {self.min_chips} rows or more out of {len(rows)} rows, wanted 1 to "
                f"{MOST_CLUSTERS}. Lower the threshold or the resolution, give n_clusters (option -k), or sample more."
            )
        number = np.full(len(sizes), -1, np.int64)
        number[kept] = np.arange(len(kept))
        self.labels_ = number[partition]
        self.counts_ = sizes[kept]
        self.n_communities_ = len(sizes)
        self.cluster_centers_: Centers = np.stack(
            [rows[self.labels_ == k].mean(axis=0, dtype=np.float64) for k in range(len(kept))]
        )
        return self


def _join(rows: Rows, partition: Partition, wanted: int, min_chips: int) -> Partition:
    """Join the two communities whose joining costs least (Ward's criterion) until so many large ones are left."""
    partition = partition.copy()
    while True:
        sizes = np.bincount(partition)
        large = np.flatnonzero(sizes >= min_chips)
        if len(large) <= wanted:
            return rank_by_size(partition)
        centers = np.stack([rows[partition == k].mean(axis=0, dtype=np.float64) for k in large])
        gap = ((centers[:, None] - centers[None]) ** 2).sum(axis=2)
        cost = gap * sizes[large][:, None] * sizes[large][None] / (sizes[large][:, None] + sizes[large][None])
        cost[np.tril_indices(len(large))] = np.inf
        first, second = np.unravel_index(int(np.argmin(cost)), cost.shape)
        partition[partition == large[second]] = large[first]
