"""Which points of a movie the fit looks at: those with the lowest hash of their place in the movie.

A point's hash depends on its global index and the seed only, so neither chunks nor workers nor the
order of the work can change the sample. The hash is SplitMix64 (Steele, Lea, Flood, OOPSLA 2014), a
bijection of the index, so that two points never share one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numba
import numpy as np
import numpy.typing as npt

from emreel.cluster.errors import ClusterError

Hashes = npt.NDArray[np.uint64]
#: Rows that are plenty for seeding and restarts (16 features: 4 MiB).
RESERVOIR_ROWS = 65_536

_GOLDEN = 0x9E3779B97F4A7C15
_MASK = 2**64 - 1


def derive_seed(seed: int, *labels: int) -> int:
    """A 64-bit seed that belongs to ``seed`` and the labels, e.g. a movie's number or a restart's."""
    state = _mix((seed + _GOLDEN) & _MASK)
    for label in labels:
        state = _mix((state + _GOLDEN * ((label & _MASK) + 1)) & _MASK)
    return state


def draw_uniform(seed: int, *labels: int) -> float:
    """A number in [0, 1) that depends on the arguments only, on every machine."""
    return (derive_seed(seed, *labels) >> 11) * 2.0**-53


def select_points(
    frame_index: int,
    shape_yx_grid: tuple[int, int],
    n_points: int,
    seed: int,
    allowed: npt.NDArray[np.bool_] | None = None,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The ``n_points`` grid points of a frame with the lowest hash.

    Parameters
    ----------
    frame_index : the frame's number in its movie. Movies fitted together: give each a seed of its own,
        ``derive_seed(seed, movie_number)``.
    shape_yx_grid : the frame's grid, points.
    n_points : points wanted; all allowed points when there are no more.
    allowed : shape (y_grid, x_grid), False where a point must not be chosen (invalid data).

    Returns
    -------
    rows, cols : int64, in raster order.

    Raises
    ------
    ClusterError : empty grid, negative numbers, a mask of another shape.
    """
    height, width = shape_yx_grid
    if height < 1 or width < 1 or frame_index < 0 or n_points < 0:
        raise ClusterError(
            f"got frame {frame_index}, a grid of {height} x {width} points and {n_points} points to choose. "
            "Wanted a grid of at least one point and no negative number."
        )
    if allowed is not None and allowed.shape != (height, width):
        raise ClusterError(f"got a mask of shape {allowed.shape} for a grid of {height} x {width} points.")
    flat = np.empty(0, np.bool_) if allowed is None else np.ascontiguousarray(allowed, np.bool_).ravel()
    index = _lowest_indices(frame_index * height * width, height * width, n_points, derive_seed(seed), flat)
    return index // width, index % width


def point_hashes(
    frame_index: int, shape_yx_grid: tuple[int, int], rows: npt.ArrayLike, cols: npt.ArrayLike, seed: int
) -> Hashes:
    """Hashes of grid points, shape (n,) uint64; the ones that `select_points` ranks by."""
    height, width = shape_yx_grid
    index = np.asarray(rows, np.int64) * width + np.asarray(cols, np.int64) + frame_index * height * width
    return hash_indices(index, seed)


def hash_indices(indices: npt.ArrayLike, seed: int) -> Hashes:
    """SplitMix64 of non-negative indices, shape kept, uint64."""
    z = np.atleast_1d(np.asarray(indices)).astype(np.uint64) * np.uint64(_GOLDEN) + np.uint64(derive_seed(seed))
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(z ^ (z >> np.uint64(31)), np.uint64).reshape(np.shape(indices))


