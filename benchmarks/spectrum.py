"""The local power spectrum against scipy's batched real FFT of every window."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from harness import Contest, in_process, item
from scipy.fft import rfft2

from emreel.descriptors.spectrum import PowerSpectrum

Array = npt.NDArray[Any]


def spectrum_by_scipy(padded: Array, descriptor: PowerSpectrum) -> Array:
    """The same features, a grid row of windows at a time: one batched FFT of as many windows as stay in the cache."""
    side, stride = 2 * descriptor.window_px + 1, descriptor.stride
    taper = np.sqrt(np.outer(np.hanning(side), np.hanning(side))).astype(np.float32)
    order = np.rint(descriptor.frequencies * side).astype(int)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (side, side))[::stride, ::stride]
    out = np.empty((*windows.shape[:2], len(order)), np.float32)
    for i, row in enumerate(windows):
        for j in range(0, len(row), 32):
            patches = row[j : j + 32] - row[j : j + 32].mean(axis=(1, 2), keepdims=True)
            waves = rfft2(patches * taper)[:, order[:, 0], order[:, 1]]
            out[i, j : j + 32] = np.log((waves.real**2 + waves.imag**2) / descriptor.floor_power + 1)
    return out


def error_to_float64(frame: Array, descriptor: PowerSpectrum) -> Callable[[Any, Any], float]:
    """Largest error of our output at some points, against numpy's FFT in float64."""
    side = 2 * descriptor.window_px + 1
    taper = np.sqrt(np.outer(np.hanning(side), np.hanning(side)))
    order = np.rint(descriptor.frequencies * side).astype(int)

    def error(got: Array, _: Array) -> float:
        worst = 0.0
        for i, j in np.random.default_rng(1).integers(0, got.shape[:2], size=(100, 2)):
            patch = frame[4 * i : 4 * i + side, 4 * j : 4 * j + side].astype(np.float64)
            power = np.abs(np.fft.fft2((patch - patch.mean()) * taper)[order[:, 0], order[:, 1]]) ** 2
            worst = max(worst, float(np.abs(np.log1p(power / descriptor.floor_power) - got[i, j]).max()))
        return worst

    return error


def against_scipy(descriptor: PowerSpectrum, tiny: bool) -> Contest:
    """The same frame and features."""
    side = (32 if tiny else 256) + 2 * descriptor.halo
    y, x = np.mgrid[:side, :side]
    wave = np.cos(2 * np.pi * (0.98 * x + 0.2 * y) / 11.3)
    frame = (100 + 20 * wave + np.random.default_rng(0).normal(0, 10, (side, side))).astype(np.float32)
    return Contest(
        ours=in_process(lambda: descriptor(frame)),
        peer=in_process(lambda: spectrum_by_scipy(frame, descriptor)),
        n_outputs=int(np.prod(descriptor(frame).shape)),
        error=error_to_float64(frame, descriptor),
        peer_name="scipy.fft.rfft2, batches of 32 windows",
    )


@item("spectrum_stride4_scipy")
def spectrum_stride4_scipy(tiny: bool) -> Contest:
    """Windows of 41 x 41 px at stride 4, all 841 frequencies of half the plane."""
    return against_scipy(PowerSpectrum(), tiny)


@item("spectrum_spots_scipy")
def spectrum_spots_scipy(tiny: bool) -> Contest:
    """The same up to 0.25 cycles/px, as `suggest` limits it to the spots; scipy computes all and drops the rest."""
    return against_scipy(PowerSpectrum(highest_frequency=0.25), tiny)
