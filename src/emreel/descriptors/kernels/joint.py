"""The careful path: points that the fast path left undecided, over the jointly valid pixels, with float64 sums.

Sums over the pixels that are valid in both patches, of one patch's values, are one-sided: they know the other patch
only by its mask. They go along the rows first, then down the columns. Where a tile's mask is a set of whole rows and
columns (the frame's rims and corners), the sums along rows serve all shifts that differ along y only, and where just
rows are missing, or just columns, the rest is shared as well; the trees of additions stay the same, so the bits do.
"""

from __future__ import annotations

import numpy as np

from emreel.descriptors.kernels.distances import CANCELLATION, UNDECIDED, count_undecided
from emreel.descriptors.kernels.flat import Array, kernel
from emreel.descriptors.kernels.planes import FLAT, HUGE, TINY, index_of
from emreel.descriptors.kernels.vectors import (
    LANES,
    all_hold,
    load,
    multiply_add,
    narrow,
    select,
    splat,
    sqrt,
    store,
    widen,
)  # fmt: skip
from emreel.descriptors.kernels.windows import list_terms, sum_across, sum_down

#: Jointly valid part of a patch below which a correlation means nothing and is 0.
MIN_VALID_PART = 1 / 16
#: Sums over jointly valid pixels: of one patch's values, and of their squares.
MOMENTS = 2


@kernel
def find_undecided(runs: Array, out: Array, n_grid_rows: int, n_cols: int, pitch: int, gap: int) -> int:
    """Runs of grid rows [first, end) that hold undecided points, and how many; runs ``gap`` rows apart are one."""
    n_runs = 0
    for row in range(n_grid_rows):
        if count_undecided(out[row * pitch : row * pitch + n_cols]) > 0:
            if n_runs == 0 or row - runs[n_runs - 1, 1] >= gap:
                runs[n_runs, 0] = row
                n_runs += 1
            runs[n_runs - 1, 1] = row + 1
    return n_runs


@kernel
def recount(undecided: Array, correlations: Array, n_grid_rows: int, n_cols: int, pitch: int) -> None:
    """How many points of each map are undecided."""
    for f in range(undecided.size):
        undecided[f] = 0
        for row in range(n_grid_rows):
            undecided[f] += count_undecided(correlations[f, row * pitch : row * pitch + n_cols])


@kernel
def _sum_pieces(
    pieces: Array, depth: int, planes: Array, others: Array, at_a: Array, at_b: Array,
    k0: int, k1: int, to: int, onto: int, n: int,
) -> None:  # fmt: skip
    """Joint sums over the columns k0 <= k < k1 of a block, row ``to`` of the pieces, on top of row ``onto``."""
    zero = splat(0.0)
    for e in range(0, n, LANES):
        total, square = zero, zero
        if onto >= 0:
            total, square = load(pieces, onto + e), load(pieces, depth + onto + e)
        for k in range(k0, k1):
            value = widen(load(planes, at_a[k] + e))
            weighted = value * widen(load(others, at_b[k] + e))
            total = total + weighted
            square = multiply_add(weighted, value, square)
        store(pieces, to + e, total)
        store(pieces, depth + to + e, square)


@kernel
def sum_rows(
    out: Array, planes: Array, others: Array, by_column: bool, corner: Array, y0: int, y1: int,
    side: int, stride: int, n_rows: int, pitch: int, n_cols: int, pieces: Array,
) -> None:  # fmt: skip
    """Sums along each of a tile's pixel rows [y0, y1), over the columns of patch a, of x_a o_b and of x_a x_a o_b.

    out : shape (MOMENTS, pixel row times pitch), float64, written. planes (x), others (o) : flat, see `planes`;
    by_column : ``others`` is one row, the same for all. corner : (y, x) of patches a and b. pieces : work, flat,
    shape (MOMENTS, rows as `sum_across` wants them and one for its tail, element).
    """
    length, rest = side // stride, side % stride
    width, depth = pitch + length + 2 * LANES, pieces.size // MOMENTS
    tail = depth - width
    levels, places, terms = np.empty(40, np.int64), np.empty(40, np.int64), np.empty(40, np.int64)
    n_terms = list_terms(levels, places, length)
    at_a, at_b = np.empty(stride, np.int64), np.empty(stride, np.int64)
    flat, per_moment = out.ravel(), out.shape[1]
    n_in = n_cols + length + (1 if rest > 0 else 0)
    for y in range(y0, y1):
        for k in range(stride):
            at_a[k] = index_of(y, corner[1] + k, stride, n_rows, pitch)
            other_x = corner[3] + k
            if by_column:
                at_b[k] = other_x % stride * pitch + other_x // stride
            else:
                at_b[k] = index_of(y - corner[0] + corner[2], other_x, stride, n_rows, pitch)
        if rest > 0:
            _sum_pieces(pieces, depth, planes, others, at_a, at_b, 0, rest, tail, -1, n_in)
        _sum_pieces(pieces, depth, planes, others, at_a, at_b, rest, stride, 0, tail if rest > 0 else -1, n_in)
        for moment in range(MOMENTS):
            here = moment * depth
            sum_across(
                flat, moment * per_moment + y * pitch, pieces, here, width, length,
                here + tail + length if rest > 0 else -1, n_cols, levels, places, n_terms, terms,
            )  # fmt: skip


