"""Patterns of the 17 plane groups: what a symmetry descriptor must and must not tell apart.

A plane group is the set of moves (rotations, reflections, glides, shifts) under which a two-dimensional crystal looks
as before (International Tables for Crystallography A, chapter 2). A pattern here is a cell of Gaussian columns: a few
are thrown at random, and the group's operations make the rest.

So that a comparison of groups is fair, all patterns have the same area of cell, the same number of columns in it,
the same distance kept between columns, and after normalisation the same mean and variance. No pattern comes near a
symmetry that its group lacks. The groups with 3- and 6-fold axes need a hexagonal cell, the others have a square
one; centred groups repeat after half its diagonal.

>>> pattern = PlanePattern(group="p4gm", angle_deg=20.0, seed=3)
>>> pattern.frame((64, 64)).shape, len(pattern.columns), len(GROUPS)
((64, 64), 24, 17)
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from emreel.synthetic.checks import SceneError

Floats = npt.NDArray[np.float64]
#: (u, v) -> (a u + b v + s / 2, c u + d v + t / 2), written (a, b, c, d, s, t).
Operation = tuple[int, int, int, int, int, int]

_TWO = (-1, 0, 0, -1, 0, 0)
_THREE = (0, -1, 1, -1, 0, 0)
_FOUR = (0, -1, 1, 0, 0, 0)
_SIX = (1, -1, 1, 0, 0, 0)
_MIRROR = (-1, 0, 0, 1, 0, 0)
_GLIDE = (-1, 0, 0, 1, 0, 1)
_BESIDE = (-1, 0, 0, 1, 1, 0)  # a mirror at u = 1/4
_BOTH = (-1, 0, 0, 1, 1, 1)  # a glide at u = 1/4
_CENTRED = (1, 0, 0, 1, 1, 1)
_DIAGONAL = (0, 1, 1, 0, 0, 0)
_ANTIDIAGONAL = (0, -1, -1, 0, 0, 0)

#: Operations that generate each group, in the setting of the International Tables.
GENERATORS: dict[str, tuple[Operation, ...]] = {
    "p1": (),
    "p2": (_TWO,),
    "p1m1": (_MIRROR,),
    "p1g1": (_GLIDE,),
    "c1m1": (_MIRROR, _CENTRED),
    "p2mm": (_TWO, _MIRROR),
    "p2mg": (_TWO, _BESIDE),
    "p2gg": (_TWO, _BOTH),
    "c2mm": (_TWO, _MIRROR, _CENTRED),
    "p4": (_FOUR,),
    "p4mm": (_FOUR, _MIRROR),
    "p4gm": (_FOUR, _BOTH),
    "p3": (_THREE,),
    "p3m1": (_THREE, _ANTIDIAGONAL),
    "p31m": (_THREE, _DIAGONAL),
    "p6": (_SIX,),
    "p6mm": (_SIX, _DIAGONAL),
}
GROUPS = tuple(GENERATORS)
HEXAGONAL = frozenset({"p3", "p3m1", "p31m", "p6", "p6mm"})
#: Columns a cell: the least number that every group's order divides.
N_COLUMNS = 24
#: Columns keep this share of the period apart, less where no room is found.
SPACING = 0.13
_TRIES = 400
#: Crystals drawn until one has no symmetry by accident.
_CRYSTALS = 200
#: Correlation of a pattern with itself after any move that is not its group's, at most.
LARGEST_PSEUDO_SYMMETRY = 0.75
_SHIFTS_A_SIDE = 32
#: Waves weaker than this, of the strongest possible, are left out.
_LEAST_TRANSFER = 1e-4


def operations_of(group: str) -> tuple[Operation, ...]:
    """All operations of a group but its lattice shifts, the identity first.

    Raises
    ------
    SceneError : no such group.
    """
    if group not in GENERATORS:
        raise SceneError(f"unknown plane group {group!r}; known are {', '.join(GROUPS)}.")
    found: dict[Operation, None] = {(1, 0, 0, 1, 0, 0): None}
    waiting = list(found)
    while waiting:
        first = waiting.pop()
        for generator in GENERATORS[group]:
            product = _compose(generator, first)
            if product not in found:
                found[product] = None
                waiting.append(product)
    return tuple(found)


@dataclass(frozen=True, kw_only=True)
class PlanePattern:
    """A crystal of a plane group, drawn at any place and angle.

    Parameters
    ----------
    group : one of `GROUPS`.
    period_px : side of the square cell, px; a hexagonal cell has the same area.
    sigma_px : of the Gaussian columns, px.
    angle_deg : the first cell vector against the x axis, towards y.
    origin_yx : where the cell's origin lies, px.
    seed : of the columns (patterns of different seeds are different crystals of one symmetry).

    Raises
    ------
    SceneError : no such group, lengths that are not positive.
    """

    group: str = "p1"
    period_px: float = 20.0
    sigma_px: float = 1.2
    angle_deg: float = 0.0
    origin_yx: tuple[float, float] = (0.0, 0.0)
    seed: int = 0

    def __post_init__(self) -> None:
        operations_of(self.group)
        for name in ("period_px", "sigma_px"):
            if not 0 < getattr(self, name) < np.inf:
                raise SceneError(f"got {name} = {getattr(self, name)!r}, wanted a positive number of pixels.")

    @cached_property
    def vectors_yx(self) -> Floats:
        """The cell's two vectors as rows (y, x), px."""
        side, opening = self.period_px, np.pi / 2
        if self.group in HEXAGONAL:
            side, opening = side * np.sqrt(2 / np.sqrt(3)), 2 * np.pi / 3
        turn = np.deg2rad(self.angle_deg) + np.array([0.0, opening])
        return np.stack([side * np.sin(turn), side * np.cos(turn)], axis=1)

    @cached_property
    def columns(self) -> Floats:
        """Lattice coordinates (u, v) of the cell's columns, shape (24, 2)."""
        rng = np.random.default_rng(np.random.SeedSequence((self.seed, GROUPS.index(self.group))))
        best, least = np.zeros((0, 2)), np.inf
        for _ in range(_CRYSTALS):
            drawn = self._draw_columns(rng)
            likeness = _pseudo_symmetry(self._waves_of(drawn), self.group)
            if likeness < least:
                best, least = drawn, likeness
            if least <= LARGEST_PSEUDO_SYMMETRY:
                break
        return best

    def _draw_columns(self, rng: np.random.Generator) -> Floats:
        operations = operations_of(self.group)
        spacing, found = SPACING * self.period_px, np.zeros((0, 2))
        while len(found) < N_COLUMNS:
            for _ in range(_TRIES):
                orbit = _apply(operations, rng.random(2))
                if self._least_distance(orbit, found) >= spacing:
                    found = np.vstack([found, orbit])
                    break
            else:  # no room: begin anew, a little closer
                spacing, found = 0.95 * spacing, np.zeros((0, 2))
        return found

    def density(self, y_px: npt.ArrayLike, x_px: npt.ArrayLike) -> Floats:
        """The pattern at any positions (arrays of one shape, px): mean 0, variance 1 over a cell."""
        y, x = np.broadcast_arrays(np.asarray(y_px, np.float64), np.asarray(x_px, np.float64))
        place = np.stack([y.ravel() - self.origin_yx[0], x.ravel() - self.origin_yx[1]], axis=1)
        u, v = (place @ np.linalg.inv(self.vectors_yx)).T
        waves = self._waves
        reach = len(waves) // 2
        along_u, along_v = _harmonics(u, reach), _harmonics(v, reach)
        return np.asarray(np.einsum("nh,nh->n", along_u, along_v @ waves.T).real.reshape(y.shape))

    def frame(
        self,
        shape_yx: tuple[int, int],
        *,
        mean_counts: float = 100.0,
        contrast: float = 0.2,
        noise: float = 0.0,
        noise_seed: int = 0,
    ) -> npt.NDArray[np.float32]:
        """A picture of the pattern, shape (y, x), counts.

        contrast : the pattern's standard deviation over ``mean_counts``. noise : white, in units of the pattern's own
        standard deviation. noise_seed : pictures of one crystal differ by it.
        """
        y, x = np.mgrid[: shape_yx[0], : shape_yx[1]]
        rng = np.random.default_rng(np.random.SeedSequence((self.seed, GROUPS.index(self.group), 1, noise_seed)))
        signal = self.density(y, x) + noise * rng.standard_normal(y.shape)
        return np.asarray(mean_counts * (1 + contrast * signal), np.float32)

    @cached_property
    def _waves(self) -> npt.NDArray[np.complex128]:
        return self._waves_of(self.columns)

    def _waves_of(self, columns: Floats) -> npt.NDArray[np.complex128]:
        """Amplitudes of the harmonics (h, k), shape (2 n + 1, 2 n + 1), scaled to variance 1."""
        highest = np.sqrt(-np.log(_LEAST_TRANSFER) / 2) / (np.pi * self.sigma_px)  # cycles/px
        reach = int(np.ceil(highest * np.hypot(*self.vectors_yx[0])))
        order = np.arange(-reach, reach + 1)
        h, k = np.meshgrid(order, order, indexing="ij")
        reciprocal = np.linalg.inv(self.vectors_yx)  # columns are the reciprocal vectors (y, x)
        g_squared = np.sum((h[..., None] * reciprocal[:, 0] + k[..., None] * reciprocal[:, 1]) ** 2, axis=-1)
        structure = np.zeros(h.shape, np.complex128)
        for u, v in columns:
            structure += np.exp(-2j * np.pi * (h * u + k * v))
        kept = (g_squared > 0) & (g_squared <= highest**2)  # a disc, as the groups turn it into itself
        waves = structure * kept * np.exp(-2 * np.pi**2 * self.sigma_px**2 * g_squared)
        return np.asarray(waves / np.sqrt(np.sum(np.abs(waves) ** 2)))

    def _least_distance(self, orbit: Floats, others: Floats) -> float:
        """Smallest distance, px, between the columns of an orbit and any other column of the crystal."""
        apart = orbit[:, None] - np.vstack([orbit, others])[None, :]
        apart -= np.rint(apart)
        steps = np.array([(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1)])
        distance = np.linalg.norm((apart[..., None, :] + steps) @ self.vectors_yx, axis=-1)
        itself = np.arange(len(orbit))
        distance[itself, itself, len(steps) // 2] = np.inf
        return float(distance.min())


def _compose(second: Operation, first: Operation) -> Operation:
    """First one, then the other; shifts modulo the cell."""
    a, b, c, d, s, t = second
    e, f, g, h, p, q = first
    return (
        a * e + b * g, a * f + b * h, c * e + d * g, c * f + d * h,
        (a * p + b * q + s) % 2, (c * p + d * q + t) % 2,
    )  # fmt: skip


def _apply(operations: Iterable[Operation], place: Floats) -> Floats:
    """The orbit of a position (u, v), shape (operation, 2), inside the cell."""
    u, v = place
    moved = [(a * u + b * v + s / 2, c * u + d * v + t / 2) for a, b, c, d, s, t in operations]
    return np.asarray(np.array(moved) % 1.0)


def _pseudo_symmetry(waves: npt.NDArray[np.complex128], group: str) -> float:
    """Largest correlation of a pattern with itself after a move of its cell that is not one of its group's.

    A rotation or reflection that the group lacks altogether is tried about every place; one that the group has, and
    the plain shift, in the other halves of the cell.
    """
    own = set(operations_of(group))
    reach = len(waves) // 2
    order = np.arange(-reach, reach + 1)
    h, k = np.meshgrid(order, order, indexing="ij")
    largest = 0.0
    for a, b, c, d, _, _ in operations_of("p6mm" if group in HEXAGONAL else "p4mm"):
        turned_h, turned_k = a * h + c * k, b * h + d * k
        inside = (np.abs(turned_h) <= reach) & (np.abs(turned_k) <= reach)
        partner = waves[np.where(inside, turned_h, 0) + reach, np.where(inside, turned_k, 0) + reach] * inside
        product = np.zeros((_SHIFTS_A_SIDE, _SHIFTS_A_SIDE), np.complex128)
        np.add.at(product, (h % _SHIFTS_A_SIDE, k % _SHIFTS_A_SIDE), waves * partner.conj())
        likeness = np.fft.ifft2(product).real * product.size
        shifts = [(s, t) for s in (0, 1) for t in (0, 1) if (a, b, c, d, s, t) in own]
        if shifts:
            half = _SHIFTS_A_SIDE // 2
            others = [likeness[s * half, t * half] for s in (0, 1) for t in (0, 1) if (s, t) not in shifts]
            largest = max([largest, *map(float, others)])
        else:
            largest = max(largest, float(likeness.max()))
    return largest


def _harmonics(phase: Floats, reach: int) -> npt.NDArray[Any]:
    """exp(2 pi i h phase) for h = -reach..reach, shape (n, 2 reach + 1)."""
    base = np.exp(2j * np.pi * phase)[:, None]
    powers = np.cumprod(np.broadcast_to(base, (len(phase), reach)), axis=1)
    return np.hstack([powers[:, ::-1].conj(), np.ones_like(base), powers])
