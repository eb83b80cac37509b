"""The lattice descriptor, emreel's own (docstring: `Lattice`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from scipy import ndimage

from emreel.descriptors.base import Feature, FeatureMap, Fold, Frame, Mask
from emreel.descriptors.geometry import grid_length
from emreel.descriptors.kernels import lattice as kernels
from emreel.descriptors.peaks import Peaks, half_way, learn_peaks
from emreel.descriptors.sample_sums import CountSums, Sums, intensity_weight, white_noise
from emreel.descriptors.welch import SpectrumSums
from emreel.descriptors.working_grid import (
    Image,
    WorkingView,
    divide_covered,
    gaussian_taps,
    reach_px,
    smooth,
    sum_of_squares,
    wave_taps,
    with_margin,
)
from emreel.movie import EmreelError

#: The period that stands for a movie without a lattice, px: it sets the smoothing.
PLAIN_PERIOD_PX = 4.0
#: Intensities of a movie without a lattice count from so many times their noise on.
PLAIN_THRESHOLD = 3.0
#: The working grid is never wider than this share of the period.
GRID_PERIODS = 0.6
LARGEST_STRIDE = 8
#: A frame must show so many periods a side.
SMALLEST_FRAME_PERIODS = 4
#: Local means below this share of the movie's mean counts are taken as that much (vacuum).
LEAST_COUNTS = 0.01
#: Levels of total amplitude, 0 to 1, between which the intensity's average is interpolated.
GUIDE_LEVELS = 9
#: Median of the absolute value of a standard normal variable.
MEDIAN_OF_NORMAL = 0.6745
#: Sigma of the counts before that average, in d: enough to even out the columns of atoms.
FINE_PERIODS = 0.5
#: Ring of a polycrystal: orientations over half a turn at which the lock-in is done.
RING_ORIENTATIONS = 18

#: (gy, gx) of reflections, cycles/px.
GVectors = tuple[tuple[float, float], ...]


class LatticeError(EmreelError, ValueError):
    """Fields of a lattice descriptor that cannot work."""


@dataclass(frozen=True, kw_only=True)
class Lattice:
    """How strongly each of the movie's own lattice spacings is present around a point, and how bright it is there.

    One frame goes through these steps (d is the lattice period, all smoothings are Gaussian, all divided by
    their coverage, so that the frame's edge and dead pixels neither dim nor brighten anything):

    1. m, the local mean counts (sigma 1.5 d), and z = (f - m) / sqrt(m): shot noise of equal strength everywhere,
       yet linear in the counts. (A logarithm would be, too, but it collapses at low dose.)
    2. A lock-in at every g of the movie: amplitude of the wave exp(2 pi i g r) in z (sigma 0.8 d).
    3. Its energy, smoothed (sigma 0.8 d), minus what white noise leaves there, square root: one amplitude a g.
    4. All amplitudes of a point are divided by one local contrast, sqrt(localmax(|A|, 2 d)^2 + (0.7 A_global)^2),
       so that a thin or defocused part of a crystal is the same class as the rest of it.
    5. One intensity channel: two lattice-free layers differ in nothing else. It is the log of the counts,
       averaged (sigma 2 d) over neighbours of like total amplitude only, so that a bright crystal does not shine
       into the dark layer beside it, which would look like a third layer; weighted to half of the spread that all
       amplitudes together have over the movie, and never amplified much.

    The lock-in follows the geometric phase analysis of M. J. Hytch, E. Snoeck, R. Kilaas, Ultramicroscopy 74
    (1998) 131, of which it keeps the amplitude; the average over like neighbours is a bilateral filter with the
    amplitude as its guide, computed on levels of the guide (F. Durand, J. Dorsey, ACM Trans. Graphics 21 (2002) 257).

    A movie without any lattice is described by its intensity alone (sigma 6 px): what differs from the movie's
    median by less than three times the noise counts as the median (soft threshold), else the noise of an almost
    empty frame would outweigh one small particle in it.

    Parameters
    ----------
    g_vectors : (gy, gx) of every reflection, cycles/px; none for a movie without a lattice.
    period_px : the lattice period d; every length below counts in it.
    stride : px between grid points.
    noise_power : variance a pixel of the white noise in z.
    amplitude_global : typical total amplitude |A| of the movie's crystals, in z.
    intensity_weight : factor of the channel log(counts).
    plain_log_counts, plain_noise : without a lattice, the median of log(counts) and its noise.
    watched_g_vectors : where `watch` looks for what has no feature; of the form of ``g_vectors``.
    mean_counts, zero_counts : the movie's mean, and what its detector reports for no electron.
    mean_periods, lockin_periods, energy_periods, intensity_periods : Gaussian sigmas of steps 1, 2, 3, 5, in d.
    contrast_periods, contrast_floor : reach of the local maximum of step 4, in d; share of A_global in it.
    intensity_share : the intensity channel's spread over that of all amplitudes together, for `suggest`.

    `suggest` learns every field from a dozen frames: the reflections are peaks of the mean spectrum
    (`emreel.descriptors.peaks`). All features are clustered as they are, without principal components.

    When to use: it is the default. Fronts, layers, twins, ordering, particles: phases with reflections of their own,
    strengths of their own, or a brightness of their own, down to a few electrons a pixel. When it fails: phases that
    share every reflection at equal strength and brightness, and differ in the motif only (`translation`) or in a
    mirror or glide (`reflection`, `glide`); one lattice in many orientations, whose reflections are a ring; regions
    narrower than two periods. Order that the sample does not show has no feature of its own; `watch` sees it.

    Raises
    ------
    LatticeError : a stride, period or frequency that no lattice can have.

    Examples
    --------
    A crystal beside lattice-free ground of the same brightness: one amplitude tells them apart, the intensity does not.

    >>> import numpy as np
    >>> from emreel.descriptors.geometry import pad_frame
    >>> y, x = np.mgrid[:96, :96]
    >>> frame = 100 + np.where(x < 48, 40 * np.cos(2 * np.pi * x / 8), 0)
    >>> lattice = Lattice(g_vectors=((0.0, 1 / 8),), period_px=8.0, amplitude_global=2.0, mean_counts=100.0)
    >>> features = lattice(*pad_frame(frame.astype(np.float32), lattice.halo))
    >>> features.shape, [feature.name for feature in lattice.features]
    ((24, 24, 2), ['amplitude(+0.0000,+0.1250)', 'log_counts'])
    >>> [f"{value:.1f}" for value in features[12, [4, 20], 0]]
    ['0.9', '0.0']
    """

    name: ClassVar[str] = "lattice"
    clusterer: ClassVar[str] = "cores"
    unprojected: ClassVar[bool] = True

    g_vectors: GVectors = ()
    period_px: float = PLAIN_PERIOD_PX
    stride: int = 4
    noise_power: float = 1.0
    amplitude_global: float = 1.0
    intensity_weight: float = 1.0
    mean_counts: float = 1.0
    zero_counts: float = 0.0
    plain_log_counts: float = 0.0
    plain_noise: float = 0.0
    watched_g_vectors: GVectors = ()
    mean_periods: float = 1.5
    lockin_periods: float = 0.8
    energy_periods: float = 0.8
    intensity_periods: float = 2.0
    contrast_periods: float = 2.0
    contrast_floor: float = 0.7
    intensity_share: float = 0.5

    def __post_init__(self) -> None:
        for field in ("g_vectors", "watched_g_vectors"):
            object.__setattr__(self, field, tuple((float(gy), float(gx)) for gy, gx in getattr(self, field)))
        if self.stride < 1 or int(self.stride) != self.stride:
            raise LatticeError(f"got a stride of {self.stride} px, wanted a whole number from 1 up.")
        for field in ("period_px", "mean_periods", "lockin_periods", "energy_periods", "intensity_periods"):
            if not 0 < getattr(self, field) < np.inf:
                raise LatticeError(f"got {field} = {getattr(self, field)}, wanted a positive number.")
        for g in (*self.g_vectors, *self.watched_g_vectors):
            if not 0 < float(np.hypot(*g)) <= np.sqrt(0.5):
                raise LatticeError(
                    f"got the g vector {g}, wanted (gy, gx) in cycles/px, not zero, up to 0.5 along an axis."
                )

    @property
    def features(self) -> tuple[Feature, ...]:
        """One amplitude a g vector, then the intensity."""
        amplitudes = tuple(Feature(f"amplitude({gy:+.4f},{gx:+.4f})") for gy, gx in self.g_vectors)
        return (*amplitudes, Feature("log_counts", brightness=True))

    @property
    def halo(self) -> int:
        """Reach of all the smoothings after one another, px; a multiple of the stride."""
        grid = self.grid_px
        reach = reach_px(self._sigma_px("mean")) + grid
        if self.g_vectors:
            around = self._contrast_radius
            around += sum(reach_px(self._sigma_px(step) / grid) for step in ("energy", "intensity"))
            reach += reach_px(self._sigma_px("lockin")) + grid * around
        return grid_length(reach, self.stride) * self.stride

    @property
    def smallest_frame_px(self) -> int:
        """Four periods: most of the halo may lie beyond a small frame, and carries no weight there."""
        return int(np.ceil(SMALLEST_FRAME_PERIODS * self.period_px))

    @property
    def resolution_px(self) -> float:
        """Side of the square that an amplitude averages: sqrt(4 pi) times the sigma of lock-in and energy together."""
        sigma_px = np.hypot(self._sigma_px("lockin"), self._sigma_px("energy"))
        return float(np.sqrt(4 * np.pi) * sigma_px)

    @cached_property
    def grid_px(self) -> int:
        """px between the points of the working grid: the largest divisor of the stride that samples d well."""
        widest = max(1.0, GRID_PERIODS * self.period_px)
        return max(n for n in range(1, self.stride + 1) if self.stride % n == 0 and n <= widest)

    def __call__(self, padded: Frame, valid: Mask | None = None) -> FeatureMap:
        view = self._view(padded, valid, self.halo)
        channels, _ = self._channels(view)
        return self._picked(self._weighted(channels), view, padded)

    @property
    def watches(self) -> bool:
        """Whether `watch` has places to look at."""
        return bool(self.g_vectors and self.watched_g_vectors)

    def watch(self, padded: Frame, valid: Mask | None = None) -> tuple[FeatureMap, Image]:
        """The features, and beside them how strong the watched g vectors are where the movie's own lattice is.

        It is their energy (step 3, summed before the square root) times that of all ``g_vectors``, over the fourth
        power of the local contrast (step 4): texture without a lattice has some of the first and little of the second.

        Returns
        -------
        Features, as from a call. What is watched, shape (y_grid, x_grid), 0 where the lattice is as the fit saw it.
        """
        view = self._view(padded, valid, self.halo)
        channels, watched = self._channels(view, self.watched_g_vectors)
        return self._picked(self._weighted(channels), view, padded), self._picked([watched], view, padded)[..., 0]

    def amplitudes(self, padded: Frame, valid: Mask | None = None) -> FeatureMap:
        """Amplitude of every g before the local contrast is divided out, in units of z = (f - m)/sqrt(m)."""
        view = self._view(padded, valid, self.halo)
        return self._picked(self._amplitudes(self._standardised(view, self._local_mean(view)), view), view, padded)

    @classmethod
    def suggest(cls, given: Mapping[str, Any], fold: Fold) -> Lattice:
        """Build the descriptor from the fields given; learn what is left out from the movie's sample.

        Learns in this order: g vectors and period from the mean spectrum, what lies half way between them, stride from
        the period, counts, noise power, global amplitude, intensity weight. Each is one pass over the sample (a dozen
        frames spread over the movie are enough).
        """
        learned: dict[str, Any] = dict(given)
        if "g_vectors" not in learned or "period_px" not in learned:
            peaks = learn_peaks(fold)
            learned.setdefault("g_vectors", _g_vectors(peaks))
            learned.setdefault("period_px", peaks.period_px or PLAIN_PERIOD_PX)
            learned.setdefault("watched_g_vectors", half_way(given.get("g_vectors", peaks.g_yx)))
        learned.setdefault("watched_g_vectors", half_way(learned["g_vectors"]))
        learned.setdefault("stride", suggest_stride(learned["period_px"]))
        draft = cls(**learned)
        if not {"mean_counts", "zero_counts"} <= learned.keys():
            counts = fold(CountSums.of)
            draft = replace(draft, **({"mean_counts": counts.mean, "zero_counts": counts.zero} | dict(given)))
        if not draft.g_vectors:
            return draft._with_plain_levels(given, fold)
        if "noise_power" not in given:
            draft = replace(draft, noise_power=white_noise(fold(draft.standardised_spectrum)))
        if "amplitude_global" not in given:
            fourth, second = fold(draft._amplitude_sums).values
            draft = replace(draft, amplitude_global=float(np.sqrt(fourth / second)) if second > 0 else 1.0)
        if "intensity_weight" not in given:
            draft = replace(draft, intensity_weight=intensity_weight(fold(draft._feature_sums), draft.intensity_share))
        return draft

    def _with_plain_levels(self, given: Mapping[str, Any], fold: Fold) -> Lattice:
        frames, median, noise = fold(self._plain_sums).values
        levels = {"plain_log_counts": float(median / frames), "plain_noise": float(noise / frames)}
        return replace(self, **(levels | {name: given[name] for name in levels if name in given}))

    # The steps, on the trimmed view of one frame.

    def _sigma_px(self, step: str) -> float:
        return float(getattr(self, f"{step}_periods") * self.period_px)

    @property
    def _contrast_radius(self) -> int:
        return int(np.rint(self.contrast_periods * self.period_px / self.grid_px))

    @property
    def _least_counts(self) -> float:
        return max(LEAST_COUNTS * (self.mean_counts - self.zero_counts), float(np.finfo(np.float32).tiny))

    def _view(self, padded: Frame, valid: Mask | None, halo: int) -> WorkingView:
        return WorkingView.of(padded, valid, halo=halo, grid_px=self.grid_px, zero=np.float32(self.mean_counts))

    def _picked(self, channels: list[Image], view: WorkingView, padded: Frame) -> FeatureMap:
        """The channels at the descriptor's own grid points."""
        picked = view.picked(self.stride, (padded.shape[0] - 2 * self.halo, padded.shape[1] - 2 * self.halo))
        return np.stack([channel[picked] for channel in channels], axis=-1)

    def _local_mean(self, view: WorkingView) -> Image:
        """Local mean counts minus the movie's mean, on the working grid."""
        taps = gaussian_taps(self._sigma_px("mean"))
        total = smooth(view.counts, taps, view.grid_px, view.n_grid_yx)
        cover = smooth(view.weight, taps, view.grid_px, view.n_grid_yx)
        return divide_covered(total, cover)

    def _channels(self, view: WorkingView, watched: GVectors = ()) -> tuple[list[Image], Image]:
        """Every feature on the working grid, the intensity as it is; and what is watched."""
        mean = self._local_mean(view)
        if not self.g_vectors:
            return [self._log_counts(mean)], np.zeros_like(mean)
        energies = self._energies(self._standardised(view, mean), view, (*self.g_vectors, *watched))
        amplitudes = self._amplitudes_of(energies[: len(self.g_vectors)], view)
        contrast = self._contrast(amplitudes, view)
        scaled = [divide_covered(amplitude, contrast) for amplitude in amplitudes]
        channels = [*scaled, self._log_counts(self._mean_of_alike(scaled, view))]
        if not watched:
            return channels, np.zeros_like(mean)
        (strange,) = self._amplitudes_of([sum(energies[len(self.g_vectors) :], np.zeros_like(mean))], view)
        return channels, divide_covered(strange, contrast) ** 2 * sum_of_squares(scaled)

    def _weighted(self, channels: list[Image]) -> list[Image]:
        *amplitudes, intensity = channels
        if not self.g_vectors:
            intensity = self._beyond_noise(intensity)
        return [*amplitudes, np.float32(self.intensity_weight) * intensity]

    def _log_counts(self, mean: Image) -> Image:
        counts = mean + np.float32(self.mean_counts - self.zero_counts)
        return np.asarray(np.log(np.maximum(counts, np.float32(self._least_counts))))

    def _mean_of_alike(self, amplitudes: list[Image], view: WorkingView) -> Image:
        """Mean counts (minus the movie's) of the neighbours that have the same total amplitude."""
        fine = gaussian_taps(FINE_PERIODS * self.period_px)
        inside = view.weight_on_grid
        total = smooth(view.counts, fine, view.grid_px, view.n_grid_yx) * inside
        cover = smooth(view.weight, fine, view.grid_px, view.n_grid_yx) * inside
        guide = np.float32(GUIDE_LEVELS - 1) * np.minimum(np.sqrt(sum_of_squares(amplitudes)), np.float32(1))
        taps = gaussian_taps(self._sigma_px("intensity") / view.grid_px)
        over, under = np.zeros_like(total), np.zeros_like(cover)
        for level in range(GUIDE_LEVELS):
            alike = np.maximum(np.float32(1) - np.abs(guide - np.float32(level)), np.float32(0))
            over += alike * smooth(total * alike, taps, 1, total.shape)
            under += alike * smooth(cover * alike, taps, 1, cover.shape)
        return divide_covered(over, under)

    def _standardised(self, view: WorkingView, mean: Image) -> Image:
        """z = (f - m)/sqrt(m) of every pixel, 0 where invalid."""
        zero = self.zero_counts - self.mean_counts
        z: Image = kernels.standardise(view.counts, view.weight, mean, view.grid_px, zero, self._least_counts)
        return z

    def _amplitudes(self, z: Image, view: WorkingView) -> list[Image]:
        return self._amplitudes_of(self._energies(z, view, self.g_vectors), view)

    def _energies(self, z: Image, view: WorkingView, g_vectors: GVectors) -> list[Image]:
        """Squared amplitude of every g on the working grid, less what white noise leaves there."""
        grid, taps = view.grid_px, gaussian_taps(self._sigma_px("lockin"))
        radius = len(taps) // 2
        cover = smooth(view.weight, taps, grid, view.n_grid_yx)
        # white noise of variance 1 leaves sum(K^2) / cover in |A|^2, the square of a wave's half amplitude
        per_cover = divide_covered(view.weight_on_grid, cover)
        floor = np.float32(4 * self.noise_power * float(np.sum(taps.astype(np.float64) ** 2)) ** 2) * per_cover
        source = with_margin(z.T, radius, view.n_grid_yx[1], grid)
        energies = []
        for gy, gx in g_vectors:
            real, imag = kernels.demodulate_rows(source, *wave_taps(taps, gx), grid, view.n_grid_yx[1])
            real, imag = (with_margin(part.T, radius, view.n_grid_yx[0], grid) for part in (real, imag))
            energy = kernels.demodulate_energy(real, imag, *wave_taps(taps, gy), grid, view.n_grid_yx[0])
            energies.append(np.float32(4) * energy * per_cover * per_cover - floor)
        return energies

    def _amplitudes_of(self, energies: list[Image], view: WorkingView) -> list[Image]:
        """Square roots of the energies, smoothed."""
        inside, taps = view.weight_on_grid, gaussian_taps(self._sigma_px("energy") / view.grid_px)
        inside_smooth = smooth(inside, taps, 1, inside.shape)
        smoothed = (divide_covered(smooth(energy, taps, 1, inside.shape), inside_smooth) for energy in energies)
        return [np.sqrt(np.maximum(energy, 0)) for energy in smoothed]

    def _contrast(self, amplitudes: list[Image], view: WorkingView) -> Image:
        """What the amplitudes of a point are divided by (step 4)."""
        size = 2 * self._contrast_radius + 1
        strongest = ndimage.maximum_filter(
            sum_of_squares(amplitudes) * view.weight_on_grid, size, mode="constant", cval=0.0
        )
        return np.asarray(np.sqrt(strongest + np.float32((self.contrast_floor * self.amplitude_global) ** 2)))

    def _beyond_noise(self, log_counts: Image) -> Image:
        """Soft threshold: how far log(counts) lies beyond the noise around the movie's median."""
        apart = log_counts - np.float32(self.plain_log_counts)
        beyond = np.maximum(np.abs(apart) - np.float32(PLAIN_THRESHOLD * self.plain_noise), np.float32(0))
        return np.asarray(np.copysign(beyond, apart))

    # What `suggest` sums over the sample.

    def standardised_spectrum(self, frame: Frame, valid: Mask) -> SpectrumSums:
        view = self._view(frame, valid, halo=0)
        return SpectrumSums.of(self._standardised(view, self._local_mean(view)), valid)

    def _amplitude_sums(self, frame: Frame, valid: Mask) -> Sums:
        """Sums of |A|^4 and |A|^2: their ratio is what a crystal has, whatever part of the frame it fills."""
        view = self._view(frame, valid, halo=0)
        found = self._amplitudes(self._standardised(view, self._local_mean(view)), view)
        square = np.sum([a.astype(np.float64) ** 2 for a in found], axis=0)[view.inside]
        return Sums(np.array([np.sum(square**2), np.sum(square)]))

    def _plain_sums(self, frame: Frame, valid: Mask) -> Sums:
        """One frame's median of log(counts), and its noise: the median difference between independent neighbours."""
        view = self._view(frame, valid, halo=0)
        values = np.where(view.inside, self._channels(view)[0][-1], np.nan).astype(np.float64)
        apart = int(np.ceil(4 * self._sigma_px("mean") / self.grid_px))
        steps = np.concatenate(
            [(values[apart:] - values[:-apart]).ravel(), (values[:, apart:] - values[:, :-apart]).ravel()]
        )
        steps, values = np.abs(steps[np.isfinite(steps)]), values[np.isfinite(values)]
        noise = float(np.median(steps)) / MEDIAN_OF_NORMAL / np.sqrt(2) if steps.size else 0.0
        return Sums(np.array([1.0, float(np.median(values)) if values.size else 0.0, noise]))

    def _feature_sums(self, frame: Frame, valid: Mask) -> Sums:
        """Number of grid points, sums and sums of squares of every feature."""
        view = self._view(frame, valid, halo=0)
        values = np.stack(self._channels(view)[0], axis=-1)[view.inside].astype(np.float64)
        return Sums(np.stack([np.full(values.shape[1], len(values)), values.sum(0), (values**2).sum(0)]))


def suggest_stride(period_px: float) -> int:
    """Half a period between grid points, within 1 to 8 px."""
    return int(np.clip(np.rint(period_px / 2), 1, LARGEST_STRIDE))


def _g_vectors(peaks: Peaks) -> tuple[tuple[float, float], ...]:
    """The peaks, or orientations evenly around the ring of a polycrystal."""
    if len(peaks) or peaks.ring_period_px is None:
        return tuple((float(gy), float(gx)) for gy, gx in peaks.g_yx)
    angles = np.pi * np.arange(RING_ORIENTATIONS) / RING_ORIENTATIONS
    return tuple((float(np.sin(a) / peaks.ring_period_px), float(np.cos(a) / peaks.ring_period_px)) for a in angles)
