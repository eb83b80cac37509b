"""Lattices on both sides of a boundary: their fringes, whether one mirrors the other, how they are turned.

Two crystals are twins about a plane seen edge on when the fringes of one, mirrored at the plane's trace, are those of
the other. That is a test in the picture's plane: it sees a mirror plane that lies along the beam, and takes any
other boundary with that symmetry for a twin as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from emreel.orientation import Fringe
from emreel.result import Result
from emreel.track.errors import TrackError

Floats = npt.NDArray[np.float64]

#: Two wave vectors are one when they differ by less than this share of their length (3.4 degrees across).
ALIKE = 0.06
#: Spacings beyond those of the model's lattice by this much are looked for as well.
SPACING_ROOM = 0.12
LEAST_SPACING_PX = 3.0
#: Fringes of one family have spacings within this share of one another.
FAMILY = 0.06
#: The trace's plane is a fringe's, when that is within so many degrees of it.
TRACE_DEG = 8.0


@dataclass(frozen=True, kw_only=True)
class Mirror:
    """How two lattices are related. mirrored, alike : share of the fringes of both that the other has, mirrored at the
    trace and as they are. normal_yx : unit normal of the mirror plane, refined by the fringe that both share."""

    mirrored: float
    alike: float
    normal_yx: tuple[float, float]

    @property
    def is_twin(self) -> bool:
        """More than half of the fringes are mirrored, and more so than they are simply the same."""
        return self.mirrored > 0.5 and self.mirrored > self.alike


def spacing_range(result: Result, given_px: tuple[float, float] | None = None) -> tuple[float, float]:
    """Shortest and longest spacing of fringes, px: those given, or around those of the model's lattice.

    Raises
    ------
    TrackError : the model knows no lattice.
    """
    if given_px is not None:
        return float(given_px[0]), float(given_px[1])
    from emreel.model import Model

    place = result.path / "model.zarr"
    vectors = getattr(Model.load(place).descriptor, "g_vectors", ()) if place.exists() else ()
    if not len(vectors):
        raise TrackError(f"{result.path} was labelled without lattice vectors. Give spacings_px=(shortest, longest).")
    spacings = 1 / np.hypot(*np.array(vectors, np.float64).T)
    return max(float(spacings.min()) * (1 - SPACING_ROOM), LEAST_SPACING_PX), float(spacings.max()) * (1 + SPACING_ROOM)


def compare_lattices(one: Sequence[Fringe], other: Sequence[Fringe], normal_yx: Floats) -> Mirror:
    """Whether the fringes of one crystal are those of another, mirrored at a trace of that normal."""
    a, b = _vectors(one), _vectors(other)
    if not len(a) or not len(b):
        return Mirror(mirrored=0.0, alike=0.0, normal_yx=(float(normal_yx[0]), float(normal_yx[1])))
    normal = refine_normal(a, b, normal_yx)
    flipped = a - 2 * (a @ normal)[:, None] * normal
    return Mirror(
        mirrored=(_shared(flipped, b) + _shared(b, flipped)) / 2,
        alike=(_shared(a, b) + _shared(b, a)) / 2,
        normal_yx=(float(normal[0]), float(normal[1])),
    )


def refine_normal(a: Floats, b: Floats, normal_yx: Floats) -> Floats:
    """The direction of the fringes of both crystals that lie nearest to a normal, or the normal itself."""
    near = []
    for vectors in (a, b):
        units = vectors / np.hypot(*vectors.T)[:, None]
        along = units @ normal_yx
        best = int(np.argmax(np.abs(along)))
        if abs(along[best]) < np.cos(np.deg2rad(TRACE_DEG)):
            return np.asarray(normal_yx, np.float64)
        near.append(units[best] * np.sign(along[best]))
    mean = near[0] + near[1]
    return np.asarray(mean / np.hypot(*mean))


def turn_between(one: Sequence[Fringe], other: Sequence[Fringe]) -> float:
    """Smallest turn that brings the fringes of one crystal onto those of another, 0 to 90 degrees; NaN without any."""
    a, b = _vectors(one), _vectors(other)
    if not len(a) or not len(b):
        return float("nan")
    best = (-1.0, 0.0)
    for turn in np.arange(-90.0, 90.0, 0.5):
        c, s = np.cos(np.deg2rad(turn)), np.sin(np.deg2rad(turn))
        turned = a @ np.array([[c, s], [-s, c]])
        gaps = _distances(turned, b).min(axis=1)
        best = max(best, (float(np.exp(-((gaps / ALIKE * 2) ** 2)).mean()) - 1e-3 * abs(turn) / 90, -abs(turn)))
    return -best[1]


def family_range(fringes: Sequence[Fringe]) -> tuple[float, float]:
    """The spacings that carry most power, as the shortest and longest of one {hkl} family, px.

    Raises
    ------
    TrackError : no fringes.
    """
    if not fringes:
        raise TrackError("no crystal shows fringes; there is no orientation to be told.")
    spacings = np.array([fringe.wavelength_px for fringe in fringes])
    power = np.array([fringe.power for fringe in fringes])
    near = np.abs(spacings[:, None] / spacings - 1) < FAMILY
    middle = float(np.average(spacings, weights=power * near[int(np.argmax(near @ power))]))
    return middle * (1 - FAMILY), middle * (1 + FAMILY)


def _vectors(fringes: Sequence[Fringe]) -> Floats:
    return np.array([fringe.g_yx for fringe in fringes], np.float64).reshape(-1, 2)


def _distances(a: Floats, b: Floats) -> Floats:
    """Distance of every wave vector to every other or its opposite, in shares of its length."""
    gaps = np.minimum(*(np.hypot(*np.moveaxis(a[:, None] - sign * b[None], -1, 0)) for sign in (1, -1)))
    return np.asarray(gaps / np.hypot(*a.T)[:, None])


def _shared(a: Floats, b: Floats) -> float:
    """Share of the wave vectors of a that b has as well."""
    return float((_distances(a, b).min(axis=1) < ALIKE).mean())
