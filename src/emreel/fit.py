"""Fit a model once, on a sample spread over the whole movie, or over several movies together.

The sample is chosen by position, not by chunk: evenly spread frames, and in each the grid points with the
lowest hash. Features stay with the workers that computed them; moments, seeds and sums come to the driver.
Neither workers nor chunks change a bit of the model.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import xarray as xr

from emreel import engine
from emreel.cluster import (
    RESERVOIR_ROWS,
    CentroidSums,
    FixedPoint,
    MiniBatchKMeans,
    Reservoir,
    ScatterSums,
    assign,
    canonical_order,
    derive_seed,
    point_hashes,
    select_points,
)
from emreel.descriptors.base import Descriptor, FeatureMap, Frame, Mask
from emreel.descriptors.geometry import Tile, grid_length, plan_tiles, window_of
from emreel.descriptors.lattice import Lattice
from emreel.descriptors.registry import describe_descriptor, suggest_descriptor
from emreel.model import PIXEL_SIZE_TOLERANCE, Model
from emreel.movie import EmreelError, check_movie, pixel_size_nm
from emreel.prepare import FrameReport, Prepare
from emreel.prepare.measure import measure_frames
from emreel.prepare.quality import BLANK_SHARE
from emreel.progress import Progress, StageStarted, ignore
from emreel.provenance import Provenance, canonical_json, describe_movie, movie_digest
from emreel.recipe import DescriptorStep, Recipe
from emreel.reduce import PCA, Moments, project_rows

P = TypeVar("P", bound=Any)
#: Frames are sampled in pieces of at most this many px a side, whatever the chunks and the workers.
PIECE_PX = 2048
#: Frames that a descriptor is suggested from.
SUGGEST_FRAMES = 12
#: Classes whose order differs by less than this share of the largest are told apart by intensity.
ORDER_STEP = 0.1


class FitError(EmreelError, ValueError):
    """A movie that no model can be fitted on."""


def fit_model(
    movie: object,
    recipe: Recipe | None = None,
    *,
    n_clusters: int | None = None,
    centers: npt.ArrayLike | None = None,
    progress: Progress = ignore,
) -> Model:
    """Fit one model on one movie, or on a list of movies together.

    Parameters
    ----------
    movie : a movie (see `emreel.open_movie`), or a list of movies of one pixel size: one model, one label meaning.
    recipe : every choice; what it leaves out is learned from the movie.
    n_clusters : number of phases; wins over the recipe.
    centers : shape (class, component), start k-means here instead of seeding it.

    Returns
    -------
    Model : its classes in canonical order, least ordered first (power of the lattice), ties by intensity.

    Raises
    ------
    FitError : every sampled frame is blank, frames smaller than the descriptor's halo, movies that do not fit together.
    emreel.cluster.ClusterError : more clusters than distinct sample points.
    """
    recipe = _with_clusters(recipe or Recipe(), n_clusters)
    movies = _parse_movies(movie)
    progress(StageStarted("measure"))
    sample = _take_sample(movies, recipe)
    progress(StageStarted("suggest"))
    descriptor = sample.suggest(recipe.descriptor)
    ruler = descriptor if isinstance(descriptor, Lattice) else sample.suggest(DescriptorStep())
    _check_frame_size(movies, descriptor)
    progress(StageStarted("describe"))
    rows = sample.describe(descriptor, ruler, recipe)
    progress(StageStarted("cluster"))
    return _cluster(rows, recipe, descriptor, sample, centers)


def suggest_recipe(movie: object, recipe: Recipe | None = None) -> Recipe:
    """A recipe with every field of its descriptor filled in from the movie: lattice, windows, stride.

    What the given recipe states is kept. Reads a dozen frames.
    """
    recipe = recipe or Recipe()
    sample = _take_sample(_parse_movies(movie), recipe)
    fields = describe_descriptor(sample.suggest(recipe.descriptor))
    return replace(recipe, descriptor=DescriptorStep(name=fields.pop("name"), fields=fields))


# ------------------------------------------------------------------------------------------- the sample


@dataclass(frozen=True)
class _Piece:
    """A piece of one sample frame: where it lies, and what was found in its frame."""

    movie: int
    frame: int
    tile: Tile
    report: FrameReport

    def region(self, reach_px: int, shape_yx: tuple[int, int]) -> engine.Region:
        return engine.Region(self.frame, self.frame + 1, self.tile.grown(reach_px, shape_yx))


@dataclass(frozen=True)
class _Rows:
    """What one piece gives to the sample: features, hashes, and columns that order and show the classes."""

    features: npt.NDArray[np.float32]  # (n, feature)
    hashes: npt.NDArray[np.uint64]  # (n,)
    extra: npt.NDArray[np.float32]  # (n, 3): lattice order, intensity, pixel


@dataclass(frozen=True)
class _Describe:
    """The task that describes one piece; everything that it needs, and nothing of the movie."""

    prepare: Prepare
    descriptor: Descriptor
    ruler: Lattice
    shape_yx: tuple[int, int]
    n_points: int
    seed: int

    def __call__(self, pixels: npt.NDArray[Any], piece: _Piece) -> _Rows:
        have = piece.region(self.reach, self.shape_yx).tile
        prepared, valid = self.prepare(pixels[0], have, piece.report)
        stride = self.descriptor.stride
        grid = grid_length(self.shape_yx[0], stride), grid_length(self.shape_yx[1], stride)
        seed = derive_seed(self.seed, piece.movie)
        ys, xs = select_points(piece.frame, grid, self.n_points, seed)
        rows, columns = piece.tile.grid_slices(stride)
        mine = (ys >= rows.start) & (ys < rows.stop) & (xs >= columns.start) & (xs < columns.stop)
        ys, xs = ys[mine], xs[mine]
        features = self._features(self.descriptor, prepared, valid, have, piece.tile)
        chosen = features[ys - rows.start, xs - columns.start]
        order = self._order(features, prepared, valid, have, piece.tile)
        step = stride / self.ruler.stride
        near_y = np.minimum(np.rint((ys - rows.start) * step).astype(int), order.shape[0] - 1)
        near_x = np.minimum(np.rint((xs - columns.start) * step).astype(int), order.shape[1] - 1)
        pixel = prepared[ys * stride - have.y0, xs * stride - have.x0]
        extra = np.column_stack([order[near_y, near_x], pixel]).astype(np.float32)
        hashes = point_hashes(piece.frame, grid, ys, xs, seed)
        return _Rows(np.ascontiguousarray(chosen), hashes, extra)

    @property
    def reach(self) -> int:
        return max(self.descriptor.halo, self.ruler.halo) + 1  # neighbours tell hot pixels

    def _features(self, descriptor: Descriptor, prepared: Frame, valid: Mask, have: Tile, tile: Tile) -> FeatureMap:
        padded, mask = window_of(prepared, valid, have, tile.grown(descriptor.halo))
        return descriptor(padded, mask)

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
class _Sample:
    movies: Sequence[xr.DataArray]
    pieces: Sequence[_Piece]
    prepare: Prepare

    def fold(self, of: Callable[[Frame, Mask], P]) -> P:
        """``of(frame, valid)`` over a dozen prepared frames, in order."""
        frames = sorted({(piece.movie, piece.frame) for piece in self.pieces})
        chosen = {frames[i] for i in _spread(len(frames), SUGGEST_FRAMES)}
        partials = []
        for index, movie in enumerate(self.movies):
            pieces = [p for p in self.pieces if p.movie == index and (p.movie, p.frame) in chosen]
            if pieces:
                shape = movie.sizes["y"], movie.sizes["x"]
                locate = partial(_Piece.region, reach_px=0, shape_yx=shape)
                partials.append(engine.fold_regions(movie, pieces, locate, _OfPrepared(of, self.prepare)))
        total: P = engine.add_in_order(partials)
        return total

    def suggest(self, step: DescriptorStep) -> Any:
        return suggest_descriptor(step.name, step.fields, self.fold)

    def describe(self, descriptor: Descriptor, ruler: Lattice, recipe: Recipe) -> engine.Parts:
        n_frames = len({(piece.movie, piece.frame) for piece in self.pieces})
        n_points = -(-recipe.sample.points // n_frames)
        groups = []
        for index, movie in enumerate(self.movies):
            shape = movie.sizes["y"], movie.sizes["x"]
            task = _Describe(self.prepare, descriptor, ruler, shape, n_points, recipe.seed)
            pieces = [piece for piece in self.pieces if piece.movie == index]
            locate = partial(_Piece.region, reach_px=task.reach, shape_yx=shape)
            if pieces:
                groups.append(engine.keep_regions(movie, pieces, locate, task))
        return engine.join_parts(groups)


@dataclass(frozen=True)
class _OfPrepared:
    of: Callable[[Frame, Mask], Any]
    prepare: Prepare

    def __call__(self, pixels: npt.NDArray[Any], piece: _Piece) -> Any:
        return self.of(*self.prepare(pixels[0], piece.tile, piece.report))


def _take_sample(movies: Sequence[xr.DataArray], recipe: Recipe) -> _Sample:
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
    blank = [report.mean < BLANK_SHARE * reference for _, _, report in found]
    pieces = [
        _Piece(index, frame, tile, report)
        for (index, frame, report), dark in zip(found, blank, strict=True)
        if report.usable and not dark
        for tile in plan_tiles((movies[index].sizes["y"], movies[index].sizes["x"]), (PIECE_PX, PIECE_PX))
    ]
    prepare = Prepare(reference_mean=reference, gain=recipe.prepare.gain, repair=recipe.prepare.repair)
    return _Sample(movies, pieces, prepare)


def _spread(n: int, wanted: int) -> list[int]:
    """``wanted`` of ``n`` indices, evenly spread from the first to the last."""
    if wanted >= n:
        return list(range(n))
    if wanted == 1:
        return [n // 2]
    return sorted({round(i * (n - 1) / (wanted - 1)) for i in range(wanted)})


# --------------------------------------------------------------------------------------------- the fit


def _cluster(
    rows: engine.Parts,
    recipe: Recipe,
    descriptor: Descriptor,
    sample: _Sample,
    centers: npt.ArrayLike | None,
) -> Model:
    mean, components = _learn_projection(rows, recipe, descriptor)
    projected = rows.map(_project_part, mean, components)
    reservoir = projected.fold(_reservoir_of, RESERVOIR_ROWS).finish()
    seeds, extra = reservoir[:, :-3], reservoir[:, -3:].astype(np.float64)
    assert recipe.cluster.n_clusters is not None
    kmeans = MiniBatchKMeans(
        int(recipe.cluster.n_clusters),
        n_init=recipe.cluster.n_init,
        seed=recipe.seed,
        max_rounds=recipe.cluster.max_rounds,
        init="k-means++" if centers is None else np.asarray(centers, dtype=np.float64),
    )
    kmeans.fit_rounds(np.ascontiguousarray(seeds), partial(projected.fold, _centroids_of))
    order = _canonical_order(kmeans.cluster_centers_, seeds, extra)
    ordered = np.ascontiguousarray(kmeans.cluster_centers_[order])
    scatter = projected.fold(_scatter_of, ordered, kmeans.scale_).finish()
    low, high = np.percentile(extra[:, 2], [0.5, 99.5])
    return Model(
        descriptor=descriptor,
        prepare=replace(sample.prepare, display_range=(float(low), float(high))),
        mean=mean,
        components=components,
        centers=ordered,
        scatter=scatter.variance,
        unknown_sq_distance=np.asarray(scatter.thresholds_sq),
        counts=kmeans.counts_[order],
        upsample=recipe.refine.upsample,
        pixel_size_nm=pixel_size_nm(sample.movies[0]),
        provenance=Provenance(
            recipe=canonical_json(recipe.to_dict()),
            movies=tuple(describe_movie(movie, movie_digest(movie)) for movie in sample.movies),
        ),
    )


def _learn_projection(
    rows: engine.Parts, recipe: Recipe, descriptor: Descriptor
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64] | None]:
    moments = rows.fold(_moments_of)
    wanted = recipe.reduce.n_components
    if wanted is None:
        wanted = len(descriptor.features) if isinstance(descriptor, Lattice) else min(5, len(descriptor.features))
    if wanted > len(descriptor.features):
        raise FitError(
            f"n_components is {wanted}, but '{descriptor.name}' has {len(descriptor.features)} features. Ask for fewer."
        )
    if wanted == len(descriptor.features):
        return moments.finish()[0], None
    pca = PCA(n_components=wanted).fit_moments(moments)
    return pca.mean_, pca.components_


def _canonical_order(
    centers: npt.NDArray[np.float64], rows: npt.NDArray[np.float32], extra: npt.NDArray[np.float64]
) -> npt.NDArray[np.int64]:
    label, _ = assign(rows, centers)
    measures = np.zeros((len(centers), 2))
    for k in range(len(centers)):
        mine = extra[label == k, :2]
        measures[k] = mine.mean(axis=0) if len(mine) else 0.0
    order, intensity = measures.T
    step = ORDER_STEP * max(order.max(), 1e-12)
    return canonical_order(np.rint(order / step), intensity)


def _moments_of(part: _Rows) -> Moments:
    return Moments.of(part.features)


def _project_part(part: _Rows, mean: npt.NDArray[Any], components: npt.NDArray[Any] | None) -> _Rows:
    return replace(part, features=project_rows(part.features, mean, components))


def _reservoir_of(part: _Rows, capacity: int) -> Reservoir:
    return Reservoir.of(part.hashes, np.hstack([part.features, part.extra]), capacity)


def _centroids_of(part: _Rows, centers: npt.NDArray[np.float64], scale: FixedPoint) -> CentroidSums:
    return CentroidSums.of(part.features, centers, scale)


def _scatter_of(part: _Rows, centers: npt.NDArray[np.float64], scale: FixedPoint) -> ScatterSums:
    return ScatterSums.of(part.features, centers, scale)


# ------------------------------------------------------------------------------------------- the checks


def _with_clusters(recipe: Recipe, n_clusters: int | None) -> Recipe:
    if n_clusters is not None:
        recipe = recipe.with_clusters(n_clusters)
    if recipe.cluster.n_clusters is None:
        raise FitError("the number of phases is not given. Pass n_clusters=3, or -k 3 on the command line.")
    return recipe


def _parse_movies(movie: object) -> list[xr.DataArray]:
    movies = [check_movie(m) for m in movie] if isinstance(movie, list | tuple) else [check_movie(movie)]
    if not movies:
        raise FitError("got an empty list of movies, wanted at least one.")
    sizes = [pixel_size_nm(m) for m in movies]
    known = [size for size in sizes if size is not None]
    if known and max(known) - min(known) > PIXEL_SIZE_TOLERANCE * min(known):
        raise FitError(
            f"movies of pixel sizes {min(known):g} and {max(known):g} nm cannot share a model. Resample them first."
        )
    return movies


def _check_frame_size(movies: Sequence[xr.DataArray], descriptor: Descriptor) -> None:
    for movie in movies:
        height, width = movie.sizes["y"], movie.sizes["x"]
        smallest = getattr(descriptor, "smallest_frame_px", descriptor.halo + 1)
        if min(height, width) < smallest:
            raise FitError(
                f"frames of {height} x {width} px are smaller than '{descriptor.name}' needs ({smallest} px a side). "
                "Use larger frames, or a smaller window in the recipe's [descriptor]."
            )
