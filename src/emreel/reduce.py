"""Mergeable moments and the principal components that follow from them.

`Moments` are exact. Every value is cut into three digits of 20 bits on an absolute grid of powers of two;
products of digits are integers of at most 38 bits, so that a matrix product of a block of rows is exact in float64
whatever order the BLAS sums in (the idea of Ozaki et al., Numer. Algorithms 59 (2012) 95), and its int64 sums
are the same for any chunking, any order and any grouping. Digits are counted from the largest value of
each feature, wherever it lies in the movie, as in the binned sums of Demmel & Nguyen (IEEE Trans.
Comput. 64 (2015) 2060): 40 bits or more below the largest value are kept, and all 24 of a float32 unless it is below
2^-17 of the largest. No pass over the data is needed to find a scale.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numba
import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from emreel.movie import EmreelError

Vector = npt.NDArray[np.float64]
Matrix = npt.NDArray[np.float64]

_DIGIT_BITS = 20
_N_DIGITS = 3
_LOWEST = -25  # values below 2^-500 count as zero
#: int64 holds this many products of two digits.
MAX_ROWS = 2**24
_BLOCK_VALUES = 2**21
_BLOCK_ROWS = 2**15  # a block's products must stay below 2^53


class ReduceError(EmreelError, ValueError):
    """The rows cannot be reduced as asked."""


@dataclass(frozen=True, eq=False)
class Moments:
    """Exact count, sums and products of rows of d features; a mergeable partial.

    top : (d,) int64; the highest digit of feature j counts 2^(20 top[j]). first : (3 d,) int64, sums of the digits
    (digit-major). second : (3 d, 3 d) int64, sums of their products.
    """

    count: int
    top: npt.NDArray[np.int64]
    first: npt.NDArray[np.int64]
    second: npt.NDArray[np.int64]

    @classmethod
    def of(cls, rows: npt.ArrayLike) -> Self:
        """Moments of a batch of rows, shape (n, d).

        Raises
        ------
        ReduceError : not two-dimensional, no feature, or values that are not finite or beyond 2^400.
        """
        batch = np.asarray(rows)
        if batch.ndim != 2 or batch.shape[1] == 0:
            raise ReduceError(f"got rows of shape {batch.shape}, wanted (n, d). Use rows.reshape(-1, d).")
        if len(batch) > MAX_ROWS:
            raise _too_many(len(batch))
        if batch.dtype != np.float32:
            batch = batch.astype(np.float64)
        n_features = batch.shape[1]
        largest = np.abs(batch).max(axis=0, initial=0).astype(np.float64)
        if not np.all(largest < 2.0**400):  # NaN, too
            raise ReduceError("rows must be finite and below 2^400. Leave invalid points out of the sample.")
        top = _top_digits(largest)
        first = np.zeros(_N_DIGITS * n_features, np.int64)
        second = np.zeros((first.size, first.size), np.int64)
        block = min(_BLOCK_ROWS, max(256, _BLOCK_VALUES // first.size))
        for start in range(0, len(batch), block):
            digits = _split(batch[start : start + block].astype(np.float64), top)
            first += digits.sum(axis=0).astype(np.int64)
            second += (digits.T @ digits).astype(np.int64)
        return cls(len(batch), top, first, second)

    def __add__(self, other: Self) -> Self:
        if self.top.shape != other.top.shape:
            raise ReduceError(f"moments of {self.top.size} and {other.top.size} features cannot be merged.")
        count = self.count + other.count
        if count > MAX_ROWS:
            raise _too_many(count)
        top = np.maximum(self.top, other.top)
        a, b = self._raised(top), other._raised(top)
        return type(self)(count, top, a.first + b.first, a.second + b.second)

    def _raised(self, top: npt.NDArray[np.int64]) -> Self:
        """The same moments counted from higher digits; what falls below the lowest digit is dropped."""
        n_features = self.top.size
        if np.array_equal(top, self.top):
            return self
        source = (np.arange(_N_DIGITS)[:, None] - (top - self.top)) * n_features + np.arange(n_features)
        source = source.ravel()
        kept = source >= 0
        taken = np.where(kept, source, 0)
        second = self.second[np.ix_(taken, taken)] * np.outer(kept, kept)
        return type(self)(self.count, top, self.first[taken] * kept, second)

    def finish(self) -> tuple[Vector, Matrix]:
        """Mean, shape (d,), and covariance (divided by n - 1; zero for one row), shape (d, d), each rounded once.

        Raises
        ------
        ReduceError : no rows.
        """
        if self.count == 0:
            raise ReduceError("got no rows, wanted at least one. Sample more frames, or check the movie's mask.")
        n_features = self.top.size
        weights = [1 << (_DIGIT_BITS * (_N_DIGITS - 1 - digit)) for digit in range(_N_DIGITS)]
        first: Any = 0
        for weight, digits in zip(weights, self.first.reshape(_N_DIGITS, -1).astype(object), strict=True):
            first = first + weight * digits
        blocks = self.second.reshape(_N_DIGITS, n_features, _N_DIGITS, n_features)
        second: Any = 0
        for left in range(_N_DIGITS):
            for right in range(_N_DIGITS):
                second = second + (weights[left] * weights[right]) * blocks[left, :, right].astype(object)
        lowest = _DIGIT_BITS * (self.top - (_N_DIGITS - 1))
        mean = np.ldexp((first / self.count).astype(np.float64), lowest)
        spread = (second * self.count - np.multiply.outer(first, first)) / (self.count * max(self.count - 1, 1))
        return mean, np.ldexp(spread.astype(np.float64), np.add.outer(lowest, lowest))


class PCA:
    """Principal components from moments, unscaled, in scikit-learn's manners.

    Parameters
    ----------
    n_components : components kept; ``None`` keeps the features as they are (mean 0, identity), for descriptors whose
        features are already physical.

    Learned by fitting
    ------------------
    components_ : (n_components, d) float64, orthonormal rows, the largest loading of each positive (the first of
        equals). mean_ : (d,). explained_variance_, explained_variance_ratio_ : (n_components,); zeros when
        nothing varies. n_rows_ : rows seen.
    """

    def __init__(self, n_components: int | None = 5) -> None:
        self.n_components = n_components

    def fit(self, rows: npt.ArrayLike) -> Self:
        """Fit rows in memory, shape (n, d)."""
        return self.fit_moments(Moments.of(rows))

    def fit_moments(self, moments: Moments) -> Self:
        """Fit what the moments saw.

        Raises
        ------
        ReduceError : no rows, or more components than features.
        """
        mean, covariance = moments.finish()
        n_features = mean.size
        total = float(np.trace(covariance))
        if self.n_components is None:
            self.mean_, self.components_ = np.zeros(n_features), np.eye(n_features)
            variance = np.diag(covariance).copy()
        else:
            if not 1 <= self.n_components <= n_features:
                raise ReduceError(
                    f"got n_components = {self.n_components} for {n_features} features. "
                    f"Choose 1 to {n_features}, or None to keep the features as they are."
                )
            variance, components = _principal_axes(covariance)
            self.mean_ = mean
            self.components_ = components[: self.n_components]
            variance = variance[: self.n_components]
        self.explained_variance_ = variance
        self.explained_variance_ratio_ = variance / total if total > 0 else np.zeros_like(variance)
        self.n_rows_ = moments.count
        return self

    def transform(self, rows: npt.ArrayLike) -> npt.NDArray[np.float32]:
        """Projected rows, shape (n, n_components)."""
        return project_rows(rows, self.mean_, self.components_)


def project_rows(rows: npt.ArrayLike, mean: npt.ArrayLike, components: npt.ArrayLike | None) -> npt.NDArray[np.float32]:
    """(rows - mean) @ components.T, each row on its own, so that the bits do not depend on the batch.

    rows : shape (..., d). mean : shape (d,). components : shape (k, d), or None to subtract the mean only.
    Returns shape (..., k) float32, summed in float64 over the features in their order.

    Raises
    ------
    ReduceError : shapes that do not fit.
    """
    batch = np.asarray(rows, np.float32)
    center = np.ascontiguousarray(mean, np.float64)
    axes = None if components is None else np.ascontiguousarray(components, np.float64)
    fits = batch.ndim > 0 and center.ndim == 1 and batch.shape[-1] == center.size
    if not fits or (axes is not None and (axes.ndim != 2 or axes.shape[1] != center.size)):
        shape = None if axes is None else axes.shape
        raise ReduceError(
            f"got rows of shape {batch.shape}, a mean of {center.shape} and components of {shape}; wanted "
            "(..., d), (d,) and (k, d). Use the projection that was learned from these features."
        )
    if axes is None:
        return (batch - center).astype(np.float32)
    flat = np.ascontiguousarray(batch.reshape(-1, center.size))
    out = np.empty((len(flat), len(axes)), np.float32)
    _project(flat, center, axes, out)
    return out.reshape(*batch.shape[:-1], len(axes))


def _too_many(count: int) -> ReduceError:
    return ReduceError(f"got {count} rows, more than the {MAX_ROWS} that exact sums hold. Take a smaller sample.")


def _top_digits(largest: Vector) -> npt.NDArray[np.int64]:
    """Per feature the lowest digit that holds its largest value: |x| <= 2^(20 top + 19)."""
    mantissa, exponent = np.frexp(largest)
    exponent = exponent - (mantissa == 0.5)  # |x| <= 2^exponent
    top = -((_DIGIT_BITS - 1 - exponent) // _DIGIT_BITS)
    return np.where(largest > 0, np.maximum(top, _LOWEST), _LOWEST).astype(np.int64)


def _split(rows: Matrix, top: npt.NDArray[np.int64]) -> Matrix:
    """Digits of the rows, shape (n, 3 d), integers of at most 2^19; the grid is absolute, so top only cuts it off."""
    digits = np.empty((rows.shape[0], _N_DIGITS, rows.shape[1]))
    for digit in range(_N_DIGITS):
        unit = np.ldexp(1.0, _DIGIT_BITS * (top - digit))
        np.rint(rows / unit, out=digits[:, digit])
        rows = rows - digits[:, digit] * unit
    return digits.reshape(rows.shape[0], -1)


def _principal_axes(covariance: Matrix) -> tuple[Vector, Matrix]:
    """Eigenvalues, descending and not negative, and eigenvectors as rows with their largest entry positive."""
    with threadpool_limits(limits=1, user_api="blas"):  # LAPACK's bits may change with its number of threads
        values, vectors = np.linalg.eigh(covariance)
    axes = vectors.T[::-1]
    sizes = np.abs(axes)
    first_largest = np.argmax(sizes > (1 - 1e-9) * sizes.max(axis=1, keepdims=True), axis=1)
    loadings = axes[np.arange(len(axes)), first_largest]
    return np.maximum(values[::-1], 0.0), np.ascontiguousarray(axes * np.where(loadings < 0, -1.0, 1.0)[:, None])


@numba.njit(cache=True, nogil=True)
def _project(rows, mean, components, out):  # type: ignore[no-untyped-def]
    block = 64
    n_features, n_components = components.shape[1], components.shape[0]
    columns, total = np.zeros((n_features, block)), np.empty(block)
    for start in range(0, rows.shape[0], block):
        count = min(block, rows.shape[0] - start)
        for b in range(count):
            for j in range(n_features):
                columns[j, b] = rows[start + b, j] - mean[j]
        for k in range(n_components):
            for b in range(block):
                total[b] = 0.0
            for j in range(n_features):
                weight = components[k, j]
                column = columns[j]
                for b in range(block):
                    total[b] += weight * column[b]
            for b in range(count):
                out[start + b, k] = total[b]