@dataclass(frozen=True, eq=False)
class Reservoir:
    """The rows with the lowest hashes seen so far, at most ``capacity`` of them; mergeable in any order.

    hashes : (m,) uint64, ascending. rows : (m, d) float32.
    """

    hashes: Hashes
    rows: npt.NDArray[np.float32]
    capacity: int

    @classmethod
    def of(cls, hashes: Hashes, rows: npt.ArrayLike, capacity: int) -> Self:
        """Rows, shape (n, d), each with its hash, shape (n,) (`point_hashes`).

        Raises
        ------
        ClusterError : numbers that do not fit, capacity below 1, rows that are not finite.
        """
        hashes, rows = np.asarray(hashes, np.uint64), np.asarray(rows, np.float32)
        if capacity < 1 or rows.ndim != 2 or hashes.shape != rows.shape[:1]:
            raise ClusterError(
                f"got {hashes.size} hashes, rows of shape {rows.shape} and capacity {capacity}. "
                "Wanted one hash a row, rows of shape (n, d) and room for at least one."
            )
        if not np.isfinite(rows).all():
            raise ClusterError("got rows that are not finite. Leave invalid points out of the sample.")
        return cls._lowest(hashes, rows, capacity)

    @classmethod
    def _lowest(cls, hashes: Hashes, rows: npt.NDArray[np.float32], capacity: int) -> Self:
        order = np.argsort(hashes, kind="stable")
        ranked = hashes[order]
        if np.any(ranked[1:] == ranked[:-1]):  # only if points of two movies share a seed: the rows' bits decide
            bits = np.ascontiguousarray(rows).view(np.uint32)
            order = np.lexsort((*bits.T[::-1], hashes))
        order = order[:capacity]
        return cls(hashes[order], rows[order], capacity)

    def __add__(self, other: Self) -> Self:
        if self.capacity != other.capacity or self.rows.shape[1] != other.rows.shape[1]:
            raise ClusterError(
                f"reservoirs of capacity {self.capacity} and {other.capacity}, {self.rows.shape[1]} and "
                f"{other.rows.shape[1]} features cannot be merged. Build both alike."
            )
        return self._lowest(
            np.concatenate((self.hashes, other.hashes)), np.concatenate((self.rows, other.rows)), self.capacity
        )

    def finish(self) -> npt.NDArray[np.float32]:
        """The rows kept, shape (m, d), in the order of their hashes: any first part is a fair sample, too."""
        return self.rows


def _mix(z: int) -> int:
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
    return z ^ (z >> 31)


def _lowest_indices(
    first: int, n_all: int, n_points: int, key: int, allowed: npt.NDArray[np.bool_]
) -> npt.NDArray[np.int64]:
    """Positions, ascending, of the n_points lowest hashes among first .. first + n_all."""
    n_allowed = int(np.count_nonzero(allowed)) if allowed.size else n_all
    wanted = min(n_points, n_allowed)
    if wanted == 0:
        return np.empty(0, np.int64)
    if wanted == n_allowed:
        return np.flatnonzero(allowed).astype(np.int64) if allowed.size else np.arange(n_all, dtype=np.int64)
    expected = wanted + 6 * wanted**0.5 + 8  # hashes are uniform: a cut that nearly always lets enough through
    while True:
        cut = min(int(expected / n_allowed * 2.0**64), _MASK)
        index = np.empty(min(n_allowed, int(2 * expected) + 64), np.int64)
        hashes = np.empty(index.size, np.uint64)
        found = _below(np.uint64(first), n_all, np.uint64(key), np.uint64(cut), allowed, index, hashes)
        if wanted <= found <= index.size:
            break
        expected *= 2
    lowest = np.argpartition(hashes[:found], wanted - 1)[:wanted]
    return np.sort(index[lowest])


@numba.njit(cache=True, nogil=True)
def _below(first, n_all, key, cut, allowed, index, hashes):  # type: ignore[no-untyped-def]
    """Collect the positions whose hash is at most ``cut``; returns how many there are, room or not."""
    found = 0
    state = first * np.uint64(0x9E3779B97F4A7C15) + key
    for i in range(n_all):
        z = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
        state += np.uint64(0x9E3779B97F4A7C15)
        if z <= cut and (allowed.size == 0 or allowed[i]):
            if found < index.size:
                index[found] = i
                hashes[found] = z
            found += 1
    return found
