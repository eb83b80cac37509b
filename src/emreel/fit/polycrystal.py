"""Is it a polycrystal: one lattice in many orientations? If so, its model, which tells lattice from pores.

Clustering by orientation would need a class an orientation, and two grains of one orientation would be one class.
So a polycrystal's classes are its phases, and its grains are followed by their own names (`emreel.polycrystal`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from emreel.cluster import FixedPoint, ScatterSums
from emreel.descriptors.base import FeatureMap, Frame, Mask
from emreel.descriptors.geometry import pad_frame
from emreel.descriptors.registry import suggest_descriptor
from emreel.descriptors.ring import Ring, RingError
from emreel.fit.errors import FitError
from emreel.fit.sample import Sample
from emreel.model import Model
from emreel.orientation import angle_between, reduce_angle
from emreel.polycrystal import GrainFollower, find_regions
from emreel.polycrystal.regions import mean_phasors
from emreel.provenance import Provenance, canonical_json, describe_movie, movie_digest
from emreel.recipe import Recipe

Doubles = npt.NDArray[np.float64]

#: So many orientations, told apart by `APART_MERGES` times what is merged, make a polycrystal: a decahedron has five.
LEAST_ORIENTATIONS = 6
APART_MERGES = 2.0
#: Grains that count are so many periods deep.
LEAST_PERIODS = 2.5
#: Amplitude from which a point may belong to a grain that counts, over that of the movie's crystals.
CRYSTAL = 0.5
#: Without pores of another brightness, lattice and disorder have these amplitudes.
ORDERED, DISORDERED = 0.9, 0.0
#: Pores are brighter or darker than the crystals by so many of their standard deviations, and weaker in amplitude,
#: and there are so many points of them.
PORE_SIGMAS, PORE_AMPLITUDE, LEAST_PORES = 5.0, 0.85, 1e-3
#: Their counts differ from the crystals' by this share at least: gaps between grains are a little darker, too.
PORE_CONTRAST = 0.5
#: Brightness of pores: this quantile of their points, from the crystals' side, so that their edges do not count.
PORE_QUANTILE = 0.75
SIGMA_A_MAD = 1.4826
#: Points of one frame that the phases are learned from.
MOST_POINTS = 4096
PORE, LATTICE = 1, 2
_NAMES, _COLORS = ("pore or disordered", "lattice"), ("#332288", "#ddcc77")


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What speaks for a polycrystal: the most orientations and grains that one frame of the sample shows."""

    ring: Ring
    n_orientations: int
    n_grains: int

    @property
    def is_polycrystal(self) -> bool:
        return self.n_orientations >= LEAST_ORIENTATIONS

    def __str__(self) -> str:
        return (
            f"one lattice in {self.n_orientations} orientations ({self.n_grains} grains, ring of "
            f"{self.ring.period_px:.2f} px, {self.ring.fold}-fold)"
        )


@dataclass(frozen=True, eq=False)
class _Rows:
    """Amplitude, brightness and the shares of the harmonics of points of the sample; ``a + b`` puts b below a."""

    values: npt.NDArray[np.float32]

    def __add__(self, other: _Rows, /) -> _Rows:
        return _Rows(np.concatenate([self.values, other.values]))


@dataclass(frozen=True, eq=False)
class _Counts:
    """Orientations and grains of frames; ``a + b`` keeps the larger numbers."""

    n_orientations: int
    n_grains: int

    def __add__(self, other: _Counts, /) -> _Counts:
        return _Counts(max(self.n_orientations, other.n_orientations), max(self.n_grains, other.n_grains))


def seek_polycrystal(sample: Sample, fields: dict[str, Any] | None = None) -> Evidence | None:
    """How many orientations of one lattice the sample shows; None without any lattice.

    fields : of the descriptor `Ring` that are given.
    """
    try:
        ring = suggest_descriptor("ring", fields or {}, sample.fold)
    except RingError:
        return None
    assert isinstance(ring, Ring)
    counts = sample.fold(partial(_count_orientations, ring))
    return Evidence(ring=ring, n_orientations=counts.n_orientations, n_grains=counts.n_grains)


