"""How the classes are found in the rows of a sample: by the recipe's clusterer, and what makes its answer hold.

For the clusterer "cores" without a K given, three things decide how many phases there are:

1. Valleys of the density between groups of steady points (`emreel.cluster.cores`).
2. Classes without an inside are rims, not phases (`emreel.fit.rims`).
3. Uneven illumination and thickness smear the brightness of a phase, and with it the valley to another phase that
   differs in brightness only. So one or two more classes are tried with an intensity field (`emreel.cluster.field`):
   they stay when the field, taken out, leaves valleys between all classes, and clear ones where they differ in
   brightness.

With a K given, a class that lies between two others and has no inside is their rim, too: then more classes are looked
for until K are left without rims.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from emreel import engine
from emreel.cluster import CentroidSums, FixedPoint, MiniBatchKMeans, assign
from emreel.cluster.assign import Centers
from emreel.cluster.choose_k import Weight, weigh_numbers
from emreel.cluster.cores import CoreClusters
from emreel.cluster.field import IntensityField, Placed, learn_field
from emreel.cluster.registry import InRounds, build_clusterer
from emreel.cluster.separation import separate
from emreel.descriptors.base import Descriptor
from emreel.descriptors.lattice import Lattice
from emreel.fit.errors import FitError
from emreel.fit.projection import N_EXTRA, Projection, gather_cores, gather_reservoir, learn_projection
from emreel.fit.rims import Labeller, has_mixtures, without_rims
from emreel.fit.sample import CORE_COLUMNS, EXTRA_COLUMNS, Rows, Sample
from emreel.model import MOST_CLASSES
from emreel.recipe import Recipe

Floats = npt.NDArray[np.float64]
#: Share of the core points that count as steady by their unrest; and by their slope.
STEADY_SHARE, LEVEL_SHARE = 0.5, 0.4
#: Classes that are tried beyond those whose valleys are deep enough without a field.
MORE_CLASSES = 2


@dataclass(frozen=True, kw_only=True, eq=False)
class Evidence:
    """What classes are found in.

    rows, projected : the sample's rows, their features or components, where they lie. seeds : shape (n, component),
    those that came to the driver; extra : shape (n, column), see `EXTRA_COLUMNS`.
    """

    rows: engine.Parts
    projected: engine.Parts
    seeds: npt.NDArray[np.float32]
    extra: Floats
    projection: Projection
    sample: Sample
    recipe: Recipe

    @classmethod
    def of(cls, rows: engine.Parts, recipe: Recipe, descriptor: Descriptor, sample: Sample) -> Evidence:
        """Project the rows, and bring a fair share of them to the driver.

        Raises
        ------
        FitError : more components than features.
        """
        projection = learn_projection(rows, recipe, descriptor)
        projected = projection.of_parts(rows)
        reservoir = gather_reservoir(projected, projection.n_components)
        return cls(
            rows=rows,
            projected=projected,
            seeds=np.ascontiguousarray(reservoir[:, :-N_EXTRA]),
            extra=reservoir[:, -N_EXTRA:].astype(np.float64),
            projection=projection,
            sample=sample,
            recipe=recipe,
        )

    @property
    def wanted(self) -> int | None:
        """The number of classes that is given, or None."""
        given = self.recipe.cluster.n_clusters
        return None if given == "auto" else given

    @property
    def is_separated(self) -> bool:
        """Whether K classes are merged and split: as the recipe says, else for features clustered as they are."""
        asked = self.recipe.cluster.separate
        return isinstance(self.projection.descriptor, Lattice) if asked is None else asked

    @property
    def field_channel(self) -> int | None:
        """The channel that holds the intensity, where a field over it can be learned.

        There is none without a channel of its own for the intensity, without another channel to tell the classes by,
        and for movies of several frame shapes.
        """
        features = self.projection.descriptor.features
        bright = [i for i, feature in enumerate(features) if feature.brightness]
        plain = self.recipe.cluster.intensity_field and self.projection.components is None and len(features) > 1
        return bright[0] if plain and len(bright) == 1 and self.sample.frame_shape_yx is not None else None


def places_of(extra: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Row and column, px, of rows with the columns `EXTRA_COLUMNS`."""
    return extra[:, EXTRA_COLUMNS.index("y_px")], extra[:, EXTRA_COLUMNS.index("x_px")]


