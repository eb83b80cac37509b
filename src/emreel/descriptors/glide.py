"""Glide symmetry: how well the surroundings of a position fit onto their mirror image after a shift along the plane."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from emreel.descriptors.base import Fold, Frame, Mask
from emreel.descriptors.kernels.glide import score_glides
from emreel.descriptors.mirror_lines import find_mirror_lines
from emreel.descriptors.peaks import Peaks, learn_peaks
from emreel.descriptors.polar import (
    AMPLE_SHARE,
    LEAST_SHARE,
    PolarSymmetry,
    ScoreMaps,
    SymmetryError,
    lengths_from_period,
    ring_offsets,
    ring_radii,
)
from emreel.descriptors.splines import Floats, SplineFrame

Shift = tuple[float, float]  # (dy, dx), px

#: Where no lattice is known: directions over half a turn, and shifts.
SCANNED_PLANES = 12
SCANNED_SHIFTS_PX = (4.0, 6.0)
#: The same for a polycrystal, of which only a spacing d is known: shifts in d.
SCANNED_PERIODS = (0.5, 0.75, 1.0)


def scan_glides(planes: int = SCANNED_PLANES, shifts_px: Iterable[float] = SCANNED_SHIFTS_PX) -> tuple[Shift, ...]:
    """Shifts (dy, dx), px, of the given lengths along ``planes`` directions that cover half a turn evenly.

    >>> scan_glides(2, [5.0])
    ((0.0, 5.0), (5.0, 0.0))
    """
    angles = np.pi * np.arange(planes) / planes
    return tuple(
        (round(float(length * np.sin(angle)), 3), round(float(length * np.cos(angle)), 3))
        for angle in angles
        for length in shifts_px
    )


def glides_of(peaks: Peaks) -> tuple[Shift, ...]:
    """The glide reflections that a lattice allows: half its period along every line that it may be mirrored along.

    A polycrystal without peaks gets a scan over directions, with shifts of half to one spacing; no order, none.
    """
    lines = find_mirror_lines(peaks)
    if lines:
        halves = [np.array(line.direction_yx) * line.period_px / 2 for line in lines]
        return tuple((round(float(dy), 3), round(float(dx), 3)) for dy, dx in halves)
    if peaks.period_px is not None:
        return scan_glides(shifts_px=[part * peaks.period_px for part in SCANNED_PERIODS])
    return ()


@dataclass(frozen=True, kw_only=True)
class GlideSymmetry(PolarSymmetry):
    """The largest glide-reflection scores around a grid point.

    The glide reflection of shift t, through the position c, maps c + x to c + M x + t, where M mirrors at the
    direction of t. Its score is the weighted Pearson correlation of two polar patches, each half a shift off c, of
    which one is the mirror image of the other::

        G_t = cov(A, B) / sqrt(var(A) var(B)),   weights r^2
        A_ij = f(c - t / 2 + u_ij),   B_ij = f(c + t / 2 + M u_ij)

    u_ij are ``radii`` rings of ``angles`` samples (cubic splines). So c lies in the middle of what is compared. The
    plane may have any direction, and shifts any length: neither has to be a part of a grid.

    A score is near 1 only where a glide plane passes, so the 10 largest scores of each glide, among positions within
    ``window_px``, are the features.

    `suggest` derives the glides from the movie's own lattice: a plane group with glide planes repeats after two
    glides, so the shift is half the lattice's period along a line at which its reflections are mirror images
    (`emreel.descriptors.mirror_lines`). The lattice of p1g1 and of p1m1 is the same, so the same glides are scored in
    both, and only one has them. A polycrystal is scanned over 12 directions and three lengths (`scan_glides`).

    Source: the fourth kind of symmetry, r' = M r + t, of Wang et al., Microsc. Microanal. 27 (2021) 1454, eq. 1; named
    there and never built. The lattice's periods: International Tables for Crystallography A, section 2.1.3.13
    (reflection conditions of glide planes).

    Parameters
    ----------
    glides : (dy, dx) of every shift, px; its direction is that of the plane.
    radius_px : R of both patches, px.
    window_px : positions lie within this distance of a grid point along both axes, px.
    step_px : between positions, px. Positions of a frame lie gcd(step_px, stride) px apart, so let one of the two
        divide the other.
    stride : px between grid points.
    radii, angles : rings of a patch, and samples of a ring.
    largest : how many scores of each glide are features.

    When to use: phases with glide planes (p1g1, p2gg, p2mg, p4gm in projection) against phases of the same lattice
    with mirror planes or none. These have the same Patterson symmetry (table 1 of the paper): `translation` may see
    that they differ, as far as their Patterson functions do, but not in what; `reflection` sees that a mirror is
    missing, not what is there instead. When it fails: centred lattices (c1m1, c2mm), where mirror planes bring glides
    with them; structures that look primitive with half the period, because what tells the halves apart is below the
    noise; a direction off by more than d / (4 R), or a shift off by more than d / 4, where d is the finest spacing
    that carries much of the contrast; sharp boundaries, over which the largest scores of a window spread from the
    phase that has the symmetry.

    Raises
    ------
    SymmetryError : no glides, one without a direction, a length that is no whole number, more ``largest`` than
        positions.

    Examples
    --------
    Two rows of triangles, mirror images of each other: side by side they have a mirror plane, half a period along
    the row they have a glide plane.

    >>> import numpy as np
    >>> from emreel.descriptors.geometry import pad_frame
    >>> y, x = np.mgrid[:96, :96]
    >>> def triangles(side, x0):
    ...     atoms = [(3 * side, x0), (7 * side, x0 + 2), (4 * side, x0 + 5)]
    ...     return sum(np.exp(4 * np.cos(np.pi * (y - b) / 12) + 4 * np.cos(np.pi * (x - a) / 8) - 8) for b, a in atoms)
    >>> mirror, glide = triangles(1, 0) + triangles(-1, 0), triangles(1, 0) + triangles(-1, 8)
    >>> symmetry = GlideSymmetry(glides=((0, 8),), radius_px=16, window_px=14, step_px=2, stride=14, largest=1)
    >>> for frame in mirror, glide:
    ...     print(symmetry(*pad_frame(frame.astype(np.float32), symmetry.halo))[3, 3].round(1))
    [-0.3]
    [1.]
    """

    name: ClassVar[str] = "glide"

    glides: tuple[Shift, ...] = scan_glides()

    def __post_init__(self) -> None:
        super().__post_init__()
        try:
            glides = tuple((float(dy), float(dx)) for dy, dx in self.glides)
        except (TypeError, ValueError):
            raise SymmetryError(f"got glides = {self.glides!r}, wanted a list of (dy, dx) in px.") from None
        for shift in glides:
            if not 0 < float(np.hypot(*shift)) < np.inf:
                raise SymmetryError(f"got the glide {shift}, wanted (dy, dx) in px, not zero: it gives the direction.")
        if not glides or len(set(glides)) < len(glides):
            raise SymmetryError("got no glides or one twice. Give each (dy, dx) once, or use scan_glides().")
        object.__setattr__(self, "glides", glides)

    @classmethod
    def suggest(cls, given: Mapping[str, Any], fold: Fold) -> Self:
        """Take lengths and glides that are left out from the movie's lattice; without one they are scanned."""
        if {"glides", "radius_px", "window_px", "step_px", "stride", "radii"} <= given.keys():
            return cls(**given)
        peaks = learn_peaks(fold)
        learned: dict[str, Any] = dict(lengths_from_period(peaks.period_px, given))
        glides = glides_of(peaks)
        if glides:
            learned["glides"] = glides
        return cls(**{**learned, **given})

    @property
    def operations(self) -> tuple[str, ...]:
        return tuple(f"glide {dy:+.2f} {dx:+.2f} px" for dy, dx in self.glides)

    @property
    def reach_px(self) -> int:
        farthest = max(max(abs(dy), abs(dx)) for dy, dx in self.glides)
        return super().reach_px + int(np.ceil(farthest / 2))

    def scores(self, padded: Frame, valid: Mask | None = None) -> ScoreMaps:
        """G_t of every glide at every position; see `PolarSymmetry.scores`."""
        shape, first = self.n_positions(padded), self.first_px
        frame = SplineFrame.of(padded, valid, self.pitch_px)
        flags = frame.flags(first, shape, self.reach_px - SplineFrame.prefilter_px)
        taps, weights = frame.taps(self._offsets(), first)
        radii = ring_radii(self.radius_px, self.radii)
        scores = np.empty((shape[0], len(self.glides), shape[1]), np.float32)
        score_glides(
            scores,
            frame.square_means(first, shape, self.radius_px),
            flags,
            frame.flat,
            (frame.inside() if flags.any() else np.empty((0, 0), np.float32)).ravel(),
            frame.row_pitch,
            first,
            frame.step,
            radii.astype(np.float32),
            taps,
            (weights * radii[:, None, None]).astype(np.float32),
            AMPLE_SHARE,
            LEAST_SHARE,
        )
        return scores

    def _offsets(self) -> Floats:
        """(dy, dx) of every sample of both patches, px, shape (glide, patch, ring, angle, 2)."""
        u = ring_offsets(self.radius_px, self.radii, self.angles)
        pairs = []
        for glide in self.glides:
            shift = np.array(glide)
            along = shift / np.hypot(*shift)
            mirrored = 2 * (u @ along)[..., None] * along - u
            pairs.append([u - shift / 2, mirrored + shift / 2])
        return np.array(pairs)
