"""Structure without a lattice: speckle that lives and drifts, and smooth fields.

Speckle is a stationary Gaussian process in closed form: each Fourier component turns at its own
rate, so frame 999 999 costs what frame 0 costs. The rates are normally distributed, which makes the
correlation in time exp(-t^2 / (2 lifetime^2)).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy import fft

from emreel.synthetic.streams import Stream, random_stream

Image = npt.NDArray[np.float32]  # (y, x)

_PROFILE_POINTS = 96
#: Spatial frequencies at which a texture's spectrum is given, cycles a px, up to the corner of the spectrum.
PROFILE_FREQUENCIES = np.linspace(0.0, 0.7072, _PROFILE_POINTS)
_MARGIN_PX = 48  # the tile is periodic: opposite edges of the frame must not look alike


@dataclass(frozen=True, kw_only=True)
class Texture:
    """Speckle of zero mean and unit variance.

    Parameters
    ----------
    shape_yx : shape of the frame, px.
    profile : amplitude at each of `PROFILE_FREQUENCIES`.
    lifetime_frames : correlation time, frames; 0 means that it never changes.
    seed, layer : the random stream.
    """

    shape_yx: tuple[int, int]
    profile: tuple[float, ...]
    lifetime_frames: float
    seed: int
    layer: int

    def at(self, index: int, drift_yx: tuple[float, float]) -> Image:
        """The speckle in frame `index`, moved by `drift_yx` px."""
        coefficients, rates = _texture_spectrum(self)
        tile_yx = (coefficients.shape[0], 2 * (coefficients.shape[1] - 1))
        ramp_y = np.exp(-2j * np.pi * fft.fftfreq(tile_yx[0]) * drift_yx[0]).astype(np.complex64)
        ramp_x = np.exp(-2j * np.pi * fft.rfftfreq(tile_yx[1]) * drift_yx[1]).astype(np.complex64)
        spectrum = coefficients * ramp_y[:, None]
        spectrum *= ramp_x
        if self.lifetime_frames:
            turn = np.mod(rates * index, 2 * np.pi).astype(np.float32)
            spectrum *= np.cos(turn) + np.complex64(1j) * np.sin(turn)
        field = fft.irfft2(spectrum, s=tile_yx, overwrite_x=True)
        return np.ascontiguousarray(field[: self.shape_yx[0], : self.shape_yx[1]], dtype=np.float32)


def speckle_profile(grain_px: float, *, ring_px: float | None = None) -> tuple[float, ...]:
    """Spectrum of amorphous matter: everything coarser than `grain_px`, and a ring at the typical distance.

    Parameters
    ----------
    grain_px : size of the finest speckle (a Gaussian's sigma), px.
    ring_px : typical interatomic distance (first halo of the diffractogram), px; None: no ring.
    """
    profile = np.exp(-2 * (np.pi * grain_px * PROFILE_FREQUENCIES) ** 2)
    if ring_px is not None:
        ring = 1.0 / ring_px
        # matter of even density: little structure on scales much larger than the distance of atoms
        even = 1.0 - 0.85 * np.exp(-((PROFILE_FREQUENCIES / (0.35 * ring)) ** 2))
        profile = profile * even * (1.0 + 0.8 * np.exp(-(((PROFILE_FREQUENCIES - ring) / (0.3 * ring)) ** 2) / 2))
    return tuple(float(value) for value in profile)


@lru_cache(maxsize=24)
def _texture_spectrum(texture: Texture) -> tuple[npt.NDArray[np.complex64], npt.NDArray[np.float64]]:
    tile_yx = tuple(2 * fft.next_fast_len((n + _MARGIN_PX + 1) // 2, real=True) for n in texture.shape_yx)
    rng = random_stream(texture.seed, Stream.TEXTURE, texture.layer)
    frequency = np.hypot(fft.fftfreq(tile_yx[0])[:, None], fft.rfftfreq(tile_yx[1])[None, :])
    amplitude = np.interp(frequency, PROFILE_FREQUENCIES, texture.profile)
    noise = rng.standard_normal((2, *frequency.shape))
    coefficients = amplitude * (noise[0] + 1j * noise[1])
    coefficients[0, 0] = 0.0
    coefficients /= max(float(fft.irfft2(coefficients, s=tile_yx).std()), 1e-30)
    rates = rng.standard_normal(frequency.shape) / max(texture.lifetime_frames, 1e-9)
    single = coefficients.astype(np.complex64)
    single.setflags(write=False)
    rates.setflags(write=False)
    return single, rates


def smooth_field(
    y_px: npt.NDArray[np.float64],
    x_px: npt.NDArray[np.float64],
    *,
    wavelength_px: float,
    seed: int,
    layer: int,
    modes: int = 8,
) -> Image:
    """A static smooth random field of zero mean and unit variance over the specimen.

    Parameters
    ----------
    y_px, x_px : specimen positions of the rows, shape (y,), and of the columns, shape (x,), px.
    wavelength_px : its waves are between this and twice as long.

    Returns
    -------
    float32, shape (y, x).
    """
    rng = random_stream(seed, Stream.FIELD, layer)
    frequency = 1.0 / (wavelength_px * rng.uniform(1.0, 2.0, modes))
    direction = np.pi * (np.arange(modes) + rng.uniform(0, 1, modes)) / modes
    phase = rng.uniform(0, 2 * np.pi, modes)
    along_y = 2 * np.pi * frequency * np.sin(direction) * y_px[:, None]
    along_x = 2 * np.pi * frequency * np.cos(direction) * x_px[:, None] + phase
    left = np.concatenate([np.cos(along_y), -np.sin(along_y)], axis=1).astype(np.float32)
    right = np.concatenate([np.cos(along_x), np.sin(along_x)], axis=1).astype(np.float32)
    field: Image = left @ right.T
    field *= np.float32(np.sqrt(2 / modes))
    return field