@kernel
def sum_columns(
    out: Array, rows: Array, y: int, y0: int, y1: int, n_grid_rows: int, side: int, stride: int, pitch: int,
    col: int, n_cols: int, ring: Array, n_ring: int,
) -> None:  # fmt: skip
    """Sums of `sum_rows` over the rows of patches from pixel row ``y`` of the tile on, those within [y0, y1).

    out : shape (MOMENTS, grid row times pitch), float64, written. col : where in the rows the first grid point is.
    ring : work, flat, see `sum_down`.
    """
    length, rest = side // stride, side % stride
    extra = 1 if rest > 0 else 0
    levels, places, terms = np.empty(40, np.int64), np.empty(40, np.int64), np.empty(40, np.int64)
    n_terms = list_terms(levels, places, length)
    flat, per_moment = rows.ravel(), rows.shape[1]
    flat_out, per_out, per_ring = out.ravel(), out.shape[1], ring.size // MOMENTS
    at_tails = per_ring - n_ring * pitch - LANES
    zero = splat(0.0)
    for moment in range(MOMENTS):
        source, base = moment * per_moment + col, moment * per_ring
        for row in range(n_grid_rows + length + extra - 1):
            top = y + row * stride
            first, end = min(max(top, y0), y1), max(min(top + stride, y1), y0)
            middle = min(max(top + rest, first), end)
            here = base + (row & (n_ring - 1)) * pitch
            for e in range(0, n_cols, LANES):
                total = zero
                for line in range(first, middle):
                    total = total + load(flat, source + line * pitch + e)
                store(ring, at_tails + here + e, total)
                for line in range(middle, end):
                    total = total + load(flat, source + line * pitch + e)
                store(ring, here + e, total)
            sum_down(
                flat_out, moment * per_out + (row - length - extra + 1) * pitch, ring, base, row, n_ring, pitch,
                length, rest > 0, n_cols, levels, places, n_terms, base + at_tails, terms,
            )  # fmt: skip


