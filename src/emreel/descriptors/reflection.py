"""Reflection symmetry: how well the surroundings of a position fit onto their mirror image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from emreel.descriptors.base import Frame, Mask
from emreel.descriptors.polar import PolarSymmetry, ScoreMaps, SymmetryError, score_permutations


@dataclass(frozen=True, kw_only=True)
class ReflectionSymmetry(PolarSymmetry):
    """The largest mirror scores around a grid point, for planes of ten directions.

    The score of a mirror plane of direction p through a position is the weighted cosine correlation of the polar
    patch with its mirror image::

        M_p = sum_ij r_i^2 P(r_i, t_j) P(r_i, 2 p - t_j)  /  sum_ij r_i^2 P(r_i, t_j)^2

    P are the counts minus the mean of the square of half side R around the position, sampled by cubic splines on
    ``radii`` rings of ``angles`` angles. Directions are p = 180 deg k / planes, k = 0, 1, ...; 0 lies along x, and
    angles grow towards y, that is downwards in a picture. The number of angles is raised to a multiple of the number
    of planes, so that mirror images of samples are samples and any number of planes covers half a turn evenly.

    A score is near 1 only where a mirror plane passes, so the 10 largest scores of each direction, among positions
    within ``window_px``, are the features: 100 numbers.

    Source: Wang et al., Microsc. Microanal. 27 (2021) 1454, section "Extracting features via rotation and reflection
    operations". Unlike the published program: nothing but scores enters the pool; planes cover 180 deg evenly for any
    number of them; the edges of the frame are described, over the samples that are valid; the grid point lies in the
    middle of what it describes; every length is a field.

    Parameters
    ----------
    planes : directions over half a turn.
    radius_px : R of the patch, px.
    window_px : positions lie within this distance of a grid point along both axes, px.
    step_px : between positions, px. Positions of a frame lie gcd(step_px, stride) px apart, so let one of the two
        divide the other.
    stride : px between grid points.
    radii, angles : rings of a patch, and samples of a ring (raised to a multiple of ``planes``).
    largest : how many scores of each plane are features.

    The defaults are the published ones, which suit lattices whose {hkl} spacings d are 4 to 8 px. `suggest` sets
    the radius to 2 d, the window to 2.5 d and the step to about d / 4, from the movie's own spectrum.

    When to use: grains, twins and plates that differ in orientation, or phases of which one has mirror planes (p1m1
    against p1g1 or p2; the chirality of a structure does not show). When it fails: orientations that differ by the
    symmetry of the crystal; planes between two directions, more than 90 deg d / (pi R) off both: use more planes;
    sharp boundaries, over which the largest scores of a window spread from the phase that has the symmetry;
    specimens that turn during the movie, whose scores move from plane to plane (`rotation` does not care); noise so
    strong that the scores of one patch are mostly noise.

    Raises
    ------
    SymmetryError : a length or number that is no whole number, more ``largest`` than positions.

    Examples
    --------
    Stripes that rise at 36 deg have mirror planes along them and across, and no others.

    >>> import numpy as np
    >>> from emreel.descriptors.geometry import pad_frame
    >>> y, x = np.mgrid[:64, :64]
    >>> angle = np.deg2rad(36)
    >>> stripes = np.cos(2 * np.pi * (y * np.cos(angle) - x * np.sin(angle)) / 9).astype(np.float32)
    >>> reflection = ReflectionSymmetry(planes=5, radius_px=18, window_px=8, step_px=2, stride=8, largest=1)
    >>> reflection(*pad_frame(stripes, reflection.halo))[4, 4].round(1)
    array([0. , 1. , 0. , 0.1, 0.1], dtype=float32)
    """

    name: ClassVar[str] = "reflection"

    planes: int = 10

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.planes, int) or isinstance(self.planes, bool) or self.planes < 1:
            raise SymmetryError(f"got planes = {self.planes!r}, wanted a whole number, at least 1.")

    @property
    def operations(self) -> tuple[str, ...]:
        return tuple(f"plane {180 * k / self.planes:.4g} deg" for k in range(self.planes))

    @property
    def n_angles(self) -> int:
        """Samples of a ring: ``angles``, raised to a multiple of the planes."""
        return -(-self.angles // self.planes) * self.planes

    def scores(self, padded: Frame, valid: Mask | None = None) -> ScoreMaps:
        """M_p of every plane at every position; see `PolarSymmetry.scores`."""
        twice_p = np.arange(self.planes)[:, None] * (self.n_angles // self.planes)
        mirrored = (twice_p - np.arange(self.n_angles)) % self.n_angles
        return score_permutations(self, padded, valid, mirrored)
