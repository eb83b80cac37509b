"""Local power spectrum (docstring: `PowerSpectrum`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from emreel.descriptors.base import Feature, FeatureMap, Fold, Frame, Mask
from emreel.descriptors.geometry import grid_length, pad_frame
from emreel.descriptors.kernels.spectrum import Transform, plan_transform, power_rows
from emreel.descriptors.peaks import learn_peaks
from emreel.movie import EmreelError

#: Every frequency of a window lies below this, cycles/px.
ALL_FREQUENCIES = 0.71
#: Without a lattice nothing finer than 4 px is looked at.
PLAIN_FREQUENCY = 0.25
#: Windows are no wider than this on either side, px: the halo would outgrow most frames.
LARGEST_WINDOW_PX = 128
#: The window's half side in periods of the lattice: four periods a side keep first-order spots two bins apart.
WINDOW_PERIODS = 2.0
#: The highest frequency over that of the outermost spot, and its limits in units of 1/d.
BEYOND_SPOTS = 1.25
FREQUENCY_LIMITS = (1.5, 2.5)


class SpectrumError(EmreelError, ValueError):
    """The fields of a power spectrum, or the frame it is given, make no sense."""


@dataclass(frozen=True, kw_only=True)
class PowerSpectrum:
    """Power of every spatial frequency in the surroundings of a pixel: spacings, their directions and strengths.

    The fourth descriptor of the published symmetry method (Wang et al., Microsc. Microanal. 27 (2021) 1454, and their
    code pySTEM). Around every grid point stands a window of (2 w + 1)^2 px:

        F(k) = sum over the window of (f(r) - m) sqrt(hann(y) hann(x)) exp(-2 pi i k r / (2 w + 1))
        feature(k) = log(1 + |F(k)|^2 / P0)          (without the logarithm: |F(k)|^2 / P0)

    with m the window's mean counts, k = (ky, kx) whole periods a window, and P0 the floor, below which power counts
    as nothing. The logarithm keeps one bright spot from drowning all others; the power is blind to where in the
    cell the window stands, so a crystal gives the same features everywhere.

    What differs from the original, and why:

    - F(-k) is the conjugate of F(k). The original keeps both, 1681 features for w = 20; one of each pair says the same,
      so there are 841.
    - The original has P0 = 1 count^2 (``floor_power = 1``, the default): the same crystal recorded with twice the gain
      gets other features. `suggest` sets P0 to the median of |F(k)|^2 over the windows and frequencies of the movie's
      sample. Most frequencies of a crystal lie between its spots, so that is the noise, 0.69 of its mean power. A gain
      then changes nothing, noise stays below log(2) half of the time, and a spot tells by how much it stands out. P0
      belongs to the model, not to the frame: a frame that loses its lattice is seen to lose it.
    - Frequencies beyond the crystal's own spots are noise. ``highest_frequency`` leaves them out (and their cost);
      `suggest` puts it at 1.25 times the movie's outermost spot.
    - Grid point (i, j) stands on pixel (i stride, j stride) (the original draws its map 20 px off), and windows at the
      frame's edge use the pixels there are: the mean is over the valid ones, and |F|^2 is scaled to the power of a full
      taper. A window with less than a sixteenth of it has features 0.

    ``radial=True`` averages |F|^2 over rings of equal |k| before the floor: one feature a ring, blind to orientation.

    Parameters
    ----------
    window_px : half side w of the window, px; it has (2 w + 1)^2 pixels and resolves 1 / (2 w + 1) cycles/px.
    stride : px between grid points.
    log : take the logarithm; without it strong spots rule.
    floor_power : P0, counts^2; power below it counts as nothing. `suggest` learns it, 1 is the published one.
    highest_frequency : of the features, cycles/px; 0.71 (or more) keeps all.
    radial : average over rings of equal frequency, one bin wide.

    When to use: phases or orientations that differ in their spots, so that a picture of the spectrum would tell them
    apart: twins, precipitates, ordering (superlattice spots), lattice against amorphous. When it fails: phases with the
    same spots (mirror or glide symmetry beyond its extinctions); differences of intensity only; boundaries closer than
    half a window, where the spots of both sides mix. At the frame's edge half a window is cut off sharply, which
    smears strong spots across the edge: with more classes than phases, that rim becomes one of them.

    Raises
    ------
    SpectrumError : lengths that are no whole numbers from 1 up, a floor or a frequency that is not positive.

    Examples
    --------
    >>> import numpy as np
    >>> from emreel.descriptors.geometry import pad_frame
    >>> y, x = np.mgrid[:96, :96]
    >>> frame = np.where(x < 48, np.cos(2 * np.pi * x / 7), np.cos(2 * np.pi * y / 7)).astype(np.float32)
    >>> spectrum = PowerSpectrum(window_px=10, stride=8)
    >>> features = spectrum(*pad_frame(frame, spectrum.halo))
    >>> features.shape, len(spectrum.features)
    ((12, 12, 221), 221)
    >>> left, right = (spectrum.features[int(np.argmax(features[6, column]))].name for column in (2, 9))
    >>> left, right
    ('power +0 +3 /21 px', 'power +3 +0 /21 px')
    """

    name: ClassVar[str] = "spectrum"
    window_px: int = 20
    stride: int = 4
    log: bool = True
    floor_power: float = 1.0
    highest_frequency: float = ALL_FREQUENCIES
    radial: bool = False

    def __post_init__(self) -> None:
        for field in ("window_px", "stride"):
            value = getattr(self, field)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise SpectrumError(f"got {field} = {value!r}, wanted a whole number of pixels, at least 1.")
        for field in ("floor_power", "highest_frequency"):
            if not 0 < getattr(self, field) < np.inf:
                raise SpectrumError(f"got {field} = {getattr(self, field)!r}, wanted a positive number.")

    @classmethod
    def suggest(cls, given: Mapping[str, Any], fold: Fold) -> Self:
        """Take what is left out from the movie: lengths and frequencies from its spots, the floor from its power.

        With d the lattice period: window_px 2 d, stride d / 3 (at most 8), highest_frequency 1.25 times the outermost
        spot within 1.5 / d to 2.5 / d. Without a lattice: 20, 4 and 0.25 cycles/px.
        """
        fields = dict(given)
        if not {"window_px", "stride", "highest_frequency"} <= fields.keys():
            peaks = learn_peaks(fold)
            outermost = float(np.hypot(*peaks.g_yx.T).max(initial=0.0))
            fields = lengths_from_spots(peaks.period_px, outermost) | fields
        draft = cls(**fields)
        if "floor_power" in given:
            return draft
        return replace(draft, floor_power=fold(draft._median_power).typical)

    @property
    def halo(self) -> int:
        return self.window_px

    @property
    def features(self) -> tuple[Feature, ...]:
        """One frequency each, (ky, kx) periods a window; or one ring each."""
        transform = self._transform
        if self.radial:
            return tuple(Feature(f"power {ring}/{transform.side} px") for ring in range(_n_rings(transform)))
        return tuple(Feature(f"power {ky:+d} {kx:+d} /{transform.side} px") for ky, kx in transform.frequencies)

    @property
    def frequencies(self) -> npt.NDArray[np.float64]:
        """(ky, kx) of every computed frequency, cycles/px, shape (n, 2)."""
        return np.asarray(self._transform.frequencies / self._transform.side)

    def __call__(self, padded: Frame, valid: Mask | None = None) -> FeatureMap:
        """Features, shape (y_grid, x_grid, frequency), from 0 up; 0 where a window is flat or hardly valid."""
        out = np.empty((*self._grid(padded), len(self.features)), np.float32)
        for i, columns, features in self._rows(padded, valid):
            out[i, columns] = features
        return out

    def project(
        self,
        padded: Frame,
        mean: npt.NDArray[np.float64],
        components: npt.NDArray[np.float64],
        valid: Mask | None = None,
    ) -> FeatureMap:
        """``(features - mean) @ components.T``, a grid row at a time, shape (y_grid, x_grid, component)."""
        axes = np.ascontiguousarray(np.asarray(components, np.float32).T)
        center = np.asarray(mean, np.float32)
        out = np.empty((*self._grid(padded), axes.shape[1]), np.float32)
        for i, columns, features in self._rows(padded, valid):
            np.subtract(features, center, out=features)
            np.matmul(features, axes, out=out[i, columns])
        return out

    @property
    def _transform(self) -> Transform:
        return plan_transform(self.window_px, self.highest_frequency)

    def _grid(self, padded: Frame) -> tuple[int, int]:
        height, width = (n - 2 * self.halo for n in padded.shape)
        if height < 1 or width < 1:
            raise SpectrumError(
                f"got a padded frame of {padded.shape[0]} x {padded.shape[1]} px, wanted more than twice the halo "
                f"({self.halo} px) along each axis. Pad it with emreel.descriptors.geometry.pad_frame."
            )
        return grid_length(height, self.stride), grid_length(width, self.stride)

    def _rows(self, padded: Frame, valid: Mask | None) -> Any:
        """Grid row, grid columns, features; the array is overwritten by the next."""
        finite = np.isfinite(padded)
        if not finite.all():
            valid = finite if valid is None else valid & finite
        transform = self._transform
        rings = _ring_shares(transform) if self.radial else None
        floor = np.float32(1 / self.floor_power)
        for i, columns, powers in power_rows(padded, valid, transform, self.stride):
            features = powers if rings is None else powers @ rings
            features *= floor
            if self.log:
                features += np.float32(1)
                np.log(features, out=features)
            yield i, columns, features

    def _median_power(self, frame: Frame, valid: Mask) -> _Levels:
        """Median of |F|^2 over the windows of one frame, half a window apart."""
        coarse = replace(self, stride=self.halo, log=False, floor_power=1.0, radial=False)
        if min(frame.shape) <= 2 * self.halo:
            frame, valid = pad_frame(frame, self.halo, valid)
        powers = coarse(frame, valid)
        powers = powers[powers > 0]
        return _Levels(1, float(np.log(np.median(powers)))) if powers.size else _Levels(0, 0.0)


def lengths_from_spots(period_px: float | None, outermost_frequency: float) -> dict[str, Any]:
    """Window, stride (px) and highest frequency (cycles/px) for a lattice of this period; plain ones without."""
    if period_px is None:
        return {"highest_frequency": PLAIN_FREQUENCY}
    window_px = int(np.clip(round(WINDOW_PERIODS * period_px), 4, LARGEST_WINDOW_PX))
    low, high = (limit / period_px for limit in FREQUENCY_LIMITS)
    return {
        "window_px": window_px,
        "stride": int(np.clip(round(period_px / 3), 1, 8)),
        "highest_frequency": float(np.clip(BEYOND_SPOTS * outermost_frequency, low, high)),
    }


@dataclass(frozen=True)
class _Levels:
    """Logarithms of the frames' median powers."""

    n: int
    total: float

    def __add__(self, other: _Levels, /) -> _Levels:
        return _Levels(self.n + other.n, self.total + other.total)

    @property
    def typical(self) -> float:
        """Geometric mean; 1 when no frame had any power."""
        return float(np.exp(self.total / self.n)) if self.n else 1.0


def _ring_of(transform: Transform) -> npt.NDArray[np.int64]:
    return np.asarray(np.rint(np.hypot(*transform.frequencies.T)), np.int64)


def _n_rings(transform: Transform) -> int:
    return int(_ring_of(transform).max()) + 1


def _ring_shares(transform: Transform) -> npt.NDArray[np.float32]:
    """Averages over rings as a matrix, shape (frequency, ring); half a plane has the mean of the whole."""
    ring = _ring_of(transform)
    shares = (ring[:, None] == np.arange(_n_rings(transform))).astype(np.float64)
    return np.asarray(shares / shares.sum(axis=0), np.float32)
