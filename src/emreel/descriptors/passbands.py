"""Gabor filters as passbands of one spectrum: an image is transformed once, every filter costs a small inverse.

Conventions: positions y, x in px; frequencies in cycles/px; angles in radians from the x axis towards the y axis
(downwards in the picture), of the wave vector.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import fft

from emreel.descriptors.kernels import gabor as kernels

Image = npt.NDArray[np.float32]

#: A filter ends at so many sigma in space, and its passband in frequency: what is beyond is below 1e-6 of the middle.
REACH_SIGMAS = 5.3
BAND_SIGMAS = 5.6


@dataclass(frozen=True)
class Passband:
    """One Gabor filter: a plane wave under a Gaussian envelope, whose weights sum to 1.

    wavelength_px, angle_rad : of the wave. along_px, across_px : sigma of the envelope along the wave vector and
    across it.
    """

    wavelength_px: float
    angle_rad: float
    along_px: float
    across_px: float

    @property
    def frequency_yx(self) -> tuple[float, float]:
        """Middle of the passband, cycles/px."""
        return float(np.sin(self.angle_rad)) / self.wavelength_px, float(np.cos(self.angle_rad)) / self.wavelength_px

    @property
    def reach_px(self) -> int:
        """The filter's half side, px."""
        return int(np.ceil(REACH_SIGMAS * max(self.along_px, self.across_px)))

    def form(self, n_yx: tuple[int, int]) -> tuple[float, float, float]:
        """(a, b, c) of exp(-(a y^2 + 2 b y x + c x^2) / 2) over the bins of a spectrum of n_y x n_x bins."""
        cos, sin = np.cos(self.angle_rad), np.sin(self.angle_rad)
        along, across = (2 * np.pi * self.along_px) ** 2, (2 * np.pi * self.across_px) ** 2
        a = (along * sin**2 + across * cos**2) / n_yx[0] ** 2
        b = (along - across) * sin * cos / (n_yx[0] * n_yx[1])
        c = (along * cos**2 + across * sin**2) / n_yx[1] ** 2
        return float(a), float(b), float(c)

    @property
    def noise_gain(self) -> float:
        """Sum of the squared weights of the envelope: white noise of variance 1 has this power behind the filter."""
        return 1 / (4 * np.pi * self.along_px * self.across_px)


@dataclass(frozen=True, eq=False)
class FilteredImage:
    """An image whose filtered versions are wanted on a grid: points (first + i) * step, i below n, on each axis.

    image : shape (y, x), zero where it means nothing; it counts as zero beyond its edges.
    reach_px : the longest filter's.
    """

    image: Image
    step: int
    first_yx: tuple[int, int]
    n_yx: tuple[int, int]
    reach_px: int

    @cached_property
    def size_yx(self) -> tuple[int, int]:
        """Points of the transform: long enough that nothing wanted sees around the edge; multiples of the step."""
        sizes = []
        for side, first, n in zip(self.image.shape, self.first_yx, self.n_yx, strict=True):
            low, high = first * self.step, (first + n - 1) * self.step
            needed = max(side, high + self.reach_px + 1, side + self.reach_px - low)
            sizes.append(self.step * fft.next_fast_len(-(-needed // self.step)))
        return sizes[0], sizes[1]

    @property
    def coarse_yx(self) -> tuple[int, int]:
        return self.size_yx[0] // self.step, self.size_yx[1] // self.step

    @cached_property
    def spectrum(self) -> Image:
        """Transform of the image, shape (n_y, 2 n_x): real and imaginary parts side by side.

        In float64, rounded once: a strong mean or slope would else leave its rounding in every passband.
        """
        whole = np.zeros(self.size_yx, np.complex128)
        whole[: self.image.shape[0], : self.image.shape[1]] = self.image
        return np.asarray(fft.fft2(whole, overwrite_x=True)).astype(np.complex64).view(np.float32)

    def power(self, band: Passband) -> Image:
        """Squared amplitude of the filter's wave on the grid, shape ``n_yx``: a wave a cos(2 pi g r) gives a^2."""
        n_y, n_x = self.size_yx
        gy, gx = band.frequency_yx
        middle, form = (gy * n_y, gx * n_x), band.form(self.size_yx)
        reach = _reach_bins(form)
        corner = int(np.ceil(middle[0] - reach[0])), int(np.ceil(middle[1] - reach[1]))
        sides = tuple(
            min(int(np.floor(m + r)) - c + 1, n)
            for m, r, c, n in zip(middle, reach, corner, self.coarse_yx, strict=True)
        )
        cut = np.zeros((sides[0], 2 * sides[1]), np.float32)
        kernels.add_passband(cut, self.spectrum, corner, middle, form, BAND_SIGMAS**2, False)
        # moved to the first bins, so that the transform of its rows need not see the empty ones: only the phase changes
        across = fft.ifft(cut.view(np.complex64), self.coarse_yx[1], axis=1)
        response = fft.ifft(across, self.coarse_yx[0], axis=0)
        out = np.empty(self.n_yx, np.float32)
        kernels.pick_power(out, response.view(np.float32), self.first_yx, 4.0 / self.step**4)
        return out

    def smoothed_pair(self, one: Passband, other: Passband) -> tuple[Image, Image]:
        """The image (real, such as a mask) under the envelopes of two filters, each of shape ``n_yx``."""
        forms = one.form(self.size_yx), other.form(self.size_yx)
        rows, columns = self.coarse_yx
        reach = max(int(np.floor(_reach_bins(form)[0])) for form in forms)
        n_rows = min(2 * reach + 1, rows)
        cut = np.zeros((n_rows, 2 * columns), np.float32)
        corner = (-reach if n_rows < rows else 0, 0)
        for form, turned in zip(forms, (False, True), strict=True):
            kernels.add_passband(cut, self.spectrum, corner, (0.0, 0.0), form, BAND_SIGMAS**2, turned)
        across = np.zeros((rows, columns), np.complex64)
        across[(np.arange(n_rows) + corner[0]) % rows] = fft.ifft(cut.view(np.complex64), axis=1)
        both = fft.ifft(across, axis=0, overwrite_x=True)
        wanted = [(first + np.arange(n)) % m for first, n, m in zip(self.first_yx, self.n_yx, both.shape, strict=True)]
        picked: npt.NDArray[Any] = both[np.ix_(*wanted)] / np.float32(self.step**2)
        return np.ascontiguousarray(picked.real), np.ascontiguousarray(picked.imag)


def _reach_bins(form: tuple[float, float, float]) -> tuple[float, float]:
    """Half height and half width, in bins, of the ellipse in which a passband counts."""
    a, b, c = form
    spread = BAND_SIGMAS**2 / (a * c - b * b)
    return float(np.sqrt(spread * c)), float(np.sqrt(spread * a))
