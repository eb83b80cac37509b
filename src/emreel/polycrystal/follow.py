"""Grains from frame to frame: each claims what looks like it, where it was; new ones get new names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from emreel.movie import EmreelError
from emreel.orientation import reduce_angle
from emreel.polycrystal.painting import paint
from emreel.polycrystal.regions import Mask, Phasors, Regions, find_regions, keep_deep, mean_phasors

Maps = npt.NDArray[np.float32]
RegionMap = npt.NDArray[np.uint32]  # (y, x): identities, 0 = none

#: Rounds of claims a frame, and in the first frame, where no grain is known before.
ROUNDS, FIRST_ROUNDS = 3, 6
#: Orientations nearer than this are one grain; see `GrainFollower.merge_deg`.
MERGE_DEG = 4.0
#: Strengths below this share of the movie's crystals' are noise, and are not made to count as more.
LEAST_STRENGTH = 0.25
#: What no grain would claim.
NEVER = np.float32(-1e6)
#: A new grain is deeper than an old one must be to stay, by this factor, and further off in angle than what is merged.
NEW_DEPTH, NEW_ANGLE = 2.0, 1.3


class GrainError(EmreelError, ValueError):
    """Maps or parameters from which no grains can be followed."""


@dataclass(frozen=True, eq=False, kw_only=True)
class GrainState:
    """What the next frame needs.

    regions : shape (y_grid, x_grid), int32, identities, 0 = none. angles_deg : of every grain that is there, by its
    identity, in [0, 360 / fold). next_region : the next new name.
    """

    regions: Regions
    angles_deg: Mapping[int, float]
    next_region: int

    def to_json(self) -> dict[str, Any]:
        """All but the map: plain JSON."""
        return {"angles_deg": {str(k): v for k, v in self.angles_deg.items()}, "next_region": self.next_region}

    @classmethod
    def from_json(cls, values: Mapping[str, Any], regions: npt.NDArray[Any]) -> GrainState:
        """The state that `to_json` and its map, shape (y_grid, x_grid), tell."""
        angles = {int(k): float(v) for k, v in values["angles_deg"].items()}
        return cls(regions=regions.astype(np.int32), angles_deg=angles, next_region=int(values["next_region"]))


@dataclass(frozen=True, eq=False)
class _Claim:
    """A grain's scores around where it was: a box of the grid."""

    region: int
    box: tuple[slice, slice]
    score: Maps


@dataclass(frozen=True, eq=False)
class _Evidence:
    """One frame: kappa w_m H_m / N at every grid point, and where there is a lattice."""

    waves: npt.NDArray[np.complex64]  # (y_grid, x_grid, m)
    phasors: Phasors  # H_1
    inside: Mask


