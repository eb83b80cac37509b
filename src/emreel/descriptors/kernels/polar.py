"""Symmetry scores of polar patches, many positions of a row at once, and the pooling of their maps.

A patch is sampled ring by ring by cubic splines (`spline`). The samples of one ring lie in ``ring``, shape
(sample, position), already minus the patch's mean and times the radius; an operation is a list of pairs (a, b) of
samples, and its numerator is the sum of sample a times sample b. Positions whose support holds an invalid pixel are
scored over the jointly valid pairs by the slower `score_masked`; which of the two is used is decided position by
position, so tiles never show.
"""

from __future__ import annotations

import numpy as np

from emreel.descriptors.kernels.flat import ZERO, Array, fill, kernel

#: Positions that are worked on at once.
CHUNK = 128
#: Score of a position that has none: below every correlation.
NONE = np.float32(-8.0)
#: Taken off a score over few pairs: such scores lie below all others, and count only where there are no others.
POOR = np.float32(4.0)
#: A patch whose spread is below this part of its mean is flat: its score is 0.
FLAT = np.float32(1e-6)
#: Which of the 16 taps lies in the pixel that holds the point: the second of the second row.
MIDDLE = 5


@kernel
def _tap4(out: Array, level: Array, factor: float, c0: Array, c1: Array, c2: Array, c3: Array, w: Array) -> None:
    """out = factor level + w . c, four taps."""
    w0, w1, w2, w3 = w[0], w[1], w[2], w[3]
    for e in range(out.size):
        total = factor * level[e]
        total += w0 * c0[e]
        total += w1 * c1[e]
        total += w2 * c2[e]
        total += w3 * c3[e]
        out[e] = total


@kernel
def _add_tap6(
    out: Array, c0: Array, c1: Array, c2: Array, c3: Array, c4: Array, c5: Array, w: Array
) -> None:  # fmt: skip
    """out += w . c, six taps."""
    w0, w1, w2, w3, w4, w5 = w[0], w[1], w[2], w[3], w[4], w[5]
    for e in range(out.size):
        total = out[e]
        total += w0 * c0[e]
        total += w1 * c1[e]
        total += w2 * c2[e]
        total += w3 * c3[e]
        total += w4 * c4[e]
        total += w5 * c5[e]
        out[e] = total


@kernel
def sample(out: Array, mean: Array, radius: float, coefficients: Array, at: int, taps: Array, weights: Array) -> None:
    """out = sum over the 16 taps of weight times coefficient, minus radius times mean, for n positions.

    coefficients : flat; position e, tap t is element at + taps[t] + e. The weights hold the factor ``radius``.
    """
    n, c = out.size, coefficients
    t0, t1, t2, t3 = at + taps[0], at + taps[1], at + taps[2], at + taps[3]
    _tap4(out, mean, -radius, c[t0 : t0 + n], c[t1 : t1 + n], c[t2 : t2 + n], c[t3 : t3 + n], weights[:4])
    for k in (4, 10):
        t0, t1, t2 = at + taps[k], at + taps[k + 1], at + taps[k + 2]
        t3, t4, t5 = at + taps[k + 3], at + taps[k + 4], at + taps[k + 5]
        _add_tap6(
            out, c[t0 : t0 + n], c[t1 : t1 + n], c[t2 : t2 + n], c[t3 : t3 + n], c[t4 : t4 + n], c[t5 : t5 + n],
            weights[k : k + 6],
        )  # fmt: skip


@kernel
def _add_products3(out: Array, a0: Array, b0: Array, a1: Array, b1: Array, a2: Array, b2: Array) -> None:
    """out += a b for three pairs."""
    for e in range(out.size):
        total = out[e]
        total += a0[e] * b0[e]
        total += a1[e] * b1[e]
        total += a2[e] * b2[e]
        out[e] = total


@kernel
def _add_product(out: Array, a: Array, b: Array) -> None:
    for e in range(out.size):
        out[e] += a[e] * b[e]


@kernel
def add_pairs(out: Array, ring: Array, pairs: Array) -> None:
    """out += sum over the pairs (a, b) of ring[a] ring[b]; pairs : shape (n, 2)."""
    n, p = out.size, pairs
    whole = p.shape[0] - p.shape[0] % 3
    for k in range(0, whole, 3):
        _add_products3(
            out, ring[p[k, 0], :n], ring[p[k, 1], :n], ring[p[k + 1, 0], :n], ring[p[k + 1, 1], :n],
            ring[p[k + 2, 0], :n], ring[p[k + 2, 1], :n],
        )  # fmt: skip
    for k in range(whole, p.shape[0]):
        _add_product(out, ring[p[k, 0], :n], ring[p[k, 1], :n])


@kernel
def score_plain(
    scores: Array, mean: Array, coefficients: Array, at: int, radii: Array, taps: Array, weights: Array,
    pairs: Array, ends: Array, sums: Array, ring: Array,
) -> None:  # fmt: skip
    """Score of every operation at n <= CHUNK positions of a row whose whole support is valid.

    scores : shape (operation, CHUNK). mean : shape (n,). taps, weights : shape (ring, sample, 16). pairs, ends : of
    operation k, the pairs [ends[2 k], ends[2 k + 1]) count once and [ends[2 k + 1], ends[2 k + 2]) twice.
    sums, ring : scratch.
    """
    n_operations, n = scores.shape[0], mean.size
    n_rings, n_angles = taps.shape[:2]
    norm = sums[2 * n_operations, :n]
    for k in range(2 * n_operations + 1):
        fill(sums[k, :n], ZERO)
    total = ZERO
    for r in range(n_rings):
        total += np.float32(n_angles) * radii[r] * radii[r]
        for m in range(n_angles):
            sample(ring[m, :n], mean, radii[r], coefficients, at, taps[r, m], weights[r, m])
            _add_product(norm, ring[m, :n], ring[m, :n])
        for k in range(2 * n_operations):
            add_pairs(sums[k, :n], ring, pairs[ends[k] : ends[k + 1]])
    for k in range(n_operations):
        _finish_plain(scores[k, :n], sums[2 * k, :n], sums[2 * k + 1, :n], norm, mean, FLAT * FLAT * total)


