"""What the symmetry descriptors share: polar patches, the positions around a grid point, and max pooling.

A patch is a disc sampled on rings of equally many angles. Sample (i, j) lies at radius r_i = 1 + i (R - 1) / n_r px
and angle 2 pi j / n_t (0 along x, a quarter turn along y), by cubic splines. A rotation or reflection about the middle
then exchanges the samples of each ring, as long as the number of angles is a multiple of what the operation needs.

Such a score depends on where in the cell the middle lies. So scores are computed at many positions and the largest
ones around a grid point are its features, sorted (Wang et al., Microsc. Microanal. 27 (2021) 1454, Fig. 3c). Where the
frame's edge or dead pixels take pairs of samples away, a score counts if five eighths of the weight remain, and the
features are read at the same quantiles of the positions that are left, so that an edge does not look like a phase.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from emreel.descriptors.base import Feature, FeatureMap, Fold, Frame, Mask
from emreel.descriptors.geometry import grid_length
from emreel.descriptors.kernels import polar as kernels
from emreel.descriptors.kernels.lanes import TOGETHER
from emreel.descriptors.kernels.pooling import pool_largest
from emreel.descriptors.peaks import learn_peaks
from emreel.descriptors.splines import SPLINE_PX, Floats, Integers, SplineFrame
from emreel.movie import EmreelError

ScoreMaps = npt.NDArray[np.float32]  # (y, operation, x) of the scored positions

#: Scores over pairs that weigh less than the first of these parts of the whole patch count only where there are no
#: others; those below the second never.
AMPLE_SHARE, LEAST_SHARE = 5 / 8, 1 / 16
#: Radius in lattice periods: enough cells for a score to mean something, and boundaries blur over no more.
RADIUS_PERIODS = 2.0
#: Window in periods: wider than the radius, so that in the frame's corners, too, an axis lies far enough inside.
WINDOW_PERIODS = 2.5
#: Positions lie this part of a period apart, and half a px: at half the distance an axis is still seen.
STEP_PERIODS = 0.25
#: Periods beyond this are taken for it: the halo would outgrow most frames.
LONGEST_PERIOD_PX = 48.0
LARGEST_STEP_PX = 8
LARGEST_RADII = 20


class SymmetryError(EmreelError, ValueError):
    """The fields of a symmetry descriptor, or the frame it is given, make no sense."""


@dataclass(frozen=True, kw_only=True)
class PolarSymmetry(ABC):
    """The fields of all symmetry descriptors, and how scores become features.

    A subclass says which operations it scores (`operations`, one name each) and how (`scores`).
    """

    name: ClassVar[str]
    radius_px: int = 20
    window_px: int = 20
    step_px: int = 5
    stride: int = 5
    radii: int = 20
    angles: int = 60
    largest: int = 10

    def __post_init__(self) -> None:
        least = {"radius_px": 2, "window_px": 0, "step_px": 1, "stride": 1, "radii": 1, "angles": 4, "largest": 1}
        for name, smallest in least.items():
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < smallest:
                raise SymmetryError(f"got {name} = {value!r}, wanted a whole number, at least {smallest}.")
        if self.largest > self._n_side**2:
            raise SymmetryError(
                f"got largest = {self.largest}, but there are only {self._n_side**2} positions within {self.window_px} "
                f"px, {self.step_px} px apart. Use a larger window_px, a smaller step_px or fewer of the largest."
            )

    @property
    @abstractmethod
    def operations(self) -> tuple[str, ...]:
        """Name of every symmetry operation that is scored."""

    @abstractmethod
    def scores(self, padded: Frame, valid: Mask | None = None) -> ScoreMaps:
        """Score of every operation before pooling, shape (y, operation, x) of the positions (see `first_px`).

        Between -1 and 1; -4 less where only few pairs are valid, and -8 where hardly any.
        """

    @property
    def reach_px(self) -> int:
        """How far beyond its position a score looks along an axis, px."""
        return self.radius_px + SPLINE_PX

    @property
    def halo(self) -> int:
        return self._window_px + self.reach_px

    @property
    def smallest_frame_px(self) -> int:
        """A patch must fit: most of the halo may lie beyond a small frame, and carries no weight there."""
        return 2 * self.radius_px + 1

    @property
    def features(self) -> tuple[Feature, ...]:
        """The largest scores of the first operation in descending order, then of the next."""
        return tuple(Feature(f"{one} #{k + 1}") for one in self.operations for k in range(self.largest))

    @property
    def pitch_px(self) -> int:
        """Between the scored positions of a frame, px: whatever the grid points need lies on one lattice."""
        return math.gcd(self.step_px, self.stride)

    @property
    def first_px(self) -> int:
        """Row and column of the first position in the padded frame."""
        return self.halo - self._window_px

    def __call__(self, padded: Frame, valid: Mask | None = None) -> FeatureMap:
        """The largest scores around every grid point, shape (y_grid, x_grid, operation x largest)."""
        shape_yx = self._shape_yx(padded)
        scores = self.scores(padded, valid)
        out = np.empty((*(grid_length(n, self.stride) for n in shape_yx), len(self.features)), np.float32)
        pitch = self.pitch_px
        pool_largest(out, scores, self.largest, self.stride // pitch, self.step_px // pitch, self._n_side)
        return out

    @classmethod
    def suggest(cls, given: Mapping[str, Any], fold: Fold) -> Self:
        """Take lengths that are left out from the lattice period; without one they are the published ones."""
        lengths = ("radius_px", "window_px", "step_px", "stride", "radii")
        if all(name in given for name in lengths):
            return cls(**given)
        return cls(**{**lengths_from_period(learn_peaks(fold).period_px, given), **given})

    def n_positions(self, padded: Frame) -> tuple[int, int]:
        """Scored positions along y and x."""
        height, width = (
            ((grid_length(n, self.stride) - 1) * self.stride + 2 * self._window_px) // self.pitch_px + 1
            for n in self._shape_yx(padded)
        )
        return height, width

    @property
    def _n_side(self) -> int:
        return 2 * (self.window_px // self.step_px) + 1

    @property
    def _window_px(self) -> int:
        return self.window_px // self.step_px * self.step_px

    def _shape_yx(self, padded: Frame) -> tuple[int, int]:
        height, width = padded.shape[0] - 2 * self.halo, padded.shape[1] - 2 * self.halo
        if height < 1 or width < 1:
            raise SymmetryError(
                f"got a padded frame of {padded.shape[0]} x {padded.shape[1]} px, wanted more than twice the halo "
                f"({self.halo} px) along each axis. Pad it with emreel.descriptors.geometry.pad_frame."
            )
        return height, width


def lengths_from_period(period_px: float | None, given: Mapping[str, Any] | None = None) -> dict[str, int]:
    """Radius, window, step, stride (px) and number of rings for a lattice of this period.

    The radius is two periods, the window two and a half; positions lie about a quarter apart (at most 8 px). Grid
    points lie on every position, or on every second one where these are 1 or 2 px apart. What is ``given`` is taken
    into account: a given stride is a multiple of the step, or a frame would need many more positions.
    Without a period, the published lengths, if these fit.
    """
    given = given or {}
    known: dict[str, int] = {}
    if period_px is not None:
        period_px = min(period_px, LONGEST_PERIOD_PX)
        radius = max(4, round(RADIUS_PERIODS * period_px))
        window = max(4, round(WINDOW_PERIODS * period_px))
        known = {"radius_px": radius, "window_px": window, "radii": min(LARGEST_RADII, given.get("radius_px", radius))}
    step: int = PolarSymmetry.step_px if period_px is None else max(1, round(STEP_PERIODS * period_px + 0.5))
    step = min(LARGEST_STEP_PX, step)
    if "stride" in given:
        known["step_px"] = max(n for n in range(1, step + 1) if given["stride"] % n == 0)
    else:
        step = given.get("step_px", step)
        known |= {"step_px": step, "stride": step if step > 2 else 2 * step}
    return known


def ring_radii(radius_px: int, n_radii: int) -> Floats:
    """Radii of the rings, px: from 1 up to, not including, ``radius_px``."""
    return np.linspace(1.0, radius_px, n_radii, endpoint=False)


def ring_offsets(radius_px: int, n_radii: int, n_angles: int) -> Floats:
    """(dy, dx) of every sample from the middle, px, shape (ring, angle, 2)."""
    radii, angles = ring_radii(radius_px, n_radii), 2 * np.pi * np.arange(n_angles) / n_angles
    offsets: Floats = radii[:, None, None] * np.stack([np.sin(angles), np.cos(angles)], axis=-1)[None]
    return offsets


def score_permutations(
    symmetry: PolarSymmetry, padded: Frame, valid: Mask | None, partners: npt.ArrayLike
) -> ScoreMaps:
    """Cosine correlation of the polar patch at every position with copies of itself, permuted along the rings.

    score_o = sum_ij r_i^2 P_ij P_i,partners[o, j] / sum_ij r_i^2 P_ij^2

    where P_ij is sample j of ring i minus the mean of the square of half side ``radius_px`` around the position.

    Parameters
    ----------
    symmetry : lengths, rings and positions.
    padded, valid : shape (h + 2 halo, w + 2 halo), counts. Pairs of samples of which one depends on an invalid pixel
        are left out, of the numerator and of each patch's norm.
    partners : sample of the copy that falls on each sample, shape (operation, angle).

    Returns
    -------
    See `PolarSymmetry.scores`; 0 for a patch whose spread is below 1e-6 of its mean.

    Raises
    ------
    SymmetryError : the frame is not larger than its padding.
    """
    shape, first = symmetry.n_positions(padded), symmetry.first_px
    permuted = np.asarray(partners, np.int64)
    frame = SplineFrame.of(padded, valid, symmetry.pitch_px)
    flags = frame.flags(first, shape, symmetry.radius_px + 1)
    taps, weights = frame.taps(ring_offsets(symmetry.radius_px, symmetry.radii, permuted.shape[1]), first)
    radii = ring_radii(symmetry.radius_px, symmetry.radii)
    scores = np.empty((shape[0], len(permuted), shape[1]), np.float32)
    kernels.score_positions(
        scores,
        frame.square_means(first, shape, symmetry.radius_px),
        flags,
        frame.flat,
        (frame.inside() if flags.any() else np.empty((0, 0), np.float32)).ravel(),
        frame.row_pitch,
        first,
        frame.step,
        radii.astype(np.float32),
        taps,
        (weights * radii[:, None, None]).astype(np.float32),
        _together(permuted),
        AMPLE_SHARE,
        LEAST_SHARE,
    )
    return scores


def _together(partners: Integers) -> Integers:
    """Partners in groups of operations, shape (group, angle, TOGETHER); the last group is filled up."""
    n_missing = -len(partners) % TOGETHER
    filled = np.pad(partners, ((0, n_missing), (0, 0)), mode="edge")
    groups: Integers = np.ascontiguousarray(filled.reshape(-1, TOGETHER, partners.shape[1]).swapaxes(1, 2))
    return groups