@dataclass(frozen=True, kw_only=True)
class GrainFollower:
    """Follows the grains of one movie; a frozen set of parameters, the state goes through `step`.

    In the first frame grains are found by `find_regions`. In every frame each grain g of angle phi_g then scores the
    points within ``reach_periods`` of where it was,

        s_g(r) = sharpness * sum_m w_m Re(H_m(r) exp(-i m n phi_g)) / N(r) + coupling * (G [label = g])(r),

    N the strength of the lattice nearby, G a Gaussian of ``smooth_periods``; the largest score wins, three times over,
    at first without the second term. The sum over two harmonics is the likeness of the point's ring to the grain's:
    halfway between two grains it is the same for both and small for every third, so that boundaries lie where both
    lattices are equally strong, without lag and without slivers of others. Between grid points scores are linear.

    A grain begins ``core_periods`` deep; one that is nowhere ``least_periods`` deep has vanished. Where a piece of
    lattice looks like no grain around, a new one begins. A grain keeps its own angle for long (``memory`` is what one
    frame may change it by), so that one that has been overgrown does not live on with its neighbour's angle.

    Parameters
    ----------
    fold : n. stride : px between grid points. period_px : of the lattice's ring.
    weights : how strongly a crystal shows H_1 and H_2, over its whole energy; learned at fit time.
    merge_deg : orientations nearer than this are one grain, when they are seen for the first time. None: 4 degrees,
        less for folds above 4. (The width of a spot does not grow with the period of a lower fold.)

    >>> follower = GrainFollower(fold=4, stride=4, period_px=12.0, weights=(0.9, 0.7))
    >>> turn = np.deg2rad(np.where(np.arange(40) < 20, 10.0, 40.0)) * np.ones((30, 1))
    >>> waves = np.stack([0.9 * np.exp(4j * turn), 0.7 * np.exp(8j * turn)], axis=-1).astype(np.complex64)
    >>> state, regions = follower.step(None, np.ones((30, 40), np.float32), waves, np.ones((120, 160), bool))
    >>> regions[60, ::40].tolist(), {k: round(v, 1) for k, v in state.angles_deg.items()}
    ([1, 1, 2, 2], {1: 10.0, 2: 40.0})
    """

    fold: int
    stride: int
    period_px: float
    weights: tuple[float, ...]
    merge_deg: float | None = None
    sharpness: float = 20.0
    coupling: float = 6.0
    smooth_periods: float = 1.0
    reach_periods: float = 2.0
    core_periods: float = 0.9
    least_periods: float = 0.6
    memory: float = 0.1

    def __post_init__(self) -> None:
        object.__setattr__(self, "weights", tuple(float(weight) for weight in self.weights))
        if self.merge_deg is None:
            object.__setattr__(self, "merge_deg", MERGE_DEG * min(1.0, 4 / self.fold))
        numbers = (self.period_px, self.merge_deg, self.sharpness, self.smooth_periods, self.reach_periods)
        if not all(value is not None and 0 < value < np.inf for value in numbers) or not self.weights:
            raise GrainError(f"got {self}, wanted positive lengths, sharpness and angle, and a weight a harmonic.")
        if self.fold < 2 or self.stride < 1 or not 0 < self.memory <= 1 or self.coupling < 0 or self.core_periods < 0:
            raise GrainError(
                f"got a fold of {self.fold}, a stride of {self.stride} px, coupling {self.coupling}, memory "
                f"{self.memory}; wanted a fold from 2 and a stride from 1 up, no negative coupling, memory up to 1."
            )

    @property
    def period_points(self) -> float:
        return self.period_px / self.stride

    def step(
        self,
        state: GrainState | None,
        amplitude: Maps,
        harmonics: npt.NDArray[np.complexfloating[Any, Any]],
        lattice: Mask,
    ) -> tuple[GrainState, RegionMap]:
        """The grains of the next frame, and the state after it; no state for the first.

        Parameters
        ----------
        amplitude : shape (y_grid, x_grid), 1 in an ordinary crystal. harmonics : shape (y_grid, x_grid, m), complex,
            in units of its square (`emreel.descriptors.ring.Ring`).
        lattice : shape (y, x), True where a pixel belongs to a grain.

        Returns
        -------
        the state, and shape (y, x), uint32: the identity of every pixel's grain, 0 = none.

        Raises
        ------
        GrainError : maps that do not fit together.
        """
        evidence = self._evidence(amplitude, harmonics, lattice)
        if state is None:
            regions = self._found(evidence.phasors, evidence.inside, 1.0)
            numbers = [int(n) for n in np.unique(regions) if n]
            state = GrainState(
                regions=regions, angles_deg=self._angles(regions, evidence, numbers), next_region=len(numbers) + 1
            )
            rounds = FIRST_ROUNDS
        else:
            rounds = ROUNDS
        if state.regions.shape != evidence.inside.shape:
            raise GrainError(f"got a grid of {evidence.inside.shape}, wanted {state.regions.shape} as before.")
        labels, claims = self._settled(state.regions, state.angles_deg, evidence, rounds)
        angles, next_region = dict(state.angles_deg), state.next_region
        new = self._unlike(labels, angles, evidence)
        if new.any():
            fresh = self._found(evidence.phasors, new, NEW_DEPTH)
            numbers = [int(n) for n in np.unique(fresh) if n]
            if numbers:
                fresh = np.where(fresh > 0, fresh + (next_region - 1), 0).astype(np.int32)
                next_region += len(numbers)
                labels = np.where(fresh > 0, fresh, labels).astype(np.int32)
                angles |= self._angles(fresh, evidence, [int(n) for n in np.unique(fresh) if n])
                labels, claims = self._settled(labels, angles, evidence, ROUNDS)
        region = self._painted(labels, claims, lattice)
        left = region[:: self.stride, :: self.stride].astype(np.int32)
        after = GrainState(regions=left, angles_deg=self._remembered(angles, left, evidence), next_region=next_region)
        return after, region

    # --------------------------------------------------------------------------------------- inside

    def _evidence(
        self, amplitude: Maps, harmonics: npt.NDArray[np.complexfloating[Any, Any]], lattice: Mask
    ) -> _Evidence:
        inside = lattice[:: self.stride, :: self.stride]
        wanted = (*inside.shape, len(self.weights))
        if harmonics.shape != wanted or amplitude.shape != inside.shape:
            raise GrainError(
                f"got an amplitude of {amplitude.shape} and harmonics of {harmonics.shape} for a frame of "
                f"{lattice.shape} px, wanted {inside.shape} and {wanted}."
            )
        size = 2 * int(self.period_points) + 1
        strength = np.maximum(ndimage.maximum_filter(amplitude**2, size, mode="nearest"), np.float32(LEAST_STRENGTH))
        weights = np.asarray(self.weights) * self.sharpness / float(np.sum(np.square(self.weights)))
        waves = (harmonics * (weights / strength[..., None])).astype(np.complex64)
        return _Evidence(waves, np.ascontiguousarray(harmonics[..., 0]).astype(np.complex64), inside)

    def _found(self, phasors: Phasors, inside: Mask, deeper: float) -> Regions:
        return find_regions(
            phasors,
            inside,
            period_points=self.period_points,
            merge_rad=self.fold * float(np.deg2rad(self.merge_deg or 0.0)),
            least_depth_points=deeper * self.core_periods * self.period_points,
        )

    def _settled(
        self, regions: Regions, angles_deg: Mapping[int, float], evidence: _Evidence, rounds: int
    ) -> tuple[Regions, list[_Claim]]:
        """Labels after some rounds of claims, and the last claims."""
        labels, claims = regions, list[_Claim]()
        least, least_piece = (depth * self.period_points for depth in (self.least_periods, self.core_periods))
        for turn in range(rounds):
            claims = self._claims(labels, angles_deg, evidence, self.coupling if turn else 0.0)
            won = _winners(claims, labels.shape)
            labels = keep_deep(np.where(evidence.inside, won, 0).astype(np.int32), least, least_piece)
            labels = _filled(labels, self.reach_periods * self.period_points)
        return labels, claims

    def _claims(
        self, labels: Regions, angles_deg: Mapping[int, float], evidence: _Evidence, coupling: float
    ) -> list[_Claim]:
        claims = []
        reach = int(np.ceil(self.reach_periods * self.period_points))
        orders = np.arange(1, len(self.weights) + 1)
        for region, found in enumerate(ndimage.find_objects(labels), start=1):
            if found is None or region not in angles_deg:
                continue
            box = _grown(found, reach, labels.shape)
            mine = labels[box] == region
            turn = np.exp(-1j * self.fold * orders * np.deg2rad(angles_deg[region])).astype(np.complex64)
            score = np.real(evidence.waves[box] @ turn)
            if coupling:
                around = ndimage.gaussian_filter(
                    mine.astype(np.float32), self.smooth_periods * self.period_points, mode="nearest"
                )
                score = score + np.float32(coupling) * around
            near = ndimage.maximum_filter(mine, 2 * reach + 1, mode="constant", cval=False)
            claims.append(_Claim(region, box, np.where(near, score, NEVER).astype(np.float32)))
        return claims

    def _unlike(self, labels: Regions, angles_deg: Mapping[int, float], evidence: _Evidence) -> Mask:
        """Lattice points that belong to no grain, or whose surroundings have another angle than theirs."""
        sigma = self.smooth_periods * self.period_points
        mean = ndimage.gaussian_filter(evidence.phasors.real, sigma, mode="nearest") + 1j * ndimage.gaussian_filter(
            evidence.phasors.imag, sigma, mode="nearest"
        )
        own = np.zeros(int(labels.max()) + 1, np.complex64)
        for region, angle in angles_deg.items():
            if region < len(own):
                own[region] = np.exp(1j * self.fold * np.deg2rad(angle))
        apart = np.abs(np.angle(mean * np.conj(own[labels])))
        far = apart > NEW_ANGLE * self.fold * np.deg2rad(self.merge_deg or 0.0)
        return np.asarray(evidence.inside & ((labels == 0) | far))

    def _painted(self, labels: Regions, claims: list[_Claim], lattice: Mask) -> RegionMap:
        """Regions of the pixels: the largest score, among the labels of the grid points around."""
        best = np.full(lattice.shape, 2 * NEVER, np.float32)
        region = np.zeros(lattice.shape, np.uint32)
        top = _highest(claims, labels.shape)
        boxes = ndimage.find_objects(labels)
        for claim in claims:
            if claim.region > len(boxes) or boxes[claim.region - 1] is None:
                continue
            box = _grown(boxes[claim.region - 1], 2, labels.shape)
            score = np.full(labels.shape, NEVER, np.float32)[box]
            shared, mine = _overlap(box, claim.box)
            score[shared] = claim.score[mine]
            own = labels[box] == claim.region
            score = np.where(own, np.maximum(score, top[box]), np.minimum(score, top[box] - np.float32(1e-3)))
            score = np.where(ndimage.maximum_filter(own, 3, mode="constant", cval=False), score, NEVER)
            paint(best, region, score.astype(np.float32), claim.region, box[0].start, box[1].start, self.stride)
        region[~lattice] = 0
        return region

    def _angles(self, regions: Regions, evidence: _Evidence, numbers: list[int]) -> dict[int, float]:
        sums = mean_phasors(np.where(evidence.inside, regions, 0), evidence.phasors)
        return {n: float(reduce_angle(np.degrees(np.angle(sums[n])) / self.fold, self.fold)) for n in numbers}

    def _remembered(self, angles_deg: Mapping[int, float], regions: Regions, evidence: _Evidence) -> dict[int, float]:
        """The grains that are there, each angle moved a little towards what its core shows now."""
        size = 2 * max(int(np.rint(self.smooth_periods * self.period_points)), 1) + 1
        core = ndimage.minimum_filter(regions, size, mode="nearest") == ndimage.maximum_filter(
            regions, size, mode="nearest"
        )
        sums = mean_phasors(np.where(core, regions, 0), evidence.phasors)
        after = {}
        for region in np.unique(regions).tolist():
            if region == 0:
                continue
            angle = angles_deg[region]
            shown = sums[region] if region < len(sums) else 0.0
            if shown != 0:
                kept = (1 - self.memory) * np.exp(1j * self.fold * np.deg2rad(angle))
                turned = kept + self.memory * shown / abs(shown)
                angle = float(reduce_angle(np.degrees(np.angle(turned)) / self.fold, self.fold))
            after[region] = angle
        return after