@kernel
def decide(
    out: Array, distance: Array, n_joint: Array, a: Array, b: Array, products: Array,
    row0: int, row1: int, col: int, n_cols: int, side: int, pitch: int,
) -> int:  # fmt: skip
    """Decide the undecided points of grid rows [row0, row1), n_cols columns from ``col`` on; how many are left.

    n_joint : jointly valid pixels of the points from (row0, col) on, flat, -1 where a point is to be left as it is;
    a, b : `sum_columns` of both patches, alike.
    products : the same with x_b for others, or empty: the covariance is then taken from the squared distances, where
    it does not cancel.
    """
    n_least = splat(np.ceil(max(2.0, MIN_VALID_PART * side * side)) - 0.5)
    flat, tiny, huge, most = splat(FLAT), splat(TINY), splat(HUGE), splat(np.float32(1.5))
    half, one, minus_one, zero, limit = splat(0.5), splat(1.0), splat(-1.0), splat(0.0), splat(CANCELLATION)
    undecided = splat(UNDECIDED)
    sums_a, squares_a, sums_b, squares_b = a[0], a[1], b[0], b[1]
    with_products = products.size > 0
    n_left = 0
    for row in range(row0, row1):
        all_good = True
        for e in range(row * pitch + col, row * pitch + col + n_cols, LANES):
            known = load(out, e)
            if all_hold(known < most):
                continue
            f = e - row0 * pitch - col
            n = load(n_joint, f)
            sum_a, square_a, sum_b, square_b = load(sums_a, f), load(squares_a, f), load(sums_b, f), load(squares_b, f)
            per_n = one / n
            power_a, power_b = square_a - sum_a * sum_a * per_n, square_b - sum_b * sum_b * per_n
            alive = (n_least < n) & (flat * square_a < power_a) & (flat * square_b < power_b)
            root = sqrt(power_a * power_b)
            good = alive
            if with_products:
                value = (load(products, f) - sum_a * sum_b * per_n) / root
            else:
                step = sum_a - sum_b
                spread = half * (power_a + power_b + step * step * per_n)
                low, high = n * tiny, n * huge
                good = (low < power_a) & (low < power_b) & (power_a < high) & (power_b < high)
                good = good & (spread < limit * root)
                value = (spread - half * widen(load(distance, e))) / root
            value = select(value < one, value, one)
            value = select(minus_one < value, value, minus_one)
            value = select(alive, select(good, value, undecided), zero)
            now = select(known < most, known, select(n < zero, known, narrow(value)))
            store(out, e, now)
            all_good &= all_hold(now < most)
        if not all_good:
            n_left += count_undecided(out[row * pitch + col : row * pitch + col + n_cols])
    return n_left


@kernel
def find_slot(known: Array, x: int, other_x: int) -> int:
    """Where (x, other_x) is among ``known``, or may be put (-1 is there); all are forgotten when they are too many."""
    slot = 0
    while known[slot, 0] >= 0 and not (known[slot, 0] == x and known[slot, 1] == other_x):
        slot += 1
        if slot == known.shape[0]:
            slot = 0
            known[:] = -1
    return slot


@kernel
def mend_rim(
    correlations: Array, distances: Array, corners: Array, planes: Array, ones: Array, row_ends: Array, layout: Array,
    n_grid_rows: int, col: int, n_cols: int, known: Array, rows: Array, sums: Array, n_joint: Array, pieces: Array,
    ring: Array, n_ring: int,
) -> None:  # fmt: skip
    """Decide n_cols columns of all maps of a group in a tile whose valid pixels are whole rows.

    planes : with 0 for invalid pixels. ones : a row of them. row_ends : first and end of the valid rows. layout :
    side, stride, n_rows, pitch. col : the first grid column. known, rows : what `sum_rows` gave for a phase of
    columns, -1 where there is nothing yet. The rest is work.
    """
    side, stride, n_rows, pitch = layout[0], layout[1], layout[2], layout[3]
    y0, y1 = row_ends[0], row_ends[1]
    one_sided, nothing = np.zeros(4, np.int64), np.empty(0)
    for f in range(corners.shape[0]):
        ay, by = corners[f, 0], corners[f, 2]
        first = max(y0, y0 + ay - by)  # rows of patch a that are jointly valid
        end = max(min(y1, y1 + ay - by), first)
        for which in range(2):
            y, x, move = (ay, corners[f, 1], 0) if which == 0 else (by, corners[f, 3], by - ay)
            one_sided[1] = one_sided[3] = x % stride
            slot = find_slot(known, x % stride, 0)
            if known[slot, 0] < 0:
                known[slot] = x % stride, 0
                sum_rows(rows[slot], planes, ones, True, one_sided, y0, y1, side, stride, n_rows, pitch,
                         pitch - side // stride - 1, pieces)  # fmt: skip
            sum_columns(sums[which], rows[slot], y, first + move, end + move, n_grid_rows, side, stride, pitch,
                        x // stride + col, n_cols, ring, n_ring)  # fmt: skip
        for i in range(n_grid_rows):
            n_joint_rows = max(min(ay + i * stride + side, end) - max(ay + i * stride, first), 0)
            n_joint[i * pitch : i * pitch + n_cols] = n_joint_rows * side
            n_joint[i * pitch + n_cols : i * pitch + n_cols + LANES] = -1
        decide(correlations[f], distances[f], n_joint, sums[0], sums[1], nothing,
               0, n_grid_rows, col, n_cols, side, pitch)  # fmt: skip
