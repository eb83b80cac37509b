"""A watched movie's result, one file a frame, made into one like any other: whole shards of many frames."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from emreel.progress import Progress, StageStarted, StepsDone, ignore
from emreel.result.errors import ResultError, explain_os_error
from emreel.result.files import partial_path
from emreel.result.growing import GrowingStore
from emreel.result.handle import open_result
from emreel.result.layout import Block, Layout, plan_layout
from emreel.result.ledger import Ledger, Record, read_ledger, write_ledger
from emreel.result.lock import acquire_lock
from emreel.result.quality import SURVEY
from emreel.result.regions import RegionWriter, has_regions
from emreel.result.store import (
    REPLACEMENT,
    create_store,
    finish_replacement,
    read_facts,
    remove_partials,
    write_block,
)
from emreel.result.verify import verify_result


def compact_result(
    path: str | os.PathLike[str],
    frames_per_block: Callable[[tuple[int, int]], int],
    *,
    break_lock: bool = False,
    progress: Progress = ignore,
) -> bool:
    """Write a watched result anew in shards of ``frames_per_block(shape_yx)`` frames, and put it in place at once.

    Every frame is checked against its checksum first. A reader sees the old files or the new; killed at any moment,
    the old are still there or the next call finishes. Returns whether there was anything to do.

    Raises
    ------
    ResultError : damaged, or no result. LockError : it is still being watched. StorageError : the disk refuses.
    """
    folder = Path(path)
    _finish_if_begun(folder, break_lock)
    with acquire_lock(folder, break_foreign=break_lock):
        remove_partials(folder)
        facts = read_facts(folder)
        if not Layout.from_dict(facts["layout"]).grows:
            return False
        ledger = read_ledger(folder)
        damages = verify_result(folder)
        if damages:
            raise ResultError(f"{folder} is damaged ({damages[0]}). Mend it first: emreel repair {folder}")
        partial = partial_path(folder / REPLACEMENT)
        try:
            _write_anew(folder, partial / "new", facts, ledger, frames_per_block(_shape_yx(facts)), progress)
            os.rename(partial, folder / REPLACEMENT)
        except OSError as error:
            raise explain_os_error(error, folder) from error
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        finish_replacement(folder)
        shutil.rmtree(folder / SURVEY, ignore_errors=True)  # what only growing on needed; the table stays
        remove_partials(folder)
    return True


def _finish_if_begun(folder: Path, break_lock: bool) -> None:
    """Finish a replacement that a killed process began, so that the result can be read. Raises ResultError."""
    if (folder / REPLACEMENT).is_dir():
        with acquire_lock(folder, break_foreign=break_lock):
            remove_partials(folder)
    read_facts(folder)


def _shape_yx(facts: Mapping[str, Any]) -> tuple[int, int]:
    _, height, width = Layout.from_dict(facts["layout"]).shape_tyx
    return height, width


def _write_anew(
    folder: Path, place: Path, facts: Mapping[str, Any], ledger: Ledger, frames_per_block: int, progress: Progress
) -> None:
    store = GrowingStore(folder)
    old = Layout.from_dict(facts["layout"])
    layout = plan_layout(
        old.shape_tyx,
        old.stride,
        old.n_classes,
        frames_per_block=frames_per_block,
        with_membership=old.with_membership,
        with_regions=old.with_regions,
        with_orientation=old.with_orientation,
    )
    result = open_result(folder, chunks=None)
    create_store(
        place,
        layout,
        identity=facts["identity"],
        label_names=facts["label_names"],
        label_colors=store.label_colors,
        times_s=result.times_s,
        pixel_size_nm=facts["pixel_size_nm"],
        provenance=facts["provenance"],
        stream=facts["stream"],
        name=folder.name,
    )
    progress(StageStarted("compact", layout.n_blocks))
    records = []
    for block in layout.blocks():
        frames = [frame for frame in range(*block.frames) if frame in ledger.done]
        data: dict[str, npt.NDArray[Any]] = {
            name: _frames_of(store, layout, block, name, frames) for name in layout.arrays()
        }
        checksums = write_block(place, layout, block, **data)
        rows = [row for frame in frames for row in ledger.done[frame].rows]
        records.append(Record(block=block, checksums=checksums, rows=rows))
        progress(StepsDone("compact", block.index + 1, layout.n_blocks))
    write_ledger(place, records)
    if has_regions(folder) and not old.with_regions:  # tracked afterwards
        with RegionWriter(place) as regions:
            for frame in range(old.shape_tyx[0]):
                regions.append(np.asarray(result.region.isel(time=frame).values, np.uint32))


def _frames_of(store: GrowingStore, layout: Layout, block: Block, name: str, frames: list[int]) -> npt.NDArray[Any]:
    region = layout.region(name, block)
    values = np.zeros([part.stop - part.start for part in region], layout.arrays()[name].dtype)
    for frame in frames:
        read = store.read_frame(frame, name)
        if read is not None:
            values[frame - block.frames[0]] = read
    return values
