"""What the classes are called, how wide they are, and how sure a label is.

Classes get one canonical order for the whole movie; one pooled scatter turns distances into posteriors;
a distance per class tells where the known ends.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import numba
import numpy as np
import numpy.typing as npt

from emreel.cluster.assign import check_fit, parse_centers, parse_rows, scatter
from emreel.cluster.errors import ClusterError
from emreel.cluster.sums import BATCH_ROWS, MAX_ROWS, SQ_BITS, FixedPoint, not_finite

#: Share of a class's fitted rows that may lie beyond its threshold.
UNKNOWN_SHARE = 1e-4
#: Largest distances kept per class: the share above is exact up to ten million rows of a class.
_KEPT = 1024


def canonical_order(order_measure: npt.ArrayLike, mean_intensity: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Order of the classes: least ordered first, ties by mean intensity, then by their number.

    order_measure, mean_intensity : shape (K,), finite; e.g. power of the lattice ring and mean counts over the
    sample pixels of each class. Returns ``order``, shape (K,), so that ``centers[order]`` are the centres as named:
    class ``order[0]`` becomes label 1.

    Raises
    ------
    ClusterError : shapes that do not fit, values that are not finite.
    """
    measure, intensity = np.asarray(order_measure, np.float64), np.asarray(mean_intensity, np.float64)
    if measure.ndim != 1 or measure.shape != intensity.shape:
        raise ClusterError(
            f"got {measure.shape} order measures and {intensity.shape} intensities, wanted one of each a class."
        )
    if not (np.isfinite(measure).all() and np.isfinite(intensity).all()):
        raise ClusterError("the classes' order measures and intensities must be finite; a class has no valid pixel.")
    return np.lexsort((np.arange(measure.size), intensity, measure)).astype(np.int64)


@dataclass(frozen=True, kw_only=True)
class Scatter:
    """How far rows lie from their centres.

    variance : pooled variance within the classes, along the directions in which the centres differ (the only ones
        that matter to a posterior), rows' units squared, > 0.
    thresholds_sq : (K,) squared distance beyond which a row of the class is unknown, > 0.
    """

    variance: float
    thresholds_sq: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class ScatterSums:
    """Squared distances within the classes: a mergeable partial, the same bits in any order.

    counts : (K,) int64 rows. sq_sums, along_sums : K integers; their squared distances, and the part of those that lies
    in the space spanned by the centres, in steps of ``scale.sq_step``. largest_sq : (K, m) float32, the largest
    squared distances, descending, filled up with -1.
    """

    counts: npt.NDArray[np.int64]
    sq_sums: tuple[int, ...]
    along_sums: tuple[int, ...]
    largest_sq: npt.NDArray[np.float32]
    n_directions: int
    scale: FixedPoint

    @classmethod
    def of(cls, rows: npt.ArrayLike, centers: npt.ArrayLike, scale: FixedPoint) -> Self:
        """Measure a batch of rows, shape (n, d), around centres, shape (K, d).

        Raises
        ------
        ClusterError : shapes that do not fit, rows that are not finite.
        """
        rows, centers = parse_rows(rows), parse_centers(centers)
        check_fit(rows, centers)
        directions, n_classes = center_directions(centers), len(centers)
        counts = np.zeros(n_classes, np.int64)
        labels, nearest = np.empty(len(rows), np.int32), np.empty(len(rows), np.float32)
        sums = np.zeros((2, n_classes), object)
        for start in range(0, len(rows), BATCH_ROWS):
            batch, found = slice(start, start + BATCH_ROWS), np.zeros((2, n_classes), np.int64)
            n_bad = scatter(
                *(rows[batch], centers, directions, 1 / scale.sq_step, 2.0**SQ_BITS),
                *(counts, found[0], found[1], labels[batch], nearest[batch]),
            )
            if n_bad:
                raise not_finite(n_bad, len(rows[batch]))
            sums += found
        classes = [np.sort(nearest[labels == k])[::-1][:_KEPT] for k in range(n_classes)]
        largest = np.full((n_classes, max(map(len, classes), default=0)), -1, np.float32)
        for kept, values in zip(largest, classes, strict=True):
            kept[: len(values)] = values
        return cls(counts, tuple(map(int, sums[0])), tuple(map(int, sums[1])), largest, len(directions), scale)

    def __add__(self, other: Self) -> Self:
        if self.scale != other.scale or len(self.counts) != len(other.counts):
            raise ClusterError("scatters of other centres or another scale cannot be merged. Use one of each.")
        counts = self.counts + other.counts
        if int(counts.sum()) > MAX_ROWS:
            raise ClusterError(f"got more than {MAX_ROWS} rows, the most that 64-bit sums hold. Take a smaller sample.")
        largest = np.sort(np.concatenate((self.largest_sq, other.largest_sq), axis=1), axis=1)[:, ::-1]
        return type(self)(
            counts,
            tuple(a + b for a, b in zip(self.sq_sums, other.sq_sums, strict=True)),
            tuple(a + b for a, b in zip(self.along_sums, other.along_sums, strict=True)),
            np.ascontiguousarray(largest[:, : min(_KEPT, int(counts.max()))]),
            self.n_directions,
            self.scale,
        )

    def finish(self, unknown_share: float = UNKNOWN_SHARE) -> Scatter:
        """Pooled scatter and the distance, per class, beyond which at most ``unknown_share`` of its rows lie."""
        n_rows = int(self.counts.sum())
        if n_rows == 0:
            raise ClusterError("got no rows to measure the classes' scatter on. Sample more frames.")
        floor = max(self.scale.sq_step, self.scale.rounding_sq)  # a movie without any noise still needs a width
        squares, directions = (
            (self.along_sums, self.n_directions) if self.n_directions else (self.sq_sums, self.scale.n_features)
        )
        variance = sum(squares) * self.scale.sq_step / (n_rows * directions)
        thresholds = [
            _tail_distance(largest[largest >= 0].astype(np.float64), int(count), unknown_share) ** 2
            for largest, count in zip(self.largest_sq, self.counts, strict=True)
        ]
        return Scatter(variance=max(variance, floor), thresholds_sq=tuple(max(t, floor) for t in thresholds))


