"""A faceted fcc particle on carbon, seen along [110]: what the twin scenes share.

Along [110] the {111} planes stand upright. In each, columns are sqrt(6)/4 a apart; the planes are
a/sqrt(3) apart and the next plane is shifted along itself by a third (the stacking ABC).
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from emreel.synthetic.checks import require_number, require_whole
from emreel.synthetic.lattice import Cell, Crystal, cell_table, column_noise, nearest_column, read_cell
from emreel.synthetic.scene import Scene, View
from emreel.synthetic.streams import Stream, random_stream
from emreel.synthetic.texture import Image, speckle_profile

_COLUMN_SHARE = 0.7  # of the particle's HAADF intensity that is channelled into the columns
_HRTEM_CONTRAST = 0.22
_HRTEM_LOSS = 0.1  # what the particle scatters out of the aperture
_RIM_PX = 0.25  # columns up to this many column distances outside the outline are still there

Facets = npt.NDArray[np.float64]  # (facet, 3): outward normal (y, x) and distance from the centre, px


@dataclass(frozen=True, kw_only=True, eq=False)
class Folded:
    """Every pixel of a twinned particle as a place in one and the same crystal.

    Parameters
    ----------
    y, x : the pixel's position in that crystal, px.
    piece : the piece of the particle that it belongs to.
    cell : the crystal.
    back : ((hy, hx), (ly, lx)): a step (y, x) in the crystal is the step (hy y + hx x, ly y + lx x) in the particle.
    """

    y: Image
    x: Image
    piece: npt.NDArray[np.integer[Any]]
    cell: Cell
    back: tuple[tuple[Image | float, Image | float], tuple[Image | float, Image | float]]


@dataclass(frozen=True, kw_only=True)
class Particle(Scene):
    """What all particles have.

    Parameters
    ----------
    radius_fraction : mean radius over the frame's shorter side.
    n_facets : of its outline.
    rotation_deg : in-plane rotation from the first to the last frame.
    support : mean HAADF intensity of the carbon support over that of the particle.
    taper : the particle thins towards its rim over this fraction of its radius.
    """

    modalities: ClassVar[tuple[str, ...]] = ("haadf", "hrtem")

    pixel_size_nm: float = 0.03
    lattice_nm: float = 0.408
    radius_fraction: float = 0.4
    n_facets: int = 9
    rotation_deg: float = 2.0
    support: float = 0.1
    taper: float = 0.25

    def __post_init__(self) -> None:
        super().__post_init__()
        require_number("radius_fraction", self.radius_fraction, above=0, most=2)
        require_number("rotation_deg", self.rotation_deg)
        require_number("support", self.support, least=0)
        require_number("taper", self.taper, least=0)
        require_whole("n_facets", self.n_facets, least=3)

    @property
    def column_distance_nm(self) -> float:
        """Distance of the columns within a {111} plane, nm."""
        return self.lattice_nm * 6**0.5 / 4

    @property
    def column_distance_px(self) -> float:
        """Distance of the columns within a {111} plane, px."""
        return self.column_distance_nm / self.pixel_size_nm

    @property
    def plane_spacing_px(self) -> float:
        """Spacing of the {111} planes, px."""
        return self.lattice_px / 3**0.5

    @property
    def radius_px(self) -> float:
        """Mean radius, px."""
        return self.radius_fraction * min(self.shape_yx)

    def pose_deg(self, index: int) -> float:
        """Angle of the particle's own x axis in frame `index`."""
        return self.angle_deg + self.rotation_deg * self.progress(index)

    @property
    def facets(self) -> Facets:
        """Outline in the particle's own axes about its centre."""
        return _facets(self.n_facets, self.radius_px, self.seed)

    def _own_axes(self, view: View) -> tuple[Image, Image]:
        """Every pixel's position (h, l) in the particle's own axes: l along its x axis, h across; px."""
        cy, cx = self.centre_yx
        turn = np.deg2rad(self.pose_deg(view.index))
        c, s = np.cos(turn), np.sin(turn)
        h = ((view.y - cy) * c).astype(np.float32) - ((view.x - cx) * s).astype(np.float32)
        along = ((view.y - cy) * s).astype(np.float32) + ((view.x - cx) * c).astype(np.float32)
        return np.asarray(h), np.asarray(along)

    def _to_frame(self, view: View, h: float, along: float) -> tuple[float, float]:
        """Where a point of the particle's own axes is seen in the frame, (y, x) px."""
        turn = np.deg2rad(self.pose_deg(view.index))
        c, s = float(np.cos(turn)), float(np.sin(turn))
        cy, cx = self.centre_yx
        return cy + h * c + along * s + view.drift_yx[0], cx - h * s + along * c + view.drift_yx[1]

    @abstractmethod
    def _fold(self, view: View, h: Image, along: Image) -> Folded:
        """Map every pixel (h, l) of the particle's own axes into one crystal."""

    def _paint(self, view: View) -> Image:
        h, along = self._own_axes(view)
        folded = self._fold(view, h, along)
        cell = folded.cell
        ticks = Crystal(cell=cell, angle_deg=0.0).ticks(folded.y, folded.x)
        lattice = read_cell(
            cell_table(cell, self.optics, self.pixel_size_nm, self.probe_sigma_nm),
            ticks,
            self.optics.level_of(view.x + view.drift_yx[1], self.shape_yx[1]),
        )
        i, j = nearest_column(cell, ticks)
        first, second = np.array(cell.vectors_yx, dtype=np.float32)
        step_y = i * first[0] + j * second[0] - folded.y
        step_x = i * first[1] + j * second[1] - folded.x
        (hy, hx), (ly, lx) = folded.back
        rim = inside_distance(self.facets, h + hy * step_y + hx * step_x, along + ly * step_y + lx * step_x)
        thickness = self._thickness_of(rim)
        if self.column_spread:
            apart = folded.piece.astype(np.int32) * 61
            thickness *= 1 + np.float32(self.column_spread) * column_noise(i + apart, j, seed=self.seed)
        return self._compose(view, lattice, thickness) * self._thickness_at(view)

    def _thickness_of(self, rim_px: Image) -> Image:
        """Relative thickness of columns that lie `rim_px` inside the outline."""
        start = np.float32(_RIM_PX * self.column_distance_px)
        depth = rim_px + start
        ramp = np.float32(max(self.taper * self.radius_px, 1e-3))
        thickness: Image = np.clip(depth / ramp, 0, 1).astype(np.float32) ** np.float32(0.6)
        thickness *= np.float32(0.65)
        thickness += np.float32(0.35)
        thickness *= depth > 0
        return thickness

    def _compose(self, view: View, lattice: Image, thickness: Image) -> Image:
        carbon = np.float32(self.speckle)
        if self.optics.modality == "hrtem":
            profile = self.optics.carbon_profile(self.pixel_size_nm, self.probe_sigma_nm)
            support = 1 + np.float32(0.5) * carbon * self._speckle_at(view, profile)
            loss = 1 - np.float32(_HRTEM_LOSS) * thickness
            return np.asarray(support * loss + np.float32(_HRTEM_CONTRAST) * thickness * lattice)
        grain = max(self.probe_sigma_nm / self.pixel_size_nm, 1.0)
        support = np.float32(self.support) * (1 + carbon * self._speckle_at(view, speckle_profile(grain)))
        return np.asarray(support + thickness * (np.float32(1 - _COLUMN_SHARE) + np.float32(_COLUMN_SHARE) * lattice))


