"""Regions through a movie: connected pieces of one class, their identities, measures and lineage.

Identities are those of `emreel.track.linking`; those of a polycrystal's grains, which its model followed while the
movie was labelled, are taken as they are. Two frames are in memory, and a few frames' tables.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from emreel.orientation import Fringe, angle_between, crystal_angles, fringes_of
from emreel.progress import Progress, StageStarted, StepsDone, ignore
from emreel.result import RegionWriter, Result, TableWriter, acquire_lock, open_result, write_table
from emreel.result.tables import REGION_COLUMNS
from emreel.track.events import Event, add_events
from emreel.track.lattices import family_range, spacing_range
from emreel.track.lineage import empty_links
from emreel.track.linking import Identities, Link, Linked, RegionFinder, RegionLinker, largest_piece
from emreel.track.measures import border_lengths, measure_regions
from emreel.track.pairs import sample_frames
from emreel.track.pictures import Pictures
from emreel.track.rest import read_drift
from emreel.track.source import FIRST_VOID, LabelFrames, Labels

#: Frames that a region is looked for after it was lost.
GAP_FRAMES = 3


def track_regions(
    result: Result,
    *,
    finder: RegionFinder | None = None,
    least_overlap: float = 0.3,
    gap_frames: int = GAP_FRAMES,
    orientations: bool = False,
    fold: int = 2,
    spacings_px: tuple[float, float] | None = None,
    movie: xr.DataArray | None = None,
    progress: Progress = ignore,
) -> pd.DataFrame:
    """Follow the regions of a result; writes ``labels/regions/region`` and the tables ``regions``, ``boundaries``,
    ``lineage`` and ``events``.

    Parameters
    ----------
    finder : which pieces of a frame are regions, `emreel.track.linking.RegionFinder`.
    least_overlap : share of the smaller of two regions in consecutive frames that relates them.
    gap_frames : for so long a lost region is looked for.
    orientations : measure the in-plane angle of every region's lattice on its fringes, about 0.2 s a frame (grains of a
        polycrystal have theirs). fold : of the crystals' in-plane symmetry, even: an angle is told in [0, 360 / fold).
    spacings_px, movie : as for `emreel.track.twins.track_twins`; of all spacings the family with most power is taken.

    Returns
    -------
    The table ``regions``: one row a region and frame. ``event`` is "appears" or "splits" in a region's first frame,
    "vanishes" or "merges" in its last. ``orientation_deg`` is the lattice's, where grains were followed; ``axis_deg``
    that of the outline. ``boundaries`` has a row for every two regions that touch, with their misorientation.

    Raises
    ------
    TrackError : a least area without a pixel size. ResultError : the result grows. LockError : it is being written.
    """
    frames = LabelFrames.of(result, soft=False)
    finder = finder or RegionFinder()
    follower: _Follower
    with ExitStack() as stack:
        stack.enter_context(acquire_lock(result.path))
        if result.layout.with_regions:
            follower, regions = _Grains(open_result(result.path, chunks=None), gap_frames), None
        else:
            least = finder.least_px2(frames.pixel_size_nm)
            linker = RegionLinker(least_overlap=least_overlap, gap_frames=gap_frames, least_px2=least)
            follower = _Pieces(finder, linker, _whole_steps(read_drift(result, progress)))
            regions = stack.enter_context(RegionWriter(result.path))
        rows = stack.enter_context(TableWriter(result.path, "regions"))
        borders = stack.enter_context(TableWriter(result.path, "boundaries"))
        angles = _Orientations.of(result, fold)
        if orientations and not result.layout.with_regions:
            angles = _Measured.of(result, movie, fold, spacings_px)
        log = _Log(frames, gap_frames, angles)
        progress(StageStarted("regions", frames.n_frames))
        for frame in range(frames.n_frames):
            label = frames.read_label(frame)
            linked = follower.step(frame, label) if _shows_something(label) else None
            if regions is not None:
                regions.append(np.zeros(label.shape, np.uint32) if linked is None else linked.region)
            if linked is not None:
                angles.look(frame, linked.region)
                borders.append(log.borders(frame, linked.region))
                for table in log.add(frame, label, linked):
                    rows.append(table)
            progress(StepsDone("regions", frame + 1, frames.n_frames))
        log.lose(follower.finish(frames.n_frames))
        for table in log.waiting_tables():
            rows.append(table)
    write_table(result.path, "lineage", log.lineage())
    add_events(result.path, log.events, about="region")
    return result.table("regions")


def size_table(regions: pd.DataFrame) -> pd.DataFrame:
    """Sizes through time: one row a frame and label.

    Returns
    -------
    frame, time_s, label, n_regions, area_mean_px2, area_median_px2, area_sd_px2, diameter_mean_px (of circles of the
    areas), and the means in nm2 and nm.
    """
    sized = regions.assign(
        diameter_px=np.sqrt(4 * regions["area_px2"] / np.pi), diameter_nm=np.sqrt(4 * regions["area_nm2"] / np.pi)
    )
    grouped = sized.groupby(["frame", "label"], sort=True)
    return grouped.agg(
        time_s=("time_s", "first"),
        n_regions=("region", "size"),
        area_mean_px2=("area_px2", "mean"),
        area_median_px2=("area_px2", "median"),
        area_sd_px2=("area_px2", "std"),
        diameter_mean_px=("diameter_px", "mean"),
        area_mean_nm2=("area_nm2", "mean"),
        diameter_mean_nm=("diameter_nm", "mean"),
    ).reset_index()


# ------------------------------------------------------------------------------------------------ inside


class _Follower(Protocol):
    def step(self, frame: int, label: Labels) -> Linked: ...

    def finish(self, n_frames: int) -> tuple[tuple[int, int], ...]: ...


@dataclass(eq=False)
class _Pieces:
    """Identities by overlap."""

    finder: RegionFinder
    linker: RegionLinker
    steps_yx: npt.NDArray[np.int64]
    _last: int = 0

    def step(self, frame: int, label: Labels) -> Linked:
        pieces, classes = self.finder(label, self.linker.least_px2 / 2)
        moved = self.steps_yx[self._last + 1 : frame + 1].sum(axis=0)
        self._last = frame
        return self.linker.step(frame, pieces, classes, (int(moved[0]), int(moved[1])))

    def finish(self, n_frames: int) -> tuple[tuple[int, int], ...]:
        return self.linker.finish(n_frames)


@dataclass(eq=False)
class _Grains:
    """Identities that the result holds already."""

    result: Result
    gap_frames: int
    _last_seen: dict[int, int] = field(default_factory=dict)
    _gone: set[int] = field(default_factory=set)

    def step(self, frame: int, label: Labels) -> Linked:
        region: Identities = np.asarray(self.result.region.isel(time=frame).values, np.uint32)
        here = [name for name in np.unique(region).tolist() if name > 0]
        appeared = tuple(name for name in here if name not in self._last_seen and name not in self._gone)
        links = tuple(
            Link(source=name, target=name, frame=frame, kind="gap")
            for name in here
            if self._last_seen.get(name, frame) < frame - 1
        )
        self._last_seen |= dict.fromkeys(here, frame)
        lost = [(name, last + 1) for name, last in self._last_seen.items() if last < frame - self.gap_frames]
        for name, _ in lost:
            del self._last_seen[name]
            self._gone.add(name)
        return Linked(region=region, links=links, appeared=appeared, vanished=tuple(lost))

    def finish(self, n_frames: int) -> tuple[tuple[int, int], ...]:
        return tuple((name, last + 1) for name, last in sorted(self._last_seen.items()) if last + 1 < n_frames)


@dataclass(eq=False)
class _Orientations:
    """In-plane angle of every region and frame, degrees, and the lattice's fold."""

    fold: int
    angle_deg: dict[tuple[int, int], float] = field(default_factory=dict)

    @classmethod
    def of(cls, result: Result, fold: int) -> _Orientations:
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
class _Measured(_Orientations):
    """Angles that are measured frame by frame; those of earlier frames are forgotten."""

    pictures: Pictures = field(kw_only=True)
    family_px: tuple[float, float] = field(kw_only=True)

    @classmethod
    def of(  # type: ignore[override]
        cls, result: Result, movie: xr.DataArray | None, fold: int, spacings_px: tuple[float, float] | None
    ) -> _Measured:
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
        self.angle_deg = {(frame, crystal.label): crystal.angle_deg for crystal in crystals}


