"""The Gabor bank: how much of every fringe direction and spacing there is around a point (docstring: `GaborBank`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, Literal, get_args

import numpy as np
import numpy.typing as npt
from scipy import special

from emreel.descriptors.base import Feature, FeatureMap, Fold, Frame, Mask
from emreel.descriptors.geometry import grid_length, pad_frame
from emreel.descriptors.kernels import gabor as kernels
from emreel.descriptors.lattice import suggest_stride
from emreel.descriptors.passbands import FilteredImage, Passband
from emreel.descriptors.peaks import Peaks, learn_peaks
from emreel.descriptors.sample_sums import CountSums, Sums, intensity_weight, white_noise
from emreel.descriptors.welch import SpectrumSums
from emreel.descriptors.working_grid import (
    Image,
    WorkingView,
    divide_covered,
    gaussian_taps,
    reach_px,
    smooth,
)
from emreel.movie import EmreelError

Flattening = Literal["shot", "ratio", "log", "none"]
Measure = Literal["magnitude", "power"]

#: Wavelengths of the published bank, px; they stand for a movie without a lattice.
PUBLISHED_WAVELENGTHS_PX = (4.0, 4.5, 5.0, 5.5, 6.0, 6.5, 7.0)
#: The shortest wavelength that a suggestion asks for, px.
SHORTEST_PX = 2.2
#: A suggested bank goes so far below the shortest and above the longest spacing found, and is at least so wide.
MARGIN, LEAST_SPAN = 1.1, 1.5
#: With smoothing, features are computed at least this densely: points per period.
GRID_PERIODS = 0.5
#: Frames of so many periods a side make sense.
SMALLEST_FRAME_PERIODS = 4
#: A filter of which less than this share is covered says nothing.
LEAST_COVER = 0.02
#: The local contrast is at least this, in z^2.
LEAST_FLOOR = 1e-6
#: Side of the white noise that a bank is tried on, in periods, and its limits, px.
NOISE_PERIODS, NOISE_SIDES_PX = 24, (128, 768)
#: Sigma along the wave over the wavelength: of one octave, the usual filter; and the longest that is suggested.
PUBLISHED_SIGMA, LARGEST_SIGMA = 0.56, 1.1
#: Filters grow longer from this ratio of noise to crystal on (of amplitudes, seen by a trial bank).
NOISE_RATIO = 0.16
TRIAL_SIGMA, TRIAL_ORIENTATIONS = 0.8, 12
#: Where the powers over the local contrast add up to less, there is no lattice; ground without lattice is at least this
#: share of the frame; and layers without lattice differ by at least this share of the intensity's whole spread.
FREE_POWER, FREE_SHARE, FREE_SPREAD = 0.25, 0.1, 0.35
#: Local means below this share of the movie's mean counts are taken as that much (vacuum).
LEAST_COUNTS = 0.01


class GaborError(EmreelError, ValueError):
    """Fields of a Gabor bank that cannot work."""


@dataclass(frozen=True, kw_only=True)
class GaborBank:
    """Powers of a bank of complex Gabor filters: which fringes are around a point, whatever their phase.

    The method is that of G. Barcena-Gonzalez, A. Hernandez-Robles, A. Mayoral, L. Martinez, Y. Huttel, P. L. Galindo,
    A. Ponce, Small Methods (2023), "Unsupervised learning for the segmentation of small crystalline particles at the
    atomic level" (eq. 1-7; 36 orientations of 5 degrees by 7 wavelengths of 4 to 7 px, then k-means).

    Formula, one frame f, lambda and theta a filter's wavelength and angle, d the lattice period:

    1. ``z = (f - m) / sqrt(m + dark_share M)``, m the local mean (Gaussian, sigma ``mean_periods`` d), M the movie's:
       shot noise of nearly equal strength everywhere, yet linear in the counts (``flatten``). Without the share of M,
       what a probe spreads into the vacuum beside a crystal would count like the crystal.
    2. ``A = sum g z / sum w`` around each point, with ``g = w exp(2 pi i x' / lambda)`` and
       ``w = exp(-(x'^2 / sx^2 + y'^2 / sy^2) / 2)``, x' along the wave and y' across it, ``sx`` =
       ``sigma_wavelengths`` lambda, ``sy`` = ``elongation`` sx. Sums run over valid pixels only: the frame's edge and
       dead pixels dim nothing.
    3. ``P = 4 |A|^2``, smoothed (sigma ``smooth_periods`` d), minus what white noise leaves there. A wave
       a cos(2 pi g r) has P = a^2. Noise alone has P = 0 on average, so P may lie below zero.
    4. ``P / C``, with ``C = L + noise_margin * noise_spread + contrast_floor^2 * power_global``. T is the sum of P over
       all filters, and L = smooth(T^2) / smooth(T) (sigma ``contrast_periods`` d) the largest T around, softly. So
       thickness cancels, and what does not stand out from noise stays near zero. Or its root (``measure``).
    5. Optionally the log of the local mean counts, as one more feature.

    The filters are passbands of one spectrum, which is folded onto the grid before it is transformed back
    (`emreel.descriptors.passbands`); against plain float64 sums the error is 1e-5 of the largest power.

    Parameters
    ----------
    wavelengths_px, n_orientations : of the filters; angles are 180 k / n_orientations degrees.
    period_px : the lattice period d, in which smoothings count. stride : px between grid points.
    measure : "power" (P), or "magnitude" (its root, the published alternative: fainter parts of a crystal stay nearer
        to the rest, and so does what is blurred beyond its edge).
    flatten : "shot" (step 1); "ratio", the same without the root; "log", log f less its local mean (collapses below
        some counts a pixel); "none", the counts minus ``mean_counts``.
    sigma_wavelengths, elongation : of the envelope; 0.56 and 2 are one octave, the usual choice (the paper has none).
    smooth_periods, mean_periods, contrast_periods, intensity_periods : Gaussian sigmas in d. 0 switches off the
        first and the third; both off is the published method.
    contrast_floor, noise_margin : of step 4. power_global : typical T of the movie's crystals, z^2.
    noise_power : variance a pixel of the white noise in z. noise_spread : standard deviation of T in that noise, z^2.
    mean_counts, zero_counts : the movie's mean, and what its detector reports for no electron.
    intensity_weight : factor of the last feature, 0 for none. intensity_share : its spread over that of all powers
        together, for `suggest`; 0 for none. `suggest` also leaves it out where all ground without lattice is equally
        bright, as around a particle: the thickness in it would only blur the facets.

    When to use it: crystals of one material in several orientations (twins, grains, facets of a particle), without
    asking first which reflections there are; orientation maps (`emreel.orientation`). `suggest` finds wavelengths
    that hold the movie's own spacings, and lengthens the filters where noise asks for it. Give K = facets + 1.

    When it fails: lattice-free layers differ in intensity alone, which only the intensity channel sees; two phases of
    one spacing and orientation are one (use `emreel.descriptors.translation` for their motif); crystals smaller than
    two or three periods; at very low dose found peaks (`emreel.descriptors.lattice`) have less noise than a bank.
    HRTEM fringes far from focus lie beside the crystal they belong to, and so do its classes.

    Raises
    ------
    GaborError : fields that cannot work.

    Examples
    --------
    >>> import numpy as np
    >>> from emreel.descriptors.geometry import pad_frame
    >>> y, x = np.mgrid[:64, :96]
    >>> twins = 100 + 30 * np.cos(2 * np.pi * np.where(x < 48, x, y) / 6)
    >>> bank = GaborBank(wavelengths_px=(5.0, 6.0, 7.0), n_orientations=6, period_px=6.0, stride=8, mean_counts=100.0)
    >>> power = bank(*pad_frame(twins.astype(np.float32), bank.halo))
    >>> power.shape, bank.features[6].name
    ((8, 12, 18), 'fringe 6 px 0 deg')
    >>> strongest = power[4].argmax(axis=-1)
    >>> [bank.features[k].name for k in (strongest[2], strongest[-3])]
    ['fringe 6 px 0 deg', 'fringe 6 px 90 deg']
    """

    name: ClassVar[str] = "gabor"

    wavelengths_px: tuple[float, ...] = PUBLISHED_WAVELENGTHS_PX
    n_orientations: int = 36
    period_px: float = 5.5
    stride: int = 4
    measure: Measure = "power"
    flatten: Flattening = "shot"
    sigma_wavelengths: float = PUBLISHED_SIGMA
    elongation: float = 2.0
    smooth_periods: float = 1.0
    mean_periods: float = 1.5
    dark_share: float = 0.25
    contrast_periods: float = 0.7
    contrast_floor: float = 0.2
    power_global: float = 1.0
    noise_power: float = 0.0
    noise_margin: float = 2.0
    noise_spread: float = 0.0
    mean_counts: float = 1.0
    zero_counts: float = 0.0
    intensity_weight: float = 0.0
    intensity_periods: float = 1.5
    intensity_share: float = 0.5

    def __post_init__(self) -> None:
        object.__setattr__(self, "wavelengths_px", tuple(float(w) for w in self.wavelengths_px))
        _check(self)

    @property
    def features(self) -> tuple[Feature, ...]:
        """One a filter: all orientations of the first wavelength, then of the next; the intensity last, if any."""
        fringes = tuple(
            Feature(f"fringe {band.wavelength_px:.4g} px {np.rad2deg(band.angle_rad):.4g} deg") for band in self.bands
        )
        return (*fringes, Feature("log_counts", brightness=True)) if self.intensity_weight > 0 else fringes

    @cached_property
    def bands(self) -> tuple[Passband, ...]:
        """The filters, in the order of the features."""
        angles = np.pi * np.arange(self.n_orientations) / self.n_orientations
        return tuple(
            Passband(w, float(a), self.sigma_wavelengths * w, self.sigma_wavelengths * self.elongation * w)
            for w in self.wavelengths_px
            for a in angles
        )

    @property
    def halo(self) -> int:
        """Reach of the local mean, the longest filter and the smoothings together; a multiple of the stride."""
        reach = self._filter_reach + self.grid_px * self._margin_steps
        if self.flatten != "none":
            reach += reach_px(self._sigma_px("mean")) + self.grid_px
        if self.intensity_weight > 0:
            reach = max(reach, reach_px(self._sigma_px("intensity")) + self.grid_px)
        return grid_length(reach, self.stride) * self.stride

    @property
    def smallest_frame_px(self) -> int:
        """Four periods: most of the halo may lie beyond a small frame, and carries no weight there."""
        return int(np.ceil(SMALLEST_FRAME_PERIODS * self.period_px))

    @cached_property
    def grid_px(self) -> int:
        """px between the points at which filters are evaluated: the stride, or a divisor when they are smoothed."""
        if self._margin_steps_at(self.stride) == 0:
            return self.stride
        widest = max(1.0, GRID_PERIODS * self.period_px)
        return max(n for n in range(1, self.stride + 1) if self.stride % n == 0 and n <= widest)

    def __call__(self, padded: Frame, valid: Mask | None = None) -> FeatureMap:
        """Powers over the local contrast, shape (y_grid, x_grid, filter); see the class."""
        planes = np.empty((len(self.features), *self._grid_shape(padded)), np.float32)

        def keep(index: int, energy: Image) -> None:
            planes[index] = energy

        contrast, log_counts = self._filter_all(padded, valid, keep)
        if contrast is not None:
            planes[: len(self.bands)] *= contrast
        if log_counts is not None:
            planes[-1] = log_counts
        return np.moveaxis(planes, 0, -1)

    def project(
        self,
        padded: Frame,
        mean: npt.NDArray[np.float64],
        components: npt.NDArray[np.float64],
        valid: Mask | None = None,
    ) -> FeatureMap:
        """``(features - mean) @ components.T`` without the features, shape (y_grid, x_grid, component)."""
        weights = np.ascontiguousarray(components.T, dtype=np.float32)
        planes = np.zeros((weights.shape[1], *self._grid_shape(padded)), np.float32)

        def add(index: int, energy: Image) -> None:
            kernels.add_weighted(planes, weights[index], energy)

        contrast, log_counts = self._filter_all(padded, valid, add)
        if contrast is not None:
            planes *= contrast
        if log_counts is not None:
            kernels.add_weighted(planes, weights[-1], log_counts)
        planes -= (components @ np.asarray(mean, np.float64)).astype(np.float32)[:, None, None]
        return np.ascontiguousarray(np.moveaxis(planes, 0, -1))

    @classmethod
    def suggest(cls, given: Mapping[str, Any], fold: Fold) -> GaborBank:
        """Build the bank from the fields given; learn what is left out from the movie's sample.

        Learns in this order: wavelengths and period from the peaks of the mean spectrum, stride from the period,
        counts, noise power, how sharp filters may be, the crystals' power, the intensity's weight. Each is one pass.
        """
        learned: dict[str, Any] = dict(given)
        if not {"wavelengths_px", "period_px"} <= learned.keys():
            peaks = learn_peaks(fold)
            learned.setdefault("wavelengths_px", suggest_wavelengths(peaks))
            learned.setdefault("period_px", peaks.period_px or float(np.median(learned["wavelengths_px"])))
        learned.setdefault("stride", suggest_stride(learned["period_px"]))
        if not {"mean_counts", "zero_counts"} <= learned.keys():
            counts = fold(CountSums.of)
            learned = {"mean_counts": counts.mean, "zero_counts": counts.zero} | learned
        bank = cls(**learned)
        if "noise_power" not in given:
            bank = replace(bank, noise_power=_noise_power(fold(bank._flattened_spectrum)))
        if "sigma_wavelengths" not in given:
            bank = replace(bank, sigma_wavelengths=bank._as_sharp_as_noise_allows(fold))
        # totals over all filters are learned from a bank of fewer directions: powers vary slowly with the angle
        thin, more = bank._thinned()
        if bank.contrast_periods > 0:
            if "noise_spread" not in given:
                bank = replace(bank, noise_spread=more * thin._spread_of_noise())
            if "power_global" not in given:
                square, first = fold(thin._power_sums).values
                bank = replace(bank, power_global=more * float(square / first) if first > 0 else 1.0)
        if "intensity_weight" not in given and bank.intensity_share > 0:
            trial = replace(bank, intensity_weight=1.0)
            sums = fold(trial._feature_sums).values
            share = bank.intensity_share if _intensity_tells(sums) else 0.0
            bank = replace(bank, intensity_weight=intensity_weight(Sums(sums[:, :-1]), share) if share else 0.0)
        return bank

    # ------------------------------------------------------------------------------------ the steps

    def _sigma_px(self, step: str) -> float:
        return float(getattr(self, f"{step}_periods") * self.period_px)

    @property
    def _filter_reach(self) -> int:
        return max(band.reach_px for band in self.bands)

    def _margin_steps_at(self, grid_px: int) -> int:
        steps = [self.smooth_periods, self.contrast_periods]
        return sum(reach_px(periods * self.period_px / grid_px) for periods in steps if periods > 0)

    @property
    def _margin_steps(self) -> int:
        """Grid points around the wanted ones that the smoothings look at."""
        return self._margin_steps_at(self.grid_px)

    def _grid_shape(self, padded: Frame) -> tuple[int, int]:
        height, width = (n - 2 * self.halo for n in padded.shape)
        return grid_length(height, self.stride), grid_length(width, self.stride)

    def _filter_all(
        self, padded: Frame, valid: Mask | None, take: Callable[[int, Image], None]
    ) -> tuple[Image | None, Image | None]:
        """Hand every filter's energy on the descriptor's grid to ``take``.

        Returns what to multiply the energies with, and the intensity channel; None for what is switched off.
        """
        view = WorkingView.of(padded, valid, halo=self.halo, grid_px=self.grid_px, zero=np.float32(self.mean_counts))
        picked = view.picked(self.stride, (padded.shape[0] - 2 * self.halo, padded.shape[1] - 2 * self.halo))
        field = _Field.of(self, view, picked)
        total = np.zeros(field.n_yx, np.float32)
        for index, power in field.powers():
            total += power
            take(index, self._measured(power[field.wanted]))
        contrast = self._measured(field.contrast(total)[field.wanted]) if self.contrast_periods > 0 else None
        log_counts = self._log_counts(view)[picked] if self.intensity_weight > 0 else None
        return contrast, None if log_counts is None else np.ascontiguousarray(log_counts)

    def _measured(self, power: Image) -> Image:
        if self.measure == "power":
            return np.ascontiguousarray(power)
        return np.asarray(np.sqrt(np.maximum(power, np.float32(0))))

    @property
    def _least_counts(self) -> float:
        return max(LEAST_COUNTS * (self.mean_counts - self.zero_counts), float(np.finfo(np.float32).tiny))

    def _log_counts(self, view: WorkingView) -> Image:
        """Log of the local mean counts over the movie's, weighted."""
        over_zero = max(self.mean_counts - self.zero_counts, self._least_counts)
        taps = gaussian_taps(self._sigma_px("intensity"))
        counts = _local_mean(view, view.counts, taps) + np.float32(over_zero)
        ratio = np.maximum(counts, np.float32(self._least_counts)) / np.float32(over_zero)
        return np.asarray(np.float32(self.intensity_weight) * np.log(ratio))

    def flattened(self, view: WorkingView) -> Image:
        """The image that is filtered, shape of the view: freed from its local mean, 0 where invalid."""
        if self.flatten == "none":
            return view.counts
        over_zero = np.float32(max(self.mean_counts - self.zero_counts, self._least_counts))
        taps = gaussian_taps(self._sigma_px("mean"))
        brightness = _local_mean(view, view.counts, taps)
        image, mean, least = view.counts, brightness, np.float32(self._least_counts)
        if self.flatten == "log":
            image = np.log(np.maximum(view.counts + over_zero, least) / over_zero) * view.weight
            mean = _local_mean(view, image, taps)
        exponent = {"shot": 0.5, "ratio": 1.0, "log": 0.0}[self.flatten]
        shine = brightness + (1 + np.float32(self.dark_share)) * over_zero
        flat: Image = kernels.flatten(image, view.weight, mean, shine, view.grid_px, exponent, float(least))
        return flat

    # What `suggest` sums over the sample.

    def _whole_view(self, frame: Frame, valid: Mask) -> WorkingView:
        return WorkingView.of(frame, valid, halo=0, grid_px=self.grid_px, zero=np.float32(self.mean_counts))

    def _flattened_spectrum(self, frame: Frame, valid: Mask) -> SpectrumSums:
        return SpectrumSums.of(self.flattened(self._whole_view(frame, valid)), valid)

    def _power_sums(self, frame: Frame, valid: Mask) -> Sums:
        """Sums of the squared and the plain total power: their ratio is what a crystal has, whatever part it fills."""
        view = self._whole_view(frame, valid)
        field = _Field.of(self, view, view.picked(self.grid_px, (frame.shape[0], frame.shape[1])))
        inside = np.maximum(field.total_power()[field.inside > 0].astype(np.float64), 0)
        return Sums(np.array([np.sum(inside**2), np.sum(inside)]))

    def _thinned(self) -> tuple[GaborBank, float]:
        """The bank with fewer directions, and how many of this bank's filters stand behind one of its."""
        few = min(self.n_orientations, TRIAL_ORIENTATIONS)
        return replace(self, n_orientations=few), self.n_orientations / few

    def _as_sharp_as_noise_allows(self, fold: Fold) -> float:
        """The published envelope, or a longer one in proportion to the noise where it rivals the crystals' power."""
        trial = replace(self._thinned()[0], sigma_wavelengths=TRIAL_SIGMA, smooth_periods=1.0)
        square, first = fold(trial._power_sums).values
        if first <= 0:
            return LARGEST_SIGMA
        ratio = float(np.sqrt(trial._spread_of_noise() / (square / first)))
        return float(np.clip(PUBLISHED_SIGMA * ratio / NOISE_RATIO, PUBLISHED_SIGMA, LARGEST_SIGMA))

    def _spread_of_noise(self) -> float:
        """Standard deviation of the total power where there is nothing but white noise (always the same noise)."""
        side = int(np.clip(NOISE_PERIODS * self.period_px, *NOISE_SIDES_PX))
        noise = np.random.default_rng(0).normal(0, np.sqrt(self.noise_power), (side, side)).astype(np.float32)
        bank = replace(self, flatten="none", mean_counts=0.0)
        view = bank._whole_view(noise, np.ones(noise.shape, bool))
        field = _Field.of(bank, view, view.picked(self.grid_px, noise.shape))
        return float(np.std(field.total_power()[field.inside > 0], dtype=np.float64))

    def _feature_sums(self, frame: Frame, valid: Mask) -> Sums:
        """Number of grid points, sums and sums of squares of every feature, and of the intensity without lattice."""
        step = self.stride
        values = self(*pad_frame(frame, self.halo, valid))[valid[::step, ::step]].astype(np.float64)
        power = (values[:, :-1] if self.measure == "power" else values[:, :-1] ** 2).sum(axis=1)
        free = np.where(power < FREE_POWER, 1.0, 0.0)[:, None]
        count = np.hstack([np.ones_like(values), free]).sum(axis=0)
        values = np.hstack([values, free * values[:, -1:]])
        return Sums(np.stack([count, values.sum(axis=0), (values**2).sum(axis=0)]))


def _local_mean(view: WorkingView, image: Image, taps: Image) -> Image:
    """The image smoothed, on the working grid, divided by its coverage."""
    cover = smooth(view.weight, taps, view.grid_px, view.n_grid_yx)
    return divide_covered(smooth(image, taps, view.grid_px, view.n_grid_yx), cover)


@dataclass(frozen=True, eq=False)
class _Field:
    """One frame's filtered image on the part of the working grid that matters."""

    bank: GaborBank
    view: WorkingView
    filtered: FilteredImage
    inside: Image  # 1 where a grid point lies on a valid pixel
    wanted: tuple[slice, slice]  # the descriptor's points among these

    @classmethod
    def of(cls, bank: GaborBank, view: WorkingView, picked: tuple[slice, slice]) -> _Field:
        margin = bank._margin_steps
        first = [max(p.start - margin, 0) for p in picked]
        last = [min(p.stop - 1 + margin, n - 1) for p, n in zip(picked, view.n_grid_yx, strict=True)]
        n_yx = (last[0] - first[0] + 1, last[1] - first[1] + 1)
        image = bank.flattened(view)
        filtered = FilteredImage(image, view.grid_px, (first[0], first[1]), n_yx, bank._filter_reach)
        inside = view.weight_on_grid[first[0] : last[0] + 1, first[1] : last[1] + 1]
        rows, columns = (slice(p.start - f, p.stop - f, p.step) for p, f in zip(picked, first, strict=True))
        return cls(bank, view, filtered, np.ascontiguousarray(inside), (rows, columns))

    @property
    def n_yx(self) -> tuple[int, int]:
        return self.filtered.n_yx

    @cached_property
    def mask(self) -> FilteredImage | None:
        """The mask as an image to filter; None when every filter lies on valid pixels wholly."""
        reach, step = self.filtered.reach_px, self.view.grid_px
        window = []
        for side, first, n in zip(self.view.weight.shape, self.filtered.first_yx, self.n_yx, strict=True):
            low, high = first * step - reach, (first + n - 1) * step + reach + 1
            if low < 0 or high > side:
                return replace(self.filtered, image=self.view.weight)
            window.append(slice(low, high))
        rows, columns = window
        return None if self.view.weight[rows, columns].all() else replace(self.filtered, image=self.view.weight)

    def total_power(self) -> Image:
        """Sum of all filters' powers, shape ``n_yx``."""
        total = np.zeros(self.n_yx, np.float32)
        for _, power in self.powers():
            total += power
        return total

    def powers(self) -> Iterator[tuple[int, Image]]:
        """(index, power) of every filter, shape ``n_yx`` each: smoothed, and free of what white noise leaves there."""
        bands = self.bank.bands
        for index in range(0, len(bands), 2):
            pair = bands[index : index + 2]
            covers = None if self.mask is None else self.mask.smoothed_pair(pair[0], pair[-1])
            for offset, band in enumerate(pair):
                power = self.filtered.power(band)
                floor = 4 * self.bank.noise_power * band.noise_gain
                if covers is not None:
                    kernels.divide_power(power, covers[offset], floor, LEAST_COVER)
                elif floor > 0:
                    power -= np.float32(floor)
                yield index + offset, self._smoothed(power)

    def _smoothed(self, power: Image) -> Image:
        if self.taps is None:
            return power
        return divide_covered(smooth(power * self.inside, self.taps, 1, power.shape), self.inside_smooth)

    @cached_property
    def taps(self) -> Image | None:
        sigma = self.bank._sigma_px("smooth") / self.view.grid_px
        return gaussian_taps(sigma) if sigma > 0 else None

    @cached_property
    def inside_smooth(self) -> Image:
        assert self.taps is not None
        return smooth(self.inside, self.taps, 1, self.inside.shape)

    def contrast(self, total: Image) -> Image:
        """One over the local contrast: the largest total power around, softly, and what it must stand out from."""
        taps = gaussian_taps(self.bank._sigma_px("contrast") / self.view.grid_px)
        total = np.maximum(total, np.float32(0)) * self.inside
        strongest = divide_covered(smooth(total * total, taps, 1, total.shape), smooth(total, taps, 1, total.shape))
        floor = self.bank.contrast_floor**2 * self.bank.power_global
        floor += self.bank.noise_margin * self.bank.noise_spread
        return np.asarray(1 / (strongest + np.float32(max(floor, LEAST_FLOOR))))


# -------------------------------------------------------------------------------------- the suggestion


def suggest_wavelengths(peaks: Peaks, n: int = 7) -> tuple[float, ...]:
    """``n`` wavelengths that hold every spacing found, evenly spread, px; the published ones without any.

    From a tenth below the shortest to a tenth above the longest spacing (at least a factor of 1.5 apart), and not
    below 2.2 px: nearer to the sampling limit a filter sees its own alias.
    """
    if len(peaks):
        spacings = 1 / np.hypot(*peaks.g_yx.T)
    elif peaks.ring_period_px is not None:
        spacings = np.array([peaks.ring_period_px])
    else:
        return PUBLISHED_WAVELENGTHS_PX
    low, high = float(spacings.min()) / MARGIN, float(spacings.max()) * MARGIN
    if high < LEAST_SPAN * low:
        middle = float(np.sqrt(low * high))
        low, high = middle / LEAST_SPAN**0.5, middle * LEAST_SPAN**0.5
    low = max(low, SHORTEST_PX)
    return tuple(float(w) for w in np.linspace(low, max(high, LEAST_SPAN * low), n))


def _intensity_tells(sums: npt.NDArray[np.float64]) -> bool:
    """False where there is ground without lattice, and all of it equally bright: the lattice alone tells it then.

    sums : of `GaborBank._feature_sums`, shape (3, feature + 1); the last two columns are the intensity, everywhere
    and where there is no lattice.
    """
    (all_points, total, square), (free_points, free_total, free_square) = sums[:, -2], sums[:, -1]
    if free_points < FREE_SHARE * max(all_points, 1):
        return True
    spread = max(square / all_points - (total / all_points) ** 2, 0.0)
    free_spread = max(free_square / free_points - (free_total / free_points) ** 2, 0.0)
    return bool(free_spread > FREE_SPREAD**2 * spread)


def _noise_power(spectrum: SpectrumSums) -> float:
    """Mean power a pixel of the white noise; a ring's median lies below its mean, the more the fewer its tiles."""
    tiles = spectrum.independent_tiles * spectrum.n_frames
    return white_noise(spectrum) * float(tiles / special.gammaincinv(tiles, 0.5)) if tiles > 0 else 0.0


def _check(bank: GaborBank) -> None:
    if not bank.wavelengths_px or not all(2 <= w < np.inf for w in bank.wavelengths_px):
        raise GaborError(f"got wavelengths_px = {bank.wavelengths_px}, wanted at least one, each of 2 px or more.")
    if len(set(bank.wavelengths_px)) < len(bank.wavelengths_px):
        raise GaborError("got a wavelength twice. Give each wavelength once.")
    for field in ("stride", "n_orientations"):
        value = getattr(bank, field)
        if isinstance(value, bool) or int(value) != value or value < 1:
            raise GaborError(f"got {field} = {value!r}, wanted a whole number from 1 up.")
    for field in ("period_px", "sigma_wavelengths", "elongation", "mean_periods", "intensity_periods", "power_global"):
        if not 0 < getattr(bank, field) < np.inf:
            raise GaborError(f"got {field} = {getattr(bank, field)}, wanted a positive number.")
    for field in (
        *("dark_share", "smooth_periods", "contrast_periods", "contrast_floor"),
        *("noise_power", "noise_margin", "noise_spread", "intensity_weight", "intensity_share"),
    ):
        if not 0 <= getattr(bank, field) < np.inf:
            raise GaborError(f"got {field} = {getattr(bank, field)}, wanted 0 (off) or a positive number.")
    for field, known in (("measure", get_args(Measure)), ("flatten", get_args(Flattening))):
        if getattr(bank, field) not in known:
            raise GaborError(f"got {field} = {getattr(bank, field)!r}, wanted one of {', '.join(known)}.")
