"""The bank of 252 Gabor filters against ``skimage.filters.gabor``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from harness import Contest, in_process, item
from skimage.filters import gabor

from emreel.descriptors.gabor import GaborBank
from emreel.descriptors.passbands import Passband

Array = npt.NDArray[Any]
SIDE_PX = 256
#: Half side of the truth's kernels, in their longer sigma.
TRUTH_SIGMAS = 6.0


def fringes(side_px: int) -> Array:
    """Two fringe systems in noise around zero, shape (side_px, side_px)."""
    y, x = np.mgrid[:side_px, :side_px]
    waves = np.cos(2 * np.pi * (0.9 * x + 0.2 * y) / 5.1) * (x > side_px / 2) + np.cos(2 * np.pi * y / 6.2)
    return (waves + np.random.default_rng(0).normal(0, 1, y.shape)).astype(np.float32)


def bank(stride: int, tiny: bool) -> GaborBank:
    """The published bank without anything around it: the same outputs as the peer's."""
    plain = {"flatten": "none", "smooth_periods": 0.0, "contrast_periods": 0.0, "mean_counts": 0.0}
    return GaborBank(stride=stride, measure="power", n_orientations=3 if tiny else 36, sigma_wavelengths=0.56, **plain)


def by_skimage(frame: Array, filters: GaborBank, stride: int) -> Array:
    """Power of every filter at every ``stride``-th pixel; skimage knows whole images only."""
    out = np.empty((*(-(-n // stride) for n in frame.shape), len(filters.bands)), np.float32)
    for k, band in enumerate(filters.bands):
        real, imag = gabor(
            frame,
            1 / band.wavelength_px,
            band.angle_rad,
            sigma_x=band.along_px,
            sigma_y=band.across_px,
            mode="reflect",
        )
        out[..., k] = 4 * (real[::stride, ::stride] ** 2 + imag[::stride, ::stride] ** 2)
    return out


def truth_at(padded: Array, halo: int, y: int, x: int, band: Passband) -> float:
    """Power of one filter at one pixel, summed in float64."""
    reach = min(int(np.ceil(TRUTH_SIGMAS * band.across_px)), halo)
    dy, dx = np.mgrid[-reach : reach + 1, -reach : reach + 1].astype(np.float64)
    cos, sin = np.cos(band.angle_rad), np.sin(band.angle_rad)
    along, across = dx * cos + dy * sin, dy * cos - dx * sin
    envelope = np.exp(-0.5 * ((along / band.along_px) ** 2 + (across / band.across_px) ** 2))
    wave = np.exp(-2j * np.pi * along / band.wavelength_px) * envelope / envelope.sum()
    window = padded[halo + y - reach : halo + y + reach + 1, halo + x - reach : halo + x + reach + 1]
    return float(4 * np.abs(np.sum(window.astype(np.float64) * wave)) ** 2)


def error_to_float64(filters: GaborBank, padded: Array) -> Callable[[Any, Any], float]:
    """Largest error of our power at some points, of the largest power of that filter; against plain float64 sums."""

    def error(got: Array, _: Array) -> float:
        rng, worst = np.random.default_rng(1), 0.0
        for k in rng.choice(len(filters.bands), min(20, len(filters.bands)), replace=False):
            for i, j in rng.integers(0, got.shape[:2], size=(20, 2)):
                y, x = int(i) * filters.stride, int(j) * filters.stride
                wanted = truth_at(padded, filters.halo, y, x, filters.bands[k])
                worst = max(worst, abs(wanted - float(got[i, j, k])) / float(got[..., k].max()))
        return worst

    return error


def against_skimage(stride: int, tiny: bool) -> Contest:
    """The same filters on the same frame, mirrored at its edges."""
    filters = bank(stride, tiny)
    frame = fringes(64 if tiny else SIDE_PX)
    padded = np.pad(frame, filters.halo, mode="symmetric")
    return Contest(
        ours=in_process(lambda: filters(padded)),
        peer=in_process(lambda: by_skimage(frame, filters, stride)),
        n_outputs=int(np.prod(filters(padded).shape)),
        error=error_to_float64(filters, padded),
        peer_name="skimage.filters.gabor",
    )


@item("gabor_stride1_skimage")
def gabor_stride1_skimage(tiny: bool) -> Contest:
    """252 filters at every pixel of a 256 x 256 frame."""
    return against_skimage(1, tiny)


@item("gabor_stride4_skimage")
def gabor_stride4_skimage(tiny: bool) -> Contest:
    """252 filters at every fourth pixel of a 256 x 256 frame."""
    return against_skimage(4, tiny)
