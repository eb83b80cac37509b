"""Separable filters that give every ``step``-th row only, and standardised counts. Plain loops for numba.

All of them run on rows: the inner loop goes along the second axis, so that it vectorises, and no sum ever
runs along it. Every output is the same sum in the same order wherever its tile begins, so tiles equal the
whole frame to the bit. ``fastmath`` allows fused multiply-adds only, and every statement adds one product, so
that there is one way to fuse it, in the vectorised loop and in its remainder alike.
The lock-in's sources carry their own margin of zeros; no kernel looks over an edge.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from emreel.descriptors.kernels.vectors import LANES, load, multiply_add, splat, store

Image = npt.NDArray[np.float32]

_compile: Any = numba.njit(cache=True, nogil=True, fastmath={"contract"}, error_model="numpy")


@_compile  # type: ignore[untyped-decorator]
def smooth_rows(source: Image, taps: Image, step: int, n_out: int) -> Image:
    """``out[i] = sum_t taps[t] source[i step + t - radius]``, rows beyond the source 0, shape (n_out, width)."""
    n_taps, height, width = taps.size, source.shape[0], source.shape[1]
    radius = n_taps // 2
    out = np.zeros((n_out, width), np.float32)
    flat, flat_out = source.ravel(), out.ravel()
    zero = splat(np.float32(0.0))
    for i in range(n_out):
        top, base = (i * step - radius) * width, i * width
        first, end = max(radius - i * step, 0), min(height + radius - i * step, n_taps)
        x = 0
        while x + 4 * LANES <= width:
            a, b, c, d = zero, zero, zero, zero
            for t in range(first, end):
                weight, at = splat(taps[t]), top + t * width + x
                a = multiply_add(weight, load(flat, at), a)
                b = multiply_add(weight, load(flat, at + LANES), b)
                c = multiply_add(weight, load(flat, at + 2 * LANES), c)
                d = multiply_add(weight, load(flat, at + 3 * LANES), d)
            store(flat_out, base + x, a)
            store(flat_out, base + x + LANES, b)
            store(flat_out, base + x + 2 * LANES, c)
            store(flat_out, base + x + 3 * LANES, d)
            x += 4 * LANES
        while x < width and width >= LANES:
            x = min(x, width - LANES)  # the last ones again
            a = zero
            for t in range(first, end):
                a = multiply_add(splat(taps[t]), load(flat, top + t * width + x), a)
            store(flat_out, base + x, a)
            x += LANES
        while x < width:
            for t in range(first, end):
                flat_out[base + x] += taps[t] * flat[top + t * width + x]
            x += 1
    return out


@_compile  # type: ignore[untyped-decorator]
def demodulate_rows(source: Image, even: Image, odd: Image, step: int, n_out: int) -> tuple[Image, Image]:
    """Lock-in of real rows: ``out[i] = sum_t (even[|t|] + 1j odd[|t|] sign(t)) source[i step + radius + t]``.

    even, odd : shape (radius + 1,), a Gaussian times the cosine and the sine of the reference wave.
    Returns the real and the imaginary part, shape (n_out, width).
    """
    radius, width = even.size - 1, source.shape[1]
    real, imag = np.empty((n_out, width), np.float32), np.zeros((n_out, width), np.float32)
    for i in range(n_out):
        middle = i * step + radius
        re, im, here, centre = real[i], imag[i], source[middle], even[0]
        for x in range(width):
            re[x] = centre * here[x]
        for t in range(1, radius, 2):
            a, b = source[middle + t], source[middle - t]
            c, d = source[middle + t + 1], source[middle - t - 1]
            e0, o0, e1, o1 = even[t], odd[t], even[t + 1], odd[t + 1]
            for x in range(width):
                even_part = re[x] + e0 * (a[x] + b[x])
                re[x] = even_part + e1 * (c[x] + d[x])
                odd_part = im[x] + o0 * (a[x] - b[x])
                im[x] = odd_part + o1 * (c[x] - d[x])
        if radius % 2:
            a, b = source[middle + radius], source[middle - radius]
            e0, o0 = even[radius], odd[radius]
            for x in range(width):
                re[x] += e0 * (a[x] + b[x])
                im[x] += o0 * (a[x] - b[x])
    return real, imag


@_compile  # type: ignore[untyped-decorator]
def demodulate_energy(real: Image, imag: Image, even: Image, odd: Image, step: int, n_out: int) -> Image:
    """Lock-in of complex rows as in `demodulate_rows`, squared modulus, shape (n_out, width)."""
    radius, width = even.size - 1, real.shape[1]
    energy = np.empty((n_out, width), np.float32)
    re, im = np.empty(width, np.float32), np.empty(width, np.float32)
    for i in range(n_out):
        middle = i * step + radius
        r0, i0, centre = real[middle], imag[middle], even[0]
        for x in range(width):
            re[x] = centre * r0[x]
            im[x] = centre * i0[x]
        for t in range(1, radius + 1):
            ra, rb, ia, ib = real[middle + t], real[middle - t], imag[middle + t], imag[middle - t]
            e, o = even[t], odd[t]
            for x in range(width):
                real_part = re[x] + e * (ra[x] + rb[x])
                re[x] = real_part - o * (ia[x] - ib[x])
                imag_part = im[x] + e * (ia[x] + ib[x])
                im[x] = imag_part + o * (ra[x] - rb[x])
        out = energy[i]
        for x in range(width):
            out[x] = re[x] * re[x]
        for x in range(width):
            out[x] = out[x] + im[x] * im[x]
    return energy


@_compile  # type: ignore[untyped-decorator]
def standardise(counts: Image, weight: Image, mean: Image, step: int, zero: float, least: float) -> Image:
    """``(counts - mean) / sqrt(max(mean - zero, least)) * weight``, the mean linear between every ``step``-th pixel.

    counts, weight : shape (y, x). mean : shape (at least (y - 1) // step + 2, the same for x). Returns (y, x).
    """
    height, width = counts.shape
    out = np.empty((height, width), np.float32)
    n_cells = (width - 1) // step + 1
    line, full = np.empty(mean.shape[1], np.float32), np.empty(n_cells * step, np.float32)
    zero32, least32 = np.float32(zero), np.float32(least)
    for y in range(height):
        above = np.float32(y % step) / np.float32(step)
        first, second = mean[y // step], mean[y // step + 1]
        for j in range(line.size):
            line[j] = first[j] + above * (second[j] - first[j])
        for k in range(step):
            share = np.float32(k) / np.float32(step)
            for j in range(n_cells):
                full[j * step + k] = line[j] + share * (line[j + 1] - line[j])
        c, w, o = counts[y], weight[y], out[y]
        for x in range(width):
            o[x] = (c[x] - full[x]) / np.sqrt(max(full[x] - zero32, least32)) * w[x]
    return out
