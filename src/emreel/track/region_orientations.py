"""In-plane angles of regions: those that a polycrystal's grains have, or measured on their fringes."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import xarray as xr

from emreel.orientation import Fringe, crystal_angles, fringes_of
from emreel.result import Result
from emreel.track.lattices import family_range, spacing_range
from emreel.track.linking import Identities, largest_piece
from emreel.track.pairs import sample_frames
from emreel.track.pictures import Pictures
from emreel.track.source import FIRST_VOID, LabelFrames

#: A region is a crystal when its fringes have this share of the amplitude of the strongest in the frame: noise of a
#: large region without a lattice has fringes, too, and they are weak.
LEAST_AMPLITUDE = 0.2


@dataclass(eq=False)
class Orientations:
    """In-plane angle of every region and frame, degrees, and the lattice's fold."""

    fold: int
    angle_deg: dict[tuple[int, int], float] = field(default_factory=dict)

    @classmethod
    def of(cls, result: Result, fold: int) -> Orientations:
        """Those that the result's grains have; none for other results."""
        if not result.layout.with_regions:
            return cls(fold)
        from emreel.model import Model

        table = result.table("regions")
        keys = zip(table["frame"].tolist(), table["region"].tolist(), strict=True)
        grains = Model.load(result.path / "model.zarr").grains
        known = dict(zip(keys, table["orientation_deg"].tolist(), strict=True))
        return cls(fold if grains is None else grains.fold, known)

    def look(self, frame: int, region: Identities) -> None:
        """Nothing is measured."""


@dataclass(eq=False)
class MeasuredOrientations(Orientations):
    """Angles that are measured frame by frame; those of earlier frames are forgotten."""

    pictures: Pictures = field(kw_only=True)
    family_px: tuple[float, float] = field(kw_only=True)

    @classmethod
    def of(  # type: ignore[override]
        cls, result: Result, movie: xr.DataArray | None, fold: int, spacings_px: tuple[float, float] | None
    ) -> MeasuredOrientations:
        """The family of fringes is that of most power in some frames' classes."""
        pictures, frames = Pictures.of(result, movie), LabelFrames.of(result, soft=False)
        spacings = spacing_range(result, spacings_px)
        found: list[Fringe] = []
        for frame in sample_frames(frames.n_frames)[::4]:
            label, picture = frames.read_label(frame), pictures.read(frame)
            for k in np.unique(label[(label > 0) & (label < FIRST_VOID)]).tolist():
                found += fringes_of(picture, largest_piece(label == k), spacings)
        return cls(fold, pictures=pictures, family_px=family_range(found))

    def look(self, frame: int, region: Identities) -> None:
        crystals = crystal_angles(
            self.pictures.read(frame), region, wavelengths_px=self.family_px, fold=self.fold, ignore=(0,)
        )
        area = np.bincount(region.ravel())
        amplitude = {
            crystal.label: max((fringe.power for fringe in crystal.fringes), default=0.0) ** 0.5 / area[crystal.label]
            for crystal in crystals
        }
        least = LEAST_AMPLITUDE * max(amplitude.values(), default=0.0)
        self.angle_deg = {
            (frame, crystal.label): crystal.angle_deg for crystal in crystals if amplitude[crystal.label] >= least > 0
        }
