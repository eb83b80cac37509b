"""An amorphous front that eats a crystalline oxide film, seen along a zone axis of its substrate.

From the top: metal cap, amorphous oxide, crystalline film, substrate. Film and substrate share one
coherent perovskite lattice along [100] (heavy columns at the corners, weaker ones in the middle).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from emreel.synthetic.checks import require, require_choice, require_number
from emreel.synthetic.lattice import Crystal, cell_table, column_noise, nearest_column, read_cell, square_cell
from emreel.synthetic.scene import Scene, View
from emreel.synthetic.streams import Stream, random_stream
from emreel.synthetic.texture import Image, Texture, speckle_profile

CAP, AMORPHOUS, FILM, SUBSTRATE = range(4)
LAWS = ("linear", "parabolic", "jmak", "pause")
_CAP_LAYER, _CAP_GRAIN_LAYER = 1, 2
_PROFILE_MODES = 6
_MEAN = {"cap": 0.42, "film": 1.0, "substrate": 0.62}  # relative HAADF intensity
_COLUMN_SHARE = 0.55  # of the crystal's HAADF intensity that is channelled into the columns
_DAMAGE = 0.12  # share of the amorphous structure that the surfaces of the crystal show too
_HRTEM_CONTRAST = 0.16
_TEN_NINETY = 4.394  # 10-90 % width of the logistic function


@dataclass(frozen=True, kw_only=True)
class AmorphousFront(Scene):
    """Oxide film on a substrate; an amorphous front grows from the film's surface.

    Labels: 0 cap, 1 amorphous, 2 film, 3 substrate. ``front_row[x]`` is the first row of column x whose label
    is film or substrate, in the frame as recorded.

    The mean depth of the front below the cap, along the growth direction, at time t:
    "linear" v (t - incubation); "parabolic" sqrt(k (t - incubation)); "jmak"
    D (1 - exp(-((t - incubation) / tau)^n)); "pause" linear, at rest during `pause_s`.
    No law goes deeper than D = `stop_fraction` of the film.

    Parameters
    ----------
    law : see above.
    velocity_nm_s : v of "linear" and "pause", nm/s; None: the front stops with the movie.
    parabolic_nm2_s : k, nm^2/s; None: likewise.
    time_constant_s, exponent : tau (None: 0.45 of the movie) and n.
    pause_s : start and end of the rest, s; None: 40 % to 55 % of the movie.
    incubation_s : before this time nothing moves.
    stop_fraction : of the film's thickness.
    cap_fraction, substrate_fraction : of the frame's height, without drift and turn.
    roughness_px : root mean square of the front's profile; its waves fit the frame's width, so its mean is zero.
    roughness_frames : lifetime of the profile, frames.
    front_width_px : 10 to 90 % width of the transition.
    tilt_deg : angle of the front against the interface.
    amorphous_ratio : mean intensity of the amorphous over the crystalline film.
    centre_weight : weight of the middle column against the corner, film and substrate.
    """

    kind: ClassVar[str] = "front"
    classes: ClassVar[tuple[str, ...]] = ("cap", "amorphous", "film", "substrate")
    modalities: ClassVar[tuple[str, ...]] = ("haadf", "hrtem")

    law: str = "linear"
    velocity_nm_s: float | None = None
    parabolic_nm2_s: float | None = None
    time_constant_s: float | None = None
    exponent: float = 1.8
    pause_s: tuple[float, float] | None = None
    incubation_s: float = 0.0
    stop_fraction: float = 0.85
    cap_fraction: float = 0.22
    substrate_fraction: float = 0.28
    roughness_px: float = 4.0
    roughness_frames: float = 15.0
    front_width_px: float = 4.0
    tilt_deg: float = 0.0
    amorphous_ratio: float = 0.965
    centre_weight: float = 0.45

    def __post_init__(self) -> None:
        super().__post_init__()
        require_choice("law", self.law, LAWS)
        for name in ("velocity_nm_s", "parabolic_nm2_s", "time_constant_s"):
            if getattr(self, name) is not None:
                require_number(name, getattr(self, name), above=0)
        require_number("exponent", self.exponent, above=0)
        require_number("incubation_s", self.incubation_s, least=0)
        require_number("stop_fraction", self.stop_fraction, above=0, most=1)
        for name in ("cap_fraction", "substrate_fraction"):
            require_number(name, getattr(self, name), least=0, most=0.9)
        film = 1 - self.cap_fraction - self.substrate_fraction
        require(film >= 0.05, f"cap and substrate that leave {film:.0%} of the frame", "a film of at least 5 %")
        for name in ("roughness_px", "roughness_frames"):
            require_number(name, getattr(self, name), least=0)
        require_number("front_width_px", self.front_width_px, above=0)
        for name in ("tilt_deg", "angle_deg"):
            require_number(name, getattr(self, name), least=-40, most=40)
        require_number("amorphous_ratio", self.amorphous_ratio, above=0)
        require_number("centre_weight", self.centre_weight, least=0)
        start, end = self.pause_between_s
        require_number("pause_s: start", start, least=0)
        require(end >= start, f"pause_s={self.pause_s}", "(start, end) with end not before start")

    # Kinetics ---------------------------------------------------------------------------------

    @property
    def duration_s(self) -> float:
        """Time of the last frame, s."""
        return max(self.n_frames - 1, 1) * self.frame_time_s

    @property
    def film_nm(self) -> float:
        """Thickness of the film before anything happened, nm."""
        return (self.interface_px[1] - self.interface_px[0]) * self.pixel_size_nm

    @property
    def stop_nm(self) -> float:
        """Depth at which the front stops, nm."""
        return self.stop_fraction * self.film_nm

    @property
    def pause_between_s(self) -> tuple[float, float]:
        """Start and end of the rest of law "pause", s."""
        return (0.4 * self.duration_s, 0.55 * self.duration_s) if self.pause_s is None else self.pause_s

    @property
    def speed_nm_s(self) -> float:
        """v of the laws "linear" and "pause", nm/s."""
        if self.velocity_nm_s is not None:
            return self.velocity_nm_s
        moving = self.duration_s - self.incubation_s
        if self.law == "pause":
            start, end = np.clip(self.pause_between_s, self.incubation_s, self.duration_s)
            moving -= float(end - start)
        return self.stop_nm / max(moving, self.frame_time_s)

    def depth_nm(self, time_s: float) -> float:
        """Mean depth of the front below the cap along the growth direction, nm."""
        t = max(time_s - self.incubation_s, 0.0)
        if self.law == "parabolic":
            rate = self.parabolic_nm2_s or self.stop_nm**2 / max(self.duration_s - self.incubation_s, self.frame_time_s)
            depth = math.sqrt(rate * t)
        elif self.law == "jmak":
            tau = self.time_constant_s or 0.45 * self.duration_s
            depth = -self.stop_nm * math.expm1(-((t / tau) ** self.exponent))
        else:
            depth = self.speed_nm_s * (t - (self._rested_s(time_s) if self.law == "pause" else 0.0))
        return min(depth, self.stop_nm)

    def _rested_s(self, time_s: float) -> float:
        start, end = np.clip(self.pause_between_s, self.incubation_s, None)
        return float(np.clip(time_s, start, end) - start)

    @property
    def column_distance_nm(self) -> float:
        """From the corner to the middle of the cell, nm."""
        return self.lattice_nm / math.sqrt(2)

    # Geometry ---------------------------------------------------------------------------------

    @cached_property
    def interface_px(self) -> tuple[float, float]:
        """Depth of the cap's and of the substrate's interface, px; the film is a whole number of cells."""
        height = self.shape_yx[0]
        substrate = height * (1 - self.substrate_fraction)
        cells = max(1, round((substrate - height * self.cap_fraction) / self.lattice_px))
        return substrate - cells * self.lattice_px, substrate

    def _depth_and_lateral(self, view: View) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Every pixel's position along the growth direction and along the interface, px, shape (y, x)."""
        cy, cx = self.centre_yx
        c, s = np.cos(np.deg2rad(self.angle_deg)), np.sin(np.deg2rad(self.angle_deg))
        depth = ((view.y - cy) * c + cy).astype(np.float32) - ((view.x - cx) * s).astype(np.float32)
        lateral = ((view.y - cy) * s).astype(np.float32) + ((view.x - cx) * c + cx).astype(np.float32)
        return np.asarray(depth), np.asarray(lateral)

    def _front_below(self, view: View, lateral: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Depth of the front at lateral positions, px in the specimen."""
        depth_px = self.depth_nm(view.index * self.frame_time_s) / self.pixel_size_nm
        width = self.shape_yx[1]
        grid = np.arange(-width, 2 * width + 1, dtype=np.float64)
        # a thin layer cannot be rough: keeps the front below the cap and its mean where the law says
        rough = self.roughness_px * (1 - np.exp(-depth_px / max(4 * self.roughness_px, 1e-9)))
        profile = rough * self._profile(grid, view.index)
        profile += np.tan(np.deg2rad(self.tilt_deg)) * (grid - (width - 1) / 2) * min(1.0, depth_px / (0.1 * width))
        shifted = np.interp(lateral.reshape(-1), grid, profile).reshape(lateral.shape)
        top, bottom = self.interface_px
        return np.asarray(np.clip(top + depth_px + shifted, top, bottom), dtype=np.float32)

    def _profile(self, lateral_px: npt.NDArray[np.float64], index: int) -> npt.NDArray[np.float64]:
        """Unit rough profile: whole waves over the frame's width, so that its mean over the width is zero."""
        rng = random_stream(self.seed, Stream.PROFILE)
        phase = rng.uniform(0, 2 * np.pi, _PROFILE_MODES)
        if self.roughness_frames:
            phase = phase + rng.standard_normal(_PROFILE_MODES) * index / self.roughness_frames
        mode = np.arange(1, _PROFILE_MODES + 1)
        amplitude = 1.0 / mode
        waves = np.sin(2 * np.pi * np.outer(lateral_px / self.shape_yx[1], mode) + phase)
        return np.asarray(waves @ amplitude / np.sqrt((amplitude**2).sum() / 2))

    def _facts(self, view: View) -> dict[str, Any]:
        depth, lateral = self._depth_and_lateral(view)
        top, bottom = self.interface_px
        front = self._front_below(view, lateral)
        labels = np.full(self.shape_yx, FILM, dtype=np.uint8)
        labels[depth < front] = AMORPHOUS
        labels[depth < top] = CAP
        labels[depth >= bottom] = SUBSTRATE
        crystal = labels >= FILM
        height = self.shape_yx[0]
        first = np.where(crystal.any(axis=0), crystal.argmax(axis=0), height).astype(np.int32)
        angle = np.where(crystal, np.float32(self.angle_deg % 90), np.float32(np.nan))
        depth_nm = self.depth_nm(view.index * self.frame_time_s)
        return {"labels": labels, "front_row": first, "front_depth_nm": depth_nm, "angle_deg": angle}

    # Picture ----------------------------------------------------------------------------------

    def _paint(self, view: View) -> Image:
        depth, lateral = self._depth_and_lateral(view)
        top, bottom = self.interface_px
        profile = self.optics.carbon_profile(self.pixel_size_nm, self.probe_sigma_nm)
        if self.optics.modality == "haadf":
            ring = 0.66 * self.lattice_px
            profile = speckle_profile(max(self.probe_sigma_nm / self.pixel_size_nm, 1.0), ring_px=ring)
        speckle = self._speckle_at(view, profile)
        crystal = self._lattice_at(view)
        in_crystal = _step(depth - self._front_below(view, lateral), self.front_width_px)
        in_substrate = _step(depth - np.float32(bottom), 2.0)
        below_cap = _step(depth - np.float32(top), 2.0)
        if self.optics.modality == "hrtem":
            return self._mix_hrtem(crystal, speckle, (in_crystal, in_substrate, below_cap)) * self._thickness_at(view)
        mean = _MEAN["film"] + np.float32(_MEAN["substrate"] - _MEAN["film"]) * in_substrate
        rough = np.float32(self.speckle) * speckle
        amorphous = np.float32(_MEAN["film"] * self.amorphous_ratio) * (1 + rough)
        oxide = amorphous + in_crystal * (mean * (crystal + np.float32(_DAMAGE) * rough) - amorphous)
        cap = self._cap_at(view)
        return (cap + below_cap * (oxide - cap)) * self._thickness_at(view)

    def _lattice_at(self, view: View) -> Image:
        """The perovskite lattice over the whole frame: mean 1 (HAADF) or modulation about 0 (HRTEM)."""
        cell = square_cell(self.lattice_px, self.centre_weight)
        cy, cx = self.centre_yx
        turn = np.deg2rad(self.angle_deg)
        # corners half a cell off the substrate's interface, so that both layers are whole cells
        below = self.interface_px[1] + 0.5 * self.lattice_px - cy
        origin = (cy + below * np.cos(turn), cx - below * np.sin(turn))
        ticks = Crystal(cell=cell, angle_deg=self.angle_deg, origin_yx=origin).ticks(view.y, view.x)
        table = cell_table(cell, self.optics, self.pixel_size_nm, self.probe_sigma_nm)
        lattice = read_cell(table, ticks, self.optics.level_of(view.x + view.drift_yx[1], self.shape_yx[1]))
        if self.column_spread:
            spread = column_noise(*nearest_column(cell, ticks), seed=self.seed)
            lattice *= 1 + np.float32(self.column_spread) * spread
        if self.optics.modality == "haadf":
            lattice *= np.float32(_COLUMN_SHARE)
            lattice += np.float32(1 - _COLUMN_SHARE)
        return lattice

    def _cap_at(self, view: View) -> Image:
        """The metal cap: fine speckle on grains much larger than its atoms, no lattice in sight."""
        grain = 1.2 * self.lattice_px
        fine = speckle_profile(max(self.probe_sigma_nm / self.pixel_size_nm, 1.0))
        size, seed = self.shape_yx, self.seed
        grains = Texture(
            shape_yx=size, profile=speckle_profile(grain), lifetime_frames=0, seed=seed, layer=_CAP_GRAIN_LAYER
        )
        specks = Texture(shape_yx=size, profile=fine, lifetime_frames=self.speckle_frames, seed=seed, layer=_CAP_LAYER)
        cap = 0.18 * grains.at(view.index, view.drift_yx) + 0.08 * specks.at(view.index, view.drift_yx)
        return np.asarray(_MEAN["cap"] * (1 + cap), dtype=np.float32)

    def _mix_hrtem(self, crystal: Image, speckle: Image, steps: tuple[Image, Image, Image]) -> Image:
        """Phase contrast on layers that scatter more or less electrons out of the aperture."""
        in_crystal, in_substrate, below_cap = steps
        rough = np.float32(0.4 * self.speckle) * speckle
        lighter = 1 + np.float32(0.08) * in_substrate
        contrast = np.float32(_HRTEM_CONTRAST) * (1 - np.float32(0.35) * in_substrate)
        lattice = lighter * (1 + contrast * crystal + np.float32(2 * _DAMAGE) * rough)
        amorphous = np.float32(2 - self.amorphous_ratio) * (1 + rough)
        oxide = amorphous + in_crystal * (lattice - amorphous)
        cap = np.float32(0.72) * (1 + np.float32(1.3) * rough)
        return cap + below_cap * (oxide - cap)


def _step(distance: npt.NDArray[np.float32], width_px: float) -> npt.NDArray[np.float32]:
    """Logistic step from 0 (far negative distance) to 1 with a 10 to 90 % width of `width_px`."""
    z = np.clip(distance * np.float32(-_TEN_NINETY / width_px), -30, 30)
    out: npt.NDArray[np.float32] = np.exp(z, out=z)
    out += 1
    return np.reciprocal(out, out=out)
