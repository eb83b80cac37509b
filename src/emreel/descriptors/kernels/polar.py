"""Symmetry scores of polar patches about their middle, many positions of a row at once.

A patch is sampled ring by ring by cubic splines (`spline`). The samples of one ring lie in ``ring``, one row of
positions a sample, already minus the patch's mean and times the radius; an operation says which sample falls on which,
and its numerator is the sum of their products. Positions whose support holds an invalid pixel are scored over the
jointly valid pairs by the slower `score_masked`; which of the two is used is decided position by position, so tiles
never show.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from emreel.descriptors.kernels.flat import ZERO, Array, fill, kernel
from emreel.descriptors.kernels.lanes import LANES, TOGETHER, add_joint, add_products, sample

#: Positions that are worked on at once, a multiple of LANES.
CHUNK = 128
#: Score of a position that has none: below every correlation.
NONE = np.float32(-8.0)
#: Taken off a score over few pairs: such scores lie below all others, and count only where there are no others.
POOR = np.float32(4.0)
ONE = np.float32(1.0)
#: Flag of a position around which hardly anything is valid.
HOPELESS = 2
#: A patch whose spread is below this part of its mean is flat: its score is 0.
FLAT = np.float32(1e-6)
#: Which of the 16 taps lies in the pixel that holds the point: the second of the second row.
MIDDLE = 5


@kernel
def full_weight(radii: Array, n_angles: int) -> Any:
    """Weight of a whole patch: the sum of r^2 over its samples."""
    total = ZERO
    for r in range(radii.size):
        total += np.float32(n_angles) * radii[r] * radii[r]
    return total


@kernel
def score_plain(
    scores: Array, n: int, mean: Array, coefficients: Array, at: int, radii: Array, taps: Array, weights: Array,
    partners: Array, sums: Array, norm: Array, ring: Array,
) -> None:  # fmt: skip
    """Score of every operation at n <= CHUNK positions of a row whose whole support is valid.

    scores : shape (operation, CHUNK). mean : shape (CHUNK,). taps, weights : shape (ring, sample, 16), see
    `lanes.sample`. partners : shape (operation / TOGETHER, sample, TOGETHER). The arguments from ``sums`` on are
    scratch of CHUNK elements an operation, once, and of CHUNK elements a sample.
    """
    n_rings, n_angles = taps.shape[:2]
    n_groups = (n + LANES - 1) // LANES
    pitch = n_groups * LANES
    fill(sums, ZERO)
    fill(norm, ZERO)
    for r in range(n_rings):
        for m in range(n_angles):
            sample(ring, m * pitch, norm, mean, -radii[r], coefficients, at, taps, weights, r * n_angles + m, n_groups)
        for k in range(partners.shape[0]):
            add_products(sums, k * TOGETHER * pitch, ring, partners, k, n_angles, n_groups)
    flat = FLAT * FLAT * full_weight(radii, n_angles)
    for k in range(scores.shape[0]):
        _finish_plain(scores[k, :n], sums[k * pitch : k * pitch + n], norm[:n], mean[:n], flat)


@kernel
def _finish_plain(score: Array, product: Array, norm: Array, mean: Array, flat: Any) -> None:
    """score = product / norm; 0 for a flat patch."""
    for e in range(score.size):
        value = min(max(product[e] / norm[e], -ONE), ONE)
        score[e] = value if norm[e] > flat * mean[e] * mean[e] else ZERO


@kernel
def _weigh(joint: Array, one: Array, there: Array, radius: float, pitch: int) -> None:
    """Of a sample, three rows: its value, value^2 / radius, radius; all 0 where it is not valid."""
    value, power, weight = joint[:pitch], joint[pitch : 2 * pitch], joint[2 * pitch : 3 * pitch]
    over = ONE / radius
    for e in range(there.size):
        good = there[e] > ZERO
        v = one[e] if good else ZERO
        value[e] = v
        power[e] = over * v * v
        weight[e] = radius if good else ZERO


@kernel
def score_masked(
    scores: Array, n: int, mean: Array, coefficients: Array, inside: Array, at: int, radii: Array, taps: Array,
    weights: Array, partners: Array, ample: float, least: float, sums: Array, norm: Array, one: Array, joint: Array,
) -> None:  # fmt: skip
    """As `score_plain`, over the pairs of which both samples are valid.

    POOR is taken off where these weigh less than ``ample`` of all; NONE is the score where less than ``least``.
    inside : as coefficients; not 0 where all 16 taps of a point in the pixel are valid. Scratch: sums, 4 CHUNK elements
    an operation; norm and one, CHUNK; joint, 3 CHUNK a sample.
    """
    n_rings, n_angles = taps.shape[:2]
    n_groups = (n + LANES - 1) // LANES
    pitch = n_groups * LANES
    fill(sums, ZERO)
    for r in range(n_rings):
        for m in range(n_angles):
            sample(one, 0, norm, mean, -radii[r], coefficients, at, taps, weights, r * n_angles + m, n_groups)
            middle = at + taps[r, m, MIDDLE]
            _weigh(joint[3 * m * pitch : 3 * (m + 1) * pitch], one, inside[middle : middle + n], radii[r], pitch)
        for k in range(scores.shape[0]):
            add_joint(sums, 4 * k * pitch, joint, partners, k // TOGETHER, k % TOGETHER, n_angles, n_groups)
    total = full_weight(radii, n_angles)
    for k in range(scores.shape[0]):
        _finish_masked(scores[k, :n], sums[4 * k * pitch :], mean, ample * total, least * total, pitch)


@kernel
def _finish_masked(score: Array, sums: Array, mean: Array, ample: float, least: float, pitch: int) -> None:
    """score = product / sqrt(power of a, power of b); 0 for a flat patch, POOR and NONE where little is valid."""
    for e in range(score.size):
        a, b, weight = sums[e + pitch], sums[e + 2 * pitch], sums[e + 3 * pitch]
        flat = FLAT * FLAT * weight * mean[e] * mean[e]
        value = min(max(sums[e] / (np.sqrt(a) * np.sqrt(b)), -ONE), ONE)
        value = value if (a > flat) & (b > flat) else ZERO
        value = value if weight >= ample else value - POOR
        score[e] = value if weight >= least else NONE


@kernel
def end_of_run(flags: Array, j: int) -> int:
    """End of the run of equal flags that begins at j, at most CHUNK long."""
    end = j + 1
    while end < min(flags.size, j + CHUNK) and flags[end] == flags[j]:
        end += 1
    return end


@kernel
def score_positions(
    scores: Array, means: Array, flags: Array, coefficients: Array, inside: Array, row_pitch: int, y0: int, step: int,
    radii: Array, taps: Array, weights: Array, partners: Array, ample: float, least: float,
) -> None:  # fmt: skip
    """Score of every operation at every position; scores : shape (y, operation, x), means, flags : (y, x).

    Position (i, j) lies in row y0 + i step of the coefficients; its column is in the taps. ``flags`` tells positions
    whose support holds an invalid pixel, and which are HOPELESS: these get no score.
    """
    n_y, n_operations, n_x = scores.shape
    n_angles = taps.shape[1]
    sums = np.empty(partners.shape[0] * TOGETHER * CHUNK, np.float32)
    ring = np.empty(n_angles * CHUNK, np.float32)
    mean, norm, one = np.zeros(CHUNK, np.float32), np.zeros(CHUNK, np.float32), np.zeros(CHUNK, np.float32)
    joint_sums = np.empty(n_operations * 4 * CHUNK, np.float32)
    joint = np.zeros(n_angles * 3 * CHUNK, np.float32)
    found = np.empty((n_operations, CHUNK), np.float32)
    for i in range(n_y):
        at = (y0 + i * step) * row_pitch
        j = 0
        while j < n_x:
            end = end_of_run(flags[i], j)
            n = end - j
            mean[:n] = means[i, j:end]
            if flags[i, j] == HOPELESS:
                found[:, :n] = NONE
            elif flags[i, j]:
                score_masked(
                    found, n, mean, coefficients, inside, at + j, radii, taps, weights, partners, ample, least,
                    joint_sums, norm, one, joint,
                )  # fmt: skip
            else:
                score_plain(
                    found, n, mean, coefficients, at + j, radii, taps, weights, partners, sums, norm, ring
                )  # fmt: skip
            scores[i, :, j:end] = found[:, :n]
            j = end
