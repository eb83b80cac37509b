"""Blocks of a movie are labelled: what each needs, in which order, and the task that writes it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from emreel import engine
from emreel.descriptors.geometry import Tile
from emreel.label.rows import frame_row
from emreel.label.surveying import Surveyed
from emreel.label.windows import slide_windows
from emreel.model import FrameEvidence, Model
from emreel.prepare import FrameReport
from emreel.prepare.measure import measure_frames
from emreel.progress import Note, Progress, StageStarted, StepsDone
from emreel.result import Block, Layout, Ledger, Record, write_block
from emreel.track.polycrystal import label_polycrystal

#: Blocks of tiled frames whose frames are measured ahead of labelling.
MEASURED_AHEAD = 8


def label_missing(
    movie: xr.DataArray,
    model: Model,
    path: Path,
    ledger: Ledger,
    found: Surveyed,
    progress: Progress,
    stop_on_error: bool,
) -> dict[Block, str]:
    """Label what is missing; returns the blocks that are quarantined, and why."""
    layout, missing = ledger.layout, ledger.missing
    n_done = layout.n_blocks - len(missing)
    if n_done and missing:
        progress(Note(f"going on after {n_done} of {layout.n_blocks} blocks"))
    progress(StageStarted("label", layout.n_blocks))
    done = [n_done]
    progress(StepsDone("label", n_done, layout.n_blocks))

    def count(finished: Record) -> None:
        ledger.append(finished)
        done[0] += 1
        progress(StepsDone("label", done[0], layout.n_blocks))

    if model.grains is not None:
        label_polycrystal(movie, model, path.resolve(), ledger, frame_row, count)
        return {}
    failed: dict[Block, str] = {}

    def quarantine(job: Job, error: BaseException) -> None:
        failed[job.block] = " ".join(str(error).split()) or type(error).__name__
        t0, t1 = job.block.frames
        progress(Note(f"frames {t0} to {t1 - 1} cannot be labelled and are left out: {failed[job.block]}"))

    stops = stop_on_error or model.follow != "none"

    def record(_: Job, finished: Record) -> None:
        count(finished)

    shape_yx = layout.shape_tyx[1:]
    locate: Callable[[Job], engine.Region] = partial(Job.region, reach_px=model.reach, shape_yx=shape_yx)
    for jobs in _plan_jobs(movie, model, layout, missing, found):
        work = LabelBlock(_model_before(jobs[0].block, model, ledger), layout, str(path.resolve()))
        engine.run_regions(movie, jobs, locate, work, record, None if stops else quarantine)
    return failed


def _model_before(block: Block, model: Model, ledger: Ledger) -> Model:
    """The model as the frames before a block have left it."""
    if model.follow == "none" or block.index == 0:
        return model
    return model.with_centers(ledger.done[block.index - 1].rows[-1]["centers"])


def _plan_jobs(
    movie: xr.DataArray,
    model: Model,
    layout: Layout,
    missing: Sequence[Block],
    surveyed: Surveyed,
) -> Iterator[list[Job]]:
    """What may be labelled at once.

    Whole frames are measured in their own task; frames in tiles are measured ahead, a few blocks at a time. A model
    that follows the movie needs each block to be done before the next.
    """
    around = partial(_frames_around, lag=model.lag, n_frames=layout.shape_tyx[0], unread=surveyed.unread)
    drift = surveyed.drift_yx_px

    def job(block: Block, reports: Mapping[int, FrameReport] | None = None) -> Job:
        frames = around(block)
        found = None if reports is None else tuple(reports[frame] for frame in range(*frames))
        return Job(block, frames, found, None if drift is None else drift[slice(*frames)])

    if model.follow != "none":
        yield from ([job(block)] for block in missing)
        return
    if layout.tiles_yx == (1, 1):
        if missing:
            yield [job(block) for block in missing]
        return
    groups = [list(blocks) for _, blocks in groupby(missing, key=lambda block: block.frames)]
    for start in range(0, len(groups), MEASURED_AHEAD):
        ahead = groups[start : start + MEASURED_AHEAD]
        frames = sorted({frame for blocks in ahead for frame in range(*around(blocks[0]))})
        reports = dict(
            zip(frames, measure_frames(movie, frames, model.prepare.reference_mean), strict=True),
        )
        yield [job(block, reports) for blocks in ahead for block in blocks]


def _frames_around(block: Block, lag: int, n_frames: int, unread: frozenset[int]) -> tuple[int, int]:
    """The block's frames and those around that their labels depend on, up to one that cannot be read."""
    first, end = block.frames
    while first > max(block.frames[0] - lag, 0) and first - 1 not in unread:
        first -= 1
    while end < min(block.frames[1] + lag, n_frames) and end not in unread:
        end += 1
    return first, end