@kernel
def _finish_plain(score: Array, once: Array, twice: Array, norm: Array, mean: Array, flat: float) -> None:
    """score = (once + 2 twice) / norm; 0 for a flat patch."""
    for e in range(score.size):
        power = norm[e]
        value = (once[e] + np.float32(2.0) * twice[e]) / power
        score[e] = value if power > flat * mean[e] * mean[e] else ZERO


@kernel
def _weigh(joint: Array, ring: Array, there: Array, radius: float) -> None:
    """Of a sample, CHUNK apart: its value, radius value^2, radius; all 0 where it is not valid."""
    over = np.float32(1.0) / radius
    for e in range(ring.size):
        good = there[e] > ZERO
        value = ring[e] if good else ZERO
        joint[e] = value
        joint[e + CHUNK] = over * value * value
        joint[e + 2 * CHUNK] = radius if good else ZERO


@kernel
def _add_joint(sums: Array, a: Array, b: Array, n: int) -> None:
    """Add to four sums, CHUNK apart: product, power of a, power of b, weight; over what is valid in both."""
    for e in range(n):
        sums[e] += a[e] * b[e]
        sums[e + CHUNK] += a[e + CHUNK] * b[e + 2 * CHUNK]
        sums[e + 2 * CHUNK] += a[e + 2 * CHUNK] * b[e + CHUNK]
        sums[e + 3 * CHUNK] += a[e + 2 * CHUNK] * b[e + 2 * CHUNK]


@kernel
def score_masked(
    scores: Array, mean: Array, coefficients: Array, inside: Array, at: int, radii: Array, taps: Array,
    weights: Array, partners: Array, ample: float, least: float, sums: Array, ring: Array,
) -> None:  # fmt: skip
    """As `score_plain`, over the pairs of which both samples are valid.

    POOR is taken off where these weigh less than ``ample`` of all; NONE is the score where less than ``least``.

    inside : as coefficients; not 0 where all 16 taps of a point in the pixel are valid. partners : shape (operation,
    sample), the sample that each one is multiplied by. sums : shape (operation, 4 CHUNK), ring : (sample, 3 CHUNK).
    """
    n_operations, n = scores.shape[0], mean.size
    n_rings, n_angles = taps.shape[:2]
    for k in range(n_operations):
        fill(sums[k], ZERO)
    total = ZERO
    for r in range(n_rings):
        total += np.float32(n_angles) * radii[r] * radii[r]
        for m in range(n_angles):
            sample(sums[n_operations, :n], mean, radii[r], coefficients, at, taps[r, m], weights[r, m])
            middle = at + taps[r, m, MIDDLE]
            _weigh(ring[m], sums[n_operations, :n], inside[middle : middle + n], radii[r])
        for k in range(n_operations):
            for m in range(n_angles):
                _add_joint(sums[k], ring[m], ring[partners[k, m]], n)
    for k in range(n_operations):
        _finish_masked(scores[k, :n], sums[k], mean, ample * total, least * total)


@kernel
def _finish_masked(score: Array, sums: Array, mean: Array, ample: float, least: float) -> None:
    """score = product / sqrt(power of a, power of b); 0 for a flat patch, POOR and NONE where little is valid."""
    for e in range(score.size):
        a, b, weight = sums[e + CHUNK], sums[e + 2 * CHUNK], sums[e + 3 * CHUNK]
        flat = FLAT * FLAT * weight * mean[e] * mean[e]
        value = sums[e] / (np.sqrt(a) * np.sqrt(b))
        value = value if (a > flat) & (b > flat) else ZERO
        value = value if weight >= ample else value - POOR
        score[e] = value if weight >= least else NONE


@kernel
def score_positions(
    scores: Array, means: Array, flags: Array, coefficients: Array, inside: Array, row_pitch: int, y0: int, step: int,
    radii: Array, taps: Array, weights: Array, pairs: Array, ends: Array, partners: Array, ample: float, least: float,
) -> None:  # fmt: skip
    """Score of every operation at every position; scores : shape (y, operation, x), means, flags : (y, x).

    Position (i, j) lies in row y0 + i step of the coefficients; its column is in the taps. ``flags`` tells positions
    whose support holds an invalid pixel.
    """
    n_y, n_operations, n_x = scores.shape
    n_angles = taps.shape[1]
    sums, ring = np.empty((2 * n_operations + 1, CHUNK), np.float32), np.empty((n_angles, CHUNK), np.float32)
    joint_sums = np.empty((n_operations + 1, 4 * CHUNK), np.float32)
    joint = np.empty((n_angles, 3 * CHUNK), np.float32)
    found = np.empty((n_operations, CHUNK), np.float32)
    for i in range(n_y):
        at = (y0 + i * step) * row_pitch
        j = 0
        while j < n_x:
            end = j + 1
            while end < min(n_x, j + CHUNK) and flags[i, end] == flags[i, j]:
                end += 1
            mean = means[i, j:end]
            if flags[i, j]:
                score_masked(
                    found,
                    mean,
                    coefficients,
                    inside,
                    at + j,
                    radii,
                    taps,
                    weights,
                    partners,
                    ample,
                    least,
                    joint_sums,
                    joint,
                )
            else:
                score_plain(found, mean, coefficients, at + j, radii, taps, weights, pairs, ends, sums, ring)
            scores[i, :, j:end] = found[:, : end - j]
            j = end
