"""Radon variance: along which directions a lattice lines up, from the variance of the projections of a tile.

The method is that of A. Paruchuri, C. Thrasher, A. J. Hart, R. Macfarlane, A. Jayaraman, "Machine Learning for
Identifying Grain Boundaries in Scanning Electron Microscopy (SEM) Images of Nanoparticle Superlattices" (2025); see
`RadonVariance`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar, Literal, Self, get_args

import numpy as np
import numpy.typing as npt

from emreel.descriptors.base import Feature, FeatureMap, Fold, Frame, Mask
from emreel.descriptors.geometry import grid_length
from emreel.descriptors.kernels import radon as kernels
from emreel.descriptors.peaks import learn_peaks
from emreel.movie import EmreelError

Form = Literal["curve", "aligned", "bent"]
Scale = Literal["excess", "mean", "counts"]
Curves = npt.NDArray[np.float32]  # (..., angle)

#: The published tile, px, and the grid's step; taken for a movie without a lattice.
PUBLISHED_TILE_PX, PUBLISHED_STRIDE_PX = 128, 10
#: A tile suggested from the lattice is so many periods wide: a peak of its curve is then about 10 degrees wide.
TILE_PERIODS = 6.0
SMALLEST_TILE_PX, LARGEST_TILE_PX = 16, 256
#: A suggested stride is this share of the tile, as in the paper, up to `PUBLISHED_STRIDE_PX`.
STRIDE_SHARE = PUBLISHED_STRIDE_PX / PUBLISHED_TILE_PX
#: A tile counts as ordered when its excess is well above this part of its median; see `excess_curves`.
EXCESS_FLOOR = 0.5
#: Tiles of less order than this (`order_of`) show no lattice.
LEAST_ORDER = 0.6
#: Tile pairs a frame that a threshold is learned from.
THRESHOLD_PAIRS = 256


class RadonError(EmreelError, ValueError):
    """Fields of a Radon descriptor that cannot work, or a frame smaller than its tile."""


@dataclass(frozen=True, kw_only=True)
class RadonVariance:
    """Variance of the projections of a disc-shaped tile, over the projection angle.

    **Formula.** With f the tile around the grid point, minus its mean, zero outside a disc of ``tile_px`` px, and

        p(s, t) = sum of f along the line whose distance from the middle is s and whose normal has the angle t

    its Radon transform (the sinogram), the curve is v(t) = mean over s of p(s, t)^2, for ``n_angles`` angles t evenly
    over half a turn, counted anticlockwise from the x axis. It has a peak wherever rows of atoms or particles are seen
    edge on, so it tells the lattice's orientation, and is blind to where the lattice lies. Half a turn is all there is,
    so the curve is periodic over 180 degrees (over 90 for a square lattice, 60 for a hexagonal one). It is computed
    from the power along radial lines of the tile's spectrum (`emreel.descriptors.kernels.radon`), a hundred times
    faster than a sinogram, and correlates with `skimage.transform.radon` by 0.999 where a lattice outshines noise.

    **Source.** Paruchuri et al. 2025 (their section "Radon transform"; module docstring). The paper marks the angles
    whose variance lies above a threshold (``form="aligned"``); its code takes 42 angles and marks those whose variance
    bends at least as strongly as the mean, abs(second difference) >= its mean (``form="bent"``). The curve itself
    (``form="curve"``, the default) tells more: two grains 5 degrees apart share most bits of a coarse code.

    **What differs from the original, and why.** The tile is a disc, and its mean is taken off: the shape of a square
    tile stands in every curve at 0 and 90 degrees. The second difference goes round the end of the angle axis (42 bits
    where the code has 40), so no orientation is special. Tiles reach over the frame's edge and over pores; what is not
    valid there carries no weight, and where more than 1/64 of the disc is missing, the curve is divided by what the
    shape of the valid part does to a wave of each direction (the variance of that shape's own projections).

    Parameters
    ----------
    tile_px : diameter of the disc, px. `suggest` takes 6 lattice periods; the paper 128 px (about 11 periods). A
        peak of the curve is about 57 period/tile degrees wide: larger tiles tell finer angles, smaller ones smaller
        grains. Grains smaller than the tile are lost.
    stride : px between grid points; 10 in the paper, at most that and 8 % of the tile as suggested.
    n_angles : projection angles over half a turn; 180, and 42 in the paper's code.
    form : "curve" the variance itself; "aligned" 1 where it is above the threshold; "bent" 1 where it bends.
    scale : of the curve, so that brightness, contrast and dose cancel. "excess" (default): what rises above the
        curve's median, as a vector of unit length (`excess_curves`); a tile without order is 0. "mean": divided by the
        mean over the angles; a tile without order is 1. "counts": the variance as it is, counts^2 px^2. The excess is
        the default because only orientations should count: how high a peak is depends on noise, focus and disorder, and
        spreads the tiles of one grain more than a few degrees do those of two. On synthetic polycrystals of both kinds
        (20 grains, 12 classes by Ward) the grains agree with truth by an ARI of 0.85, against 0.68 with "mean".
    threshold : for "aligned", in units of the curve's mean; above 1, or angles without rows are marked by their noise.
        `suggest` finds the one that tells neighbouring tiles from distant ones best (`threshold_from_pairs`).
    equalise : equalise the tile's histogram first, over its valid pixels only (the paper does it for the whole
        image). Off by default: after scaling it changes nothing but the weight of outliers, at seven times the
        cost. Use it where single pixels outshine the lattice.

    Returns (when called)
    -------
    shape (y_grid, x_grid, n_angles), float32; 0 at every angle where a tile is flat or less than 1/16 of it is valid.

    Raises
    ------
    RadonError : a field out of range, or a frame smaller than its halo.

    **When to use it.** Polycrystals and lamellae, where grains differ in orientation only, at low dose and under line
    noise: the curve sums over the whole tile. With `emreel.cluster.WardClusters` and `emreel.track.grains` it is the
    published workflow.

    **When it fails.** Where phases differ in spacing but not in direction (the curve sums over all spacings), or only
    in brightness, as a cap and an amorphous layer do; grains smaller than the tile; crystals without rows seen edge on;
    strong scan lines, which are a lattice of their own at 90 degrees. A grain whose orientation changes within it is
    cut in pieces. Tiles across a boundary show both grains: they have little order (`order_of`), by which they can be
    kept out of clustering. The 180 numbers are few after PCA: 5 components hold the first harmonics of the
    orientation, enough for differences of a tenth of the symmetry angle and more.

    >>> import numpy as np
    >>> y, x = np.mgrid[:90, :90]
    >>> turn = np.deg2rad(30)
    >>> fringes = np.cos(2 * np.pi * (x * np.cos(turn) - y * np.sin(turn)) / 8).astype(np.float32)
    >>> radon = RadonVariance(tile_px=48, stride=8)
    >>> curve = radon(fringes)[2, 2]
    >>> curve.shape, int(curve.argmax()), round(float(np.mean(curve**2)), 1)
    ((180,), 30, 1.0)
    >>> RadonVariance(tile_px=48, stride=8, n_angles=42, form="bent").features[1].name
    'bent at 4.286 deg'
    """

    name: ClassVar[str] = "radon"
    clusterer: ClassVar[str] = "ward"
    tile_px: int = PUBLISHED_TILE_PX
    stride: int = PUBLISHED_STRIDE_PX
    n_angles: int = 180
    form: Form = "curve"
    scale: Scale = "excess"
    threshold: float = 1.5
    equalise: bool = False

    def __post_init__(self) -> None:
        for field, least in (("tile_px", 8), ("stride", 1), ("n_angles", 4)):
            value = getattr(self, field)
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise RadonError(f"got {field} = {value!r}, wanted a whole number of at least {least}.")
        for field, known in (("form", get_args(Form)), ("scale", get_args(Scale))):
            if getattr(self, field) not in known:
                raise RadonError(f"got {field} = {getattr(self, field)!r}, wanted one of {', '.join(known)}.")
        if not 0 < self.threshold < np.inf:
            raise RadonError(f"got threshold = {self.threshold!r}, wanted a positive number (times the curve's mean).")
        if not isinstance(self.equalise, bool):
            raise RadonError(f"got equalise = {self.equalise!r}, wanted True or False.")

    @classmethod
    def suggest(cls, given: Mapping[str, Any], fold: Fold) -> Self:
        """Take what is left out of tile_px and stride from the lattice period, and a threshold from tile pairs."""
        learned = dict(given)
        if "tile_px" not in learned:
            learned["tile_px"] = tile_from_period(learn_peaks(fold).period_px)
        if "stride" not in learned:
            learned["stride"] = int(np.clip(round(learned["tile_px"] * STRIDE_SHARE), 1, PUBLISHED_STRIDE_PX))
        draft = cls(**learned)
        if draft.form != "aligned" or "threshold" in given:
            return draft
        pairs = fold(partial(_Pairs.of, replace(draft, form="curve", scale="mean")))
        return replace(draft, threshold=threshold_from_pairs(pairs.first, pairs.second, pairs.same))

    @property
    def angles_deg(self) -> npt.NDArray[np.float64]:
        """Projection angles, shape (n_angles,), degrees anticlockwise from the x axis."""
        return 180.0 * np.arange(self.n_angles) / self.n_angles

    @property
    def halo(self) -> int:
        """From the middle of the disc to its rim, px."""
        return kernels.radius_of(self.tile_px)

    @property
    def smallest_frame_px(self) -> int:
        """Half a tile: most of a disc may lie beyond a small frame, and carries no weight there."""
        return max(self.tile_px // 2, 1)

    @property
    def features(self) -> tuple[Feature, ...]:
        units = "counts^2 px^2" if self.form == "curve" and self.scale == "counts" else "1"
        word = {"curve": "variance", "aligned": "aligned", "bent": "bent"}[self.form]
        return tuple(Feature(f"{word} at {angle:.4g} deg", units) for angle in self.angles_deg)

    def __call__(self, padded: Frame, valid: Mask | None = None) -> FeatureMap:
        out = np.empty((*self._grid(padded), self.n_angles), np.float32)
        flat = out.reshape(-1, self.n_angles)
        for where, features in self._described(padded, valid):
            flat[where] = features
        return out

    def project(
        self,
        padded: Frame,
        mean: npt.NDArray[np.float64],
        components: npt.NDArray[np.float64],
        valid: Mask | None = None,
    ) -> FeatureMap:
        """``(features - mean) @ components.T`` a few tiles at a time, shape (y_grid, x_grid, component)."""
        out = np.empty((*self._grid(padded), len(components)), np.float32)
        flat = out.reshape(-1, len(components))
        for where, features in self._described(padded, valid):
            flat[where] = (features - mean) @ np.asarray(components).T
        return out

    def _grid(self, padded: Frame) -> tuple[int, int]:
        height, width = (n - 2 * self.halo for n in padded.shape)
        if height < 1 or width < 1:
            raise RadonError(
                f"got a padded frame of {padded.shape[0]} x {padded.shape[1]} px for a halo of {self.halo} px on every "
                "side: nothing is left. Pad it (emreel.descriptors.geometry.pad_frame), or use a smaller tile_px."
            )
        return grid_length(height, self.stride), grid_length(width, self.stride)

    def _described(self, padded: Frame, valid: Mask | None) -> Iterator[tuple[slice, Curves]]:
        """Features of a few grid points after the other, with their places in the flattened grid."""
        rows, columns = self._grid(padded)
        corners = np.indices((rows, columns)).reshape(2, -1).T * self.stride
        mask = np.empty((0, 0), np.bool_) if valid is None or valid.all() else valid
        points = kernels.describe_points(padded, mask, corners, self.tile_px, self.n_angles, equalise=self.equalise)
        for where, curves, deviation in points:
            yield where, self._formed(curves, deviation)

    def _formed(self, curves: Curves, deviation: npt.NDArray[np.float64]) -> Curves:
        """Curves of tiles scaled to a deviation of 1 as the form asks."""
        curves = np.maximum(curves, np.float32(0))  # power between bins may come out a hair below 0
        if self.form == "aligned":
            return aligned_bits(curves, self.threshold)
        if self.form == "bent":
            return bent_bits(curves)
        if self.scale == "counts":
            return np.asarray(curves * deviation[:, None] ** 2, np.float32)
        return relative_curves(curves) if self.scale == "mean" else excess_curves(curves)


def tile_from_period(period_px: float | None) -> int:
    """Diameter of the disc for a lattice of this period, px; the published one without a lattice."""
    if period_px is None:
        return PUBLISHED_TILE_PX
    return int(np.clip(2 * round(TILE_PERIODS * period_px / 2), SMALLEST_TILE_PX, LARGEST_TILE_PX))


def relative_curves(curves: npt.ArrayLike) -> Curves:
    """Curves, shape (..., angle), over their mean over the angles; 0 where that is 0."""
    curves = np.asarray(curves, np.float32)
    mean = curves.mean(axis=-1, keepdims=True)
    return np.asarray(np.divide(curves, mean, out=np.zeros_like(curves), where=mean > 0))


def excess_curves(curves: npt.ArrayLike) -> Curves:
    """What rises above the median over the angles, as a vector of about unit length: the orientation and little else.

    With m the median of a curve, shape (..., angle), and e = max(curve - m, 0), this is e / sqrt(mean(e^2) + (m/2)^2).
    Rows seen edge on are few, so the median is what disorder and noise put into every projection. Where nothing else
    is there, e is a small part of m, and the result is near 0.

    >>> np.round(excess_curves([2, 2, 2, 2, 42, 2]), 2).tolist()[3:]
    [0.0, 2.440000057220459, 0.0]
    """
    curves = np.asarray(curves, np.float32)
    median = np.median(curves, axis=-1, keepdims=True)
    excess = np.maximum(curves - median, np.float32(0))
    length = np.sqrt(np.mean(excess * excess, axis=-1, keepdims=True) + (np.float32(EXCESS_FLOOR) * median) ** 2)
    return np.asarray(np.divide(excess, length, out=np.zeros_like(excess), where=length > 0))


def order_of(features: npt.ArrayLike) -> Curves:
    """How ordered a tile is, 0 to 1, from its curve scaled as "excess", shape (..., angle): its root mean square.

    Noise and glass reach 0.2 to 0.5, a lattice 0.9 and more, so what is below `LEAST_ORDER` is no grain.

    >>> order = order_of(excess_curves([[2, 2, 2, 2, 42, 2], [2.2, 1.8, 2, 2.1, 1.9, 2]]))
    >>> bool(order[0] > 0.9), bool(order[1] < 0.2)
    (True, True)
    """
    return np.asarray(np.sqrt(np.mean(np.square(np.asarray(features, np.float32)), axis=-1)))


def aligned_bits(curves: npt.ArrayLike, threshold: float) -> Curves:
    """1 where the curve, shape (..., angle), lies above ``threshold`` times its mean, else 0 (the paper's feature)."""
    return np.asarray(relative_curves(curves) > threshold, np.float32)


def bent_bits(curves: npt.ArrayLike) -> Curves:
    """1 where the curve bends: abs(second difference over angle) >= its mean, round the end of the axis.

    curves : shape (..., angle). A curve that does not bend at all (a flat tile) has no bits.

    >>> bent_bits([0.0, 0.0, 0.0, 6.0, 0.0, 0.0]).astype(int).tolist()
    [0, 0, 1, 1, 1, 0]
    """
    curves = np.asarray(curves, np.float64)
    bend = np.abs(np.roll(curves, 1, axis=-1) - 2 * curves + np.roll(curves, -1, axis=-1))
    mean = bend.mean(axis=-1, keepdims=True)
    return np.asarray((bend >= mean) & (mean > 0), np.float32)


def threshold_from_pairs(first: npt.ArrayLike, second: npt.ArrayLike, same: npt.ArrayLike) -> float:
    """Threshold of `aligned_bits` that tells pairs of tiles of one orientation from pairs of two orientations best.

    For each candidate (51 quantiles of all the curves' values) the bits of every pair are compared; the measure is the
    chance that a pair of different orientation differs in more bits than one of the same, equal numbers counted half
    (the area under the ROC curve). The middle of the best candidates (within 1 % of the best) is returned.

    Parameters
    ----------
    first, second : shape (pair, angle), variance curves of both tiles of every pair.
    same : shape (pair,), True where both tiles have one orientation.

    Raises
    ------
    RadonError : shapes that do not fit, or no pair of one of the two kinds.

    >>> import numpy as np
    >>> angle = np.deg2rad(np.arange(180))
    >>> curve = lambda turn: 1 + 8 * np.cos(2 * (angle - np.deg2rad(turn))).clip(0) ** 20
    >>> pairs = [(10, 11, True), (80, 79, True), (10, 30, False), (80, 120, False)]
    >>> first, second = ([curve(pair[i]) for pair in pairs] for i in (0, 1))
    >>> round(threshold_from_pairs(first, second, [pair[2] for pair in pairs]), 1)
    0.6
    """
    a, b = relative_curves(first), relative_curves(second)
    same = np.asarray(same, bool)
    if a.ndim != 2 or a.shape != b.shape or same.shape != a.shape[:1]:
        raise RadonError(
            f"got curves of shapes {a.shape} and {b.shape} and {same.size} marks, wanted (pair, angle) twice and one "
            "mark a pair."
        )
    if same.all() or not same.any():
        raise RadonError(
            f"got {int(same.sum())} pairs of the same and {int((~same).sum())} of different orientation, wanted at "
            "least one of each."
        )
    candidates = np.unique(np.quantile(np.concatenate([a, b]), np.linspace(0.01, 0.99, 51)))
    candidates = candidates[candidates > 0]
    if candidates.size == 0:
        raise RadonError("got curves that are 0 throughout. Choose tiles that show a lattice.")
    told = np.array([_chance_to_tell(np.sum((a > t) != (b > t), axis=1), same) for t in candidates])
    best = candidates[told >= told.max() - 0.01]
    return float(best[len(best) // 2])


def _chance_to_tell(distance: npt.NDArray[np.int64], same: npt.NDArray[np.bool_]) -> float:
    """Chance that a pair of different orientation is farther apart than one of the same."""
    near, far = np.sort(distance[same]), distance[~same]
    below, up_to = (np.searchsorted(near, far, side=side) for side in ("left", "right"))
    return float(np.mean(below + up_to) / (2 * len(near)))


@dataclass(frozen=True, eq=False)
class _Pairs:
    """Curves of pairs of tiles, shape (pair, angle): neighbours (taken as same) and tiles far apart."""

    first: Curves
    second: Curves
    same: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, descriptor: RadonVariance, frame: Frame, valid: Mask) -> _Pairs:
        """Tiles on a coarse grid of one sample frame: a quarter of a tile apart are the same, two tiles other ones."""
        near = max(descriptor.tile_px // 4, 1)
        coarse = replace(descriptor, stride=near)
        curves = coarse(np.pad(frame, coarse.halo), np.pad(valid, coarse.halo))
        apart = 8
        middle = curves[2:-2, 2:-2] if min(curves.shape[:2]) > 8 else curves
        rng = np.random.default_rng(0)
        beside = [(middle[:, :-1], middle[:, 1:]), (middle[:-1], middle[1:])]
        beyond = [(middle[:, :-apart], middle[:, apart:]), (middle[:-apart], middle[apart:])]
        parts = [(a, b, True) for a, b in beside] + [(a, b, False) for a, b in beyond]
        flat = [(a.reshape(-1, a.shape[-1]), b.reshape(-1, b.shape[-1]), kind) for a, b, kind in parts]
        some = [rng.permutation(len(a))[: THRESHOLD_PAIRS // 4] for a, _, _ in flat]
        return cls(
            np.concatenate([a[pick] for (a, _, _), pick in zip(flat, some, strict=True)]),
            np.concatenate([b[pick] for (_, b, _), pick in zip(flat, some, strict=True)]),
            np.concatenate([np.full(len(pick), kind) for (_, _, kind), pick in zip(flat, some, strict=True)]),
        )

    def __add__(self, other: _Pairs, /) -> _Pairs:
        return _Pairs(
            np.concatenate([self.first, other.first]),
            np.concatenate([self.second, other.second]),
            np.concatenate([self.same, other.same]),
        )