def inside_distance(facets: Facets, h: Image, along: Image) -> Image:
    """How far inside the outline positions lie, px (negative outside): distance to the nearest facet."""
    rim = np.full(np.broadcast_shapes(h.shape, along.shape), np.inf, dtype=np.float32)
    for normal_y, normal_x, distance in facets.astype(np.float32):
        np.minimum(rim, distance - normal_y * h - normal_x * along, out=rim)
    return rim


def chord(facets: Facets, h: float) -> tuple[float, float]:
    """Ends of the outline's chord at height `h` of the particle's own axes, px; (0, 0) outside."""
    low, high = -np.inf, np.inf
    for normal_y, normal_x, distance in facets:
        room = distance - normal_y * h
        if normal_x > 1e-12:
            high = min(high, room / normal_x)
        elif normal_x < -1e-12:
            low = max(low, room / normal_x)
        elif room < 0:
            return 0.0, 0.0
    return (float(low), float(high)) if low < high else (0.0, 0.0)


@lru_cache(maxsize=32)
def _facets(n_facets: int, radius_px: float, seed: int) -> Facets:
    rng = random_stream(seed, Stream.OUTLINE)
    angle = 2 * np.pi * (np.arange(n_facets) + rng.uniform(-0.25, 0.25, n_facets)) / n_facets
    angle += rng.uniform(0, 2 * np.pi)
    distance = radius_px * rng.uniform(0.88, 1.0, n_facets)
    facets = np.stack([np.sin(angle), np.cos(angle), distance], axis=1)
    facets.setflags(write=False)
    return facets
