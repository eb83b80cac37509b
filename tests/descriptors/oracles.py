"""Descriptors by brute force: plain float64 loops, one formula a line, as slow as they like."""

from __future__ import annotations

import numpy as np


def correlate_shifts(padded, valid, shifts, patch_px, stride, halo, min_valid_part=1 / 16, flat=1e-12):
    """Weighted Pearson correlation of the patch at every grid point with the patch a shift away.

    padded, valid : shape (h + 2 halo, w + 2 halo). Returns float64, shape (y_grid, x_grid, shift).
    """
    frame = padded.astype(np.float64)
    weight = np.ones(frame.shape) if valid is None else valid.astype(np.float64)
    weight = weight * np.isfinite(frame)
    frame = np.where(weight > 0, frame, 0.0)
    height, width = frame.shape[0] - 2 * halo, frame.shape[1] - 2 * halo
    rows, cols = range(halo, halo + height, stride), range(halo, halo + width, stride)
    out = np.zeros((len(rows), len(cols), len(shifts)))
    for i, y in enumerate(rows):
        for j, x in enumerate(cols):
            for k, (dy, dx) in enumerate(shifts):
                here = np.s_[y - patch_px : y + patch_px + 1, x - patch_px : x + patch_px + 1]
                there = np.s_[y + dy - patch_px : y + dy + patch_px + 1, x + dx - patch_px : x + dx + patch_px + 1]
                joint = weight[here] * weight[there]
                out[i, j, k] = _pearson(frame[here], frame[there], joint, min_valid_part, flat)
    return out


def _pearson(a, b, weight, min_valid_part, flat):
    n = weight.sum()
    if n < max(2, min_valid_part * weight.size):
        return 0.0
    from_mean_a = a - (weight * a).sum() / n
    from_mean_b = b - (weight * b).sum() / n
    power_a, power_b = (weight * from_mean_a**2).sum(), (weight * from_mean_b**2).sum()
    if power_a <= flat * (weight * a**2).sum() or power_b <= flat * (weight * b**2).sum():
        return 0.0
    return (weight * from_mean_a * from_mean_b).sum() / np.sqrt(power_a * power_b)
