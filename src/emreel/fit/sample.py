"""The sample that a model is fitted on: evenly spread frames, and in each the grid points with the lowest hash.

Points are chosen by their place in the movie, not by chunk. Features stay with the workers that computed them.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import xarray as xr
from scipy import ndimage

from emreel import engine
from emreel.cluster import derive_seed, point_hashes, select_points
from emreel.descriptors.base import Descriptor, FeatureMap, Frame, Mask
from emreel.descriptors.geometry import Tile, grid_length, plan_tiles, window_of
from emreel.descriptors.lattice import Lattice
from emreel.descriptors.registry import suggest_descriptor
from emreel.fit.errors import FitError
from emreel.movie import pixel_size_nm
from emreel.prepare import FrameReport, Prepare
from emreel.prepare.measure import measure_frames
from emreel.prepare.quality import BLANK_SHARE
from emreel.recipe import DescriptorStep, Recipe

P = TypeVar("P", bound=Any)

#: Frames are sampled in pieces of at most this many px a side, whatever the chunks and the workers.
PIECE_PX = 2048
#: Features of one piece, and the rows of the whole sample, stay below so many bytes.
PIECE_BYTES, ROWS_BYTES = 2**26, 2**28
#: Points of the whole sample that are looked at for the cores of the phases.
CORE_POINTS = 32_768
#: Grid points on either side over which unrest is measured.
UNREST_REACH = 2
#: Grid points on either side over which a plane is fitted.
SLOPE_REACH = 3
#: Frames that a descriptor is suggested from.
SUGGEST_FRAMES = 12
#: What the sample keeps of each row beside its features: for the classes' order, for the preview, for fields.
EXTRA_COLUMNS = ("order", "intensity", "pixel", "roughness", "y_px", "x_px")
#: And of each core point: see `smooth_features`.
CORE_COLUMNS = ("unrest", "slope", "y_px", "x_px")
#: A row's surroundings, lattice periods: far enough that no smoothing carries an edge over them.
SURROUNDINGS_PERIODS = 1.5


@dataclass(frozen=True)
class Piece:
    """A piece of one sample frame: where it lies, and what was found in its frame."""

    movie: int
    frame: int
    tile: Tile
    report: FrameReport

    def region(self, reach_px: int, shape_yx: tuple[int, int]) -> engine.Region:
        return engine.Region(self.frame, self.frame + 1, self.tile.grown(reach_px, shape_yx))


@dataclass(frozen=True)
class Rows:
    """What one piece gives to the sample: features, hashes, and columns that order and show the classes."""

    features: npt.NDArray[np.float32]  # (n, feature)
    hashes: npt.NDArray[np.uint64]  # (n,)
    extra: npt.NDArray[np.float32]  # (n, 6): see EXTRA_COLUMNS
    mean_features: npt.NDArray[np.float32]  # (m, feature): means over 3 x 3 grid points, at the m lowest hashes
    core_extra: npt.NDArray[np.float32]  # (m, 4): see CORE_COLUMNS
    core_hashes: npt.NDArray[np.uint64]  # (m,)


@dataclass(frozen=True)
class _Describe:
    """The task that describes one piece; everything that it needs, and nothing of the movie."""

    prepare: Prepare
    descriptor: Descriptor
    ruler: Lattice
    shape_yx: tuple[int, int]
    n_points: int
    n_core_points: int
    seed: int

    def __call__(self, pixels: npt.NDArray[Any], piece: Piece) -> Rows:
        have = piece.region(self.reach, self.shape_yx).tile
        prepared, valid = self.prepare(pixels[0], have, piece.report)
        features = self._features(self.descriptor, prepared, valid, have, piece.tile)
        order = self._order(features, prepared, valid, have, piece.tile)
        ys, xs, hashes = self._points(piece, self.n_points)
        stride = self.descriptor.stride
        step = stride / self.ruler.stride
        near_y = np.minimum(np.rint(ys * step).astype(int), order.shape[0] - 1)
        near_x = np.minimum(np.rint(xs * step).astype(int), order.shape[1] - 1)
        top, left = piece.tile.y0 - have.y0, piece.tile.x0 - have.x0
        pixel = prepared[top + ys * stride, left + xs * stride]
        rough = self._roughness(order[..., 1])[near_y, near_x]
        places = piece.tile.y0 + ys * stride, piece.tile.x0 + xs * stride
        extra = np.column_stack([order[near_y, near_x], pixel, rough, *places]).astype(np.float32)
        mean, unrest = smooth_features(features)
        core_ys, core_xs, core_hashes = self._points(piece, self.n_core_points)
        core_places = piece.tile.y0 + core_ys * stride, piece.tile.x0 + core_xs * stride
        return Rows(
            features=features[ys, xs],
            hashes=hashes,
            extra=extra,
            mean_features=mean[core_ys, core_xs],
            core_extra=np.column_stack([unrest[core_ys, core_xs], *core_places]).astype(np.float32),
            core_hashes=core_hashes,
        )

    def _points(
        self, piece: Piece, n_points: int
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.uint64]]:
        """Rows and columns of the piece's own grid that are among the frame's lowest hashes, and those hashes."""
        stride = self.descriptor.stride
        grid = grid_length(self.shape_yx[0], stride), grid_length(self.shape_yx[1], stride)
        seed = derive_seed(self.seed, piece.movie)
        ys, xs = select_points(piece.frame, grid, n_points, seed)
        rows, columns = piece.tile.grid_slices(stride)
        mine = (ys >= rows.start) & (ys < rows.stop) & (xs >= columns.start) & (xs < columns.stop)
        ys, xs = ys[mine], xs[mine]
        return ys - rows.start, xs - columns.start, point_hashes(piece.frame, grid, ys, xs, seed)

    @property
    def reach(self) -> int:
        return max(self.descriptor.halo, self.ruler.halo) + 1  # neighbours tell hot pixels

    def _features(self, descriptor: Descriptor, prepared: Frame, valid: Mask, have: Tile, tile: Tile) -> FeatureMap:
        padded, mask = window_of(prepared, valid, have, tile.grown(descriptor.halo))
        return descriptor(padded, mask)

    def _roughness(self, intensity: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Range of the intensity in the surroundings of each point."""
        radius = int(np.ceil(SURROUNDINGS_PERIODS * self.ruler.period_px / self.ruler.stride))
        size = 2 * radius + 1
        rough: npt.NDArray[np.float32] = ndimage.maximum_filter(intensity, size) - ndimage.minimum_filter(
            intensity, size
        )
        return rough

    def _order(
        self, features: FeatureMap, prepared: Frame, valid: Mask, have: Tile, tile: Tile
    ) -> npt.NDArray[np.float32]:
        if self.descriptor is not self.ruler and self.descriptor != self.ruler:
            features = self._features(self.ruler, prepared, valid, have, tile)
        names = [feature.name for feature in self.ruler.features]
        amplitudes = [i for i, name in enumerate(names) if name.startswith("amplitude")]
        ordered = features[..., amplitudes].sum(axis=-1) if amplitudes else np.zeros(features.shape[:2], np.float32)
        return np.stack([ordered, features[..., names.index("log_counts")]], axis=-1)