def pooled_scatter(rows: npt.ArrayLike, centers: npt.ArrayLike, scale: FixedPoint | None = None) -> Scatter:
    """Scatter of rows in memory, shape (n, d), around centres, shape (K, d)."""
    return ScatterSums.of(rows, centers, FixedPoint.of_rows(rows) if scale is None else scale).finish()


def center_directions(centers: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Orthonormal directions in which the centres differ, shape (at most min(K - 1, d), d).

    Gram-Schmidt, twice over, in a fixed order; directions of less than a millionth of the largest are dropped.
    """
    centers = parse_centers(centers)
    basis: list[npt.NDArray[np.float64]] = []
    longest = max(_length(c - centers[0]) for c in centers)
    for center in centers[1:]:
        rest = center - centers[0]
        for _ in range(2):
            for direction in basis:
                rest = rest - math.fsum(rest * direction) * direction
        if _length(rest) > 1e-6 * longest and len(basis) < centers.shape[1]:
            basis.append(rest / _length(rest))
    return np.array(basis).reshape(len(basis), centers.shape[1])


def membership(sq_distances: npt.ArrayLike, scatter: Scatter | float) -> npt.NDArray[np.float32]:
    """Posterior of equal-weight Gaussians around the centres with one pooled variance.

    Parameters
    ----------
    sq_distances : shape (..., K), rows' units squared. Anything that differs from them by a constant of the row
        does as well: ``-2 * scores`` of the linear discriminants gives the same posteriors.
    scatter : `Scatter`, or its variance.

    Returns
    -------
    posteriors, shape (..., K) float32; each row sums to 1 and its largest entry (the first of equals) is the nearest
    centre.

    Raises
    ------
    ClusterError : no class, or a variance that is not positive.
    """
    distances = np.asarray(sq_distances, np.float32)
    variance = scatter.variance if isinstance(scatter, Scatter) else float(scatter)
    if distances.ndim == 0 or distances.shape[-1] == 0:
        raise ClusterError(f"got distances of shape {distances.shape}, wanted (..., K) with at least one class.")
    if not 0 < variance < math.inf:
        raise ClusterError(f"got a variance of {variance}, wanted a positive number.")
    flat = np.ascontiguousarray(distances.reshape(-1, distances.shape[-1]))
    out = np.empty_like(flat)
    _posterior(flat, 0.5 / variance, out)
    return out.reshape(distances.shape)


def _tail_distance(largest_sq: npt.NDArray[np.float64], count: int, share: float) -> float:
    """Distance beyond which at most ``share`` of ``count`` rows lie, from the largest ones (descending).

    The larger of the sample's own quantile and an exponential tail fitted to the excesses of the largest
    hundredth (peaks over threshold; Pickands 1975): a small sample has no ten-thousandth of its own.
    """
    distances = np.sqrt(largest_sq)
    if count == 0:
        return 0.0
    exact = distances[min(int(share * count), len(distances) - 1)]
    n_tail = min(len(distances) - 1, max(50, count // 100))
    if n_tail < 1:
        return float(exact)
    start = distances[n_tail]
    mean_excess = math.fsum(distances[:n_tail] - start) / n_tail
    return float(max(exact, start + mean_excess * max(0.0, math.log(n_tail / count / share))))


def _length(vector: npt.NDArray[np.float64]) -> float:
    return math.sqrt(math.fsum(vector * vector))


@numba.njit(cache=True, nogil=True)
def _posterior(sq_distances, half_precision, out):  # type: ignore[no-untyped-def]
    n_classes = sq_distances.shape[1]
    for i in range(sq_distances.shape[0]):
        nearest = 0
        for k in range(1, n_classes):
            if sq_distances[i, k] < sq_distances[i, nearest]:
                nearest = k
        least = np.float64(sq_distances[i, nearest])
        total = 0.0
        for k in range(n_classes):
            total += math.exp((least - sq_distances[i, k]) * half_precision)
        for k in range(n_classes):
            out[i, k] = math.exp((least - sq_distances[i, k]) * half_precision) / total
        below = np.nextafter(out[i, nearest], np.float32(0))
        for k in range(nearest):  # rounding must not let an earlier class tie with the nearest
            out[i, k] = min(out[i, k], below)
