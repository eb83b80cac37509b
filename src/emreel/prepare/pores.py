"""What a micrograph shows that is not specimen: the data bar under it, and the pores in it.

The published grain workflow (Paruchuri et al. 2025, see `emreel.descriptors.radon`) crops the data bar and marks
"regions devoid of grains" by threshold and morphology before anything is described; its code leaves the second step
out. Here both are measured: a bar by its flat background and its straight edge, pores by how far their smoothed
brightness lies below the specimen's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from emreel.descriptors.base import Fold, Frame, Mask
from emreel.descriptors.peaks import learn_peaks
from emreel.movie import EmreelError

Image = npt.NDArray[np.float32]

#: A row belongs to a bar's background when this share of its pixels has the background's value.
FLAT_ROW_SHARE = 0.9
#: Rows of the specimen have less than this share of such pixels, rows of text more than the second number.
SPECIMEN_ROW_SHARE, TEXT_ROW_SHARE = 0.5, 0.3
#: A bar is at most this part of the picture's height.
LARGEST_BAR_SHARE = 0.35
#: Values within this share of the picture's range count as the background's (compressed pictures).
BAR_TOLERANCE = 0.02
#: Pixels of the smoothed frame so many standard deviations below the specimen's median are left out of both.
CLIP_DEVIATIONS = 4.0
#: A pore is somewhere at least so many deviations deep, which noise never is.
SURE_DEVIATIONS = 5.0
#: Smoothing that wipes out a lattice: sigma in periods.
SMOOTH_PERIODS = 0.5
#: For a movie without a lattice, px.
PLAIN_SMOOTH_PX = 4.0
#: Gaussians are cut at so many sigmas.
REACH_SIGMAS = 4.0
#: A pore's edge is at most so many sigmas from where it is sure.
GROWTH_SIGMAS = 3.0
#: What is no wider than so many sigmas to both sides may be a crack.
CRACK_SIGMAS = 1.5
#: Standard deviation of a normal distribution over its median absolute deviation.
DEVIATION_OF_MEDIAN = 1.4826


class PoreError(EmreelError, ValueError):
    """Options with which no pore can be found."""


def find_data_bar(picture: npt.NDArray[Any]) -> int | None:
    """First row of the data bar under a micrograph, or None where there is no bar.

    A bar is a strip over the whole width at the bottom, of one background value with writing on it. Its first row is
    flat, the specimen's last is not, so vacuum at the bottom of a frame is no bar: it has noise, or no writing.

    Parameters
    ----------
    picture : shape (y, x), counts or grey values.

    >>> import numpy as np
    >>> picture = np.random.default_rng(0).integers(60, 200, (100, 80))
    >>> picture[88:] = 0
    >>> picture[92:96, 10:40:3] = 255
    >>> find_data_bar(picture), find_data_bar(picture[:88])
    (88, None)
    """
    height = picture.shape[0]
    values = np.asarray(picture, np.float64)
    if picture.ndim != 2 or height < 16 or not np.isfinite(values).all():
        return None
    low, high = float(values.min()), float(values.max())
    if low == high:
        return None
    last = values[-max(height // 100, 2) :]
    found, counts = np.unique(last, return_counts=True)
    background = found[counts.argmax()]
    is_background = np.abs(values - background) <= BAR_TOLERANCE * (high - low)
    share = is_background.mean(axis=1)
    first = int(height * (1 - LARGEST_BAR_SHARE))
    edges = np.flatnonzero((share[1:] >= FLAT_ROW_SHARE) & (share[:-1] < SPECIMEN_ROW_SHARE)) + 1
    for top in edges[edges >= first]:
        bar = slice(int(top), None)
        rows_are_bar = share[bar] >= TEXT_ROW_SHARE
        writing = np.abs(values[bar] - background) > 0.5 * (high - low)
        if rows_are_bar.mean() >= FLAT_ROW_SHARE and share[bar].mean() >= SPECIMEN_ROW_SHARE and writing.any():
            return int(top)
    return None


def crop_data_bar(picture: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The picture without the data bar under it (a view); the picture itself where there is none."""
    top = find_data_bar(picture)
    return picture if top is None else picture[:top]


