"""Everything that is measured of a frame, in one pass over its rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from emreel.descriptors.kernels.flat import kernel
from emreel.descriptors.kernels.vectors import LANES, load, select, splat, store

Array = npt.NDArray[Any]


@kernel
def _take_row(values: Array, row: Array, largest: float) -> int:
    """values = the row, NaN where it is not below ``largest``; how many pixels are."""
    count = 0
    for x in range(row.size):
        value = np.float64(row[x])
        good = abs(value) < largest
        values[x] = value if good else np.nan
        count += 1 if good else 0
    return count


@kernel
def measure_rows(
    band: Array, largest: float, row_sum: Array, row_count: Array, row_min: Array, row_max: Array, row_at_min: Array,
    column_min: Array, column_max: Array,
) -> None:  # fmt: skip
    """Fill what `FrameSums` holds; column_min, column_max : float64, `LANES` longer than a row, +inf and -inf.

    Pixels that are not below ``largest`` count nothing. A sum is `LANES` running sums, added from the first to the
    last: the same bits for a row whatever band it comes in.
    """
    width = band.shape[1]
    values = np.full(width + LANES, np.nan)
    lanes = np.empty(LANES)
    zero, one, above, below = splat(0.0), splat(1.0), splat(np.inf), splat(-np.inf)
    for y in range(band.shape[0]):
        row_count[y] = _take_row(values, band[y], largest)
        total, low, high = zero, above, below
        for x in range(0, width, LANES):
            value = load(values, x)
            total = total + select(value == value, value, zero)
            low = select(value < low, value, low)
            high = select(high < value, value, high)
            now = load(column_min, x)
            store(column_min, x, select(value < now, value, now))
            now = load(column_max, x)
            store(column_max, x, select(now < value, value, now))
        row_sum[y], row_min[y], row_max[y] = 0.0, np.inf, -np.inf
        store(lanes, 0, total)
        for k in range(LANES):
            row_sum[y] += lanes[k]
        store(lanes, 0, low)
        for k in range(LANES):
            row_min[y] = min(row_min[y], lanes[k])
        store(lanes, 0, high)
        for k in range(LANES):
            row_max[y] = max(row_max[y], lanes[k])
        lowest, count = splat(row_min[y]), zero
        for x in range(0, width, LANES):
            count = count + select(load(values, x) == lowest, one, zero)
        store(lanes, 0, count)
        row_at_min[y] = np.int64(lanes.sum())
