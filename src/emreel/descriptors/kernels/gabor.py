"""A Gaussian passband cut out of a spectrum and folded onto a coarser grid. Plain loops for numba.

A passband is an ellipse around its own middle; outside it counts as nothing, and only its own bins are ever
touched. What does not fit into the coarse grid's spectrum is folded into it (an alias has the same value on
every coarse point), so that taking every ``step``-th point of a filtered image costs no accuracy, and an inverse
transform of 1 / step^2 the size.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.float32]

_compile: Any = numba.njit(cache=True, nogil=True, fastmath={"contract"}, error_model="numpy")


@_compile  # type: ignore[untyped-decorator]
def add_passband(
    out: Image,
    spectrum: Image,
    corner_yx: tuple[int, int],
    middle_yx: tuple[float, float],
    form: tuple[float, float, float],
    cut: float,
    quarter_turn: bool,
) -> None:
    """Add ``spectrum * exp(-q / 2)`` wherever ``q = a y^2 + 2 b y x + c x^2`` about the middle is at most ``cut``.

    out : shape (rows, 2 columns), real and imaginary parts side by side; bin ``corner_yx`` lies first, indices wrap.
    spectrum : shape (n_y, 2 n_x), of the fine grid; indices wrap.
    middle_yx : middle of the passband in bins, any fraction. form : (a, b, c), per bin^2.
    quarter_turn : add 1j times as much.
    """
    a, b, c = form
    n_y, n_x = spectrum.shape[0], spectrum.shape[1] // 2
    rows, columns = out.shape[0], out.shape[1] // 2
    reach_y = np.sqrt(cut * c / (a * c - b * b))
    widest = int(2 * np.sqrt(cut / c)) + 3
    bell, power = np.empty(widest), np.empty(widest)
    gain = np.empty(2 * widest, np.float32)
    for i in range(widest):
        bell[i] = np.exp(-0.5 * c * i * i)
    for y in range(int(np.ceil(middle_yx[0] - reach_y)), int(np.floor(middle_yx[0] + reach_y)) + 1):
        dy = y - middle_yx[0]
        ridge = middle_yx[1] - b / c * dy
        aside = (a - b * b / c) * dy * dy
        if aside > cut:
            continue
        half = np.sqrt((cut - aside) / c)
        first = int(np.ceil(ridge - half))
        n = int(np.floor(ridge + half)) - first + 1
        if n < 1:
            continue
        # exp(-c (i - f)^2 / 2) = exp(-c i^2 / 2) exp(c f i) exp(-c f^2 / 2), i from the row's first bin on
        f = ridge - first
        start = np.exp(-0.5 * (c * f * f + aside))
        for i in range(min(n, 8)):
            power[i] = start * np.exp(c * f * i)
        ratio = np.exp(8 * c * f)
        for i in range(8, n):
            power[i] = power[i - 8] * ratio
        for i in range(n):
            g = np.float32(power[i] * bell[i])
            gain[2 * i] = g
            gain[2 * i + 1] = g
        source, target = spectrum[y % n_y], out[(y - corner_yx[0]) % rows]
        done, k, j = 0, first % n_x, (first - corner_yx[1]) % columns
        while done < n:
            run = min(n - done, min(n_x - k, columns - j))
            s, t, g2 = source[2 * k : 2 * (k + run)], target[2 * j : 2 * (j + run)], gain[2 * done : 2 * (done + run)]
            if quarter_turn:
                for i in range(run):
                    t[2 * i] -= g2[2 * i] * s[2 * i + 1]
                    t[2 * i + 1] += g2[2 * i] * s[2 * i]
            else:
                for i in range(2 * run):
                    t[i] += g2[i] * s[i]
            done += run
            k, j = (k + run) % n_x, (j + run) % columns


@_compile  # type: ignore[untyped-decorator]
def pick_power(out: Image, response: Image, first_yx: tuple[int, int], scale: float) -> None:
    """``out[i, j] = scale |response|^2`` at (first + (i, j)); response (rows, 2 columns), indices wrap."""
    rows, columns = response.shape[0], response.shape[1] // 2
    weight = np.float32(scale)
    for i in range(out.shape[0]):
        source, target = response[(i + first_yx[0]) % rows], out[i]
        done, j = 0, first_yx[1] % columns
        while done < target.size:
            run = min(target.size - done, columns - j)
            s, t = source[2 * j : 2 * (j + run)], target[done : done + run]
            for x in range(run):
                t[x] = weight * (s[2 * x] * s[2 * x] + s[2 * x + 1] * s[2 * x + 1])
            done += run
            j = (j + run) % columns


@_compile  # type: ignore[untyped-decorator]
def divide_power(power: Image, cover: Image, floor: float, least: float) -> None:
    """``power / cover^2 - floor / cover`` in place; 0 where less than ``least`` of the filter is covered."""
    floor32, least32 = np.float32(floor), np.float32(least)
    for i in range(power.shape[0]):
        p, c = power[i], cover[i]
        for j in range(p.size):
            per_cover = np.float32(1) / max(c[j], least32)
            value = (p[j] * per_cover - floor32) * per_cover
            p[j] = value if c[j] > least32 else np.float32(0)


@_compile  # type: ignore[untyped-decorator]
def flatten(
    image: Image, weight: Image, mean: Image, brightness: Image, step: int, exponent: float, least: float
) -> Image:
    """``(image - mean) / max(brightness, least) ** exponent * weight``, shape (y, x).

    mean, brightness : shape (at least (y - 1) // step + 2, the same for x), linear between every ``step``-th pixel.
    """
    height, width = image.shape
    out = np.empty((height, width), np.float32)
    n_cells = (width - 1) // step + 1
    least32, power = np.float32(least), np.float32(exponent)
    level, shine = np.empty(n_cells * step, np.float32), np.empty(n_cells * step, np.float32)
    for y in range(height):
        above, i = np.float32(y % step) / np.float32(step), y // step
        for k in range(step):
            share = np.float32(k) / np.float32(step)
            for j in range(n_cells):
                for field, line in ((mean, level), (brightness, shine)):
                    left = field[i, j] + above * (field[i + 1, j] - field[i, j])
                    right = field[i, j + 1] + above * (field[i + 1, j + 1] - field[i, j + 1])
                    line[j * step + k] = left + share * (right - left)
        for x in range(width):
            scale = max(shine[x], least32) ** -power
            out[y, x] = (image[y, x] - level[x]) * scale * weight[y, x]
    return out


@_compile  # type: ignore[untyped-decorator]
def add_weighted(out: Image, weights: npt.NDArray[np.float32], image: Image) -> None:
    """``out[k] += weights[k] * image`` for every k; out (k, rows, columns)."""
    for k in range(out.shape[0]):
        w = weights[k]
        for i in range(image.shape[0]):
            target, source = out[k, i], image[i]
            for j in range(source.size):
                target[j] += w * source[j]
