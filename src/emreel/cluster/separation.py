"""Centres that part clusters, not halves of one: merge and split until no two classes run into each other.

k-means minimises squared distances, so it would rather cut a large, noisy class in two than tell two small classes
apart: the dark field around a particle in halves, two of its thin twins in one. Squared distances cannot show this,
but the gap between classes can. For two classes whose centres lie 2 h apart, let p be a row's place on the line from
one centre to the other, from the middle. Their separation is

    s = h / sqrt(mean((|p| - h)^2))

over the rows of both: 1.32 for the halves of a Gaussian, 1.73 for those of a uniform density, 3 and more for classes
with a gap between them. When the least separation lies below `SPLIT`, its pair is merged and another class is
split, the one whose split leaves the largest least separation, as long as that grows (in the manner of the split and
merge steps of N. Ueda et al., Neural Comput. 12 (2000) 2109, which follow the likelihood instead).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from emreel.cluster.assign import Centers, Rows, assign, parse_centers, parse_rows, squared_distances
from emreel.cluster.sums import check_rows
from emreel.reduce import Moments

#: Two classes nearer than this may be parts of one: above the halves of a uniform density, with its edges' tails.
SPLIT = 2.2
#: A step must raise the least separation by this factor.
_GAIN = 1.05
#: Rows that the steps look at, and k-means rounds after each.
_ROWS, _ROUNDS = 16_384, 30
#: Rows whose squared distances to the two nearest centres differ by this share of the centres' own are clear.
_MARGIN = 0.25
#: Centres rest when they move by less than this share of the smallest squared distance between two.
_AT_REST = 1e-5
#: A class of fewer rows is not split.
_FEWEST_ROWS = 20


def separations(rows: npt.ArrayLike, centers: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Separation of every pair of classes, shape (K, K); inf for a class with itself, or when neither has rows."""
    rows, centers = parse_rows(rows), parse_centers(centers)
    nearest = assign(rows, centers)[0]
    found = np.full((len(centers), len(centers)), np.inf)
    for i in range(len(centers)):
        for j in range(i):
            mine = rows[(nearest == i) | (nearest == j)]
            line = centers[i] - centers[j]
            half = np.sqrt(np.sum(line**2)) / 2
            place = np.zeros(len(mine))  # summed in the features' order: no BLAS, whose bits depend on its threads
            for feature in range(len(line)):
                middle = (centers[i, feature] + centers[j, feature]) / 2
                place += (mine[:, feature] - middle) * (line[feature] / (2 * half) if half else 0.0)
            if len(mine):
                wide = float(np.sqrt(np.mean((np.abs(place) - half) ** 2)))
                found[i, j] = found[j, i] = half / wide if wide > 0 else np.inf
    return found


def separate(rows: npt.ArrayLike, centers: npt.ArrayLike) -> Centers:
    """Centres, shape (K, d), moved by merging and splitting until no step parts the classes better.

    rows : shape (n, d), in a fair order (`Reservoir`): the first 16 384 are looked at. Deterministic.
    """
    everything, start = check_rows(parse_rows(rows)), parse_centers(centers)
    rows = everything[:_ROWS]
    before = float(separations(rows, start).min())
    if len(start) < 3 or before >= SPLIT:
        return start
    current = _settled(rows, start)
    for _ in range(2 * len(start)):
        apart = separations(rows, current)
        least = float(apart.min())
        first, second = np.unravel_index(int(apart.argmin()), apart.shape)
        proposals = _proposals(rows, current, int(first), int(second))
        reached = [float(separations(rows, proposal).min()) for proposal in proposals]
        if not reached or max(reached) < _GAIN * least:
            break
        current = proposals[int(np.argmax(reached))]
    return _settled(everything, current) if float(separations(rows, current).min()) >= _GAIN * before else start


def _proposals(rows: Rows, centers: Centers, first: int, second: int) -> list[Centers]:
    """Merge two classes, and split each other one in turn along its longest axis."""
    nearest = assign(rows, centers)[0]
    counts = np.bincount(nearest, minlength=len(centers)).astype(np.float64)
    weights = np.maximum(counts[[first, second]], 1)
    merged = (weights[0] * centers[first] + weights[1] * centers[second]) / weights.sum()
    proposals = []
    for k in range(len(centers)):
        if k in (first, second) or counts[k] < _FEWEST_ROWS:
            continue
        step = _longest_axis(rows[nearest == k], centers[k])
        proposal = centers.copy()
        proposal[first], proposal[k], proposal[second] = merged, centers[k] - step, centers[k] + step
        proposals.append(_settled(rows, proposal))
    return proposals


def _longest_axis(rows: Rows, center: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Direction in which the rows spread most, one standard deviation long (power iteration on exact sums)."""
    covariance = Moments.of(rows).finish()[1]
    axis = covariance[:, int(np.argmax(np.diag(covariance)))].copy()
    for _ in range(50):
        longer = np.array([float(np.sum(row * axis)) for row in covariance])
        length = float(np.sqrt(np.sum(longer**2)))
        if length == 0:
            return np.zeros_like(center)
        axis = longer / length
    scaled: npt.NDArray[np.float64] = axis * np.sqrt(length)
    return scaled


def _settled(rows: Rows, centers: Centers) -> Centers:
    """k-means steps on the rows that lie clearly nearer to their class than to the next.

    All rows would drag a small class towards a large and noisy one beside it, whose tail it then collects.
    """
    for _ in range(_ROUNDS):
        distances = squared_distances(rows, centers)
        nearest = distances.argmin(axis=1)
        first = distances[np.arange(len(rows)), nearest]
        distances[np.arange(len(rows)), nearest] = np.inf
        second = distances.argmin(axis=1)
        apart = squared_distances(centers, centers)[nearest, second]
        clear: npt.NDArray[np.bool_] = distances[np.arange(len(rows)), second] - first > _MARGIN * apart
        moved = centers.copy()
        for k in range(len(centers)):
            mine = rows[clear & (nearest == k)]
            if len(mine):
                moved[k] = Moments.of(mine).finish()[0]
        step = float(np.max(np.sum((moved - centers) ** 2, axis=1)))
        centers = moved
        if step <= _AT_REST * float(np.min(apart)):
            break
    return centers
