"""What is learned from the rows of a sample: a projection, centres, their order and scatter.

Moments, seeds and sums come to the driver, never the rows. Neither workers nor chunks change a bit of the model.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

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
)
from emreel.cluster.cores import CoreClusters
from emreel.cluster.field import IntensityField, Placed, learn_field
from emreel.cluster.registry import InRounds, build_clusterer
from emreel.cluster.separation import separate
from emreel.descriptors.base import Descriptor, Frame, Mask
from emreel.descriptors.lattice import PLAIN_PERIOD_PX, Lattice
from emreel.fit.errors import FitError
from emreel.fit.sample import EXTRA_COLUMNS, Rows, Sample
from emreel.model import MOST_CLASSES, Model
from emreel.provenance import Provenance, canonical_json, describe_movie, movie_digest
from emreel.recipe import Recipe
from emreel.reduce import PCA, Moments, project_rows
from emreel.refine import EdgeMargins, Potts

Centers = npt.NDArray[np.float64]
N_EXTRA = len(EXTRA_COLUMNS)
#: Components that published methods keep (Wang et al. 2021).
N_COMPONENTS = 5
#: Moments of more features than this are taken over the reservoir's rows, else each partial is too large to send.
WIDE_FEATURES = 1024
#: Rows of the reservoir take at most so many bytes.
RESERVOIR_BYTES = 2**27
#: Share of the core points that count as steady.
STEADY_SHARE = 0.5
#: Classes whose order differs by less than this share of the largest are told apart by intensity.
ORDER_STEP = 0.1


def learn_model(
    rows: engine.Parts,
    recipe: Recipe,
    descriptor: Descriptor,
    sample: Sample,
    init: npt.ArrayLike | None = None,
    ruler: Lattice | None = None,
) -> Model:
    """The model of the rows of a sample; ``init`` are centres to start from, shape (class, component).

    ``ruler`` tells the movie's lattice period, by which lengths of the recipe count.

    Raises
    ------
    FitError : more components than features, more classes than labels.
    emreel.cluster.ClusterError : the clusterer cannot work with these rows or options.
    """
    mean, components = _learn_projection(rows, recipe, descriptor)
    projected = rows.map(_project_part, mean, components)
    reservoir = _reservoir(projected, len(descriptor.features) if components is None else len(components))
    seeds, extra = np.ascontiguousarray(reservoir[:, :-N_EXTRA]), reservoir[:, -N_EXTRA:].astype(np.float64)
    project = _Projection(descriptor, mean, components)
    n_independent = STEADY_SHARE * sample.n_independent(descriptor)
    centers = _learn_centers(rows, projected, seeds, recipe, init, project, n_independent)
    centers, field = _learn_field(seeds, extra, centers, recipe, descriptor, components, sample)
    if field is not None:
        seeds = field.flattened(seeds, centers, *_places(extra))
    order = _canonical_order(centers, seeds, extra)
    centers, field = np.ascontiguousarray(centers[order]), None if field is None else field.reordered(order)
    if field is not None:
        projected = projected.map(_flatten_part, field, centers)
    within = projected.fold(_scatter_of, centers, FixedPoint.of_rows(seeds))
    scatter = within.finish()
    low, high = np.percentile(extra[:, 2], [0.5, 99.5])
    model = Model(
        descriptor=descriptor,
        prepare=replace(sample.prepare, display_range=(float(low), float(high))),
        mean=mean,
        components=components,
        centers=centers,
        scatter=scatter.variance,
        unknown_sq_distance=np.asarray(scatter.thresholds_sq),
        counts=within.counts,
        field=field,
        potts=_potts_of(recipe, descriptor, ruler),
        upsample=recipe.refine.upsample,
        follow=recipe.time.follow,
        pixel_size_nm=sample.pixel_size_nm,
        provenance=Provenance(
            recipe=canonical_json(recipe.to_dict()),
            movies=tuple(describe_movie(movie, movie_digest(movie)) for movie in sample.movies),
        ),
    )
    return replace(model, temperature=_temperature_of(model, recipe, sample, ruler))


def _learn_projection(
    rows: engine.Parts, recipe: Recipe, descriptor: Descriptor
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64] | None]:
    n_features = len(descriptor.features)
    if n_features <= WIDE_FEATURES:
        moments = rows.fold(_moments_of)
    else:
        moments = Moments.of(_reservoir(rows, n_features)[:, :-N_EXTRA])
    wanted = recipe.reduce.n_components
    if wanted is None:
        wanted = n_features if getattr(descriptor, "unprojected", False) else min(N_COMPONENTS, n_features)
    if wanted > n_features:
        raise FitError(f"n_components is {wanted}, but '{descriptor.name}' has {n_features} features. Ask for fewer.")
    if wanted == n_features:
        return moments.finish()[0], None
    pca = PCA(n_components=wanted).fit_moments(moments)
    return pca.mean_, pca.components_


@dataclass(frozen=True)
class _Projection:
    """From features to components, and which of their directions are brightness."""

    descriptor: Descriptor
    mean: npt.NDArray[np.float64]
    components: npt.NDArray[np.float64] | None

    def __call__(self, features: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        return project_rows(features, self.mean, self.components)

    @property
    def brightness(self) -> npt.NDArray[np.float64]:
        """shape (brightness feature, component)."""
        which = [i for i, feature in enumerate(self.descriptor.features) if feature.brightness]
        kept = np.eye(len(self.descriptor.features)) if self.components is None else self.components
        return np.ascontiguousarray(kept[:, which].T)


def _learn_centers(
    rows: engine.Parts,
    projected: engine.Parts,
    seeds: npt.NDArray[np.float32],
    recipe: Recipe,
    init: npt.ArrayLike | None,
    project: _Projection,
    n_independent: float,
) -> Centers:
    """Centres of the classes, shape (class, component), each the nearest of some row."""
    if init is not None:
        options = {"init": np.asarray(init, dtype=np.float64)}
        kmeans = MiniBatchKMeans(len(options["init"]), seed=recipe.seed, **options)  # type: ignore[arg-type]
        return kmeans.fit_rounds(seeds, partial(projected.fold, _centroids_of)).cluster_centers_
    wanted = None if recipe.cluster.n_clusters == "auto" else recipe.cluster.n_clusters
    clusterer = build_clusterer(recipe.clusterer, wanted, seed=recipe.seed, options=recipe.cluster.options)
    if isinstance(clusterer, InRounds):
        clusterer.fit_rounds(seeds, partial(projected.fold, _centroids_of))
        found = clusterer.cluster_centers_
        return separate(seeds, found) if _is_separated(recipe, project.descriptor) else found
    if isinstance(clusterer, CoreClusters):
        steady = project(_steady_rows(rows, project))
        centers = clusterer.fit(steady, project.brightness, n_independent).cluster_centers_
        if wanted is not None and _is_separated(recipe, project.descriptor):
            centers = separate(seeds, centers)
    else:
        centers = clusterer.fit(seeds).cluster_centers_
    if len(centers) > MOST_CLASSES:
        raise FitError(
            f"'{recipe.clusterer}' found {len(centers)} classes, and labels hold {MOST_CLASSES}. "
            "Ask for fewer: -k, a higher threshold or a lower resolution."
        )
    nearest, _ = assign(seeds, centers)
    return centers[np.unique(nearest)]


def _potts_of(recipe: Recipe, descriptor: Descriptor, ruler: Lattice | None) -> Potts | None:
    """How neighbours pull at labels: as the recipe says, else for features that are clustered as they are."""
    wanted = recipe.refine.neighbours
    if wanted is None:
        wanted = isinstance(descriptor, Lattice)
    if not wanted or recipe.refine.coupling == 0:
        return None
    period_px = PLAIN_PERIOD_PX if ruler is None else ruler.period_px
    sigma_points = float(recipe.refine.reach_periods) * period_px / descriptor.stride
    return Potts(coupling=float(recipe.refine.coupling), sigma_points=sigma_points)


def _temperature_of(model: Model, recipe: Recipe, sample: Sample, ruler: Lattice | None) -> float:
    if recipe.refine.temperature is not None:
        return float(recipe.refine.temperature)
    period_px = PLAIN_PERIOD_PX if ruler is None else ruler.period_px
    return sample.fold(partial(_edge_margins_of, model)).temperature(period_px, model.stride)


def _is_separated(recipe: Recipe, descriptor: Descriptor) -> bool:
    """Whether K classes are merged and split: as the recipe says, else for features that are clustered as they are."""
    wanted = recipe.cluster.separate
    return isinstance(descriptor, Lattice) if wanted is None else wanted


def _learn_field(
    rows: npt.NDArray[np.float32],
    extra: npt.NDArray[np.float64],
    centers: Centers,
    recipe: Recipe,
    descriptor: Descriptor,
    components: npt.NDArray[np.float64] | None,
    sample: Sample,
) -> tuple[Centers, IntensityField | None]:
    """Centres, and the field over the frame that the classes' intensities follow, where there is one.

    There is none without a channel of its own for the intensity, without another channel to tell the classes by,
    and for movies of several frame shapes.
    """
    bright = [i for i, feature in enumerate(descriptor.features) if feature.brightness]
    shapes = {(movie.sizes["y"], movie.sizes["x"]) for movie in sample.movies}
    wanted = recipe.cluster.intensity_field and components is None and len(descriptor.features) > 1
    if not wanted or len(bright) != 1 or len(shapes) != 1:
        return centers, None
    y_px, x_px = _places(extra)
    placed = Placed(rows=rows, y_px=y_px, x_px=x_px, roughness=extra[:, EXTRA_COLUMNS.index("roughness")])
    learned = learn_field(placed, centers, channel=bright[0], shape_yx=shapes.pop())
    return learned or (centers, None)


def _places(extra: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    return extra[:, EXTRA_COLUMNS.index("y_px")], extra[:, EXTRA_COLUMNS.index("x_px")]


def _steady_rows(rows: engine.Parts, project: _Projection) -> npt.NDArray[np.float32]:
    """Mean features of the steadier half of the core points, shape (n, feature), in the order of their hashes."""
    capacity = min(RESERVOIR_ROWS, RESERVOIR_BYTES // (4 * len(project.mean) + 4))
    found: npt.NDArray[np.float32] = rows.fold(_core_reservoir_of, capacity).finish()
    unrest = found[:, -1]
    return np.ascontiguousarray(found[unrest <= np.quantile(unrest, STEADY_SHARE), :-1])


def _reservoir(parts: engine.Parts, n_features: int) -> npt.NDArray[np.float32]:
    """The rows with the lowest hashes and their extra columns, as many as fit, in the order of their hashes."""
    capacity = min(RESERVOIR_ROWS, RESERVOIR_BYTES // (4 * (n_features + N_EXTRA)))
    rows: npt.NDArray[np.float32] = parts.fold(_reservoir_of, capacity).finish()
    return rows


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


def _edge_margins_of(model: Model, frame: Frame, valid: Mask) -> EdgeMargins:
    return EdgeMargins.of(model.scores_of(frame, valid), valid[:: model.stride, :: model.stride])


def _moments_of(part: Rows) -> Moments:
    return Moments.of(part.features)


def _project_part(part: Rows, mean: npt.NDArray[Any], components: npt.NDArray[Any] | None) -> Rows:
    return replace(part, features=project_rows(part.features, mean, components))


def _flatten_part(part: Rows, field: IntensityField, centers: Centers) -> Rows:
    return replace(part, features=field.flattened(part.features, centers, *_places(part.extra)))


def _reservoir_of(part: Rows, capacity: int) -> Reservoir:
    return Reservoir.of(part.hashes, np.hstack([part.features, part.extra]), capacity)


def _core_reservoir_of(part: Rows, capacity: int) -> Reservoir:
    return Reservoir.of(part.core_hashes, np.hstack([part.mean_features, part.unrest[:, None]]), capacity)


def _centroids_of(part: Rows, centers: npt.NDArray[np.float64], scale: FixedPoint) -> CentroidSums:
    return CentroidSums.of(part.features, centers, scale)


def _scatter_of(part: Rows, centers: npt.NDArray[np.float64], scale: FixedPoint) -> ScatterSums:
    return ScatterSums.of(part.features, centers, scale)
