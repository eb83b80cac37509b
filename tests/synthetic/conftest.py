"""Measurements that know nothing of the generator: spectra, lock-in, phases."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from scipy import ndimage


def spectrum_peaks(patch, *, least=0.25, pad=4):
    """Peaks (fy, fx) in cycles a px of a patch's spectrum, one of each Friedel pair, strongest first."""
    patch = np.asarray(patch, dtype=np.float64)
    window = np.outer(np.hanning(patch.shape[0]), np.hanning(patch.shape[1]))
    centred = (patch - (patch * window).sum() / window.sum()) * window
    size = np.array([pad * n for n in patch.shape])
    power = np.fft.fftshift(np.abs(np.fft.fft2(centred, s=size)) ** 2)
    fy, fx = (np.fft.fftshift(np.fft.fftfreq(n)) for n in size)
    power[np.hypot(fy[:, None], fx[None, :]) < 3 / min(patch.shape)] = 0
    local = ndimage.maximum_filter(power, size=2 * pad + 1)
    rows, columns = np.nonzero((power == local) & (power > least * power.max()))
    found = []
    for r, c in zip(rows, columns, strict=True):
        if not (0 < r < size[0] - 1 and 0 < c < size[1] - 1):
            continue
        dr, dc = _vertex(*power[r - 1 : r + 2, c]), _vertex(*power[r, c - 1 : c + 2])
        y, x = fy[r] + dr / size[0], fx[c] + dc / size[1]
        if (x, y) > (-x, -y):
            found.append((power[r, c], y, x))
    found.sort(reverse=True)
    return np.array([peak[1:] for peak in found])


def _vertex(before, here, after):
    """Where between -0.5 and 0.5 the parabola through three values has its top."""
    return 0.5 * (before - after) / min(before - 2 * here + after, -1e-12)


def lock_in(image, frequency_yx, sigma_px):
    """Complex amplitude of one spatial frequency around every pixel."""
    y, x = np.mgrid[: image.shape[0], : image.shape[1]]
    wave = (image - ndimage.gaussian_filter(image, 2 * sigma_px)) * np.exp(
        -2j * np.pi * (frequency_yx[0] * y + frequency_yx[1] * x)
    )
    return ndimage.gaussian_filter(wave.real, sigma_px) + 1j * ndimage.gaussian_filter(wave.imag, sigma_px)


def shift_by_phase(first, second, frequencies_yx):
    """Shift (y, x) of the second image against the first, from two lattice phases; below half a period."""
    window = np.outer(np.hanning(first.shape[0]), np.hanning(first.shape[1]))
    y, x = np.mgrid[: first.shape[0], : first.shape[1]]
    turns = []
    for fy, fx in frequencies_yx:
        wave = window * np.exp(-2j * np.pi * (fy * y + fx * x))
        a, b = ((first - first.mean()) * wave).sum(), ((second - second.mean()) * wave).sum()
        turns.append(-np.angle(b / a) / (2 * np.pi))
    return np.linalg.solve(np.array(frequencies_yx), np.array(turns))


def cube_axis_deg(patch, plane_spacing_px):
    """Angle of [001] of an fcc crystal along [110]: across the acute middle of its two {111} peaks."""
    peaks = spectrum_peaks(patch, least=0.02)
    ring = peaks[np.abs(np.hypot(*peaks.T) * plane_spacing_px - 1) < 0.08][:2]
    assert len(ring) == 2, "two {111} peaks were wanted"
    first, second = np.rad2deg(np.arctan2(ring[:, 0], ring[:, 1]))
    apart = (second - first) % 180
    middle = first + apart / 2 if apart < 90 else second + (180 - apart) / 2
    return (middle - 90) % 180


def angle_gap(first, second, fold):
    """Smallest difference of two angles that repeat after `fold` degrees."""
    return abs((first - second + fold / 2) % fold - fold / 2)


@pytest.fixture(scope="session")
def measure():
    return SimpleNamespace(
        peaks=spectrum_peaks, lock_in=lock_in, shift=shift_by_phase, cube_axis_deg=cube_axis_deg, angle_gap=angle_gap
    )
