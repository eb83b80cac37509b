"""The descriptor of polycrystals: one lattice in many orientations (docstring: `Ring`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from emreel.descriptors.base import Feature, FeatureMap, Fold, Frame, Mask
from emreel.descriptors.geometry import pad_frame
from emreel.descriptors.intensity import Intensity
from emreel.descriptors.lattice import SMALLEST_FRAME_PERIODS, Lattice
from emreel.descriptors.peaks import Peaks, learn_peaks
from emreel.descriptors.sample_sums import CountSums, Sums, white_noise
from emreel.movie import EmreelError

#: Folds that are looked for: stripes, square and hexagonal lattices.
FOLDS = (2, 4, 6)
#: The fold is the lowest whose coherence reaches this share of the largest.
FOLD_SHARE = 0.7
#: Harmonics of the fold that are told: two, or as many as reach this one. A spot is too wide to show higher ones.
LEAST_HARMONICS, HIGHEST_HARMONIC = 2, 8
#: Peaks whose |g| differ by less than this share lie on one ring.
RING_WIDTH = 0.1
#: Points a period, as near as whole pixels allow: boundaries are drawn between them.
POINTS_A_PERIOD = 3.0
LARGEST_STRIDE = 8
#: Share of the points that are taken as crystalline when the global amplitude is learned.
CRYSTAL_SHARE = 0.5


class RingError(EmreelError, ValueError):
    """Fields of a ring descriptor that cannot work, or a movie without any lattice."""


@dataclass(frozen=True, kw_only=True)
class Ring:
    """Orientation, strength and brightness of one lattice that is seen in many orientations.

    All grains of a polycrystal have the same spacings, so that their reflections lie on one ring. Around every point
    the energy E_k of the ring's wave is measured at ``n_orientations`` angles theta_k over half a turn (the lock-in of
    `emreel.descriptors.lattice`, steps 1 to 3, freed from white noise). Then, with n the fold of the lattice (n = 4
    for a square one),

        amplitude = sqrt(sum_k E_k) / A,   H_m = sum_k E_k exp(i m n theta_k) / A^2,   m = 1, 2 (up to 4 for n = 2),

    A the amplitude of the movie's crystals. arg(H_1) / n is the in-plane angle. H_2 tells what H_1 alone cannot:
    where two grains mix, H_1 points to an angle between theirs, which may be that of a third grain, while H_2 does not.
    The brightness is the square root of the local mean counts over the movie's mean, smoothed just enough
    (sigma 0.5 d) to even out the lattice: pores are dark, and narrower than the reach of an amplitude.

    The folded complex orientation is that of the circular statistics of axial data (K. V. Mardia, P. E. Jupp,
    Directional Statistics, Wiley 2000, 1.4 and 9.4); as an order parameter of lattices it is D. R. Nelson and
    B. I. Halperin's (Phys. Rev. B 19 (1979) 2457).

    Parameters
    ----------
    period_px : 1/|g| of the ring, px; every length below counts in it.
    fold : n, even.
    stride : px between grid points.
    noise_power : variance a pixel of the white noise in z = (f - m)/sqrt(m).
    amplitude_global : A.
    mean_counts, zero_counts : the movie's mean, and what its detector reports for no electron.
    lockin_periods, energy_periods, intensity_periods : Gaussian sigmas, in d.
    n_orientations : angles over half a turn. 18 are enough: with a lock-in of 0.8 d a spot is 11 degrees wide (sigma),
        and the sum over 18 angles tells its harmonics to 1e-3.

    `suggest` learns every field: the ring from the mean spectrum, whose strongest reflection has a place on it, and
    the fold from the mean coherence |H_1| A^2 / sum_k E_k of each of the folds 2, 4, 6.

    When to use: `emreel run` takes it by itself for polycrystals (`emreel.fit.polycrystal`). When it fails: a ring that
    carries spots of several angles whose lowest harmonic is weak, such as the two {111} of fcc along [110], 70.5
    degrees apart; grains narrower than two periods.

    Raises
    ------
    RingError : a fold that is odd or too high for the angles, a stride or period that no lattice can have.

    >>> y, x = np.mgrid[:96, :96]
    >>> turn = np.deg2rad(np.where(x < 48, 10.0, 30.0))
    >>> wave = sum(np.cos(2 * np.pi * (x * np.cos(turn + q) + y * np.sin(turn + q)) / 8) for q in (0, np.pi / 2))
    >>> ring = Ring(period_px=8.0, fold=4, stride=4, amplitude_global=5.0, mean_counts=100.0)
    >>> maps = ring(*pad_frame((100 + 20 * wave).astype(np.float32), ring.halo))
    >>> [round(float(angle), 1) for angle in ring.angle_deg(maps)[12, [4, 20]]]
    [10.0, 30.0]
    """

    name: ClassVar[str] = "ring"
    clusterer: ClassVar[str] = "kmeans"

    period_px: float
    fold: int = 4
    stride: int = 4
    noise_power: float = 1.0
    amplitude_global: float = 1.0
    mean_counts: float = 1.0
    zero_counts: float = 0.0
    lockin_periods: float = 0.8
    energy_periods: float = 0.6
    intensity_periods: float = 0.5
    n_orientations: int = 18

    def __post_init__(self) -> None:
        if self.fold < 2 or self.fold % 2 or self.n_harmonics * self.fold >= 2 * self.n_orientations:
            raise RingError(
                f"got a fold of {self.fold} with {self.n_orientations} orientations, wanted an even number from 2 up "
                "and at least as many orientations as the highest harmonic."
            )
        if self.stride < 1 or int(self.stride) != self.stride or not 2 <= self.period_px < np.inf:
            raise RingError(
                f"got a stride of {self.stride} px and a period of {self.period_px} px, wanted a whole number from 1 "
                "up and a period from 2 px up."
            )
        if not 0 < self.amplitude_global < np.inf:
            raise RingError(f"got amplitude_global = {self.amplitude_global}, wanted a positive number.")

    @property
    def features(self) -> tuple[Feature, ...]:
        """The amplitude, the brightness, then real and imaginary part of each harmonic."""
        parts = [f"{part}_{m * self.fold}" for m in range(1, self.n_harmonics + 1) for part in ("cos", "sin")]
        return (Feature("amplitude"), Feature("brightness", brightness=True), *map(Feature, parts))

    @property
    def n_harmonics(self) -> int:
        return max(LEAST_HARMONICS, HIGHEST_HARMONIC // self.fold)

    @property
    def halo(self) -> int:
        """Reach of all the smoothings, px; a multiple of the stride."""
        return max(self._lattice.halo, self._intensity.halo)

    @property
    def smallest_frame_px(self) -> int:
        return int(np.ceil(SMALLEST_FRAME_PERIODS * self.period_px))

    @property
    def resolution_px(self) -> float:
        return self._lattice.resolution_px

    @property
    def period_deg(self) -> float:
        """Angle after which the lattice looks the same."""
        return 360.0 / self.fold

    def __call__(self, padded: Frame, valid: Mask | None = None) -> FeatureMap:
        energies = self._energies(padded, valid)
        log_counts = _centred(self._intensity, padded, valid, self.halo)[..., 0]
        bright = np.exp(np.float32(0.5) * (log_counts - np.float32(np.log(self._mean_over_zero))))
        amplitude = np.sqrt(energies.sum(axis=-1))
        harmonics = energies @ self._waves
        return np.stack([amplitude, bright, *np.moveaxis(harmonics, -1, 0)], axis=-1).astype(np.float32, copy=False)

    def harmonics(self, features: FeatureMap) -> npt.NDArray[np.complex64]:
        """H_m of described points, shape (..., m), complex."""
        return np.ascontiguousarray(features[..., 2:], np.float32).view(np.complex64)

    def angle_deg(self, features: FeatureMap) -> npt.NDArray[np.float32]:
        """In-plane angle of described points, in [0, 360 / fold) degrees; of the wave vectors."""
        angle = np.degrees(np.angle(self.harmonics(features)[..., 0])) / self.fold % self.period_deg
        return np.where(angle >= self.period_deg, 0.0, angle).astype(np.float32)

    @classmethod
    def suggest(cls, given: Mapping[str, Any], fold: Fold) -> Ring:
        """Build the descriptor from the fields given; learn what is left out from the movie's sample.

        Raises
        ------
        RingError : the movie shows no lattice.
        """
        learned = dict(given)
        if "period_px" not in learned:
            learned["period_px"] = _ring_period_px(learn_peaks(fold))
        learned.setdefault("stride", suggest_stride(learned["period_px"]))
        if not {"mean_counts", "zero_counts"} <= learned.keys():
            counts = fold(CountSums.of)
            learned = {"mean_counts": counts.mean, "zero_counts": counts.zero, **learned}
        draft = cls(**learned)
        if "noise_power" not in learned:
            draft = replace(draft, noise_power=white_noise(fold(draft._lattice.standardised_spectrum)))
        if {"fold", "amplitude_global"} <= learned.keys():
            return draft
        n_frames, energy, *coherence = fold(draft._level_sums).values
        likely = min(n for n, c in zip(FOLDS, coherence, strict=True) if c >= FOLD_SHARE * max(coherence))
        return replace(
            draft,
            fold=learned.get("fold", likely),
            amplitude_global=learned.get("amplitude_global", float(np.sqrt(max(energy / n_frames, 1e-12)))),
        )

    # --------------------------------------------------------------------------------------- inside

    @cached_property
    def _lattice(self) -> Lattice:
        """The lock-in at the ring's waves; what only other features need has no reach."""
        angles = np.pi * np.arange(self.n_orientations) / self.n_orientations
        return Lattice(
            g_vectors=tuple((float(np.sin(a) / self.period_px), float(np.cos(a) / self.period_px)) for a in angles),
            period_px=self.period_px,
            stride=self.stride,
            noise_power=self.noise_power,
            mean_counts=self.mean_counts,
            zero_counts=self.zero_counts,
            lockin_periods=self.lockin_periods,
            energy_periods=self.energy_periods,
            contrast_periods=0.0,
            intensity_periods=0.1,
        )

    @cached_property
    def _intensity(self) -> Intensity:
        return Intensity(
            sigma_px=self.intensity_periods * self.period_px,
            stride=self.stride,
            mean_counts=self.mean_counts,
            zero_counts=self.zero_counts,
        )

    @cached_property
    def _waves(self) -> npt.NDArray[np.float32]:
        """shape (orientation, 2 m): cosine and sine of every harmonic."""
        theta = np.pi * np.arange(self.n_orientations) / self.n_orientations
        phases = [m * self.fold * theta for m in range(1, self.n_harmonics + 1)]
        return np.stack([part(phase) for phase in phases for part in (np.cos, np.sin)], axis=-1).astype(np.float32)

    @property
    def _mean_over_zero(self) -> float:
        return max(self.mean_counts - self.zero_counts, float(np.finfo(np.float32).tiny))

    def _energies(self, padded: Frame, valid: Mask | None) -> FeatureMap:
        """Energy at every angle over A^2, shape (y_grid, x_grid, orientation)."""
        amplitudes = _centred_amplitudes(self._lattice, padded, valid, self.halo)
        amplitudes *= np.float32(1 / self.amplitude_global)
        return np.asarray(amplitudes * amplitudes)

    def _level_sums(self, frame: Frame, valid: Mask) -> Sums:
        """1, the median energy of the better half of one frame, and the median coherence of every fold there."""
        padded, mask = pad_frame(frame, self.halo, valid)
        energies = replace(self, amplitude_global=1.0)._energies(padded, mask).astype(np.float64)
        total = energies.sum(axis=-1)
        crystal = total >= np.quantile(total, 1 - CRYSTAL_SHARE)
        theta = np.pi * np.arange(self.n_orientations) / self.n_orientations
        harmonics = np.abs(energies[crystal] @ np.exp(1j * np.outer(theta, FOLDS)))
        coherence = np.median(harmonics / np.maximum(total[crystal], 1e-12)[:, None], axis=0)
        return Sums(np.array([1.0, np.median(total[crystal]), *coherence]))


