"""Translation symmetry: correlation of the surroundings of a pixel with shifted copies (see `TranslationSymmetry`)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar, Protocol, Self

import numpy as np
import numpy.typing as npt

from emreel.descriptors.base import Feature, FeatureMap, Fold, Frame, Mask
from emreel.descriptors.geometry import grid_length
from emreel.descriptors.kernels.translation import describe_tiles
from emreel.descriptors.peaks import learn_peaks
from emreel.movie import EmreelError

Shift = tuple[int, int]  # (dy, dx), px

#: Largest tile worked on at once, grid points: its planes and bands then stay in the cache.
TILE_POINTS = (64, 128)


class TranslationError(EmreelError, ValueError):
    """The fields of a translation descriptor, or the frame it is given, make no sense."""


def grid_step(window_px: int, max_shifts: int) -> int:
    """Smallest step g (px) for which a grid over -w..w holds at most ``max_shifts`` shifts: (2w // g + 1)^2."""
    step = 1
    while (2 * window_px // step + 1) ** 2 > max_shifts:
        step += 1
    return step


def original_shifts(window_px: int, max_shifts: int = 100) -> tuple[Shift, ...]:
    """The shifts of the published method, in its order: arange(-w, w + 1, g) along both axes.

    The grid misses (0, 0) unless g divides w. For comparisons; `independent_shifts` says the same with half of them.
    """
    axis = range(-window_px, window_px + 1, grid_step(window_px, max_shifts))
    return tuple((dy, dx) for dy in axis for dx in axis)


def independent_shifts(window_px: int, max_shifts: int = 100) -> tuple[Shift, ...]:
    """One shift of each pair (t, -t) of the grid over -w..w that is symmetric about (0, 0), without (0, 0).

    Neighbours of the grid are taken with opposite signs, so that the features together look equally far to all sides:
    with the half plane dy > 0 alone, every boundary would be seen displaced to one side.
    """
    step = grid_step(window_px, max_shifts)
    reach = window_px // step
    half = [(i, j) for i in range(reach + 1) for j in range(-reach, reach + 1) if i > 0 or j > 0]
    signs = [1 if (i + j) % 2 == 0 else -1 for i, j in half]
    return tuple((sign * i * step, sign * j * step) for sign, (i, j) in zip(signs, half, strict=True))


#: Periods beyond this are taken for it: the halo would outgrow most frames.
LONGEST_PERIOD_PX = 64.0


def lengths_from_period(period_px: float | None) -> dict[str, int]:
    """Window, patch and stride (px) for a lattice of this period; empty without one.

    The window reaches two periods, so that the default grid of nine shifts a side steps by half a period and holds
    both what fits and what does not. The patch is three periods wide: enough cells to average over, and no wider, as
    boundaries blur over it. The grid's step, a third of a period but at most 8 px, is well below both.
    """
    if period_px is None:
        return {}
    period_px = min(period_px, LONGEST_PERIOD_PX)
    return {
        "window_px": max(4, round(2 * period_px)),
        "patch_px": max(3, round(1.5 * period_px)),
        "stride": min(8, max(1, round(period_px / 3))),
    }


def _complete(given: Mapping[str, Any], names: Iterable[str], fold: Fold) -> dict[str, Any]:
    """The given fields, and those of ``names`` that are missing, from the movie's own period."""
    missing = [name for name in names if name not in given]
    learned = lengths_from_period(learn_peaks(fold).period_px) if missing else {}
    return {**{name: learned[name] for name in missing if name in learned}, **given}


class _Shifted(Protocol):
    """What `_Correlating` asks of a descriptor."""

    @property
    def shifts(self) -> tuple[Shift, ...]: ...
    @property
    def patch_px(self) -> int: ...
    @property
    def stride(self) -> int: ...
    @property
    def halo(self) -> int: ...


class _Correlating:
    """What the descriptors of this module share: they differ in where their shifts come from."""

    @property
    def features(self: _Shifted) -> tuple[Feature, ...]:
        """The correlation for each shift."""
        return tuple(Feature(f"shift {dy:+d} {dx:+d} px") for dy, dx in self.shifts)

    def __call__(self: _Shifted, padded: Frame, valid: Mask | None = None) -> FeatureMap:
        """Correlations, shape (y_grid, x_grid, shift), between -1 and 1; 0 where a patch is flat or hardly valid."""
        return correlate_shifts(padded, valid, self.shifts, self.patch_px, self.stride, self.halo)

    def project(
        self: _Shifted,
        padded: Frame,
        mean: npt.NDArray[np.float64],
        components: npt.NDArray[np.float64],
        valid: Mask | None = None,
    ) -> FeatureMap:
        """``(features - mean) @ components.T`` without the features, shape (y_grid, x_grid, component)."""
        return correlate_shifts(
            padded, valid, self.shifts, self.patch_px, self.stride, self.halo, mean=mean, components=components
        )


@dataclass(frozen=True, kw_only=True)
class TranslationSymmetry(_Correlating):
    """Correlation with shifted copies, for a grid of shifts over a window: the local correlation map.

    With P(r) the patch of (2 p + 1)^2 px around r, minus its mean, a feature is Pearson's correlation

        C(r, t) = <P(r) P(r + t)> / sqrt(<P(r)^2> <P(r + t)^2>),     t = (dy, dx) on a grid over |dy|, |dx| <= w

    1 where t is a lattice vector of what lies there, 0 in noise, and blind to brightness and contrast.

    Source: Wang et al., Microsc. Microanal. 27 (2021) 1454, eq. 2-3. Unlike the published program (pySTEM): a shift and
    its opposite tell nearly the same, so one of each pair is a feature, in alternating signs, so that boundaries are
    drawn to no side; the grid is symmetric and holds no (0, 0), where the correlation is always 1; sums keep their
    digits on a large background; a patch without variance has correlation 0; patches at the frame's edge count
    over the pixels that are there; grid point (i, j) stands on pixel (i stride, j stride).

    Parameters
    ----------
    window_px : w, largest shift along an axis, px.
    patch_px : p, half side of the patch, px.
    stride : px between grid points.
    max_shifts : largest number of shifts in the whole grid, of which the independent half are features: the grid's
        step is the smallest whole number g with (2 w // g + 1)^2 <= max_shifts.

    The defaults are the published ones, for lattices of 5 to 10 px a period d. `suggest` takes w = 2 d, p = 1.5 d, a
    stride of d / 3 (at most 8 px). Five principal components are kept, as published, unless the recipe says otherwise.

    When to use: phases that differ in their lattice vectors or in the motif within the cell: ordering, polytypes,
    crystal against amorphous, grains of different orientation. Brightness and thickness do not disturb it. When it
    fails: phases that differ in brightness only, such as two lattice-free layers (combine it with `intensity`); mirror
    and glide symmetries, which a correlation with shifted copies cannot see (`reflection`, `glide`); crystals smaller
    than the patch, over which boundaries blur; periods beyond 64 px, where the halo outgrows the frame (bin the movie).

    Raises
    ------
    TranslationError : a length that is no whole number from 1 up, fewer than 9 shifts.

    Examples
    --------
    Two crystals of periods 8 and 6 px; the shift that fits one does not fit the other.

    >>> import numpy as np
    >>> from emreel.descriptors.geometry import pad_frame
    >>> y, x = np.mgrid[:96, :96]
    >>> period = np.where(x < 48, 8, 6)
    >>> frame = np.cos(2 * np.pi * x / period) + np.cos(2 * np.pi * y / period)
    >>> symmetry = TranslationSymmetry(window_px=8, patch_px=8, stride=8, max_shifts=25)
    >>> symmetry.shifts[1], symmetry.halo
    ((0, 8), 16)
    >>> correlation = symmetry(*pad_frame(frame.astype(np.float32), symmetry.halo))[..., 1]
    >>> [f'{value:.1f}' for value in correlation[6, [2, 9]]]
    ['1.0', '0.2']
    """

    name: ClassVar[str] = "translation"
    window_px: int = 20
    patch_px: int = 20
    stride: int = 4
    max_shifts: int = 100

    def __post_init__(self) -> None:
        _check_lengths(window_px=self.window_px, patch_px=self.patch_px, stride=self.stride)
        if self.max_shifts < 9:
            raise TranslationError(f"got max_shifts = {self.max_shifts}, wanted at least 9 (a 3 x 3 grid of shifts).")

    @classmethod
    def suggest(cls, given: Mapping[str, Any], fold: Fold) -> Self:
        """Take what is left out of window_px, patch_px and stride from the lattice period (`lengths_from_period`)."""
        return cls(**_complete(given, ("window_px", "patch_px", "stride"), fold))

    @property
    def shifts(self) -> tuple[Shift, ...]:
        """(dy, dx) of every feature, px."""
        return independent_shifts(self.window_px, self.max_shifts)

    @property
    def halo(self) -> int:
        return self.window_px + self.patch_px


@dataclass(frozen=True, kw_only=True)
class PreselectedTranslations(_Correlating):
    """Correlation with copies shifted by given vectors; formula, source and limits as in `TranslationSymmetry`.

    Parameters
    ----------
    shifts : (dy, dx) of every feature, whole px, each once; t and -t tell nearly the same.
    patch_px : half side of the patch, px. stride : px between grid points.

    When to use: the lattice vectors of the phases are known, or another movie of the same specimen has shown which
    shifts tell the phases apart (`emreel.descriptors.separability`): a few features do the work of many. When it
    fails: other magnifications and turned specimens, whose vectors are others.

    Raises
    ------
    TranslationError : no shifts, shifts that are not whole px or come twice, lengths that are no whole numbers.

    >>> PreselectedTranslations(shifts=((0, 7), (9, -3)), patch_px=10).features[1].name
    'shift +9 -3 px'
    """

    name: ClassVar[str] = "preselected"
    shifts: tuple[Shift, ...]
    patch_px: int = 20
    stride: int = 4

    def __post_init__(self) -> None:
        _check_lengths(patch_px=self.patch_px, stride=self.stride)
        object.__setattr__(self, "shifts", _parse_shifts(self.shifts))

    @classmethod
    def suggest(cls, given: Mapping[str, Any], fold: Fold) -> Self:
        """Take what is left out of patch_px and stride from the lattice period; the shifts are the user's."""
        if "shifts" not in given:
            raise TranslationError(
                "got no shifts for 'preselected'. Give a list of (dy, dx) in px, or use 'translation'."
            )
        return cls(**_complete(given, ("patch_px", "stride"), fold))

    @property
    def halo(self) -> int:
        return self.patch_px + max(max(abs(dy), abs(dx)) for dy, dx in self.shifts)


def correlate_shifts(
    padded: Frame,
    valid: Mask | None,
    shifts: Iterable[Shift],
    patch_px: int,
    stride: int,
    halo: int,
    *,
    mean: npt.NDArray[np.float64] | None = None,
    components: npt.NDArray[np.float64] | None = None,
) -> FeatureMap:
    """Pearson correlation of the patch at every grid point with its copies at the given shifts.

    Parameters
    ----------
    padded : shape (h + 2 halo, w + 2 halo), counts. Non-finite pixels count as invalid.
    valid : same shape; only pixels valid in both patches enter a correlation. A correlation over fewer than a
        sixteenth of the patch's pixels, or of a patch without variance (sd below 1e-6 of its rms), is 0.
    shifts : (dy, dx), px; within halo - patch_px.
    mean, components : shapes (shift,) and (component, shift); when given, the projection is returned instead.

    Returns
    -------
    shape (ceil(h / stride), ceil(w / stride), shift or component), float32. Equal to the bit however the frame
    is cut into tiles, as long as tiles begin on multiples of the stride.

    Raises
    ------
    TranslationError : the frame is not larger than its padding.
    """
    height, width = padded.shape[0] - 2 * halo, padded.shape[1] - 2 * halo
    if height < 1 or width < 1:
        raise TranslationError(
            f"got a padded frame of {padded.shape[0]} x {padded.shape[1]} px, wanted more than twice the halo "
            f"({halo} px) along each axis. Pad it with emreel.descriptors.geometry.pad_frame."
        )
    moves = np.array(list(shifts), dtype=np.int64).reshape(-1, 2)
    corners = np.full((len(moves), 4), halo - patch_px, dtype=np.int64)
    corners[:, 2:] += moves
    weights = np.zeros((0, len(moves)), np.float32)
    constant = np.zeros(0, np.float32)
    if components is not None:
        weights = np.ascontiguousarray(components, dtype=np.float32)
        if mean is not None:
            constant = -(np.asarray(components, np.float64) @ np.asarray(mean, np.float64)).astype(np.float32)
        else:
            constant = np.zeros(len(weights), np.float32)
    shape = (grid_length(height, stride), grid_length(width, stride))
    out = np.empty((*shape, len(moves) if components is None else len(weights)), np.float32)
    tiles = _plan_tiles(shape, valid, stride, halo)
    describe_tiles(
        out,
        _frozen(padded, np.float32),
        _frozen(np.empty((0, 0), bool) if valid is None or valid.all() else valid, np.bool_),
        tiles,
        corners,
        halo,
        2 * patch_px + 1,
        stride,
        weights,
        constant,
    )
    return out


def _plan_tiles(shape: tuple[int, int], valid: Mask | None, stride: int, halo: int) -> npt.NDArray[np.int64]:
    """Cut the grid into tiles, also along the rows where the padding beyond the frame begins to be seen."""
    inner = (0, shape[0])
    if valid is not None:
        inner = _untouched(np.any(valid, axis=1), shape[0], stride, halo)
    rows = list(pairwise(_cuts(shape[0], inner, TILE_POINTS[0])))
    columns = pairwise(_cuts(shape[1], (0, shape[1]), TILE_POINTS[1]))
    return np.array([(i0, i1, j0, j1) for j0, j1 in columns for i0, i1 in rows], dtype=np.int64)


def _cuts(n_points: int, inner: tuple[int, int], largest: int) -> list[int]:
    """Ends of the tiles along an axis: those of the grid, of the part without padding, and even ones within it."""
    first, end = inner
    n_parts = max(1, grid_length(end - first, largest))
    return sorted({0, n_points, end, *(first + k * (end - first) // n_parts for k in range(n_parts))})


def _untouched(has_valid: npt.NDArray[Any], n_points: int, stride: int, halo: int) -> tuple[int, int]:
    """First and end of the grid points along an axis whose support does not reach into the padding."""
    inside = np.flatnonzero(has_valid)
    if inside.size == 0:
        return 0, n_points
    first = min(grid_length(int(inside[0]), stride), n_points)
    end = min(max((int(inside[-1]) - 2 * halo) // stride + 1, first), n_points)
    return first, end


def _frozen(array: npt.NDArray[Any], dtype: type) -> npt.NDArray[Any]:
    """A contiguous view that cannot be written: the one kind of array the kernels are compiled for."""
    view: npt.NDArray[Any] = np.ascontiguousarray(array, dtype=dtype).view()
    view.flags.writeable = False
    return view


def _check_lengths(**lengths: int) -> None:
    for name, value in lengths.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise TranslationError(f"got {name} = {value!r}, wanted a whole number of pixels, at least 1.")


def _parse_shifts(shifts: object) -> tuple[Shift, ...]:
    array = np.asarray(shifts)
    if array.ndim != 2 or array.shape[-1] != 2 or array.shape[0] == 0 or array.dtype.kind not in "iu":
        raise TranslationError(
            f"got shifts of shape {array.shape} and dtype {array.dtype}, wanted a list of at least one (dy, dx) "
            "in whole px, such as ((0, 7), (9, -3))."
        )
    parsed = tuple((int(dy), int(dx)) for dy, dx in array)
    if len(set(parsed)) < len(parsed):
        raise TranslationError("got a shift twice. Give each shift once.")
    return parsed
