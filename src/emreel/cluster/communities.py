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


class CommunityClusters:
    """Communities."""

    name: ClassVar[str] = "communities"

    def __init__(
        self,
        n_clusters: int | None = None,
        *,
        seed: int = 0,
        similarity: SimilarityKind = "range",
        threshold: ThresholdName | float | None = "median",
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
        """Find the communities of the first ``max_chips`` rows, shape (n, d), and their centres."""
        rows = check_rows(parse_rows(rows))[: self.max_chips]
        self._check_options(rows)
        if len(rows) < 2:
            return self._learn(rows, np.zeros(len(rows), np.int64))
        self.similarities_: Similarities = measure_similarities(rows, self.similarity)
        self.threshold_ = None if self.threshold is None else self.similarities_.threshold(self.threshold)
        self.graph_ = build_graph(
            rows, self.similarities_, self.threshold_, neighbors=self.neighbors, weighted=self.weighted
        )
        if self.n_clusters is None:
            self.resolution_ = float(self.resolution)
            return self._learn(rows, self._partition(self.resolution_))
        return self._learn(rows, self._search(rows, self.n_clusters))

    def predict(self, rows: npt.ArrayLike) -> npt.NDArray[np.int32]:
        """Nearest community's centre of every row, shape (n,), 0..K-1."""
        return assign(rows, self.cluster_centers_)[0]

    def _check_options(self, rows: Rows) -> None:
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
        if not enough:
            raise ClusterError(
                f"got at most {max(counts.values())} communities of {self.min_chips} rows or more at resolutions up to "
                f"{2.0 ** max(counts):g}, wanted {wanted}. Lower n_clusters (option -k) or the threshold, or sample "
                "more frames."
            )
        best = min(enough, key=lambda octave: (counts[octave], abs(octave)))
        self.resolution_ = 2.0**best
        return _join(rows, tried[best], wanted, self.min_chips)

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