@dataclass(eq=False)
class _Log:
    """Tables and events as they come; a frame's rows wait until it is known what became of its regions."""

    frames: LabelFrames
    gap_frames: int
    orientations: _Orientations
    events: list[Event] = field(default_factory=list)
    _links: list[Link] = field(default_factory=list)
    _waiting: deque[pd.DataFrame] = field(default_factory=deque)
    _label_of: dict[int, int] = field(default_factory=dict)
    _is_first: bool = True

    def add(self, frame: int, label: Labels, linked: Linked) -> Iterator[pd.DataFrame]:
        """The next frame; yields tables that are settled."""
        self._waiting.append(self._rows(frame, label, linked.region))
        self._links += linked.links
        for link in linked.links:
            if link.kind == "split":
                self._mark(frame, link.target, "splits")
                self._tell("region_splits", frame, link.source, into=link.target)
            elif link.kind == "merge":
                self._mark(frame - 1, link.source, "merges")
                self._tell("region_merges", frame, link.source, into=link.target)
        if not self._is_first:
            for name in linked.appeared:
                self._mark(frame, name, "appears")
                self._tell("region_appears", frame, name)
        self._is_first = False
        self.lose(linked.vanished)
        while len(self._waiting) > self.gap_frames + 2:
            yield self._waiting.popleft()

    def lose(self, vanished: tuple[tuple[int, int], ...]) -> None:
        """Regions that have vanished, each with the first frame without it."""
        for name, frame in vanished:
            self._mark(frame - 1, name, "vanishes")
            self._tell("region_vanishes", frame, name)

    def waiting_tables(self) -> Iterator[pd.DataFrame]:
        while self._waiting:
            yield self._waiting.popleft()

    def lineage(self) -> pd.DataFrame:
        if not self._links:
            return empty_links()
        rows = [(link.frame, link.source, link.target, link.kind) for link in self._links]
        return pd.DataFrame(rows, columns=list(empty_links().columns))

    def borders(self, frame: int, region: Identities) -> pd.DataFrame:
        """Pairs of regions that touch, and how their lattices are turned against one another."""
        table = border_lengths(region)
        one, other = (
            [self.orientations.angle_deg.get((frame, name), np.nan) for name in table[column].tolist()]
            for column in ("region", "neighbour")
        )
        turn = np.abs(angle_between(one, other, self.orientations.fold))
        table.insert(0, "frame", frame)
        table.insert(1, "time_s", self.frames.time_s(frame))
        return table.assign(length_nm=table["length_px"] * self.frames.pixel_nm, misorientation_deg=turn)

    def _rows(self, frame: int, label: Labels, region: Identities) -> pd.DataFrame:
        table = measure_regions(region)
        names, first = np.unique(region, return_index=True)
        classes = dict(zip(names.tolist(), label.ravel()[first].tolist(), strict=True))
        self._label_of |= {name: self._label_of.get(name, k) for name, k in classes.items()}
        nm = self.frames.pixel_nm
        names_here = table["region"].tolist()
        table = table.assign(
            frame=frame,
            time_s=self.frames.time_s(frame),
            label=np.array([self._label_of[name] for name in names_here], np.int64),
            area_nm2=table["area_px2"] * nm**2,
            orientation_deg=[self.orientations.angle_deg.get((frame, name), np.nan) for name in names_here],
            event="",
            perimeter_nm=table["perimeter_px"] * nm,
        )
        return table[[*REGION_COLUMNS, *(name for name in table if name not in REGION_COLUMNS)]].astype(
            {"orientation_deg": np.float64, "event": str}
        )

    def _mark(self, frame: int, name: int, event: str) -> None:
        """Note an event in the row of a region's last frame up to ``frame``; its first is told last."""
        rows = [table for table in self._waiting if (table["region"] == name).any() and table["frame"].iloc[0] <= frame]
        if rows:
            rows[-1].loc[rows[-1]["region"] == name, "event"] = event

    def _tell(self, kind: str, frame: int, name: int, into: int | None = None) -> None:
        values: dict[str, Any] = {"region": name, "label": self._label_of.get(name, 0)}
        values |= {} if into is None else {"other_region": into}
        self.events.append(
            Event(
                kind=kind,
                frame=frame,
                time_s=self.frames.known_time_s(frame),
                subject=f"region {name}",
                values=values,
            )
        )


def _shows_something(label: Labels) -> bool:
    return bool(((label > 0) & (label < FIRST_VOID)).any())


def _whole_steps(drift: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """How far the specimen goes from frame to frame in whole pixels, shape (time, 2), errors not added up."""
    known = pd.DataFrame(drift).ffill().fillna(0.0).to_numpy()
    whole = np.vstack([np.zeros((1, 2)), np.rint(known)]).astype(np.int64)
    return whole[1:] - whole[:-1]
