"""A polycrystalline superlattice of nanoparticles coarsens under the beam, as an SEM sees it.

Grains are the cells of a power diagram whose weights change linearly in time, in slightly warped
coordinates (curved boundaries). The boundary of two grains so moves at a constant speed, small grains
have the falling weights, shrink and vanish, and any frame is known without the frames before it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from scipy.ndimage import find_objects

from emreel.synthetic.checks import require_choice, require_number, require_whole
from emreel.synthetic.detector import Detector
from emreel.synthetic.lattice import (
    Cell,
    Crystal,
    cell_table,
    column_noise,
    hexagonal_cell,
    nearest_column,
    read_cell,
    rectangular_cell,
    square_cell,
)
from emreel.synthetic.optics import Optics
from emreel.synthetic.scene import Scene, View
from emreel.synthetic.streams import Stream, random_stream, spread_points
from emreel.synthetic.texture import Image, smooth_field, speckle_profile

_SEM = Optics(modality="sem")
_LINES = Detector(dose=30.0, flicker=0.02, line_noise=0.04)
_WARP_Y_LAYER, _WARP_X_LAYER = 1, 2
_FLOOR, _PORE = 0.3, 0.12  # relative intensity between the particles and in a pore
_CURTAINS = 24
#: Patterns: their cell, and the angle after which it looks the same.
_CELLS = {"square": (square_cell, 90.0), "hexagonal": (hexagonal_cell, 60.0), "rectangular": (rectangular_cell, 180.0)}


@dataclass(frozen=True, kw_only=True)
class Ensemble:
    """The grains of a scene: centres (y, x) px, weights at the first frame and their change to the last, angles."""

    centres_yx: npt.NDArray[np.float64]
    weights_px2: npt.NDArray[np.float64]
    gains_px2: npt.NDArray[np.float64]
    angles_deg: npt.NDArray[np.float64]
    pores: npt.NDArray[np.float64]  # (pore, 5): centre y, x, half axes, angle


@dataclass(frozen=True, kw_only=True)
class GrainGrowth(Scene):
    """Grains that coarsen; identities and orientations last.

    Labels: 0 pore, k the grain k, the same through the whole movie; uint16 beyond 255 grains.

    Parameters
    ----------
    pattern : "square", "hexagonal" or "rectangular" (sides 1 to 1.6) superlattice.
    n_grains, n_pores : over the frame and a margin around it.
    growth : how far boundaries move during the movie; at 1, a typical grain of falling weight just vanishes.
    min_misorientation_deg : between neighbours in the first frame, as far as it can be had.
    pore_radius_px : mean radius; None: a quarter of the grains' mean spacing.
    curtain : relative standard deviation of the vertical stripes that ion milling leaves.
    """

    kind: ClassVar[str] = "grain_growth"
    classes: ClassVar[tuple[str, ...]] = ("pore", "grain")
    modalities: ClassVar[tuple[str, ...]] = ("sem",)

    pixel_size_nm: float = 2.0
    lattice_nm: float = 22.0
    speckle: float = 0.12
    column_spread: float = 0.1
    optics: Optics = _SEM
    detector: Detector = _LINES
    pattern: str = "square"
    n_grains: int = 24
    n_pores: int = 6
    growth: float = 1.5
    min_misorientation_deg: float = 8.0
    pore_radius_px: float | None = None
    curtain: float = 0.04

    def __post_init__(self) -> None:
        super().__post_init__()
        require_choice("pattern", self.pattern, tuple(_CELLS))
        require_whole("n_grains", self.n_grains, least=1)
        require_number("n_grains", self.n_grains, most=65_000)
        require_whole("n_pores", self.n_pores, least=0)
        for name in ("growth", "min_misorientation_deg", "curtain"):
            require_number(name, getattr(self, name), least=0)
        if self.pore_radius_px is not None:
            require_number("pore_radius_px", self.pore_radius_px, above=0)

    @property
    def column_distance_nm(self) -> float:
        """Distance of neighbouring nanoparticles, nm."""
        return self.lattice_nm

    @property
    def symmetry_deg(self) -> float:
        """Angle after which the superlattice looks the same."""
        return _CELLS[self.pattern][1]

    @property
    def n_labels(self) -> int:
        """Number of label values, 0 included."""
        return self.n_grains + 1

    @property
    def grain_spacing_px(self) -> float:
        """Mean distance of neighbouring grains in the first frame, px."""
        return float(np.sqrt(self.shape_yx[0] * self.shape_yx[1] / self.n_grains))

    @property
    def ensemble(self) -> Ensemble:
        """The grains and pores, drawn once from the seed."""
        return _ensemble(self)

    @property
    def grain_angles_deg(self) -> npt.NDArray[np.float64]:
        """Orientation of every label value: NaN for 0, then the grains, in [0, symmetry)."""
        return np.concatenate([[np.nan], self.ensemble.angles_deg])

    def _labels(self, view: View) -> npt.NDArray[Any]:
        ensemble = self.ensemble
        labels = power_diagram(
            *self._warped(view),
            ensemble.centres_yx,
            ensemble.weights_px2 + self.progress(view.index) * ensemble.gains_px2,
        )
        labels += 1
        labels[self._pore_depth(view) > 0] = 0
        return labels.astype(np.uint8 if self.n_grains < 256 else np.uint16)

    def _warped(self, view: View) -> tuple[Image, Image]:
        size = self.grain_spacing_px
        warp_y = smooth_field(view.y_px, view.x_px, wavelength_px=size, seed=self.seed, layer=_WARP_Y_LAYER)
        warp_x = smooth_field(view.y_px, view.x_px, wavelength_px=size, seed=self.seed, layer=_WARP_X_LAYER)
        amount = np.float32(0.04 * size)
        return (view.y + amount * warp_y).astype(np.float32), (view.x + amount * warp_x).astype(np.float32)

    def _pore_depth(self, view: View) -> Image:
        """How far inside a pore each pixel is, px (negative outside)."""
        depth = np.full(self.shape_yx, -np.inf, dtype=np.float32)
        for y0, x0, half_1, half_2, angle in self.ensemble.pores:
            c, s = np.cos(angle), np.sin(angle)
            reach = max(half_1, half_2) + 4.0
            rows = slice(*np.searchsorted(view.y_px, (y0 - reach, y0 + reach)))
            columns = slice(*np.searchsorted(view.x_px, (x0 - reach, x0 + reach)))
            dy, dx = view.y[rows] - y0, view.x[:, columns] - x0
            radius = np.hypot((dx * c + dy * s) / half_1, (dy * c - dx * s) / half_2)
            inside = ((1 - radius) * min(half_1, half_2)).astype(np.float32)
            np.maximum(depth[rows, columns], inside, out=depth[rows, columns])
        return depth

    def _facts(self, view: View) -> dict[str, Any]:
        labels = self._labels(view)
        angles = self.grain_angles_deg
        return {"labels": labels, "grain_angles_deg": angles, "angle_deg": angles.astype(np.float32)[labels]}

    def _paint(self, view: View) -> Image:
        particles = self._particles(view, self._labels(view))
        grain = max(self.probe_sigma_nm / self.pixel_size_nm, 1.0)
        rough = np.float32(self.speckle) * self._speckle_at(view, speckle_profile(0.6 * grain))
        picture = (np.float32(_FLOOR) + np.float32(1 - _FLOOR) * particles) * (1 + rough)
        # a pore is dark where no particle stands in front of it
        hole = np.clip(self._pore_depth(view) / 2 + 0.5, 0, 1) * np.clip(1 - particles, 0, 1)
        picture += hole * (np.float32(_PORE) - picture)
        if self.curtain:
            picture *= (1 + self.curtain * self._curtains(view)).astype(np.float32)
        return np.asarray(picture * self._thickness_at(view), dtype=np.float32)

    def _particles(self, view: View, labels: npt.NDArray[Any]) -> Image:
        """Whole nanoparticles on the lattice of their grain; each belongs to the grain that holds its centre."""
        period = self.lattice_px
        cell = _CELLS[self.pattern][0](period)
        table = cell_table(cell, self.optics, self.pixel_size_nm, self.probe_sigma_nm)
        level = self.optics.level_of(view.x + view.drift_yx[1], self.shape_yx[1])
        margin = int(np.ceil(0.6 * period))
        out = np.zeros(self.shape_yx, dtype=np.float32)
        for number, found in enumerate(find_objects(labels), start=1):
            if found is None:
                continue
            box = tuple(slice(max(s.start - margin, 0), s.stop + margin) for s in found)
            near = None if level is None else level[:, box[1]]
            patch = self._grain_patch(view, labels, number, (box[0], box[1]), (cell, table, near))
            np.maximum(out[box], patch, out=out[box])
        return out

    def _grain_patch(
        self,
        view: View,
        labels: npt.NDArray[Any],
        number: int,
        box: tuple[slice, slice],
        drawing: tuple[Cell, Image, npt.NDArray[np.int32] | None],
    ) -> Image:
        cell, table, level = drawing
        ensemble = self.ensemble
        centre = ensemble.centres_yx[number - 1]
        crystal = Crystal(
            cell=cell, angle_deg=float(ensemble.angles_deg[number - 1]), origin_yx=(float(centre[0]), float(centre[1]))
        )
        ticks = crystal.ticks(view.y[box[0]], view.x[:, box[1]])
        i, j = nearest_column(cell, ticks)
        y, x = crystal.column_positions(i, j)
        rows = np.clip(np.rint(y + np.float32(view.drift_yx[0])), 0, self.shape_yx[0] - 1).astype(np.intp)
        columns = np.clip(np.rint(x + np.float32(view.drift_yx[1])), 0, self.shape_yx[1] - 1).astype(np.intp)
        patch = read_cell(table, ticks, level)
        if self.column_spread:
            patch *= 1 + np.float32(self.column_spread) * column_noise(i + 61 * number, j, seed=self.seed)
        patch *= labels[rows, columns] == number
        return patch

    def _curtains(self, view: View) -> npt.NDArray[np.float64]:
        rng = random_stream(self.seed, Stream.PROFILE)
        wavelength = np.geomspace(6.0, 80.0, _CURTAINS) * rng.uniform(0.9, 1.1, _CURTAINS)
        phase = rng.uniform(0, 2 * np.pi, _CURTAINS)
        waves = np.cos(2 * np.pi * view.x_px[:, None] / wavelength + phase)
        return np.asarray(waves.sum(axis=1) * np.sqrt(2 / _CURTAINS))


def power_diagram(
    y_px: Image, x_px: Image, centres_yx: npt.NDArray[np.float64], weights_px2: npt.NDArray[np.float64]
) -> npt.NDArray[np.int32]:
    """Cell of each position: the centre with the smallest squared distance minus weight (Aurenhammer 1987).

    Parameters
    ----------
    y_px, x_px : positions, shape (y, x), px.
    centres_yx : shape (cell, 2), px. weights_px2 : shape (cell,), px^2.

    Returns
    -------
    index of the cell, shape (y, x).
    """
    best = np.full(y_px.shape, -np.inf, dtype=np.float32)
    owner = np.zeros(y_px.shape, dtype=np.int32)
    offsets = weights_px2 - (centres_yx**2).sum(axis=1)
    for number, ((centre_y, centre_x), offset) in enumerate(zip(centres_yx, offsets, strict=True)):
        score = y_px * np.float32(2 * centre_y)
        score += x_px * np.float32(2 * centre_x)
        score += np.float32(offset)
        better = score > best
        np.copyto(best, score, where=better)
        np.copyto(owner, number, where=better)
    return owner


@lru_cache(maxsize=8)
def _ensemble(scene: GrainGrowth) -> Ensemble:
    """The scene's grains, drawn once."""
    rng = random_stream(scene.seed, Stream.GRAINS)
    spacing, n = scene.grain_spacing_px, scene.n_grains
    height, width = scene.shape_yx
    centres = spread_points(rng, n, (height, width))
    weights = spacing**2 * rng.uniform(-0.12, 0.12, n)
    # the small ones shrink: rank by the area in the first frame, with some chance
    grid_y, grid_x = np.mgrid[0:height:96j, 0:width:96j].astype(np.float32)
    areas = np.bincount(power_diagram(grid_y, grid_x, centres, weights).reshape(-1), minlength=n)
    rank = np.argsort(np.argsort(areas / areas.mean() + rng.normal(0, 0.25, n)))
    gains = scene.growth * spacing**2 * (2 * rank / max(n - 1, 1) - 1)
    angles = _spread_angles(rng, centres, 1.8 * spacing, scene)
    radius = 0.25 * spacing if scene.pore_radius_px is None else scene.pore_radius_px
    pore_rng = random_stream(scene.seed, Stream.PORES)
    pores = np.column_stack(
        [
            spread_points(pore_rng, scene.n_pores, (height, width)),
            radius * pore_rng.uniform(0.6, 1.3, (scene.n_pores, 2)),
            pore_rng.uniform(0, np.pi, scene.n_pores),
        ]
    )
    for array in (centres, weights, gains, angles, pores):
        array.setflags(write=False)
    return Ensemble(centres_yx=centres, weights_px2=weights, gains_px2=gains, angles_deg=angles, pores=pores)


def _spread_angles(
    rng: np.random.Generator, centres: npt.NDArray[np.float64], reach_px: float, scene: GrainGrowth
) -> npt.NDArray[np.float64]:
    """An orientation for each grain, far enough from those of its neighbours."""
    fold = scene.symmetry_deg
    angles = np.empty(len(centres))
    for k, centre in enumerate(centres):
        near = angles[:k][((centres[:k] - centre) ** 2).sum(axis=1) < reach_px**2]
        candidates = rng.uniform(0, fold, 48)
        gaps = np.abs((candidates[:, None] - near[None] + fold / 2) % fold - fold / 2).min(axis=1, initial=fold)
        good = np.flatnonzero(gaps >= scene.min_misorientation_deg)
        angles[k] = candidates[good[0] if good.size else gaps.argmax()]
    return angles
