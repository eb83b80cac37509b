"""From scores on the grid to regions on the pixels, one region after another. Plain loops for numba."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

_compile: Any = numba.njit(cache=True, nogil=True)


@_compile  # type: ignore[untyped-decorator]
def paint(
    best: npt.NDArray[np.float32],
    region: npt.NDArray[np.uint32],
    score: npt.NDArray[np.float32],
    number: int,
    corner_y: int,
    corner_x: int,
    stride: int,
) -> None:
    """Where ``score``, linear between grid points, is larger than ``best``, it becomes that, and the region ``number``.

    best, region : shape (y, x). score : shape (n_y, n_x), of grid points from (corner_y, corner_x) on; it goes on flat
    beyond its last points, at most to the next one. The first region of equal scores stays.
    """
    n_y, n_x = score.shape
    y_end = min((corner_y + n_y) * stride, best.shape[0])
    x_end = min((corner_x + n_x) * stride, best.shape[1])
    line = np.empty(n_x, np.float32)
    for y in range(corner_y * stride, y_end):
        i = y // stride - corner_y
        below = min(i + 1, n_y - 1)
        weight_y = np.float32(y % stride) / np.float32(stride)
        for j in range(n_x):
            line[j] = score[i, j] + weight_y * (score[below, j] - score[i, j])
        for x in range(corner_x * stride, x_end):
            j = x // stride - corner_x
            right = min(j + 1, n_x - 1)
            weight_x = np.float32(x % stride) / np.float32(stride)
            value = line[j] + weight_x * (line[right] - line[j])
            if value > best[y, x]:
                best[y, x] = value
                region[y, x] = number