def learn_polycrystal(sample: Sample, recipe: Recipe, ring: Ring) -> Model:
    """The model of a polycrystal: label 1 pore or disordered, 2 lattice, and how its grains are followed.

    The phases are told by one number a point: its brightness where the movie shows pores of another brightness, else
    its amplitude. The brightness is cut halfway between both phases' counts.

    Raises
    ------
    FitError : the movie has no point of a lattice.
    """
    rows = sample.fold(partial(_rows_of, ring)).values
    crystal = rows[:, 0] > CRYSTAL
    if not crystal.any():
        raise FitError("no lattice is left where the sample was described. Give another period_px for 'ring'.")
    direction, low, high = _phases_of(rows[:, :2].astype(np.float64), crystal)
    values = np.ascontiguousarray((rows[:, :2] @ direction)[:, None], np.float32)
    centers = np.array([[low], [high]])
    within = ScatterSums.of(values, centers, FixedPoint.of_rows(values))
    scatter = within.finish()
    components = np.zeros((1, len(ring.features)))
    components[0, :2] = direction
    weights = np.median(rows[crystal, 2:], axis=0)
    shown = sample.fold(_display_rows).values
    display = np.percentile(shown, [0.5, 99.5])
    return Model(
        descriptor=ring,
        prepare=replace(sample.prepare, display_range=(float(display[0]), float(display[1]))),
        mean=np.zeros(len(ring.features)),
        components=components,
        centers=centers,
        scatter=scatter.variance,
        unknown_sq_distance=np.full(2, np.inf),  # what is brighter than the lattice, or stronger, is lattice
        counts=within.counts,
        survey=recipe.prepare.survey,
        grains=GrainFollower(
            fold=ring.fold,
            stride=ring.stride,
            period_px=ring.period_px,
            weights=tuple(float(weight) for weight in weights),
        ),
        pixel_size_nm=sample.pixel_size_nm,
        label_names=_NAMES,
        label_colors=_COLORS,
        provenance=Provenance(
            recipe=canonical_json(recipe.to_dict()),
            movies=tuple(describe_movie(movie, movie_digest(movie)) for movie in sample.movies),
        ),
    )


def _described(ring: Ring, frame: Frame, valid: Mask) -> FeatureMap:
    return ring(*pad_frame(frame, ring.halo, valid))


def _count_orientations(ring: Ring, frame: Frame, valid: Mask) -> _Counts:
    features = _described(ring, frame, valid)
    phasors = np.ascontiguousarray(ring.harmonics(features)[..., 0])
    merge_deg = GrainFollower(fold=ring.fold, stride=ring.stride, period_px=ring.period_px, weights=(1.0,)).merge_deg
    assert merge_deg is not None
    points = ring.period_px / ring.stride
    regions = find_regions(
        phasors,
        (features[..., 0] > CRYSTAL) & valid[:: ring.stride, :: ring.stride],
        period_points=points,
        merge_rad=ring.fold * float(np.deg2rad(merge_deg)),
        least_depth_points=LEAST_PERIODS * points,
    )
    means, area = mean_phasors(regions, phasors), np.bincount(regions.ravel())
    angles = reduce_angle(np.degrees(np.angle(means)) / ring.fold, ring.fold)
    found: list[float] = []
    for region in np.argsort(-area, kind="stable"):
        if region == 0 or area[region] == 0:
            continue
        if np.all(np.abs(angle_between(angles[region], np.array(found), ring.fold)) > APART_MERGES * merge_deg):
            found.append(float(angles[region]))
    return _Counts(len(found), int(regions.max()))


def _rows_of(ring: Ring, frame: Frame, valid: Mask) -> _Rows:
    features = _described(ring, frame, valid)
    energy = np.maximum(features[..., 0] ** 2, np.float32(1e-6))
    shares = np.abs(ring.harmonics(features)) / energy[..., None]
    rows = np.concatenate([features[..., :2], shares], axis=-1)[valid[:: ring.stride, :: ring.stride]]
    step = -(-len(rows) // MOST_POINTS) if len(rows) else 1
    return _Rows(rows[::step])


def _display_rows(frame: Frame, valid: Mask) -> _Rows:
    values = ndimage.uniform_filter(frame, 3)[valid]
    return _Rows(values[:: max(len(values) // MOST_POINTS, 1)])


def _phases_of(rows: Doubles, crystal: npt.NDArray[np.bool_]) -> tuple[Doubles, float, float]:
    """Direction in (amplitude, brightness) that tells pores from lattice, and where pores and lattice lie along it."""
    bright = rows[:, 1]
    usual = float(np.median(bright[crystal]))
    sigma = SIGMA_A_MAD * float(np.median(np.abs(bright[crystal] - usual)))
    weak = rows[:, 0] < PORE_AMPLITUDE
    sides = [weak & (side * (bright - usual) > PORE_SIGMAS * sigma) for side in (-1.0, 1.0)]
    pores = max(sides, key=np.count_nonzero)
    side = -1.0 if pores is sides[0] else 1.0
    far = float(np.quantile(np.abs(bright[pores] - usual), PORE_QUANTILE)) if pores.any() else 0.0
    level = usual + side * far
    few = np.count_nonzero(pores) < LEAST_PORES * len(rows)
    if few or abs(level**2 / usual**2 - 1) < PORE_CONTRAST:
        return np.array([1.0, 0.0]), DISORDERED, ORDERED
    # counts are halfway where brightness, their square root, is this; the two centres lie as far from it
    cut = float(np.sqrt((level**2 + usual**2) / 2))
    return np.array([0.0, 1.0]), 2 * cut - usual, usual
