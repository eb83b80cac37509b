"""What is learned from the rows of a sample: a projection, centres, their order and scatter.

Moments, seeds and sums come to the driver, never the rows. Neither workers nor chunks change a bit of the model.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import numpy.typing as npt

from emreel.cluster import FixedPoint, ScatterSums, assign, canonical_order
from emreel.cluster.assign import Centers
from emreel.cluster.field import IntensityField
from emreel.descriptors.base import Descriptor, Frame, Mask
from emreel.descriptors.lattice import PLAIN_PERIOD_PX, Lattice
from emreel.fit.classes import Evidence, find_classes, places_of
from emreel.fit.in_time import learn_steady
from emreel.fit.sample import Rows, Sample
from emreel.model import Model
from emreel.provenance import Provenance, canonical_json, describe_movie, movie_digest
from emreel.recipe import Recipe
from emreel.refine import Edges, Novelty, Plateaus, Potts
from emreel.refine.novelty import plateau_points

#: Classes whose order differs by less than this share of the largest are told apart by intensity.
ORDER_STEP = 0.1


def learn_model(evidence: Evidence, init: npt.ArrayLike | None = None, ruler: Lattice | None = None) -> Model:
    """The model of the rows of a sample; ``init`` are centres to start from, shape (class, component).

    ``ruler`` tells the movie's lattice period, by which lengths of the recipe count.

    Raises
    ------
    FitError : more classes than labels.
    emreel.cluster.ClusterError : the clusterer cannot work with these rows or options.
    """
    recipe, sample, projection = evidence.recipe, evidence.sample, evidence.projection
    projected, seeds, extra = evidence.projected, evidence.seeds, evidence.extra
    centers, field = find_classes(evidence, init)
    if field is not None:
        seeds = field.flattened(seeds, centers, *places_of(extra))
    order = _canonical_order(centers, seeds, extra)
    centers, field = np.ascontiguousarray(centers[order]), None if field is None else field.reordered(order)
    if field is not None:
        projected = projected.map(_flatten_part, field, centers)
    within = projected.fold(_scatter_of, centers, FixedPoint.of_rows(seeds))
    scatter = within.finish()
    low, high = np.percentile(extra[:, 2], [0.5, 99.5])
    model = Model(
        descriptor=projection.descriptor,
        prepare=replace(sample.prepare, display_range=(float(low), float(high))),
        mean=projection.mean,
        components=projection.components,
        centers=centers,
        scatter=scatter.variance,
        unknown_sq_distance=np.asarray(scatter.thresholds_sq),
        counts=within.counts,
        field=field,
        potts=_potts_of(recipe, projection.descriptor, ruler),
        upsample=recipe.refine.upsample,
        survey=recipe.prepare.survey,
        follow=recipe.time.follow,
        pixel_size_nm=sample.pixel_size_nm,
        provenance=Provenance(
            recipe=canonical_json(recipe.to_dict()),
            movies=tuple(describe_movie(movie, movie_digest(movie)) for movie in sample.movies),
        ),
    )
    model = _judged(model, recipe, sample, PLAIN_PERIOD_PX if ruler is None else ruler.period_px)
    return replace(model, steady=learn_steady(model, recipe, sample))


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


def _judged(model: Model, recipe: Recipe, sample: Sample, period_px: float) -> Model:
    """The model with what its judgement of its own sample teaches: how sure it may be, and what is new to it."""
    given = recipe.refine.temperature
    finds_new = recipe.refine.novelty and recipe.time.follow == "none"
    if given is not None:
        model = replace(model, temperature=float(given))
    if given is not None and not finds_new:
        return model
    size = plateau_points(period_px, model.stride)
    seen = sample.fold(partial(_judge_frame, model, size))
    if given is None:
        model = replace(model, temperature=seen.edges.temperature(model.centers, model.scatter))
    return replace(model, novelty=Novelty.learned(size, seen.far, seen.watched)) if finds_new else model


@dataclass(frozen=True, eq=False)
class _JudgedSums:
    """What a model says of frames of its sample; ``a + b`` adds frames."""

    edges: Edges
    far: Plateaus
    watched: Plateaus | None

    def __add__(self, other: _JudgedSums) -> _JudgedSums:
        watched = None if self.watched is None or other.watched is None else self.watched + other.watched
        return _JudgedSums(self.edges + other.edges, self.far + other.far, watched)


def _judge_frame(model: Model, size_points: int, frame: Frame, valid: Mask) -> _JudgedSums:
    found = model.judge(frame, valid)
    seen = valid[:: model.stride, :: model.stride]
    watched = None if found.watched is None else Plateaus.of(found.watched, seen, size_points)
    return _JudgedSums(Edges.of(found.scores, seen), Plateaus.of(found.far, seen, size_points), watched)


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


def _flatten_part(part: Rows, field: IntensityField, centers: Centers) -> Rows:
    return replace(part, features=field.flattened(part.features, centers, *places_of(part.extra)))


def _scatter_of(part: Rows, centers: npt.NDArray[np.float64], scale: FixedPoint) -> ScatterSums:
    return ScatterSums.of(part.features, centers, scale)