def _grown(box: tuple[slice, ...], by: int, shape_yx: tuple[int, ...]) -> tuple[slice, slice]:
    rows, columns = (slice(max(s.start - by, 0), min(s.stop + by, n)) for s, n in zip(box, shape_yx, strict=True))
    return rows, columns


def _overlap(one: tuple[slice, slice], other: tuple[slice, slice]) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """What two boxes share, as parts of the one and of the other."""
    low = [max(a.start, b.start) for a, b in zip(one, other, strict=True)]
    high = [max(min(a.stop, b.stop), first) for a, b, first in zip(one, other, low, strict=True)]
    of_one, of_other = (
        tuple(slice(a - s.start, b - s.start) for a, b, s in zip(low, high, box, strict=True)) for box in (one, other)
    )
    return of_one, of_other  # type: ignore[return-value]


def _highest(claims: list[_Claim], shape_yx: tuple[int, ...]) -> Maps:
    top = np.full(shape_yx, NEVER, np.float32)
    for claim in claims:
        np.maximum(top[claim.box], claim.score, out=top[claim.box])
    return top


def _winners(claims: list[_Claim], shape_yx: tuple[int, ...]) -> Regions:
    """The region of the largest score of every point; the lowest number of equal ones; 0 where nothing is claimed."""
    top, won = np.full(shape_yx, NEVER, np.float32), np.zeros(shape_yx, np.int32)
    for claim in claims:
        better = claim.score > top[claim.box]
        top[claim.box] = np.where(better, claim.score, top[claim.box])
        won[claim.box] = np.where(better, claim.region, won[claim.box])
    return won


def _filled(labels: Regions, reach_points: float) -> Regions:
    """Points of no label take that of the nearest one within reach."""
    if labels.all() or not labels.any():
        return labels
    far, nearest = ndimage.distance_transform_edt(labels == 0, return_indices=True)
    return np.where(far <= reach_points, labels[tuple(nearest)], 0).astype(np.int32)
