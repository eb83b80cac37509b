"""A disordered bcc alloy (A2) orders (B2) by domains that nucleate, grow and meet.

Seen along [001]: columns at the corners and in the middle of square cells. In A2 all columns are alike but for chance;
in B2 corners and middles differ, in one of two antiphase variants. Domains grow as in Johnson and Mehl
(Trans. AIME 135 (1939) 416): each at the same speed from its nucleus, until it meets another.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from emreel.synthetic.checks import require, require_number, require_pair, require_whole
from emreel.synthetic.lattice import Cell, Crystal, cell_table, column_noise, nearest_column, read_cell
from emreel.synthetic.scene import Scene, View
from emreel.synthetic.streams import Stream, random_stream, spread_points
from emreel.synthetic.texture import Image, smooth_field, speckle_profile

_WARP_LAYER = 3
_COLUMN_SHARE = 0.65
_DAMAGE = 0.15  # share of the amorphous structure on the crystal's surfaces

Nuclei = npt.NDArray[np.float64]  # (nucleus, 4): y, x px, birth as a fraction of the movie, variant 1 or 2


@dataclass(frozen=True, kw_only=True)
class OrderDisorder(Scene):
    """A2 orders to B2.

    Labels: 0 disordered, 1 ordered; `Truth.variants` tells the antiphase variants (1, 2) apart.

    Parameters
    ----------
    n_nuclei : over the frame.
    nucleation : first and last birth, as fractions of the movie.
    growth_nm_s : speed of the domains' walls; None: the frame is ordered at about 90 % of the movie.
    site_contrast : (A - B) / (A + B) of the column intensities in perfect order, times the order parameter.
    wall_px : width of the wall between order and disorder.
    wobble : how far domains are from round, relative.
    """

    kind: ClassVar[str] = "order_disorder"
    classes: ClassVar[tuple[str, ...]] = ("disordered", "ordered")

    pixel_size_nm: float = 0.025
    lattice_nm: float = 0.29
    angle_deg: float = 6.0
    column_spread: float = 0.07
    n_nuclei: int = 9
    nucleation: tuple[float, float] = (0.05, 0.45)
    growth_nm_s: float | None = None
    site_contrast: float = 0.4
    wall_px: float = 6.0
    wobble: float = 0.12

    def __post_init__(self) -> None:
        super().__post_init__()
        require_whole("n_nuclei", self.n_nuclei, least=0)
        require_pair("nucleation", self.nucleation, least=0, most=1)
        require(self.nucleation[0] <= self.nucleation[1], f"nucleation={self.nucleation}", "(first, last) in order")
        if self.growth_nm_s is not None:
            require_number("growth_nm_s", self.growth_nm_s, above=0)
        require_number("site_contrast", self.site_contrast, least=0, most=1)
        require_number("wall_px", self.wall_px, above=0)
        require_number("wobble", self.wobble, least=0, most=0.3)

    @property
    def column_distance_nm(self) -> float:
        """From the corner to the middle of the cell, nm."""
        return self.lattice_nm / math.sqrt(2)

    @property
    def speed_nm_s(self) -> float:
        """Speed of the domains' walls, nm/s."""
        if self.growth_nm_s is not None:
            return self.growth_nm_s
        spacing = np.sqrt(self.shape_yx[0] * self.shape_yx[1] / max(self.n_nuclei, 1)) * self.pixel_size_nm
        return float(0.65 * spacing / (0.5 * max(self.n_frames - 1, 1) * self.frame_time_s))

    @property
    def nuclei(self) -> Nuclei:
        """Place (y, x) px, birth as a fraction of the movie, and variant (1 or 2) of every nucleus."""
        return _nuclei(self)

    def _domains(self, view: View) -> tuple[Image, npt.NDArray[np.uint8]]:
        """How far (px) the nearest domain's wall has passed each pixel, and that domain's variant."""
        speed = self.speed_nm_s * self.frame_time_s / self.pixel_size_nm
        last = max(self.n_frames - 1, 1)
        reach = np.full(self.shape_yx, -np.inf, dtype=np.float32)
        variant = np.zeros(self.shape_yx, dtype=np.uint8)
        for y0, x0, birth, kind in self.nuclei:
            age = view.index - birth * last
            if age <= 0:
                continue
            passed = np.float32(speed * age) - np.hypot(view.y - y0, view.x - x0).astype(np.float32)
            better = passed > reach
            np.copyto(reach, passed, where=better)
            np.copyto(variant, np.uint8(kind), where=better)
        size = max(self.shape_yx) / 4
        warp = smooth_field(view.y_px, view.x_px, wavelength_px=size, seed=self.seed, layer=_WARP_LAYER)
        return reach + np.float32(self.wobble * 0.25 * size) * warp * (reach > -np.inf), variant

    def _facts(self, view: View) -> dict[str, Any]:
        passed, variant = self._domains(view)
        ordered = passed > 0
        labels = ordered.astype(np.uint8)
        return {
            "labels": labels,
            "variants": variant * labels,
            "ordered_fraction": float(ordered.mean()),
            "angle_deg": np.full(self.shape_yx, self.angle_deg % 90, dtype=np.float32),
        }

    def _paint(self, view: View) -> Image:
        half = self.lattice_px / 2
        cell = Cell(vectors_yx=((-half, half), (half, half)))
        crystal = Crystal(cell=cell, angle_deg=self.angle_deg, origin_yx=self.centre_yx)
        ticks = crystal.ticks(view.y, view.x)
        i, j = nearest_column(cell, ticks)
        table = cell_table(cell, self.optics, self.pixel_size_nm, self.probe_sigma_nm)
        lattice = read_cell(table, ticks, self.optics.level_of(view.x + view.drift_yx[1], self.shape_yx[1]))
        lattice *= self._column_weights(view, crystal, i, j)
        lattice *= np.float32(_COLUMN_SHARE)
        lattice += np.float32(1 - _COLUMN_SHARE)
        grain = max(self.probe_sigma_nm / self.pixel_size_nm, 1.0)
        lattice += np.float32(_DAMAGE * self.speckle) * self._speckle_at(view, speckle_profile(grain))
        return lattice * self._thickness_at(view)

    def _column_weights(
        self, view: View, crystal: Crystal, i: npt.NDArray[np.int32], j: npt.NDArray[np.int32]
    ) -> Image:
        """Intensity of each pixel's column: chance everywhere, alternation by as much as its place is ordered."""
        passed, variant = self._domains(view)
        order = np.clip(passed / np.float32(self.wall_px) + np.float32(0.5), 0, 1)
        order *= np.float32(3) - 2 * variant.astype(np.float32)  # +1 for variant 1, -1 for variant 2
        y, x = crystal.column_positions(i, j)
        rows = np.clip(np.rint(y + np.float32(view.drift_yx[0])), 0, self.shape_yx[0] - 1).astype(np.intp)
        columns = np.clip(np.rint(x + np.float32(view.drift_yx[1])), 0, self.shape_yx[1] - 1).astype(np.intp)
        corner = (1 - 2 * ((i + j) & 1)).astype(np.float32)
        weights = 1 + np.float32(self.site_contrast) * corner * order[rows, columns]
        if self.column_spread:
            weights += np.float32(self.column_spread) * column_noise(i, j, seed=self.seed)
        return np.asarray(weights, dtype=np.float32)


@lru_cache(maxsize=8)
def _nuclei(scene: OrderDisorder) -> Nuclei:
    rng = random_stream(scene.seed, Stream.NUCLEI)
    n = scene.n_nuclei
    places = spread_points(rng, n, scene.shape_yx)
    births = np.sort(rng.uniform(*scene.nucleation, n))
    if n:
        births[0] = scene.nucleation[0]
    variants = rng.permutation(np.arange(n) % 2 + 1)
    nuclei = np.column_stack([places, births, variants]).astype(np.float64)
    nuclei.setflags(write=False)
    return nuclei