@dataclass(frozen=True, kw_only=True)
class Pores:
    """Finds the pores of a frame: what is darker than the specimen, over more than a lattice gap.

    **How.** The frame is smoothed (a Gaussian, over valid pixels only) until its lattice is gone. Median and deviation
    of the specimen are measured on what lies within 4 deviations of it, again and again until nothing changes, so
    that a fifth of the frame may be pores. What lies more than 5 deviations below is surely in a pore; around it, the
    pore reaches to where the brightness is half way between the specimen's and that of the pore's own bottom, which
    is where a smoothed edge lies. An opening takes off what is thinner than ``min_radius_px``, a closing fills what is
    left in them.

    **Source.** Paruchuri et al. 2025, "SEM image pre-processing": thresholding and morphology, not told in detail.

    Parameters
    ----------
    smooth_px : sigma, px; half a lattice period, as `suggest` takes it, leaves a hundredth of the lattice.
    min_radius_px : pores narrower than twice this are left, px; None: 1.5 ``smooth_px``, so that a thin crack, which
        smoothing widens to 1.2 sigma to both sides, is no pore.
    bright : look for holes brighter than the specimen (bright-field TEM), not darker.
    levels : counts of the specimen, and beyond which a smoothed pixel is surely in a pore; `suggest` learns them for a
        movie. None measures them anew in every frame. With levels, a tile gives what the whole frame gives when it
        brings ``halo`` px around it.

    Returns (when called with a frame, shape (y, x), and its mask)
    -------
    shape (y, x), bool: True in pores. Invalid pixels are taken for what surrounds them.

    Raises
    ------
    PoreError : lengths or levels that make no sense.

    **When it fails.** Frames that are mostly pores, or whose specimen has several tones of its own (layers): the
    darkest tone is then the pore. In a frame without pores none is found: pores must be 5 deviations deep.

    >>> import numpy as np
    >>> y, x = np.mgrid[:80, :100]
    >>> lattice = 100 + 40 * np.cos(2 * np.pi * x / 8) * np.cos(2 * np.pi * y / 8)
    >>> hole = np.hypot(y - 40, x - 30) < 12
    >>> frame = np.random.default_rng(0).poisson(np.where(hole, 20, lattice)).astype(np.float32)
    >>> pores = Pores(smooth_px=4.0)
    >>> bool(np.mean(pores(frame) == hole) > 0.99), bool(pores(frame[:, 50:]).any())
    (True, False)
    """

    name: ClassVar[str] = "pores"
    smooth_px: float = PLAIN_SMOOTH_PX
    min_radius_px: float | None = None
    bright: bool = False
    levels: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if not 0 < self.smooth_px < np.inf:
            raise PoreError(f"got smooth_px = {self.smooth_px}, wanted a positive number of pixels.")
        if self.min_radius_px is not None and not 0 <= self.min_radius_px < np.inf:
            raise PoreError(f"got min_radius_px = {self.min_radius_px}, wanted a number of pixels from 0 on.")
        if self.levels is not None:
            levels = tuple(float(level) for level in self.levels)
            if len(levels) != 2 or not np.isfinite(levels).all():
                raise PoreError(
                    f"got levels = {self.levels}, wanted two counts: of the specimen, and surely in a pore."
                )
            object.__setattr__(self, "levels", levels)

    @classmethod
    def suggest(cls, given: Mapping[str, Any], fold: Fold) -> Self:
        """Take what is left out of smooth_px and levels from a movie's sample (levels: means over its frames)."""
        learned = dict(given)
        if "smooth_px" not in learned:
            period = learn_peaks(fold).period_px
            learned["smooth_px"] = PLAIN_SMOOTH_PX if period is None else SMOOTH_PERIODS * period
        draft = cls(**learned)
        if "levels" in given:
            return draft
        found = fold(draft._level_sums)
        return replace(draft, levels=(found.specimen / found.n, found.sure / found.n)) if found.n else draft

    @property
    def halo(self) -> int:
        """Reach of smoothing, growing, opening and closing, px."""
        return int(np.ceil((REACH_SIGMAS + 2 * GROWTH_SIGMAS) * self.smooth_px)) + 4 * self._radius

    def __call__(self, frame: Frame, valid: Mask | None = None) -> Mask:
        inside = np.ones(frame.shape, bool) if valid is None else valid
        smooth = self._smoothed(frame, inside)
        levels = (self._sign * self.levels[0], self._sign * self.levels[1]) if self.levels else _levels(smooth[inside])
        if levels is None or not (smooth < levels[1]).any():
            return np.zeros(frame.shape, bool)
        specimen, sure = levels
        reach = int(np.ceil(GROWTH_SIGMAS * self.smooth_px))
        bottom = ndimage.minimum_filter(smooth, 2 * reach + 1, mode="nearest")
        found = (bottom < sure) & (smooth < (np.float32(specimen) + bottom) / 2)
        disc = _disc(self._radius)
        opened = ndimage.binary_opening(_with_rim(found, self._radius), disc)
        closed = ndimage.binary_closing(opened, disc)
        inner = slice(self._radius, -self._radius or None)
        return np.asarray(closed[inner, inner], bool)

    @property
    def _sign(self) -> int:
        return -1 if self.bright else 1

    @property
    def _radius(self) -> int:
        return round(CRACK_SIGMAS * self.smooth_px if self.min_radius_px is None else self.min_radius_px)

    def _smoothed(self, frame: Frame, valid: Mask) -> Image:
        """Local mean over valid pixels, upside down when pores are bright."""
        blur = {"sigma": self.smooth_px, "truncate": REACH_SIGMAS, "mode": "constant"}
        counts = ndimage.gaussian_filter(np.where(valid, self._sign * frame, 0).astype(np.float32), **blur)
        cover = ndimage.gaussian_filter(valid.astype(np.float32), **blur)
        return np.asarray(np.divide(counts, cover, out=np.zeros_like(counts), where=cover > 1e-6))

    def _level_sums(self, frame: Frame, valid: Mask) -> _LevelSums:
        levels = _levels(self._smoothed(frame, valid)[valid])
        return _LevelSums(0, 0.0, 0.0) if levels is None else _LevelSums(1, *(self._sign * one for one in levels))


