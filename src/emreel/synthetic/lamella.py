"""A coherent twin lamella in an fcc particle thins plane by plane until it is gone."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from emreel.synthetic.checks import require, require_number, require_whole
from emreel.synthetic.lattice import Cell
from emreel.synthetic.particle import Folded, Particle, chord, inside_distance
from emreel.synthetic.scene import View
from emreel.synthetic.texture import Image

BACKGROUND, PARENT, TWIN = range(3)
#: Angle of the cube axis [001] against the twin plane, degrees.
CUBE_AXIS_DEG = float(np.rad2deg(np.arctan(0.5**0.5)))
_LEVELS = (0.0, 0.25, 0.5, 0.75, 1.0)  # heights in the ledge at which the particle's width is taken
_CORE = 1.5  # half width of the partial dislocation's core, column distances


@dataclass(frozen=True, kw_only=True)
class TwinLamella(Particle):
    """A lamella of n {111} planes in twin orientation, between two pieces of the parent.

    Labels: 0 background, 1 parent, 2 twin. The lower twin boundary rests. Along the upper one a ledge of one plane
    (a Shockley partial) sweeps across the particle and takes a plane from the twin; the parent above it slips
    by a third of a period. The number of planes falls linearly to 0 at `vanish_frame`.

    Parameters
    ----------
    lamella_planes : number of planes in the first frame; None: 0.6 of the radius.
    vanish_frame : first frame without the twin; None: 70 % of the movie.
    offset_planes : where the lower boundary is, in planes from the particle's centre; None: the lamella is
        centred in the first frame.
    """

    kind: ClassVar[str] = "twin_lamella"
    classes: ClassVar[tuple[str, ...]] = ("background", "parent", "twin")

    angle_deg: float = 15.0
    lamella_planes: float | None = None
    vanish_frame: int | None = None
    offset_planes: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.lamella_planes is not None:
            require_number("lamella_planes", self.lamella_planes, least=0)
        if self.vanish_frame is not None:
            require_whole("vanish_frame", self.vanish_frame, least=1)
        if self.offset_planes is not None:
            require_number("offset_planes", self.offset_planes)
        low, high = chord(self.facets, self.boundary_px)
        inside = f"the twin boundary inside the particle (radius {self.radius_px:.0f} px)"
        require(high > low, f"offset_planes={self.offset_planes}", inside)

    @property
    def vanish_index(self) -> int:
        """First frame without the twin."""
        return max(1, round(0.7 * self.n_frames)) if self.vanish_frame is None else self.vanish_frame

    @property
    def first_planes(self) -> float:
        """Number of planes of the lamella in the first frame."""
        if self.lamella_planes is not None:
            return self.lamella_planes
        return float(max(1, round(0.6 * self.radius_px / self.plane_spacing_px)))

    @property
    def boundary_px(self) -> float:
        """Height of the lower twin boundary over the particle's centre, px, on a plane of the lattice."""
        planes = -0.5 * self.first_planes if self.offset_planes is None else self.offset_planes
        return planes * self.plane_spacing_px

    def planes_at(self, index: int) -> float:
        """Number of planes in twin orientation, the ledge's plane counted by its share of the width."""
        return max(0.0, self.first_planes * (1 - index / self.vanish_index))

    def _ledge(self, index: int) -> tuple[int, float]:
        """Whole planes of the lamella, and where the ledge stands along the plane above them, px."""
        planes = self.planes_at(index)
        whole = int(planes)
        if planes == whole:
            return whole, -math.inf
        levels = (chord(self.facets, self.boundary_px + (whole + part) * self.plane_spacing_px) for part in _LEVELS)
        low, high = zip(*levels, strict=True)
        return whole, min(low) + (planes - whole) * (max(high) - min(low))

    def _pieces(self, view: View, height: Image, along: Image) -> npt.NDArray[np.uint8]:
        """1 below the lamella, 2 in it, 3 above it; `height` counts from the lower boundary."""
        whole, ledge = self._ledge(view.index)
        spacing = np.float32(self.plane_spacing_px)
        top = spacing * (whole + (along < np.float32(ledge)))
        return 1 + (height > 0).astype(np.uint8) + (height > top).astype(np.uint8)

    def _slip(self, view: View, height: Image, along: Image) -> Image:
        """Shift of the upper parent along the plane, px: a third of a period for every plane of the lamella."""
        whole, ledge = self._ledge(view.index)
        period = np.float32(self.column_distance_px)
        slipped = np.float32(whole)
        if ledge > -math.inf:
            above = np.abs(height - np.float32((whole + 0.5) * self.plane_spacing_px))
            core = np.float32(_CORE) * period + np.float32(0.3) * above
            slipped = slipped + np.float32(0.5) - np.arctan((along - np.float32(ledge)) / core) / np.float32(np.pi)
        return np.asarray(slipped * period / 3, dtype=np.float32)

    def _fold(self, view: View, h: Image, along: Image) -> Folded:
        period, spacing = self.column_distance_px, self.plane_spacing_px
        height = h - np.float32(self.boundary_px)
        piece = self._pieces(view, height, along)
        x = along - (piece == 3) * self._slip(view, height, along)
        mirror = np.where(piece == 2, np.float32(-1), np.float32(1))
        return Folded(
            y=height,
            x=x * mirror,
            piece=piece,
            cell=Cell(vectors_yx=((0.0, period), (spacing, period / 3))),
            back=((1.0, 0.0), (0.0, mirror)),
        )

    def _facts(self, view: View) -> dict[str, Any]:
        h, along = self._own_axes(view)
        inside = inside_distance(self.facets, h, along) > 0
        piece = self._pieces(view, h - np.float32(self.boundary_px), along)
        twin = piece == 2
        labels = np.where(inside, np.where(twin, TWIN, PARENT), BACKGROUND).astype(np.uint8)
        pose, planes = self.pose_deg(view.index), self.planes_at(view.index)
        parent_deg, twin_deg = (pose + CUBE_AXIS_DEG) % 180, (pose - CUBE_AXIS_DEG) % 180
        regions = np.where(inside, piece, 0).astype(np.uint8)
        if planes == 0:
            regions = np.minimum(regions, 1)
        return {
            "labels": labels,
            "regions": regions,
            "angle_deg": np.where(inside, np.where(twin, twin_deg, parent_deg), np.nan).astype(np.float32),
            "lamella_planes": planes,
            "lamella_width_px": planes * self.plane_spacing_px,
        }
