"""Regions through a movie: connected pieces of one class, their identities, measures and lineage.

Identities are those of `emreel.track.linking`; those of a polycrystal's grains, which its model followed while the
movie was labelled, are taken as they are. Two frames are in memory, and a few frames' tables.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from emreel.progress import Progress, StageStarted, StepsDone, ignore
from emreel.result import RegionWriter, Result, TableWriter, acquire_lock, open_result, write_table
from emreel.track.events import add_events
from emreel.track.linking import Identities, Link, Linked, RegionFinder, RegionLinker
from emreel.track.presence import presence_events
from emreel.track.region_log import RegionLog
from emreel.track.region_orientations import MeasuredOrientations, Orientations
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
    TrackError : a least area without a pixel size. LockError : it is being written; a movie that is watched can be
        tracked once watching has ended, and again when it has gone on.
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
        angles = Orientations.of(result, fold)
        if orientations and not result.layout.with_regions:
            angles = MeasuredOrientations.of(result, movie, fold, spacings_px)
        log = RegionLog(frames, gap_frames, angles)
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
    add_events(result.path, presence_events(result), about="class")
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


def _shows_something(label: Labels) -> bool:
    return bool(((label > 0) & (label < FIRST_VOID)).any())


def _whole_steps(drift: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """How far the specimen goes from frame to frame in whole pixels, shape (time, 2), errors not added up."""
    known = pd.DataFrame(drift).ffill().fillna(0.0).to_numpy()
    whole = np.vstack([np.zeros((1, 2)), np.rint(known)]).astype(np.int64)
    return whole[1:] - whole[:-1]