def find_classes(evidence: Evidence, init: npt.ArrayLike | None = None) -> tuple[Centers, IntensityField | None]:
    """Centres of the classes, shape (class, component), each the nearest of some row; and the field they follow.

    ``init`` : centres to start k-means from.

    Raises
    ------
    FitError : more classes than labels.
    emreel.cluster.ClusterError : the clusterer cannot work with these rows or options.
    """
    if init is not None:
        options = {"init": np.asarray(init, dtype=np.float64)}
        kmeans = MiniBatchKMeans(len(options["init"]), seed=evidence.recipe.seed, **options)  # type: ignore[arg-type]
        return _with_field(evidence, _in_rounds(kmeans, evidence))
    name, options = evidence.recipe.clusterer, dict(evidence.recipe.cluster.options)
    clusterer = build_clusterer(name, evidence.wanted, seed=evidence.recipe.seed, options=options)
    if isinstance(clusterer, InRounds):
        found = _in_rounds(clusterer, evidence)
        return _with_field(evidence, separate(evidence.seeds, found) if evidence.is_separated else found)
    if isinstance(clusterer, CoreClusters):
        steady = _Steady.of(evidence)
        if evidence.wanted is None:
            return _counted(evidence, steady, steady.fit(clusterer))
        return _with_field(evidence, _given(evidence, steady, evidence.wanted))
    return _with_field(evidence, clusterer.fit(evidence.seeds).cluster_centers_)


def weigh_classes(evidence: Evidence, most: int = 8) -> tuple[Weight, ...]:
    """What speaks for 1 to ``most`` classes among the steady points (`emreel.cluster.choose_k`)."""
    steady = _Steady.of(evidence)
    cores = CoreClusters(seed=evidence.recipe.seed)
    steady.fit(cores)
    return weigh_numbers(steady.rows, cores.merging_, most=most, seed=evidence.recipe.seed)


# ------------------------------------------------------------------------------------------------ inside


def _in_rounds(clusterer: InRounds, evidence: Evidence) -> Centers:
    centers: Centers = clusterer.fit_rounds(
        evidence.seeds, partial(evidence.projected.fold, _centroids_of)
    ).cluster_centers_
    return centers


def _with_field(evidence: Evidence, centers: Centers, *, shared: bool = False) -> tuple[Centers, IntensityField | None]:
    """Centres that have rows, and the field over the frame that their intensities follow, where there is one."""
    if len(centers) > MOST_CLASSES:
        raise FitError(
            f"'{evidence.recipe.clusterer}' found {len(centers)} classes, and labels hold {MOST_CLASSES}. "
            "Ask for fewer: -k, a higher threshold or a lower resolution."
        )
    centers = centers[np.unique(assign(evidence.seeds, centers)[0])]
    channel, shape_yx = evidence.field_channel, evidence.sample.frame_shape_yx
    if channel is None or shape_yx is None:
        return centers, None
    y_px, x_px = places_of(evidence.extra)
    roughness = evidence.extra[:, EXTRA_COLUMNS.index("roughness")]
    placed = Placed(rows=evidence.seeds, y_px=y_px, x_px=x_px, roughness=roughness)
    return learn_field(placed, centers, channel=channel, shape_yx=shape_yx, shared=shared) or (centers, None)