@dataclass(frozen=True)
class _LevelSums:
    """Frames that have pores, and the sums of their levels."""

    n: int
    specimen: float
    sure: float

    def __add__(self, other: _LevelSums, /) -> _LevelSums:
        return _LevelSums(self.n + other.n, self.specimen + other.specimen, self.sure + other.sure)


def _levels(smooth: Image) -> tuple[float, float] | None:
    """Median of the specimen in a smoothed frame, and below which value a pixel is surely in a pore."""
    specimen = smooth.astype(np.float64)
    everything = specimen
    for _ in range(20):
        if specimen.size == 0:
            return None
        middle = float(np.median(specimen))
        deviation = DEVIATION_OF_MEDIAN * float(np.median(np.abs(specimen - middle)))
        kept = everything[everything >= middle - CLIP_DEVIATIONS * deviation]
        if kept.size == specimen.size:
            break
        specimen = kept
    return middle, middle - SURE_DEVIATIONS * deviation


def _disc(radius: int) -> Mask:
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    return np.asarray(y**2 + x**2 <= radius**2 + radius)


def _with_rim(mask: Mask, radius: int) -> Mask:
    """The mask with its outermost pixels repeated: a pore at the frame's edge goes on beyond it."""
    return np.pad(mask, radius, mode="edge")