@dataclass(frozen=True)
class Sample:
    """The sample frames of one movie or of several, and how they are prepared."""

    movies: Sequence[xr.DataArray]
    frames: Sequence[tuple[int, int, FrameReport]]  # movie, frame, what was found in it
    prepare: Prepare

    @property
    def pixel_size_nm(self) -> float | None:
        return pixel_size_nm(self.movies[0])

    @property
    def frame_shape_yx(self) -> tuple[int, int] | None:
        """The frames' shape, or None for movies of several."""
        shapes = {_shape_yx(movie) for movie in self.movies}
        return shapes.pop() if len(shapes) == 1 else None

    def fold(self, of: Callable[[Frame, Mask], P]) -> P:
        """``of(frame, valid)`` over a dozen prepared frames, in order."""
        chosen = [self.frames[i] for i in _spread(len(self.frames), SUGGEST_FRAMES)]
        work = _OfPrepared(of, self.prepare)
        partials = [
            engine.fold_regions(movie, pieces, partial(Piece.region, reach_px=0, shape_yx=_shape_yx(movie)), work)
            for movie, pieces in self._by_movie(chosen, PIECE_PX)
        ]
        total: P = engine.add_in_order(partials)
        return total

    def n_independent(self, descriptor: Descriptor) -> float:
        """Grid points of the sample that are worth counting.

        Points nearer than the descriptor's ``resolution_px`` share their pixels. Frames share the specimen but not
        the noise: n of them count as the square root of n.
        """
        apart = float(getattr(descriptor, "resolution_px", descriptor.halo + 1))
        frames = Counter(index for index, _, _ in self.frames)
        return math.fsum(
            self.movies[index].sizes["y"] * self.movies[index].sizes["x"] / (apart / 2) ** 2 * n**0.75
            for index, n in frames.items()
        )

    def suggest(self, step: DescriptorStep) -> Any:
        """The descriptor that a recipe names, completed from the sample."""
        return suggest_descriptor(step.name, step.fields, self.fold)

    def describe(self, descriptor: Descriptor, ruler: Lattice, recipe: Recipe) -> engine.Parts:
        """`Rows` of every piece, kept by the workers; fewer of them when a row is long."""
        n_features = len(descriptor.features)
        n_points = -(-min(recipe.sample.points, ROWS_BYTES // (4 * n_features)) // len(self.frames))
        n_core_points = min(-(-CORE_POINTS // len(self.frames)), n_points)
        piece_px = _piece_px(descriptor.stride, n_features)
        groups = []
        for movie, pieces in self._by_movie(self.frames, piece_px):
            task = _Describe(self.prepare, descriptor, ruler, _shape_yx(movie), n_points, n_core_points, recipe.seed)
            locate = partial(Piece.region, reach_px=task.reach, shape_yx=task.shape_yx)
            groups.append(engine.keep_regions(movie, pieces, locate, task))
        return engine.join_parts(groups)

    def _by_movie(
        self, frames: Sequence[tuple[int, int, FrameReport]], piece_px: int
    ) -> Iterator[tuple[xr.DataArray, list[Piece]]]:
        for index, movie in enumerate(self.movies):
            tiles = list(plan_tiles(_shape_yx(movie), (piece_px, piece_px)))
            pieces = [Piece(m, f, tile, report) for m, f, report in frames if m == index for tile in tiles]
            if pieces:
                yield movie, pieces


@dataclass(frozen=True)
class _OfPrepared:
    of: Callable[[Frame, Mask], Any]
    prepare: Prepare

    def __call__(self, pixels: npt.NDArray[Any], piece: Piece) -> Any:
        return self.of(*self.prepare(pixels[0], piece.tile, piece.report))


def smooth_features(features: FeatureMap) -> tuple[FeatureMap, npt.NDArray[np.float32]]:
    """Means over 3 x 3 grid points, and how unlike the core of a phase each point is, shape (y_grid, x_grid, 2).

    The first is the unrest: the squared change of the means from `UNREST_REACH` grid points on one side to as many on
    the other, along y and along x together; the largest of 3 x 3 points. At the edge the change is taken over what
    there is, and scaled to the full distance. It is small in a calm phase, and large on boundaries and all over a phase
    of wild texture.

    The second is the slope: the share of the variance of (2 `SLOPE_REACH` + 1)^2 points that one plane a feature
    explains, 0 to 1. It is large on boundaries, which all features cross in one direction, and where a calm
    phase bends slowly; noise and texture have no direction.
    """
    mean = ndimage.uniform_filter(features, (3, 3, 1), mode="nearest")
    unrest = np.zeros(features.shape[:2], np.float32)
    for axis in (0, 1):
        places = np.arange(features.shape[axis])
        ahead, behind = (np.clip(places + step, 0, places[-1]) for step in (UNREST_REACH, -UNREST_REACH))
        change = np.take(mean, ahead, axis=axis) - np.take(mean, behind, axis=axis)
        scale = (2 * UNREST_REACH / np.maximum(ahead - behind, 1)) ** 2
        unrest += np.einsum("yxf,yxf->yx", change, change) * np.expand_dims(scale, 1 - axis).astype(np.float32)
    return mean, np.stack([ndimage.maximum_filter(unrest, 3, mode="nearest"), slope_share(features)], axis=-1)


def slope_share(features: FeatureMap) -> npt.NDArray[np.float32]:
    """Share of the features' variance around each point that one plane a feature explains, shape (y_grid, x_grid)."""
    flat = features - features.mean(axis=(0, 1), dtype=np.float64).astype(np.float32)
    offsets = np.arange(-SLOPE_REACH, SLOPE_REACH + 1, dtype=np.float64)
    even, ramp = np.full(len(offsets), 1 / len(offsets)), offsets / np.sum(offsets**2)
    spread = float(np.mean(offsets**2))

    def sums(along_y: npt.NDArray[np.float64], along_x: npt.NDArray[np.float64]) -> FeatureMap:
        down = ndimage.correlate1d(flat, along_y, axis=0, mode="nearest")
        both: FeatureMap = ndimage.correlate1d(down, along_x, axis=1, mode="nearest")
        return both

    explained = spread * np.sum(sums(ramp, even) ** 2 + sums(even, ramp) ** 2, axis=-1)
    squares = np.sum(flat**2, axis=-1)
    for axis in (0, 1):
        squares = ndimage.correlate1d(squares, even, axis=axis, mode="nearest")
    variance = squares - np.sum(sums(even, even) ** 2, axis=-1)
    share: npt.NDArray[np.float32] = np.clip(explained / np.maximum(variance, 1e-12), 0, 1).astype(np.float32)
    return share


def take_sample(movies: Sequence[xr.DataArray], recipe: Recipe) -> Sample:
    """Choose and measure the sample frames; blank and unreadable ones are left out.

    Raises
    ------
    FitError : no usable frame.
    """
    per_movie = -(-recipe.sample.frames // len(movies))
    found: list[tuple[int, int, FrameReport]] = []
    for index, movie in enumerate(movies):
        frames = _spread(movie.sizes["time"], per_movie)
        found += [(index, f, r) for f, r in zip(frames, measure_frames(movie, frames), strict=True)]
    means = [report.mean for _, _, report in found if report.usable]
    if not means:
        reasons = sorted({f"{report.status}: {report.reason}" for _, _, report in found})
        raise FitError(f"no usable frame in a sample of {len(found)} ({'; '.join(reasons[:3])}). Check the movie.")
    reference = float(np.median(means))
    kept = [one for one in found if one[2].usable and one[2].mean >= BLANK_SHARE * reference]
    prepare = Prepare(reference_mean=reference, gain=recipe.prepare.gain, repair=recipe.prepare.repair)
    return Sample(movies, kept, prepare)


def _shape_yx(movie: xr.DataArray) -> tuple[int, int]:
    return movie.sizes["y"], movie.sizes["x"]


def _piece_px(stride: int, n_features: int) -> int:
    """Side of the pieces that are described at once: a multiple of the stride whose features fit their memory."""
    n_points = max(int((PIECE_BYTES / (4 * n_features)) ** 0.5), 16)
    return max(min(n_points, PIECE_PX // stride), 1) * stride


def _spread(n: int, wanted: int) -> list[int]:
    """``wanted`` of ``n`` indices, evenly spread from the first to the last."""
    if wanted >= n:
        return list(range(n))
    if wanted == 1:
        return [n // 2]
    return sorted({round(i * (n - 1) / (wanted - 1)) for i in range(wanted)})