@dataclass(frozen=True, eq=False)
class _Steady:
    """Steady rows, shape (n, component), in the order of their hashes, where they lie, and what they are worth."""

    rows: npt.NDArray[np.float32]
    y_px: Floats
    x_px: Floats
    brightness: Floats
    n_independent: float

    @classmethod
    def of(cls, evidence: Evidence) -> _Steady:
        """Core points of little unrest, or in whose surroundings nothing changes in one direction."""
        projection = evidence.projection
        n_features = len(projection.mean)
        found = gather_cores(evidence.rows, n_features, len(CORE_COLUMNS))
        unrest, slope, y_px, x_px = found[:, n_features:].T.astype(np.float64)
        steady = (unrest <= np.quantile(unrest, STEADY_SHARE)) | (slope <= np.quantile(slope, LEVEL_SHARE))
        return cls(
            rows=projection(np.ascontiguousarray(found[steady, :n_features])),
            y_px=y_px[steady],
            x_px=x_px[steady],
            brightness=projection.brightness,
            n_independent=float(steady.mean()) * evidence.sample.n_independent(projection.descriptor),
        )

    def fit(self, clusterer: CoreClusters) -> Centers:
        return clusterer.fit(self.rows, self.brightness, self.n_independent).cluster_centers_

    def flattened(self, centers: Centers, field: IntensityField | None) -> Self:
        """The same without a field."""
        return self if field is None else replace(self, rows=field.flattened(self.rows, centers, self.y_px, self.x_px))

    def shallowest(self, clusterer: CoreClusters, centers: Centers, field: IntensityField) -> float:
        """The shallowest valley between the classes once the field is taken out (above 1 some are one phase)."""
        nearest = field.squared_distances(self.rows, centers, self.y_px, self.x_px).argmin(axis=1)
        flat = field.flattened(self.rows, centers, self.y_px, self.x_px)
        groups = [flat[nearest == k] for k in range(len(centers))]
        return clusterer.shallowest(groups, self.brightness, self.n_independent)


def _counted(evidence: Evidence, steady: _Steady, centers: Centers) -> tuple[Centers, IntensityField | None]:
    """As many classes as there are phases: no rims, and those that only a field tells apart."""
    descriptor = evidence.projection.descriptor
    if not isinstance(descriptor, Lattice):
        return _with_field(evidence, centers)
    found = _with_field(evidence, _without_rims(evidence, descriptor, centers))
    if evidence.field_channel is None:
        return found
    lit = steady.flattened(*_with_field(evidence, found[0], shared=True))  # by the light that these classes show
    for n_more in range(1, MORE_CLASSES + 1):
        wanted = len(found[0]) + n_more
        clusterer = _cores(evidence, wanted)
        for points in dict.fromkeys((steady, lit)):  # without such light both are the same
            start = points.fit(clusterer)
            more, field = _with_field(evidence, start, shared=True)
            if field is None or len(more) < wanted or steady.shallowest(clusterer, more, field) > 1:
                continue
            if len(_without_rims(evidence, descriptor, more, field)) == wanted:
                return _with_field(evidence, start)
    return found


def _given(evidence: Evidence, steady: _Steady, wanted: int) -> Centers:
    """So many centres; where one of them is the rim of others, those of more classes that are none."""
    descriptor, centers = evidence.projection.descriptor, _parted(evidence, steady, wanted)
    if not isinstance(descriptor, Lattice) or not has_mixtures(centers):
        return centers
    if len(_without_rims(evidence, descriptor, centers)) == wanted:
        return centers
    for n_more in range(1, MORE_CLASSES + 1):
        found = _without_rims(evidence, descriptor, _parted(evidence, steady, wanted + n_more))
        if len(found) == wanted:
            return found
    return centers


def _parted(evidence: Evidence, steady: _Steady, n_clusters: int) -> Centers:
    """So many centres, merged and split where the recipe wants it."""
    centers = steady.fit(_cores(evidence, n_clusters))
    return separate(evidence.seeds, centers) if evidence.is_separated else centers


def _cores(evidence: Evidence, n_clusters: int) -> CoreClusters:
    """The recipe's clusterer, for another number of classes."""
    return CoreClusters(n_clusters, seed=evidence.recipe.seed, **evidence.recipe.cluster.options)


def _without_rims(
    evidence: Evidence, descriptor: Lattice, centers: Centers, field: IntensityField | None = None
) -> Centers:
    labeller = Labeller(evidence.projection, centers, field)
    return without_rims(labeller, evidence.sample, descriptor.period_px)


def _centroids_of(part: Rows, centers: Centers, scale: FixedPoint) -> CentroidSums:
    return CentroidSums.of(part.features, centers, scale)