def _ring_period_px(peaks: Peaks) -> float:
    """1/|g| of the ring; where a few large grains show peaks, of the ring that the strongest lies on."""
    if len(peaks) == 0:
        if peaks.ring_period_px is None:
            raise RingError("the movie shows no lattice. Give period_px, or use another descriptor.")
        return peaks.ring_period_px
    lengths, power = np.hypot(*peaks.g_yx.T), peaks.power - peaks.background
    on_ring = np.abs(lengths / lengths[0] - 1) < RING_WIDTH
    return float(np.sum(power[on_ring]) / np.sum(power[on_ring] * lengths[on_ring]))


def suggest_stride(period_px: float) -> int:
    """A third of a period between grid points, within 1 to 8 px."""
    return int(np.clip(np.rint(period_px / POINTS_A_PERIOD), 1, LARGEST_STRIDE))


def _trimmed(padded: Frame, valid: Mask | None, by_px: int) -> tuple[Frame, Mask | None]:
    inside = slice(by_px, -by_px or None), slice(by_px, -by_px or None)
    return padded[inside], None if valid is None else valid[inside]


def _centred(descriptor: Intensity, padded: Frame, valid: Mask | None, halo_px: int) -> FeatureMap:
    """Another descriptor's features of a frame that is padded by ``halo_px``."""
    return descriptor(*_trimmed(padded, valid, halo_px - descriptor.halo))


def _centred_amplitudes(lattice: Lattice, padded: Frame, valid: Mask | None, halo_px: int) -> FeatureMap:
    return lattice.amplitudes(*_trimmed(padded, valid, halo_px - lattice.halo))
