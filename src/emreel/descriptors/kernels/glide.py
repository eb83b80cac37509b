"""Scores of glide reflections: the correlation of two polar patches, one the mirror image of the other, shifted."""

from __future__ import annotations

import numpy as np

from emreel.descriptors.kernels.flat import ZERO, Array, fill, kernel
from emreel.descriptors.kernels.lanes import LANES, sample
from emreel.descriptors.kernels.polar import CHUNK, FLAT, HOPELESS, MIDDLE, NONE, ONE, POOR, end_of_run, full_weight

#: A variance below this part of the mean square about the reference is rounding.
ROUNDING = np.float32(1e-5)


@kernel
def _add_moments(sums: Array, a: Array, b: Array, radius: float) -> None:
    """Add to six sums, CHUNK apart: a, b, a^2, b^2, a b, weight; the samples hold the factor ``radius``."""
    for e in range(a.size):
        sums[e] += radius * a[e]
        sums[e + CHUNK] += radius * b[e]
        sums[e + 2 * CHUNK] += a[e] * a[e]
        sums[e + 3 * CHUNK] += b[e] * b[e]
        sums[e + 4 * CHUNK] += a[e] * b[e]
        sums[e + 5 * CHUNK] += radius * radius


@kernel
def _add_valid_moments(sums: Array, a: Array, b: Array, a_inside: Array, b_inside: Array, radius: float) -> None:
    """`_add_moments` where both samples are valid."""
    for e in range(a.size):
        joint = (a_inside[e] > ZERO) & (b_inside[e] > ZERO)
        x, y = a[e] if joint else ZERO, b[e] if joint else ZERO
        weight = radius if joint else ZERO
        sums[e] += weight * x
        sums[e + CHUNK] += weight * y
        sums[e + 2 * CHUNK] += x * x
        sums[e + 3 * CHUNK] += y * y
        sums[e + 4 * CHUNK] += x * y
        sums[e + 5 * CHUNK] += weight * weight


@kernel
def _finish(score: Array, sums: Array, mean: Array, ample: float, least: float) -> None:
    """Weighted Pearson correlation from the sums; 0 for a flat patch, POOR and NONE where little is valid."""
    for e in range(score.size):
        weight = sums[e + 5 * CHUNK]
        over = np.float32(1.0) / weight
        a, b, aa, bb = sums[e], sums[e + CHUNK], sums[e + 2 * CHUNK], sums[e + 3 * CHUNK]
        flat = FLAT * FLAT * weight * mean[e] * mean[e]
        var_a, var_b = aa - a * a * over, bb - b * b * over
        value = (sums[e + 4 * CHUNK] - a * b * over) / (np.sqrt(var_a) * np.sqrt(var_b))
        value = min(max(value, -ONE), ONE)
        enough = (var_a > flat) & (var_b > flat) & (var_a > ROUNDING * aa) & (var_b > ROUNDING * bb)
        value = value if enough else ZERO
        value = value if weight >= ample else value - POOR
        score[e] = value if weight >= least else NONE


@kernel
def score_glides(
    scores: Array, means: Array, flags: Array, coefficients: Array, inside: Array, row_pitch: int, y0: int, step: int,
    radii: Array, taps: Array, weights: Array, ample: float, least: float,
) -> None:  # fmt: skip
    """Score of every glide reflection at every position; arrays as for `kernels.polar.score_positions`.

    taps, weights : shape (operation, patch, ring, sample, 16): sample k of patch 0 falls on sample k of patch 1.
    """
    n_y, n_operations, n_x = scores.shape
    n_rings, n_angles = taps.shape[2:4]
    sums, found = np.empty(6 * CHUNK, np.float32), np.empty(CHUNK, np.float32)
    a, b = np.empty(CHUNK, np.float32), np.empty(CHUNK, np.float32)
    mean, norm = np.zeros(CHUNK, np.float32), np.zeros(CHUNK, np.float32)
    total = full_weight(radii, n_angles)
    for i in range(n_y):
        row = (y0 + i * step) * row_pitch
        j = 0
        while j < n_x:
            end = end_of_run(flags[i], j)
            n, at = end - j, row + j
            n_groups = (n + LANES - 1) // LANES
            mean[:n] = means[i, j:end]
            if flags[i, j] == HOPELESS:
                scores[i, :, j:end] = NONE
                j = end
                continue
            for k in range(n_operations):
                fill(sums, ZERO)
                for r in range(n_rings):
                    for m in range(n_angles):
                        at_a = (2 * k * n_rings + r) * n_angles + m
                        at_b = at_a + n_rings * n_angles
                        sample(a, 0, norm, mean, -radii[r], coefficients, at, taps, weights, at_a, n_groups)
                        sample(b, 0, norm, mean, -radii[r], coefficients, at, taps, weights, at_b, n_groups)
                        if flags[i, j]:
                            in_a, in_b = at + taps[k, 0, r, m, MIDDLE], at + taps[k, 1, r, m, MIDDLE]
                            _add_valid_moments(
                                sums, a[:n], b[:n], inside[in_a : in_a + n], inside[in_b : in_b + n], radii[r]
                            )
                        else:
                            _add_moments(sums, a, b, radii[r])
                _finish(found[:n], sums, mean, ample * total, least * total)
                scores[i, k, j:end] = found[:n]
            j = end
