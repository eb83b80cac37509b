"""Sums around centres, in 64-bit fixed point: the same bits in any order and any grouping."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from emreel.cluster.assign import Centers, Rows, accumulate, check_fit, parse_centers, parse_rows
from emreel.cluster.errors import ClusterError

#: A feature of one row is at most 2**30 steps, so int64 holds the sums of 2**32 rows with room to spare.
VALUE_BITS = 30
MAX_ROWS = 2**32
#: A squared distance is at most 2**42 steps; int64 holds a batch of 2**20, and Python's integers the sums of batches.
SQ_BITS = 42
BATCH_ROWS = 2**20


@dataclass(frozen=True, kw_only=True)
class FixedPoint:
    """How rows become integers: feature j is worth rint((x - offset[j]) 2^(30 - exponents[j])) steps.

    Rows beyond offset +- 2^exponent are cut there: at least four times the range that the scale was
    learned from, so only stray values are. Squared distances are cut at 2^sq_exponent,
    in steps of 2^(sq_exponent - 42).
    """

    offset: tuple[float, ...]
    exponents: tuple[int, ...]
    sq_exponent: int

    @classmethod
    def of_rows(cls, rows: npt.ArrayLike) -> Self:
        """Learn the scale from a sample of the rows, shape (n, d), n >= 1, finite (the reservoir's rows)."""
        rows = check_rows(parse_rows(rows))
        low, high = rows.min(axis=0).astype(np.float64), rows.max(axis=0).astype(np.float64)
        offset = (low + high) / 2
        # a constant feature still needs a step: a millionth of its value
        reach = np.maximum(4 * (high - offset), np.maximum(np.abs(offset), 2.0**-100) * 2.0**-20)
        exponents = np.frexp(reach)[1]
        sq_exponent = int(np.frexp(4 * np.sum(np.ldexp(1.0, 2 * exponents)))[1])
        return cls(
            offset=tuple(offset.tolist()), exponents=tuple(map(int, exponents.tolist())), sq_exponent=sq_exponent
        )

    @property
    def n_features(self) -> int:
        return len(self.offset)

    @property
    def steps(self) -> npt.NDArray[np.float64]:
        """Size of one step of each feature, shape (d,)."""
        steps: npt.NDArray[np.float64] = np.ldexp(1.0, np.asarray(self.exponents) - VALUE_BITS)
        return steps

    @property
    def sq_step(self) -> float:
        """Size of one step of a squared distance."""
        return math.ldexp(1.0, self.sq_exponent - SQ_BITS)

    @property
    def rounding_sq(self) -> float:
        """Squared distance that float32's rounding of the features alone can make."""
        largest = np.abs(self.offset) + np.ldexp(1.0, np.asarray(self.exponents))
        return math.fsum((largest * 2.0**-22) ** 2)


@dataclass(frozen=True, eq=False)
class CentroidSums:
    """Rows, summed per nearest centre: a mergeable partial of one k-means round.

    sums : (K, d) int64, steps of ``scale``. counts : (K,) int64. inertia_steps : squared distances to the nearest
    centre, summed, in steps of ``scale.sq_step``. Integers, so any order of additions gives the same bits; at most
    2**32 rows, each at most 2**30 steps a feature.
    """

    sums: npt.NDArray[np.int64]
    counts: npt.NDArray[np.int64]
    inertia_steps: int
    scale: FixedPoint

    @classmethod
    def of(cls, rows: npt.ArrayLike, centers: npt.ArrayLike, scale: FixedPoint) -> Self:
        """Sum a batch of rows, shape (n, d), around centres, shape (K, d).

        Raises
        ------
        ClusterError : shapes that do not fit, rows that are not finite.
        """
        rows, centers = parse_rows(rows), parse_centers(centers)
        check_fit(rows, centers)
        if scale.n_features != rows.shape[1]:
            raise ClusterError(f"got a scale of {scale.n_features} features for rows of {rows.shape[1]}.")
        sums, counts = np.zeros(centers.shape, np.int64), np.zeros(len(centers), np.int64)
        offset, per_step, per_sq_step = np.asarray(scale.offset), 1 / scale.steps, 1 / scale.sq_step
        limits = 2.0**VALUE_BITS, 2.0**SQ_BITS
        inertia = 0
        for start in range(0, len(rows), BATCH_ROWS):
            batch = rows[start : start + BATCH_ROWS]
            steps, n_bad = accumulate(batch, centers, offset, per_step, per_sq_step, limits, sums, counts)
            if n_bad:
                raise not_finite(n_bad, len(batch))
            inertia += int(steps)
        return cls(sums, counts, inertia, scale)

    def __add__(self, other: Self) -> Self:
        if self.scale != other.scale or self.sums.shape != other.sums.shape:
            raise ClusterError("sums over other centres or another scale cannot be merged. Use one of each a round.")
        counts = self.counts + other.counts
        if int(counts.sum()) > MAX_ROWS:
            raise ClusterError(f"got more than {MAX_ROWS} rows, the most that 64-bit sums hold. Take a smaller sample.")
        return type(self)(self.sums + other.sums, counts, self.inertia_steps + other.inertia_steps, self.scale)

    @property
    def inertia(self) -> float:
        """Sum of squared distances to the nearest centre, in the rows' units squared."""
        return self.inertia_steps * self.scale.sq_step

    def finish(self, previous: npt.ArrayLike) -> Centers:
        """Means of the classes, shape (K, d); a class without rows keeps its ``previous`` centre."""
        centers = parse_centers(previous).copy()
        filled = self.counts > 0
        means = self.sums[filled] / self.counts[filled, None]
        centers[filled] = np.asarray(self.scale.offset) + means * self.scale.steps
        return centers


def check_rows(rows: Rows) -> Rows:
    if len(rows) == 0:
        raise ClusterError("got no rows, wanted at least one. Sample more frames, or check the movie's valid pixels.")
    n_bad = int(np.count_nonzero(~np.isfinite(rows).all(axis=1)))
    if n_bad:
        raise not_finite(n_bad, len(rows))
    return rows


def not_finite(n_bad: int, n_rows: int) -> ClusterError:
    return ClusterError(
        f"{n_bad} of {n_rows} rows hold NaN or inf, wanted finite numbers. Leave invalid points out of the sample."
    )
