"""k-means on a sample that lies on many workers, with the same bits for any number of them.

1. A reservoir of rows (`sampling.Reservoir`) gets greedy k-means++ seeds (Arthur & Vassilvitskii 2007)
   from several starts, each improved by Lloyd steps on nested, doubling batches (Newling & Fleuret,
   Nested mini-batch k-means, NIPS 2016). The start of least inertia wins.
2. At most ``max_rounds`` polishing rounds: every block of the whole sample returns `CentroidSums`.

Sums are 64-bit integers in fixed point, so they are the same in any order and any grouping; distances come
from a row-wise kernel; random numbers are hashes of the seed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import ClassVar, Self

import numpy as np
import numpy.typing as npt

from emreel.cluster.assign import Centers, Rows, assign, lower_to, parse_centers, parse_rows
from emreel.cluster.errors import ClusterError
from emreel.cluster.sampling import RESERVOIR_ROWS, Reservoir, derive_seed, draw_uniform, hash_indices
from emreel.cluster.sums import CentroidSums, FixedPoint, check_rows

RunRound = Callable[[Centers, FixedPoint], CentroidSums]


class MiniBatchKMeans:
    """k-means for samples of any size; the same bits for any chunking, order of merging, or number of workers.

    Parameters
    ----------
    n_clusters : K, at least 1.
    n_init : starts that compete on the reservoir.
    seed : any integer; the same seed gives the same centres.
    max_rounds : polishing rounds over the whole sample, at most.
    init : ``"k-means++"`` (greedy), ``"random"`` (distinct rows), or centres, shape (K, d) (one start).
    batch_rows : rows of the first nested batch; each next batch is twice as large.
    tol : a round ends the fit when no centre moves by more than tol x the rows' spread.

    Learned by fitting
    ------------------
    cluster_centers_ : (K, d) float64. counts_ : (K,) int64, rows of the sample per class.
    inertia_ : sum of squared distances of the sample to its centres. n_rounds_ : polishing rounds run.
    scale_ : `FixedPoint`. inertia_ and counts_ are those of cluster_centers_ exactly.

    It minimises sum over rows of min_k |x - c_k|^2 (S. Lloyd, IEEE Trans. Inf. Theory 28 (1982) 129).

    When to use: with the published symmetry and Gabor descriptors, which were published with it; phases of like size
    and spread. When it fails: a small phase beside a large, noisy one, which it would rather cut in two (`cores`); K
    must be given, and K phases are found even where there are fewer; points on boundaries, mixtures of both sides,
    count like all others.

    >>> rows = np.repeat([[0.0, 0.0], [4.0, 0.0], [0.0, 4.0]], 5, axis=0)
    >>> MiniBatchKMeans(3).fit(rows).inertia_
    0.0
    """

    name: ClassVar[str] = "kmeans"

    def __init__(
        self,
        n_clusters: int,
        *,
        n_init: int = 8,
        seed: int = 0,
        max_rounds: int = 20,
        init: str | npt.ArrayLike = "k-means++",
        batch_rows: int = 8192,
        tol: float = 1e-4,
    ) -> None:
        self.n_clusters = n_clusters
        self.n_init = n_init
        self.seed = seed
        self.max_rounds = max_rounds
        self.init = init
        self.batch_rows = batch_rows
        self.tol = tol

    def fit(self, rows: npt.ArrayLike) -> Self:
        """Fit rows that are in memory, shape (n, d).

        Raises
        ------
        ClusterError : no rows, rows that are not finite, fewer distinct rows than clusters, wrong options.
        """
        rows = check_rows(parse_rows(rows))
        kept = rows
        if len(rows) > RESERVOIR_ROWS:
            kept = Reservoir.of(hash_indices(np.arange(len(rows)), self.seed), rows, RESERVOIR_ROWS).finish()
        return self.fit_rounds(kept, lambda centers, scale: CentroidSums.of(rows, centers, scale))

    def fit_rounds(self, reservoir_rows: npt.ArrayLike, run_round: RunRound) -> Self:
        """Fit a sample that lies elsewhere.

        reservoir_rows : shape (m, d), the rows of a finished `Reservoir` of that sample.
        run_round : ``run_round(centers, scale)`` returns the sum of ``CentroidSums.of(block, centers, scale)`` over the
            blocks of the sample, in any order.
        """
        rows = check_rows(parse_rows(reservoir_rows))
        self._check_options(rows)
        scale = FixedPoint.of_rows(rows)
        spread = self.tol * math.sqrt(float(np.sum(rows.var(axis=0, dtype=np.float64))))
        centers = self._best_start(rows, scale, spread)
        for n_rounds in range(1, self.max_rounds + 1):
            found = run_round(centers, scale)
            if found.scale != scale or len(found.counts) != self.n_clusters:
                raise ClusterError("run_round returned sums of other centres or another scale than it was given.")
            moved = _refill(rows, found.finish(centers), found.counts)
            if n_rounds == self.max_rounds or _largest_move(centers, moved) <= spread:
                break
            centers = moved
        if not found.counts.all():
            raise ClusterError(
                f"{np.count_nonzero(found.counts == 0)} of {self.n_clusters} clusters have no row of the sample "
                f"(rounds: {n_rounds}). Lower n_clusters (option -k), or allow more max_rounds."
            )
        self.cluster_centers_ = centers
        self.counts_ = found.counts
        self.inertia_ = found.inertia
        self.n_rounds_ = n_rounds
        self.scale_ = scale
        return self

    def predict(self, rows: npt.ArrayLike) -> npt.NDArray[np.int32]:
        """Nearest centre of every row, shape (n,), 0..K-1."""
        return assign(rows, self.cluster_centers_)[0]

    def _check_options(self, rows: Rows) -> None:
        for name in ("n_clusters", "n_init", "max_rounds", "batch_rows"):
            if getattr(self, name) < 1:
                raise ClusterError(f"got {name} = {getattr(self, name)}, wanted at least 1.")
        if isinstance(self.init, str):
            if self.init not in ("k-means++", "random"):
                raise ClusterError(
                    f"got init {self.init!r}, wanted 'k-means++', 'random' or an array of centres (K, d)."
                )
        elif parse_centers(self.init).shape != (self.n_clusters, rows.shape[1]):
            raise ClusterError(
                f"got initial centres of shape {np.shape(self.init)}, wanted ({self.n_clusters}, {rows.shape[1]})."
            )
        if self.n_clusters > 1 and (n_distinct := count_distinct(rows, self.n_clusters)) < self.n_clusters:
            raise ClusterError(
                f"got {n_distinct} distinct rows for {self.n_clusters} clusters; wanted at least as many rows as "
                "clusters. Lower n_clusters (option -k), or sample more frames of a movie that is not constant."
            )

    def _best_start(self, rows: Rows, scale: FixedPoint, spread: float) -> Centers:
        if not isinstance(self.init, str):
            return _descend(rows, parse_centers(self.init), scale, self.batch_rows, spread)[0]
        seed_rows = seed_plus_plus if self.init == "k-means++" else seed_random
        best: tuple[Centers, int] | None = None
        for start in range(self.n_init):
            seeds = rows[seed_rows(rows, self.n_clusters, derive_seed(self.seed, start))].astype(np.float64)
            tried = _descend(rows, seeds, scale, self.batch_rows, spread)
            if best is None or tried[1] < best[1]:
                best = tried
        assert best is not None
        return best[0]


def one_step(rows: npt.ArrayLike, centers: npt.ArrayLike) -> Centers:
    """One k-means step on the rows of one frame, shape (n, d); classes without rows keep their centre.

    The published symmetry method follows a sequence by this step (Wang et al. 2021).
    """
    rows = parse_rows(rows)
    return CentroidSums.of(rows, centers, FixedPoint.of_rows(rows)).finish(centers)


def seed_plus_plus(rows: Rows, n_clusters: int, seed: int) -> list[int]:
    """Greedy k-means++: the next seed is the best of 2 + log K rows drawn by squared distance."""
    picked = [int(draw_uniform(seed, 0) * len(rows))]
    closest = np.full(len(rows), np.inf)
    lower_to(rows, picked[0], closest, closest)
    n_trials = 2 + int(math.log(n_clusters))
    trial, best_trial = np.empty_like(closest), np.empty_like(closest)
    for k in range(1, n_clusters):
        cumulated = np.cumsum(closest)
        if not cumulated[-1] > 0:
            raise ClusterError(f"got {k} distinct rows for {n_clusters} clusters. Lower n_clusters.")
        least, best_row = np.inf, -1
        for t in range(n_trials):
            target = min(draw_uniform(seed, k, t) * cumulated[-1], np.nextafter(cumulated[-1], 0))
            row = int(np.searchsorted(cumulated, target, side="right"))
            potential = lower_to(rows, row, closest, trial)
            if potential < least:
                least, best_row = potential, row
                trial, best_trial = best_trial, trial
        picked.append(best_row)
        closest, best_trial = best_trial, closest
    return picked


def seed_random(rows: Rows, n_clusters: int, seed: int) -> list[int]:
    """The first K distinct rows in an order drawn by the seed."""
    picked: list[int] = []
    seen: set[bytes] = set()
    for row in np.argsort(hash_indices(np.arange(len(rows)), seed), kind="stable"):
        value = (rows[row] + np.float32(0)).tobytes()  # + 0 turns -0 into 0
        if value not in seen:
            seen.add(value)
            picked.append(int(row))
            if len(picked) == n_clusters:
                return picked
    raise ClusterError(f"got {len(picked)} distinct rows for {n_clusters} clusters. Lower n_clusters.")


def _descend(rows: Rows, centers: Centers, scale: FixedPoint, batch_rows: int, spread: float) -> tuple[Centers, int]:
    """Lloyd steps on nested batches, then on all rows until the centres rest; the inertia over all rows, in steps."""
    size = batch_rows
    while size < len(rows):
        centers, _ = _lloyd(rows[:size], centers, scale, 10, 10 * spread)
        size *= 2
    return _lloyd(rows, centers, scale, 100, spread)


def _lloyd(rows: Rows, centers: Centers, scale: FixedPoint, n_steps: int, spread: float) -> tuple[Centers, int]:
    inertia = 0
    for _ in range(n_steps):
        found = CentroidSums.of(rows, centers, scale)
        moved = _refill(rows, found.finish(centers), found.counts)
        centers, before, inertia = moved, centers, found.inertia_steps
        if _largest_move(before, moved) <= spread:
            break
    return centers, inertia


def _refill(rows: Rows, centers: Centers, counts: npt.NDArray[np.int64]) -> Centers:
    """Give every class without rows the row that is farthest from all centres; the lowest of equals."""
    for k in np.flatnonzero(counts == 0):
        others = np.delete(centers, k, axis=0)
        centers[k] = rows[int(np.argmax(assign(rows, others)[1]))]
    return centers


def _largest_move(before: Centers, after: Centers) -> float:
    return math.sqrt(float(np.max(np.sum((after - before) ** 2, axis=1))))


def count_distinct(rows: Rows, enough: int) -> int:
    """Number of distinct rows, counted up to ``enough``."""
    seen: set[bytes] = set()
    for row in rows + np.float32(0):
        seen.add(row.tobytes())
        if len(seen) >= enough:
            break
    return len(seen)
