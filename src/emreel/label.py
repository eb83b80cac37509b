"""Label every frame with a fitted model: a whole movie into a result on disk, or a stream frame by frame.

Both end in the same call of the model, so stream and batch agree to the bit.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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
from emreel.model import FrameEvidence, FrameLabels, Model
from emreel.movie import check_movie, frame_times_s, pixel_size_nm
from emreel.polycrystal import GrainState
from emreel.prepare import FrameReport
from emreel.prepare.measure import measure_frames, survey_movie
from emreel.prepare.survey import Survey
from emreel.progress import Note, Progress, StageStarted, StepsDone, ignore
from emreel.provenance import describe_movie, movie_digest
from emreel.result import (
    Block,
    Layout,
    Ledger,
    Record,
    Result,
    ResultError,
    acquire_lock,
    count_labels,
    create_store,
    drift_of,
    find_alarm,
    fit_tile,
    forget_blocks,
    is_result,
    open_ledger,
    open_result,
    plan_layout,
    read_layout,
    read_survey,
    remove_partials,
    verify_result,
    write_block,
    write_frame_tables,
    write_quarantine,
    write_survey,
)
from emreel.track.polycrystal import follow_grains, label_polycrystal

#: Pixels that one task labels: a few frames, so that tasks are neither many nor large.
BLOCK_PIXELS = 2**23
MOST_FRAMES_PER_BLOCK = 16
#: Memory that labelling takes, bytes a pixel of the frame: the frame, its mask, and the descriptor's maps.
BYTES_PER_PIXEL = 120
#: Tiles of frames that do not fit a worker, px.
TILE_PX = 2048
#: Blocks of tiled frames whose frames are measured ahead of labelling.
MEASURED_AHEAD = 8


def label_movie(
    movie: object,
    model: Model,
    path: str | os.PathLike[str],
    *,
    with_membership: bool = True,
    any_pixel_size: bool = False,
    break_lock: bool = False,
    stop_on_error: bool = False,
    provenance: Mapping[str, Any] | None = None,
    progress: Progress = ignore,
) -> Result:
    """Label every frame of a movie on the active Dask scheduler, into the result at ``path``.

    An unfinished result of the same movie and model goes on where it stopped; the bytes are those of one
    uninterrupted run. Blocks that cannot be read, exhaust the memory, or kill their workers are quarantined: tried once
    more alone, then left out (``missing_blocks`` of the result; the table ``quarantine`` says why); a later run tries
    them again.

    Parameters
    ----------
    movie : a movie, see `emreel.open_movie`. ``path`` : the result's folder; made if it is missing.
    with_membership : write each class's posterior as well, on the descriptor's grid.
    any_pixel_size : label although the pixel size differs from the model's by more than 1 %.
    break_lock : take over a lock that another host left.
    stop_on_error : stop at the first block that fails, instead of quarantining it; as models that follow the movie do.
    provenance : plain JSON kept with the result, beside the movie's and the model's own.

    Returns
    -------
    Result : see `emreel.open_result`.

    Raises
    ------
    emreel.model.ModelError : the pixel sizes differ.
    emreel.result.ResultError : the folder holds something else, or a result of another movie or model.
    emreel.result.LockError : another run writes there.
    emreel.result.StorageError : the disk is full or refuses; what is done stays.
    """
    parsed = check_movie(movie)
    if not any_pixel_size:
        model.check_pixel_size(pixel_size_nm(parsed))
    digest = movie_digest(parsed)
    identity = {"movie": digest, "model": model.digest, "membership": with_membership}
    known = {"movie": describe_movie(parsed, digest), "model": model.provenance.to_dict(), **(provenance or {})}
    with acquire_lock(path, break_foreign=break_lock) as lock:
        remove_partials(path)
        if not is_result(path):
            _create(path, parsed, model, identity, known, with_membership)
        ledger = open_ledger(path, lock, identity=identity)
        found = _surveyed(parsed, model, path, progress)
        failed = _label_missing(parsed, model, Path(path), ledger, found, progress, stop_on_error)
        write_frame_tables(path)
        write_quarantine(path, failed)
    result = open_result(path)
    alarm = find_alarm(result.table("class_fraction"))
    if alarm is not None:
        progress(Note(alarm))
    return result


def frames_per_block(shape_yx: tuple[int, int]) -> int:
    """Frames that one task labels, and that one shard of a result holds."""
    return max(min(BLOCK_PIXELS // (shape_yx[0] * shape_yx[1]), MOST_FRAMES_PER_BLOCK), 1)


def label_stream(frames: Iterable[npt.NDArray[Any]], model: Model) -> Iterator[FrameLabels]:
    """Labels and membership of each frame as it comes, shape (y, x) counts; equal to `label_movie` to the bit.

    The frames of a polycrystal have their grains with them (``region``, ``angle_deg``). Where labels are kept still in
    time, they come ``model.lag`` frames after their frame, and the last ones when the frames end.
    """
    if model.lag:
        yield from _steady_stream(frames, model)
        return
    grains: GrainState | None = None
    for frame in frames:
        report = model.report(frame)
        model = model.followed(frame, report)
        labels = model.label_frame(frame, report)
        if model.grains is not None:
            grains, labels = follow_grains(model, labels, grains)
        yield labels


def _steady_stream(frames: Iterable[npt.NDArray[Any]], model: Model) -> Iterator[FrameLabels]:
    """Labels that come ``model.lag`` frames after their frame, the last ones when the frames end."""
    window: deque[FrameEvidence] = deque()
    drift: deque[tuple[float, float]] = deque()
    survey, state = Survey(reference_mean=model.prepare.reference_mean), None
    whole = Tile(0, 0, 0, 0)
    first = n_told = n_seen = 0  # the window's first frame, labels told, frames seen

    def told() -> FrameLabels:
        places = np.array(drift) if model.survey else None
        return model.label_window(window, n_told - first, whole, whole.shape, places)

    for frame in frames:
        whole = Tile(0, frame.shape[0], 0, frame.shape[1])
        window.append(model.evidence(frame, whole, whole, whole.shape, model.report(frame)))
        if model.survey:
            state, row = survey.step(state, n_seen, survey.glance(frame), survey.bin_px(whole.shape))
            drift.append((row.drift_y_px, row.drift_x_px))
        n_seen += 1
        if n_seen - n_told > model.lag:
            yield told()
            n_told += 1
            if n_told - first > model.lag:
                window.popleft()
                if model.survey:
                    drift.popleft()
                first += 1
    while n_told < n_seen:
        yield told()
        n_told += 1


def repair_result(
    path: str | os.PathLike[str], movie: object, *, break_lock: bool = False, progress: Progress = ignore
) -> int:
    """Find damaged blocks and compute them again from the movie. Returns how many there were.

    Raises
    ------
    emreel.result.ResultError : the movie is not the one that the result was made from.
    """
    with acquire_lock(path, break_foreign=break_lock) as lock:
        damages = verify_result(path)
        beyond = [str(damage) for damage in damages if damage.block is None]
        if beyond:
            raise ResultError(f"{os.fspath(path)} cannot be mended block by block ({beyond[0]}). Label the movie anew.")
        damaged = {damage.block for damage in damages if damage.block is not None}
        forget_blocks(path, damaged, lock)
    layout = read_layout(path)
    model = Model.load(Path(path) / "model.zarr")
    label_movie(
        movie,
        model,
        path,
        with_membership=layout.with_membership,
        any_pixel_size=True,
        break_lock=break_lock,
        progress=progress,
    )
    return len(damaged)


# ------------------------------------------------------------------------------------------------ inside


@dataclass(frozen=True, eq=False)
class _Job:
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


@dataclass(frozen=True)
class _LabelBlock:
    """The task: prepare, describe, project, assign, upsample, and write whole shards. Features never leave it.

    A model that follows the movie is moved on frame by frame; the ledger's rows keep its centres.
    """

    model: Model
    layout: Layout
    path: str

    def __call__(self, pixels: npt.NDArray[Any], job: _Job) -> Record:
        shape_yx = self.layout.shape_tyx[1:]
        have, tile = job.region(self.model.reach, shape_yx).tile, job.block.tile
        model = self.model
        labelled: list[FrameLabels] = []
        rows, reports = [], []
        window: deque[FrameEvidence] = deque(maxlen=2 * model.lag + 1)
        for number, frame in zip(range(*job.frames), pixels, strict=True):
            report = self._report(frame, job, number - job.frames[0])
            reports.append(report)
            model = model.followed(frame, report)
            window.append(model.evidence(frame, have, tile, shape_yx, report))
            last = number == job.frames[1] - 1
            for now in range(number - model.lag, number + 1 if last else number - model.lag + 1):
                if job.block.frames[0] <= now < job.block.frames[1]:
                    at = now - number + len(window) - 1
                    labels = model.label_window(window, at, tile, shape_yx, job.drift(number, len(window)))
                    labelled.append(labels)
                    rows.append(frame_row(now, reports[now - job.frames[0]], model, labels.label))
        preview = self.model.prepare.preview
        checksums = write_block(
            self.path,
            self.layout,
            job.block,
            label=np.stack([labels.label for labels in labelled]),
            preview=np.stack([preview(labels.prepared, self.layout.preview_factor) for labels in labelled]),
            membership=np.stack([labels.membership for labels in labelled]) if self.layout.with_membership else None,
        )
        return Record(block=job.block, checksums=checksums, rows=tuple(rows))

    def _report(self, frame: npt.NDArray[Any], job: _Job, offset: int) -> FrameReport:
        if job.reports is not None:
            return job.reports[offset]
        return self.model.report(frame)


def frame_row(frame: int, report: FrameReport, model: Model, label: npt.NDArray[np.uint8]) -> dict[str, Any]:
    """What the ledger keeps of one labelled frame (see `emreel.result.tables`); of a block's part of it, in tiles."""
    followed = {} if model.follow == "none" else {"centers": model.centers.tolist()}
    return followed | {
        "frame": frame,
        "status": report.status,
        "reason": report.reason,
        "gain": model.prepare.relative_gain(report),
        "signature": report.signature,
        "label_px": count_labels(label[None])[0],
    }