@dataclass(frozen=True, eq=False)
class Job:
    """One block to label, with the frames around it that its labels depend on, and what was found in all of them where
    that was measured before."""

    block: Block
    frames: tuple[int, int]
    reports: tuple[FrameReport, ...] | None
    drift_yx_px: npt.NDArray[np.float64] | None = None

    def drift(self, last: int, n: int) -> npt.NDArray[np.float64] | None:
        """Of the ``n`` frames up to ``last``."""
        end = last + 1 - self.frames[0]
        return None if self.drift_yx_px is None else self.drift_yx_px[end - n : end]

    def region(self, reach_px: int, shape_yx: tuple[int, int]) -> engine.Region:
        return engine.Region(*self.frames, self.block.tile.grown(reach_px, shape_yx))


@dataclass(frozen=True, eq=False)
class _Looked:
    """What a frame says by itself, and the model that said it. preview : None of a frame beside the block."""

    model: Model
    report: FrameReport
    evidence: FrameEvidence
    preview: npt.NDArray[np.uint8] | None


@dataclass(frozen=True)
class LabelBlock:
    """The task: prepare, describe, project, assign, upsample, and write whole shards. Features never leave it.

    A model that follows the movie is moved on frame by frame; the ledger's rows keep its centres.
    """

    model: Model
    layout: Layout
    path: str

    def __call__(self, pixels: npt.NDArray[Any], job: Job) -> Record:
        shape_yx = self.layout.shape_tyx[1:]
        have, tile = job.region(self.model.reach, shape_yx).tile, job.block.tile
        first, end = job.block.frames
        label = np.empty((end - first, *tile.shape), np.uint8)
        rows: list[dict[str, Any]] = []
        previews, memberships = [], []
        frames = enumerate(self._look(pixels, job, have, tile, shape_yx), start=job.frames[0])
        for window, at in slide_windows(frames, self.model.lag):
            number, now = window[at]
            if now.preview is None:
                continue
            evidence = [one.evidence for _, one in window]
            drift = job.drift(window[-1][0], len(window))
            labels = now.model.label_window(evidence, at, tile, shape_yx, drift)
            label[number - first] = labels.label
            previews.append(now.preview)
            memberships.append(labels.membership)
            rows.append(frame_row(number, now.report, now.model, labels.label))
        checksums = write_block(
            self.path,
            self.layout,
            job.block,
            label=label,
            preview=np.stack(previews),
            membership=np.stack(memberships) if self.layout.with_membership else None,
        )
        return Record(block=job.block, checksums=checksums, rows=tuple(rows))

    def _look(
        self, pixels: npt.NDArray[Any], job: Job, have: Tile, tile: Tile, shape_yx: tuple[int, int]
    ) -> Iterator[_Looked]:
        """Each frame by itself, as the model that the frames before have left sees it."""
        model = self.model
        first, end = job.block.frames
        for offset, frame in enumerate(pixels):
            report = self._report(frame, job, offset)
            model = model.followed(frame, report)
            evidence = model.evidence(frame, have, tile, shape_yx, report)
            is_inside = first <= job.frames[0] + offset < end
            preview = model.prepare.preview(evidence.prepared, self.layout.preview_factor) if is_inside else None
            yield _Looked(model, report, evidence.without_pixels(), preview)

    def _report(self, frame: npt.NDArray[Any], job: Job, offset: int) -> FrameReport:
        if job.reports is not None:
            return job.reports[offset]
        return self.model.report(frame)
