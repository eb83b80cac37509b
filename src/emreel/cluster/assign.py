"""Nearest centre, by a kernel whose bits do not depend on the block a row comes in.

Every row is worked on alone: its squared distance to a centre is summed over the features in their
order, in float64, and rows are only laid side by side so that the processor can take several at
once. BLAS would sum in an order that changes with the block's shape.

All kernels of the clustering that look for a nearest centre live here, because numba's cache does
not notice a change in a function of another module.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from emreel.cluster.errors import ClusterError

Rows = npt.NDArray[np.float32]  # (row, feature)
Centers = npt.NDArray[np.float64]  # (class, feature)

_BLOCK = 64


def assign(rows: npt.ArrayLike, centers: npt.ArrayLike) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
    """Nearest centre of every row; the lower class wins a tie.

    Parameters
    ----------
    rows : shape (n, d).
    centers : shape (K, d).

    Returns
    -------
    labels, shape (n,), 0..K-1, and squared distance to that centre, shape (n,), in the rows' units
    squared. A row that is not finite gets class 0 and distance inf.

    Raises
    ------
    ClusterError : shapes that do not fit.
    """
    rows, centers = parse_rows(rows), parse_centers(centers)
    check_fit(rows, centers)
    labels = np.empty(len(rows), np.int32)
    sq_distances = np.empty(len(rows), np.float32)
    _assign(rows, centers, labels, sq_distances)
    return labels, sq_distances


def squared_distances(rows: npt.ArrayLike, centers: npt.ArrayLike) -> npt.NDArray[np.float32]:
    """Squared distance of every row to every centre, shape (n, K)."""
    rows, centers = parse_rows(rows), parse_centers(centers)
    check_fit(rows, centers)
    out = np.empty((len(rows), len(centers)), np.float32)
    _all_distances(rows, centers, out)
    return out


def discriminants(rows: npt.ArrayLike, centers: npt.ArrayLike) -> npt.NDArray[np.float32]:
    """Linear scores whose largest entry is the nearest centre, shape (n, K).

    score_k = (x - m).(c_k - m) - |c_k - m|^2 / 2 with m the mean of the centres: up to a constant of the
    row that is c_k.x - |c_k|^2 / 2 = (|x|^2 - |x - c_k|^2) / 2, but without the loss of digits when all
    centres lie far from zero. Linear in x, so that interpolating scores is interpolating features.
    """
    rows, centers = parse_rows(rows), parse_centers(centers)
    check_fit(rows, centers)
    middle = centers.mean(axis=0)
    directions = np.ascontiguousarray(centers - middle)
    offsets = np.zeros(len(centers))
    for feature in range(centers.shape[1]):
        offsets += directions[:, feature] * (middle[feature] + directions[:, feature] / 2)
    out = np.empty((len(rows), len(centers)), np.float32)
    _linear(rows, directions, offsets, out)
    return out


def parse_rows(rows: npt.ArrayLike) -> Rows:
    """Rows as a contiguous float32 array of shape (n, d), d >= 1."""
    parsed = np.ascontiguousarray(rows, dtype=np.float32)
    if parsed.ndim != 2 or parsed.shape[1] == 0:
        raise ClusterError(
            f"got rows of shape {parsed.shape}, wanted (n, d) with at least one feature. Use rows.reshape(-1, d)."
        )
    return parsed


def parse_centers(centers: npt.ArrayLike) -> Centers:
    """Centres as a contiguous float64 array of shape (K, d), K >= 1, all finite."""
    parsed = np.ascontiguousarray(centers, dtype=np.float64)
    if parsed.ndim != 2 or 0 in parsed.shape:
        raise ClusterError(f"got centres of shape {parsed.shape}, wanted (K, d), at least one centre of one feature.")
    if not np.isfinite(parsed).all():
        raise ClusterError("got centres that are not finite. Give finite numbers.")
    return parsed


def check_fit(rows: npt.NDArray[Any], centers: Centers) -> None:
    """Rows and centres have the same features."""
    if rows.shape[1] != centers.shape[1]:
        raise ClusterError(
            f"got rows of {rows.shape[1]} features for centres of {centers.shape[1]}. Project both the same way."
        )


@numba.njit(cache=True, nogil=True)
def _load(rows, start, columns):  # type: ignore[no-untyped-def]
    """Lay up to _BLOCK rows side by side, (d, _BLOCK) float64; returns how many."""
    count = min(_BLOCK, rows.shape[0] - start)
    for b in range(count):
        for j in range(rows.shape[1]):
            columns[j, b] = rows[start + b, j]
    return count


@numba.njit(cache=True, nogil=True)
def _distances(columns, centers, k, total):  # type: ignore[no-untyped-def]
    """Squared distances of a block to centre k, features summed in their order."""
    for b in range(_BLOCK):
        total[b] = 0.0
    for j in range(centers.shape[1]):
        c = centers[k, j]
        column = columns[j]
        for b in range(_BLOCK):
            t = column[b] - c
            total[b] += t * t


@numba.njit(cache=True, nogil=True)
def _nearest(columns, centers, total, best, label):  # type: ignore[no-untyped-def]
    for b in range(_BLOCK):
        best[b] = np.inf
        label[b] = 0
    for k in range(centers.shape[0]):
        _distances(columns, centers, k, total)
        for b in range(_BLOCK):
            closer = total[b] < best[b]
            best[b] = total[b] if closer else best[b]
            label[b] = k if closer else label[b]


@numba.njit(cache=True, nogil=True)
def _assign(rows, centers, labels, sq_distances):  # type: ignore[no-untyped-def]
    columns = np.zeros((rows.shape[1], _BLOCK))
    total, best, label = np.empty(_BLOCK), np.empty(_BLOCK), np.empty(_BLOCK, np.int64)
    for start in range(0, rows.shape[0], _BLOCK):
        count = _load(rows, start, columns)
        _nearest(columns, centers, total, best, label)
        for b in range(count):
            labels[start + b] = label[b]
            sq_distances[start + b] = best[b]


@numba.njit(cache=True, nogil=True)
def _all_distances(rows, centers, out):  # type: ignore[no-untyped-def]
    columns, total = np.zeros((rows.shape[1], _BLOCK)), np.empty(_BLOCK)
    for start in range(0, rows.shape[0], _BLOCK):
        count = _load(rows, start, columns)
        for k in range(centers.shape[0]):
            _distances(columns, centers, k, total)
            for b in range(count):
                out[start + b, k] = total[b]


@numba.njit(cache=True, nogil=True)
def _linear(rows, directions, offsets, out):  # type: ignore[no-untyped-def]
    """out = rows @ directions.T - offsets, each row summed over its features in their order."""
    columns, total = np.zeros((rows.shape[1], _BLOCK)), np.empty(_BLOCK)
    for start in range(0, rows.shape[0], _BLOCK):
        count = _load(rows, start, columns)
        for k in range(directions.shape[0]):
            for b in range(_BLOCK):
                total[b] = -offsets[k]
            for j in range(directions.shape[1]):
                c = directions[k, j]
                column = columns[j]
                for b in range(_BLOCK):
                    total[b] += c * column[b]
            for b in range(count):
                out[start + b, k] = total[b]


@numba.njit(cache=True, nogil=True)
def accumulate(rows, centers, offset, per_step, per_sq_step, limits, sums, counts):  # type: ignore[no-untyped-def]
    """Add every row, in fixed point, to the sums of its nearest centre.

    A feature is worth rint((x - offset) per_step), cut at +-limits[0]. Returns the squared distances' sum
    in units of 1 / per_sq_step (each cut at limits[1]), and the number of rows that are not finite.
    """
    limit, sq_limit = limits
    n_features = rows.shape[1]
    columns = np.zeros((n_features, _BLOCK))
    total, best, label = np.empty(_BLOCK), np.empty(_BLOCK), np.empty(_BLOCK, np.int64)
    inertia, n_bad = np.int64(0), 0
    for start in range(0, rows.shape[0], _BLOCK):
        count = _load(rows, start, columns)
        _nearest(columns, centers, total, best, label)
        for b in range(count):
            if not best[b] < np.inf:
                n_bad += 1
                continue
            counts[label[b]] += 1
            inertia += np.int64(np.rint(min(best[b] * per_sq_step, sq_limit)))
        for j in range(n_features):
            column = columns[j]
            for b in range(_BLOCK):
                total[b] = np.rint(max(-limit, min(limit, (column[b] - offset[j]) * per_step[j])))
            for b in range(count):
                if best[b] < np.inf:
                    sums[label[b], j] += np.int64(total[b])
    return inertia, n_bad


@numba.njit(cache=True, nogil=True)
def scatter(rows, centers, directions, per_sq_step, sq_limit, counts, sq_sums, along, labels, nearest):  # type: ignore[no-untyped-def]
    """Per class: rows, squared distances and squared distances along ``directions``, in fixed point.

    Fills labels and nearest (squared distances) too; returns the number of rows that are not finite.
    """
    columns = np.zeros((rows.shape[1], _BLOCK))
    total, best, label = np.empty(_BLOCK), np.empty(_BLOCK), np.empty(_BLOCK, np.int64)
    n_bad = 0
    for start in range(0, rows.shape[0], _BLOCK):
        count = _load(rows, start, columns)
        _nearest(columns, centers, total, best, label)
        for b in range(count):
            k = label[b]
            labels[start + b], nearest[start + b] = k, best[b]
            if not best[b] < np.inf:
                n_bad += 1
                continue
            inside = 0.0
            for i in range(directions.shape[0]):
                part = 0.0
                for j in range(directions.shape[1]):
                    part += directions[i, j] * (columns[j, b] - centers[k, j])
                inside += part * part
            counts[k] += 1
            sq_sums[k] += np.int64(np.rint(min(best[b] * per_sq_step, sq_limit)))
            along[k] += np.int64(np.rint(min(inside * per_sq_step, sq_limit)))
    return n_bad


@numba.njit(cache=True, nogil=True)
def lower_to(rows, row, closest, out):  # type: ignore[no-untyped-def]
    """out = the smaller of ``closest`` and the squared distance to rows[row]; returns out's sum in row order."""
    columns, total = np.zeros((rows.shape[1], _BLOCK)), np.empty(_BLOCK)
    center = rows[row : row + 1].astype(np.float64)
    potential = 0.0
    for start in range(0, rows.shape[0], _BLOCK):
        count = _load(rows, start, columns)
        _distances(columns, center, 0, total)
        for b in range(count):
            out[start + b] = min(closest[start + b], total[b])
            potential += out[start + b]
    return potential