@dataclass(frozen=True, eq=False)
class _Surveyed:
    """drift_yx_px : where the specimen stands in every frame, shape (time, 2), px. unread : frames nobody can read."""

    drift_yx_px: npt.NDArray[np.float64] | None = None
    unread: frozenset[int] = frozenset()


def _surveyed(movie: xr.DataArray, model: Model, path: str | os.PathLike[str], progress: Progress) -> _Surveyed:
    """What labelling needs to know of frames beforehand; nothing for a model that does not survey.

    What is found is a table of the result, written when it is whole: a run that goes on reads it back.
    """
    if not model.survey:
        return _Surveyed()
    n_frames = movie.sizes["time"]
    table = read_survey(path, n_frames)
    if table is None:
        progress(StageStarted("survey", n_frames))
        survey = Survey(reference_mean=model.prepare.reference_mean)
        rows = survey_movie(movie, survey, lambda n: progress(StepsDone("survey", n, n_frames)))
        table = write_survey(path, rows)
        odd = [f"{n} {status}" for status, n in table["status"].value_counts().items() if status != "good"]
        if odd:
            progress(Note(f"of {n_frames} frames {', '.join(odd)}: see the table 'quality'"))
    unread = np.flatnonzero(table["status"] == "unreadable")
    return _Surveyed(drift_of(table), frozenset(unread.tolist()))


