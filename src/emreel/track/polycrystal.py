"""The grains of a polycrystal through a movie: frames are labelled in parallel, grains followed in their order.

A frame's grains depend on those of the frame before it. So blocks are finished one after another, by the driver: the
workers label and describe the frames of the next few blocks, which is nearly all of the work, and hand back maps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr
import zarr

from emreel import engine
from emreel.descriptors.geometry import Tile, grid_length
from emreel.descriptors.ring import Ring
from emreel.model import FrameLabels, Model
from emreel.polycrystal import GrainState
from emreel.prepare import FrameReport
from emreel.result import Block, Ledger, Record, write_block
from emreel.result.store import STORE
from emreel.track.errors import TrackError

#: The label that has grains; see `emreel.fit.polycrystal`.
LATTICE = 2
#: Frames that are labelled before the first of them is written, for each worker.
FRAMES_AHEAD = 4

RowOf = Callable[[int, FrameReport, Model, npt.NDArray[np.uint8]], dict[str, Any]]


def follow_grains(model: Model, labels: FrameLabels, state: GrainState | None) -> tuple[GrainState | None, FrameLabels]:
    """A polycrystal's next frame with its grains, and the state after it; None before the first frame.

    A frame without features (blank, unreadable) shows no grain and leaves the state as it was.

    Raises
    ------
    TrackError : the model is not that of a polycrystal.
    """
    ring, follower = model.descriptor, model.grains
    if not isinstance(ring, Ring) or follower is None:
        raise TrackError("the model follows no grains. Fit it on a polycrystal, or with [grains] find = 'always'.")
    if labels.features is None:
        grid = tuple(grid_length(n, model.stride) for n in labels.label.shape)
        nothing = np.zeros(labels.label.shape, np.uint32)
        return state, replace(labels, region=nothing, angle_deg=np.full(grid, np.nan, np.float32))
    lattice = labels.label == LATTICE
    features = labels.features
    state, region = follower.step(state, features[..., 0], ring.harmonics(features), lattice)
    on_grid = lattice[:: model.stride, :: model.stride]
    angle = np.where(on_grid, ring.angle_deg(features), np.float32(np.nan)).astype(np.float32)
    return state, replace(labels, region=region, angle_deg=angle)


def follow_frame(
    model: Model, labels: FrameLabels, state: GrainState | None, row: Mapping[str, Any]
) -> tuple[GrainState | None, FrameLabels, dict[str, Any]]:
    """`follow_grains`, and the frame's row of the ledger with its grains and regions in it."""
    state, labels = follow_grains(model, labels, state)
    if state is None or labels.features is None:
        return state, labels, dict(row)
    found = {"grains": state.to_json(), "regions": measure_regions(labels, state.angles_deg)}
    return state, labels, dict(row) | found


