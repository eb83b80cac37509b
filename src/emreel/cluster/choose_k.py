"""What speaks for each number of classes: five measures side by side, beside the valleys that decide.

- valley: most groups that a valley of density parts (`emreel.cluster.cores`).
- gap: the smallest K with gap(K) >= gap(K + 1) - s(K + 1), against uniform boxes along the principal axes
  (R. Tibshirani, G. Walther, T. Hastie, J. R. Stat. Soc. B 63 (2001) 411).
- bic: least Bayesian information criterion of Gaussians with full covariances (G. Schwarz, Ann. Stat. 6 (1978) 461).
- stability: the largest K at which two halves of the sample agree, adjusted Rand index of 0.9 (T. Lange et al., Neural
  Comput. 16 (2004) 1299).
- gain: largest (1 - W(K) / W(K - 1)) / (1 - W(K + 1) / W(K)), W the squared distances to the centres.
- silhouette: largest mean silhouette (P. J. Rousseeuw, J. Comput. Appl. Math. 20 (1987) 53).

Only valley, gap, bic and stability can answer one. In a movie the valleys decide, once rims are left out and
illumination is taken out (`emreel.fit.classes`): ``python -m benchmarks.phases`` prints how often that is right. The
others are shown because they fail in other ways; gap, bic and stability take a phase's gradients for classes. Where
most of them agree on another number, look at both.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from emreel.cluster.assign import Rows, assign, parse_rows
from emreel.cluster.cores import Merging
from emreel.cluster.errors import ClusterError
from emreel.cluster.kmeans import MiniBatchKMeans, count_distinct
from emreel.cluster.sums import check_rows

#: Rows that are looked at, reference boxes of the gap, rows of the silhouette, pairs of halves.
_ROWS, _BOXES, _SILHOUETTE_ROWS, _HALVES = 4096, 8, 1024, 4
#: Halves that agree so well are stable.
STABLE = 0.9
MEASURES = ("valley", "gap", "bic", "stability", "gain", "silhouette")


@dataclass(frozen=True, kw_only=True)
class Weight:
    """The measures at one number of classes; NaN where one has none.

    valley : the shallowest valley with so many groups, over what parts two phases; above 1 some are one phase.
    gap, gap_sd : and its standard error. bic : less is better. stability : adjusted Rand index of halves.
    """

    n_clusters: int
    valley: float
    gap: float
    gap_sd: float
    bic: float
    stability: float
    gain: float
    silhouette: float


def weigh_numbers(
    rows: npt.ArrayLike, merging: Sequence[Merging] = (), *, most: int = 8, seed: int = 0
) -> tuple[Weight, ...]:
    """The measures for 1 to ``most`` classes, fewer where there are hardly as many distinct rows.

    Parameters
    ----------
    rows : shape (n, d), in the order of their hashes; the first 4096 are looked at.
    merging : states that `CoreClusters` left in ``merging_``, for the valleys.

    Raises
    ------
    ClusterError : rows that are not finite, or fewer than 20 a class.
    """
    chosen = check_rows(parse_rows(rows))[:_ROWS]
    if most < 1 or len(chosen) < 20 * most:
        raise ClusterError(f"got {len(chosen)} rows for up to {most} classes, wanted at least 20 a class. Lower most.")
    distinct = count_distinct(chosen, most + 1)
    most = max(min(most, distinct - 1), 1)
    labels = [_labels(chosen, min(k, distinct), seed) for k in range(1, most + 2)]
    inertia = np.array([_within(chosen, label) for label in labels])
    gap, gap_sd = _gaps(chosen, inertia, seed)
    valleys = {state.n_groups: state.shallowest for state in merging}
    return tuple(
        Weight(
            n_clusters=k,
            valley=valleys.get(k, 0.0 if k == 1 and merging else np.nan),
            gap=float(gap[k - 1]),
            gap_sd=float(gap_sd[k - 1]),
            bic=_bic(chosen, k, seed),
            stability=_stability(chosen, k, seed),
            gain=_gain(inertia, k),
            silhouette=_silhouette(chosen, labels[k - 1]),
        )
        for k in range(1, most + 1)
    )


def votes(weights: Sequence[Weight]) -> dict[str, int | None]:
    """The number that each measure speaks for; None for one that has no opinion."""
    table = {name: np.array([getattr(weight, name) for weight in weights]) for name in (*MEASURES, "gap_sd")}
    numbers = [weight.n_clusters for weight in weights]
    enough = table["gap"][:-1] >= table["gap"][1:] - table["gap_sd"][1:]
    return {
        "valley": _last(numbers, table["valley"] <= 1),
        "gap": numbers[int(enough.argmax())] if enough.any() else numbers[-1],
        "bic": _best(numbers, -table["bic"]),
        "stability": _last(numbers, table["stability"] >= STABLE),
        "gain": _best(numbers, table["gain"]),
        "silhouette": _best(numbers, table["silhouette"]),
    }


# ------------------------------------------------------------------------------------------------ inside


def _last(numbers: Sequence[int], holds: npt.NDArray[np.bool_]) -> int | None:
    return numbers[int(np.flatnonzero(holds)[-1])] if holds.any() else None


def _best(numbers: Sequence[int], values: npt.NDArray[np.float64]) -> int | None:
    return None if np.isnan(values).all() else numbers[int(np.nanargmax(values))]


def _labels(rows: Rows, k: int, seed: int) -> npt.NDArray[np.int64]:
    if k == 1 or count_distinct(rows, k) < k:
        return np.zeros(len(rows), np.int64)
    return MiniBatchKMeans(k, n_init=4, seed=seed).fit(rows).predict(rows).astype(np.int64)


def _within(rows: npt.NDArray[np.floating], label: npt.NDArray[np.int64]) -> float:
    """Sum of squared distances to the mean of the own class."""
    wide = rows.astype(np.float64)
    return float(sum(np.sum((wide[label == k] - wide[label == k].mean(axis=0)) ** 2) for k in np.unique(label)))


def _gaps(rows: Rows, inertia: npt.NDArray[np.float64], seed: int) -> tuple[npt.NDArray[np.float64], ...]:
    """Gap and its standard error for 1, 2, ... classes, as many as ``inertia`` has."""
    wide = rows.astype(np.float64)
    middle = wide.mean(axis=0)
    with threadpool_limits(limits=1, user_api="blas"):
        axes = np.linalg.eigh(np.cov(wide - middle, rowvar=False).reshape(wide.shape[1], -1))[1]
        along = (wide - middle) @ axes
        rng = np.random.default_rng(seed)
        boxes = [
            (rng.uniform(along.min(axis=0), along.max(axis=0), along.shape) @ axes.T).astype(np.float32)
            for _ in range(_BOXES)
        ]
    tiny = np.finfo(np.float64).tiny
    logs = np.log([[max(_within(box, _labels(box, k + 1, seed)), tiny) for k in range(len(inertia))] for box in boxes])
    return logs.mean(axis=0) - np.log(np.maximum(inertia, tiny)), logs.std(axis=0) * np.sqrt(1 + 1 / _BOXES)


def _bic(rows: Rows, k: int, seed: int) -> float:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    wide = rows.astype(np.float64)
    ridge = 1e-4 * float(wide.var(axis=0).mean()) + 1e-12
    mixture = GaussianMixture(k, reg_covar=ridge, init_params="k-means++", n_init=2, random_state=seed)
    with threadpool_limits(limits=1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # halves of one phase never settle; their criterion does
        return float(mixture.fit(wide).bic(wide))


def _stability(rows: Rows, k: int, seed: int) -> float:
    """Centres of two halves of the rows, put to all of them; the adjusted Rand index of the two answers."""
    from sklearn.metrics import adjusted_rand_score

    if k == 1:
        return 1.0
    rng = np.random.default_rng(seed)
    scores = []
    for trial in range(_HALVES):
        order = rng.permutation(len(rows))
        halves = (order[: len(rows) // 2], order[len(rows) // 2 :])
        centers = [MiniBatchKMeans(k, n_init=2, seed=seed + trial).fit(rows[half]).cluster_centers_ for half in halves]
        scores.append(adjusted_rand_score(*(assign(rows, one)[0] for one in centers)))
    return float(np.mean(scores))


def _gain(inertia: npt.NDArray[np.float64], k: int) -> float:
    if k == 1 or inertia[k - 1] == 0:
        return np.nan
    lost, next_lost = 1 - inertia[k - 1] / inertia[k - 2], 1 - inertia[k] / inertia[k - 1]
    return float(lost / next_lost) if next_lost > 0 else np.nan


def _silhouette(rows: Rows, label: npt.NDArray[np.int64]) -> float:
    from sklearn.metrics import silhouette_score

    few, mine = rows[:_SILHOUETTE_ROWS], label[:_SILHOUETTE_ROWS]
    return float(silhouette_score(few, mine)) if 1 < len(np.unique(mine)) < len(mine) else np.nan