def _label_missing(
    movie: xr.DataArray,
    model: Model,
    path: Path,
    ledger: Ledger,
    found: _Surveyed,
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

    def quarantine(job: _Job, error: BaseException) -> None:
        failed[job.block] = " ".join(str(error).split()) or type(error).__name__
        t0, t1 = job.block.frames
        progress(Note(f"frames {t0} to {t1 - 1} cannot be labelled and are left out: {failed[job.block]}"))

    stops = stop_on_error or model.follow != "none"

    def record(_: _Job, finished: Record) -> None:
        count(finished)

    shape_yx = layout.shape_tyx[1:]
    locate: Callable[[_Job], engine.Region] = partial(_Job.region, reach_px=model.reach, shape_yx=shape_yx)
    for jobs in _plan_jobs(movie, model, layout, missing, found):
        work = _LabelBlock(_model_before(jobs[0].block, model, ledger), layout, str(path.resolve()))
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
    surveyed: _Surveyed,
) -> Iterator[list[_Job]]:
    """What may be labelled at once.

    Whole frames are measured in their own task; frames in tiles are measured ahead, a few blocks at a time. A model
    that follows the movie needs each block to be done before the next.
    """
    around = partial(_frames_around, lag=model.lag, n_frames=layout.shape_tyx[0], unread=surveyed.unread)
    drift = surveyed.drift_yx_px

    def job(block: Block, reports: Mapping[int, FrameReport] | None = None) -> _Job:
        frames = around(block)
        found = None if reports is None else tuple(reports[frame] for frame in range(*frames))
        return _Job(block, frames, found, None if drift is None else drift[slice(*frames)])

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


def _create(
    path: str | os.PathLike[str],
    movie: xr.DataArray,
    model: Model,
    identity: Mapping[str, Any],
    provenance: Mapping[str, Any],
    with_membership: bool,
) -> None:
    shape = (movie.sizes["time"], movie.sizes["y"], movie.sizes["x"])
    n_pixels = shape[1] * shape[2]
    tile_yx = None
    in_order = model.follow != "none" or model.grains is not None
    if not in_order and n_pixels * BYTES_PER_PIXEL > engine.active_workers().memory_bytes // 2:
        tile_yx = fit_tile(shape[1:], model.stride, (TILE_PX, TILE_PX))
    layout = plan_layout(
        shape,
        model.stride,
        model.n_clusters,
        frames_per_block=frames_per_block(shape[1:]),
        tile_yx=tile_yx,
        with_membership=with_membership,
        with_regions=model.grains is not None,
        with_orientation=model.grains is not None,
    )
    model.save(Path(path) / "model.zarr")
    origin = tuple(float(movie.coords[d].values[0]) / (pixel_size_nm(movie) or 1.0) for d in ("y", "x"))
    create_store(
        path,
        layout,
        identity=identity,
        label_names=model.label_names,
        label_colors=[tuple(bytes.fromhex(color[1:7])) for color in model.label_colors],
        times_s=frame_times_s(movie),
        pixel_size_nm=pixel_size_nm(movie),
        origin_yx_px=(origin[0], origin[1]),
        provenance=provenance,
    )