def label_polycrystal(
    movie: xr.DataArray, model: Model, path: Path, ledger: Ledger, row_of: RowOf, record: Callable[[Record], None]
) -> None:
    """Label every missing block of a polycrystal's result, in order, on the active scheduler.

    row_of : makes the ledger's row of a frame. record : is called with every finished block.
    """
    layout = ledger.layout
    missing = ledger.missing
    per_round = max(FRAMES_AHEAD * engine.active_workers().n_tasks // layout.frames_per_shard, 1)
    state: GrainState | None = None
    last = None
    for start in range(0, len(missing), per_round):
        blocks = missing[start : start + per_round]
        frames = [frame for block in blocks for frame in range(*block.frames)]
        work = _LabelFrame(model, layout.preview_factor)
        locate = partial(_whole_frame, shape_yx=layout.shape_tyx[1:])
        found = dict(zip(frames, engine.map_regions(movie, frames, locate, work), strict=True))
        for block in blocks:
            if block.index == 0:
                state = None
            elif last != block.index - 1:
                state = _state_before(block, model, path, ledger)
            state, finished = _finish_block(block, found, model, path, ledger, state, row_of)
            record(finished)
            last = block.index


# ------------------------------------------------------------------------------------------------ inside


@dataclass(frozen=True, eq=False)
class _Labelled:
    """What a worker hands back of one frame; its prepared frame is the preview already."""

    labels: FrameLabels
    report: FrameReport


@dataclass(frozen=True)
class _LabelFrame:
    """The task: label and describe one frame."""

    model: Model
    preview_factor: int

    def __call__(self, pixels: npt.NDArray[Any], frame: int) -> _Labelled:
        report = self.model.report(pixels[0])
        labels = self.model.label_frame(pixels[0], report)
        preview = self.model.prepare.preview(labels.prepared, self.preview_factor)
        return _Labelled(replace(labels, prepared=preview), report)  # type: ignore[arg-type]


def _whole_frame(frame: int, shape_yx: tuple[int, int]) -> engine.Region:
    return engine.Region(frame, frame + 1, Tile(0, shape_yx[0], 0, shape_yx[1]))


def _finish_block(
    block: Block,
    found: dict[int, _Labelled],
    model: Model,
    path: Path,
    ledger: Ledger,
    state: GrainState | None,
    row_of: RowOf,
) -> tuple[GrainState | None, Record]:
    """Follow the grains through one block, and write it."""
    followed, rows = [], []
    for frame in range(*block.frames):
        one = found.pop(frame)
        row = row_of(frame, one.report, model, one.labels.label)
        state, labels, row = follow_frame(model, one.labels, state, row)
        followed.append(labels)
        rows.append(row)
    layout = ledger.layout
    checksums = write_block(
        path,
        layout,
        block,
        label=np.stack([labels.label for labels in followed]),
        preview=np.stack([labels.prepared for labels in followed]).astype(np.uint8, copy=False),
        membership=np.stack([labels.membership for labels in followed]) if layout.with_membership else None,
        region=np.stack([_given(labels.region) for labels in followed]),
        angle=np.stack([_given(labels.angle_deg) for labels in followed]),
    )
    return state, Record(block=block, checksums=checksums, rows=tuple(rows))


def measure_regions(labels: FrameLabels, angles_deg: Mapping[int, float]) -> list[list[Any]]:
    """[region, label, px, y, x, angle_deg] of every region of a frame, see `emreel.result.tables.region_table`."""
    region = _given(labels.region)
    numbers, inverse, area = np.unique(region, return_inverse=True, return_counts=True)
    inverse = inverse.reshape(region.shape)
    over_y = np.bincount(inverse.ravel(), np.repeat(np.arange(region.shape[0]), region.shape[1]))
    over_x = np.bincount(inverse.ravel(), np.tile(np.arange(region.shape[1]), region.shape[0]))
    return [
        [int(n), LATTICE, int(px), round(float(y / px), 3), round(float(x / px), 3), angles_deg.get(int(n))]
        for n, px, y, x in zip(numbers, area, over_y, over_x, strict=True)
        if n > 0
    ]


def _state_before(block: Block, model: Model, path: Path, ledger: Ledger) -> GrainState | None:
    """The grains as the frames before a block have left them: the last usable frame's, read back."""
    array = zarr.open_array(path / STORE / ledger.layout.arrays()["region"].path, mode="r")
    rows = (row for index in range(block.index - 1, -1, -1) for row in reversed(ledger.done[index].rows))
    return last_grains(rows, model, lambda frame: np.asarray(array[frame]))


def last_grains(
    rows: Iterable[Mapping[str, Any]], model: Model, read_region: Callable[[int], npt.NDArray[np.uint32]]
) -> GrainState | None:
    """The grains of the first of these rows of the ledger that has any; None when none has. Latest rows first."""
    for row in rows:
        if "grains" in row:
            region = read_region(int(row["frame"]))
            return GrainState.from_json(row["grains"], region[:: model.stride, :: model.stride])
    return None


def _given(array: npt.NDArray[Any] | None) -> npt.NDArray[Any]:
    if array is None:
        raise TrackError("the frame's grains were not followed. Call follow_grains first.")
    return array
