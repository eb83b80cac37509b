"""A decahedron whose five-fold axis walks out: five twins become two."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from emreel.synthetic.checks import require, require_number, require_pair, require_whole
from emreel.synthetic.lattice import Cell
from emreel.synthetic.optics import Optics
from emreel.synthetic.particle import Folded, Particle, inside_distance
from emreel.synthetic.scene import View
from emreel.synthetic.texture import Image

_SECTOR = 2 * np.pi / 5
_HRTEM = Optics(modality="hrtem")


@dataclass(frozen=True, kw_only=True)
class Decahedron(Particle):
    """Five fcc twins about a common [110] axis.

    Labels: 0 background, 1 to 5 the twins in the order of their angle. Each twin is strained from 70.53 to 72
    degrees, so that neighbours share their {111} plane and nothing gapes. The axis walks through one twin in
    steps of one column; that twin vanishes when the axis leaves the particle, its two neighbours soon after.

    Parameters
    ----------
    leaves_through : the twin (1 to 5) through which the axis walks.
    leave_frame : frame at which the axis reaches the rim; None: 70 % of the movie.
    start_yx : where the axis is in the first frame, in radii from the centre, in the particle's own axes.
    """

    kind: ClassVar[str] = "decahedron"
    classes: ClassVar[tuple[str, ...]] = ("background", "twin 1", "twin 2", "twin 3", "twin 4", "twin 5")

    optics: Optics = _HRTEM
    angle_deg: float = 40.0
    n_facets: int = 10
    taper: float = 0.5
    leaves_through: int = 3
    leave_frame: int | None = None
    start_yx: tuple[float, float] = (0.04, -0.03)

    def __post_init__(self) -> None:
        super().__post_init__()
        require_whole("leaves_through", self.leaves_through, least=1)
        require_number("leaves_through", self.leaves_through, most=5)
        if self.leave_frame is not None:
            require_whole("leave_frame", self.leave_frame, least=1)
        require_pair("start_yx", self.start_yx, least=-0.7, most=0.7)
        require(self._way_out_px() > 0, f"start_yx={self.start_yx}", "an axis inside the particle")

    @property
    def leave_index(self) -> int:
        """Frame at which the axis reaches the rim."""
        return max(1, round(0.7 * self.n_frames)) if self.leave_frame is None else self.leave_frame

    def twin_angle_deg(self, twin: int, index: int) -> float:
        """In-plane angle of the cube axis [001] of a twin (1 to 5) in frame `index`: the middle of its sector."""
        return (self.pose_deg(index) + 72 * (twin - 1) + 36) % 180

    def axis_own(self, index: int) -> tuple[float, float]:
        """Position (h, l) of the five-fold axis in the particle's own axes, px."""
        stride = self.column_distance_px * np.cos(_SECTOR / 2)
        steps_out = self._way_out_px() / stride
        # past the rim it goes on until the neighbours are gone too, and stays there
        steps = int(np.ceil(min(steps_out * index / self.leave_index, steps_out + 0.5 * self.radius_px / stride)))
        first, second = self._sides(self.leaves_through - 1)
        position = self._start_px() + ((steps + 1) // 2) * first + (steps // 2) * second
        return float(position[0]), float(position[1])

    def _start_px(self) -> npt.NDArray[np.float64]:
        return self.radius_px * np.array(self.start_yx)

    def _sides(self, sector: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """The two lattice vectors (h, l) that bound a sector, px."""
        edge = _SECTOR * np.array([sector, sector + 1])
        first, second = self.column_distance_px * np.stack([np.sin(edge), np.cos(edge)], axis=1)
        return first, second

    def _way_out_px(self) -> float:
        """Distance from the axis' start to the rim along the middle of the twin it walks through."""
        start = self._start_px()
        middle = _SECTOR * (self.leaves_through - 0.5)
        direction = np.array([np.sin(middle), np.cos(middle)])
        facets = self.facets
        room, rate = facets[:, 2] - facets[:, :2] @ start, facets[:, :2] @ direction
        return float((room[rate > 1e-9] / rate[rate > 1e-9]).min()) if room.min() > 0 else 0.0

    def _sector_of(self, view: View, h: Image, along: Image) -> tuple[npt.NDArray[np.intp], Image, Image]:
        """Sector (0 to 4) of every pixel, and its position about the axis."""
        axis_h, axis_l = self.axis_own(view.index)
        about_h, about_l = h - np.float32(axis_h), along - np.float32(axis_l)
        turn = np.arctan2(about_h, about_l)
        turn *= np.float32(1 / _SECTOR)
        return np.floor(turn).astype(np.intp) % 5, about_h, about_l

    def _fold(self, view: View, h: Image, along: Image) -> Folded:
        period = self.column_distance_px
        sector, about_h, about_l = self._sector_of(view, h, along)
        turn = _SECTOR * np.arange(5)
        c, s = np.cos(turn).astype(np.float32)[sector], np.sin(turn).astype(np.float32)[sector]
        return Folded(
            y=about_h * c - about_l * s,
            x=about_h * s + about_l * c,
            piece=sector,
            cell=Cell(vectors_yx=((0.0, period), (period * np.sin(_SECTOR), period * np.cos(_SECTOR)))),
            back=((c, s), (-s, c)),
        )

    def _facts(self, view: View) -> dict[str, Any]:
        h, along = self._own_axes(view)
        sector, _, _ = self._sector_of(view, h, along)
        inside = inside_distance(self.facets, h, along) > 0
        angles = np.array([self.twin_angle_deg(twin, view.index) for twin in range(1, 6)], dtype=np.float32)
        return {
            "labels": np.where(inside, sector + 1, 0).astype(np.uint8),
            "angle_deg": np.where(inside, angles[sector], np.float32(np.nan)),
            "axis_yx": self._to_frame(view, *self.axis_own(view.index)),
        }
